"""Recipes: the settings of a training run, read strictly from a TOML file and from flags.

An unknown key, a value of the wrong type or out of its range is an error that names the file, the
key and what is allowed. Knows nothing of what a setting does.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from colxtr.errors import InputError
from colxtr.training.settings import TrainSettings


def read_recipe(path: str | Path | None, overrides: Iterable[str] = ()) -> TrainSettings:
    """Read a recipe.

    Args:
        path: A TOML file; None: all defaults.
        overrides: `table.key=value`, each instead of what the file says; values as in TOML, and a
            word that is no TOML is a string. "none" is the default of keys that may be None.

    Raises:
        InputError: The file is missing or no TOML, or a key or value is not allowed; names file,
            key and what is.
    """
    name, values = "the recipe", {}
    if path is not None:
        name, values = str(path), _parsed(Path(path))
    for override in overrides:
        _apply(values, override)
    return settings_from(values, name)


def settings_from(values: Mapping[str, Any], name: str) -> TrainSettings:
    """Make settings of nested mappings, as TOML or JSON gives them; errors as `read_recipe`."""
    settings: TrainSettings = _dataclass_from(TrainSettings, values, name, "")
    _check_together(settings, name)
    return settings


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such recipe; recipes/ has some to copy") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from None


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise InputError(f"{override!r} is no setting; write it as optimizer.steps=1000")
    table = values
    for name in names[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise InputError(f"{override!r}: {name} is a value, not a table")
    table[names[-1]] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _dataclass_from(kind: type, values: Mapping[str, Any], name: str, prefix: str) -> Any:
    known = {each.name: each for each in fields(kind)}
    types = get_type_hints(kind)
    made = {}
    for key, value in values.items():
        full = prefix + key
        if key not in known:
            raise InputError(f"{name}: unknown key {full!r}; known are {', '.join(known)}")
        if hasattr(types[key], "__dataclass_fields__"):
            if not isinstance(value, Mapping):
                raise InputError(f"{name}: {full!r} is {value!r}; it must be a table, [{full}]")
            made[key] = _dataclass_from(types[key], value, name, f"{full}.")
        else:
            where = f"{name}: {full!r} is {value!r}"
            made[key] = _checked(value, types[key], known[key].metadata, where)
    return kind(**made)


def _checked(value: Any, kind: Any, limits: Mapping[str, Any], where: str) -> Any:
    if type(None) in get_args(kind):
        if value is None or value == "none":  # TOML has no word for it
            return None
        kind = next(each for each in get_args(kind) if each is not type(None))
    value = _typed(value, kind, where)
    if "choices" in limits and value not in limits["choices"]:
        raise InputError(f"{where}; it must be one of {', '.join(map(repr, limits['choices']))}")
    if "low" in limits:
        low, high, above = limits["low"], limits["high"], limits["above"]
        if not (low < value if above else low <= value) or not value <= high:
            most = "" if high == float("inf") else f" and at most {high}"
            raise InputError(f"{where}; it must be {'above' if above else 'at least'} {low}{most}")
    return value


def _typed(value: Any, kind: Any, where: str) -> Any:
    if get_origin(kind) is tuple:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(each, str) for each in items):
            raise InputError(f"{where}; it must be a list of strings")
        return tuple(items)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise InputError(f"{where}; it must be of type {kind.__name__}")
    return value


def _check_together(settings: TrainSettings, name: str) -> None:
    objective, batches = settings.objective, settings.batches
    if not (objective.contrastive or objective.distillation or objective.self_distillation):
        raise InputError(f"{name}: all weights of [objective] are 0; set one of them above")
    if objective.distillation and batches.n_ways == 1:
        raise InputError(f"{name}: batches.n_ways is 1; distillation needs 2 or more")
    if objective.k_train >= 1 and objective.k_train % 1:
        raise InputError(
            f"{name}: 'objective.k_train' is {objective.k_train}; it must be a whole number, or a "
            "fraction below 1"
        )
    if settings.checkpoints.average_last > settings.checkpoints.keep:
        raise InputError(
            f"{name}: checkpoints.average_last is {settings.checkpoints.average_last}, more than "
            f"the checkpoints kept; set checkpoints.keep to as many"
        )
    if settings.evaluation.patience and not settings.evaluation.folders:
        raise InputError(f"{name}: evaluation.patience needs evaluation.folders to measure on")
