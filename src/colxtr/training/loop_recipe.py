"""The recipe of a denoised training, as TOML.

    [collections.scifact]           # one or more
    path = "data/scifact"           # a folder or a hub id
    split = "train"                 # default
    weight = 1.0                    # default; in a mixture

    [model]
    start = "sentence-transformers/all-MiniLM-L6-v2"

    [mine]                          # MineSettings
    [teacher]                       # one of
    model = "cross-encoder/ms-marco-MiniLM-L6-v2"        # as it is
    # large = "BAAI/bge-reranker-large"                  # distilled into `student`
    # labels_from = "microsoft/MiniLM-L12-H384-uncased"  # a large one is made of the labels
    # student = "..."                                    # a plain encoder or a cross-encoder
    [teacher.labels]                # DistilSettings of the large one, where labels make it
    [teacher.distil]                # DistilSettings of the student
    [score]                         # Selection, and batch_size, max_length, bf16
    [train]                         # the recipe of training (docs/training.md)
    [refresh]                       # rounds, and RefreshSettings; [refresh.mine]
    [average]                       # models: of the last rounds; base: share of the start
    [export]                        # quantize = "int8", "float32" or "both"

Every table but `collections`, `model` and `teacher` may be left out. Knows nothing of stages.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from colxtr.errors import InputError
from colxtr.training.distil import DistilSettings
from colxtr.training.mine import MineSettings
from colxtr.training.refresh import RefreshSettings
from colxtr.training.selection import Selection
from colxtr.training.tuple_files import Collection

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class TeacherSettings:
    """Where the scores come from; exactly one of `model`, `large` and `labels_from`.

    Attributes:
        model: A teacher that scores as it is.
        large: A cross-encoder that is distilled into `student`, which then scores.
        labels_from: A plain encoder of which a large cross-encoder is made from the labels; with
            `student` it is distilled, else it scores.
        student: The small cross-encoder, or the plain encoder that becomes one.
        labels: How the large one is made.
        distil: How the student learns.
    """

    model: str = ""
    large: str = ""
    labels_from: str = ""
    student: str = ""
    labels: DistilSettings = field(default_factory=lambda: DistilSettings(labels=True))
    distil: DistilSettings = field(default_factory=DistilSettings)

    def __post_init__(self) -> None:
        named = [n for n in ("model", "large", "labels_from") if getattr(self, n)]
        if len(named) != 1:
            raise InputError(
                f"teacher: {' and '.join(named) or 'nothing'} given; name exactly one of model, "
                "large and labels_from"
            )
        if self.large and not self.student:
            raise InputError("teacher.large is distilled: name teacher.student too, or use model")
        if self.model and self.student:
            raise InputError("teacher.model scores as it is; to distil it, call it teacher.large")


@dataclass(frozen=True, slots=True)
class ScoringSettings:
    """How the teacher reads.

    Attributes:
        batch_size: Pairs together.
        max_length: Tokens of a pair.
        bf16: Half precision.
    """

    batch_size: int = 32
    max_length: int = 256
    bf16: bool = False


@dataclass(frozen=True, slots=True)
class AverageSettings:
    """What the last model is averaged with.

    Attributes:
        models: So many of the last rounds' models, equally.
        base: Share of the model before training, from 0 to below 1.
    """

    models: int = 1
    base: float = 0.0

    def __post_init__(self) -> None:
        if self.models < 1 or not 0 <= self.base < 1:
            raise InputError("average: models must be 1 or more, base from 0 to below 1")


@dataclass(frozen=True, slots=True)
class LoopRecipe:
    """All of a denoised training; see the module for the TOML."""

    collections: tuple[Collection, ...]
    start: str
    teacher: TeacherSettings
    mine: MineSettings = field(default_factory=lambda: MineSettings(negatives=31))
    scoring: ScoringSettings = field(default_factory=ScoringSettings)
    selection: Selection = field(default_factory=lambda: Selection(negatives=15, margin=0.0))
    train: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 1
    refresh: RefreshSettings = field(default_factory=RefreshSettings)
    average: AverageSettings = field(default_factory=AverageSettings)
    quantize: str = "int8"
    store: bool = False


def read_loop_recipe(path: str | Path) -> LoopRecipe:
    """Read a recipe; paths in it are relative to its folder.

    Raises:
        InputError: The file is missing or not TOML, or has an unknown or impossible value; names
            file and key.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from None
    try:
        return recipe_of(content, path.parent)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def recipe_of(content: Mapping[str, Any], folder: Path) -> LoopRecipe:
    """Make a recipe of what a TOML file holds.

    Args:
        content: Its tables.
        folder: What relative paths are relative to.

    Raises:
        InputError: A table or key is unknown, missing or impossible.
    """
    tables = dict(content)
    collections = _table(tables, "collections")
    if not collections:
        raise InputError("no collections; add a table [collections.NAME] with a path")
    model, score, refresh = (_table(tables, name) for name in ("model", "score", "refresh"))
    start = _taken(model, "start", "", "model")
    if not start:
        raise InputError('no model to start from; add start = "..." to the table [model]')
    scoring = {f.name: score.pop(f.name) for f in fields(ScoringSettings) if f.name in score}
    selection = {"negatives": 15, "margin": 0.0, **score}
    rounds = _taken(refresh, "rounds", 1, "refresh")
    if rounds < 0:
        raise InputError(f"refresh.rounds is {rounds}; it must be 0 or more")
    export = _table(tables, "export")
    quantize = _taken(export, "quantize", "int8", "export")
    if quantize not in ("int8", "float32", "both"):
        raise InputError(f'export.quantize is {quantize!r}; "int8", "float32" or "both"')
    recipe = LoopRecipe(
        collections=tuple(_collection(name, each, folder) for name, each in collections.items()),
        start=_path(start, folder),
        teacher=_teacher(_table(tables, "teacher"), folder),
        mine=settings_of(MineSettings, {"negatives": 31, **_table(tables, "mine")}, "mine"),
        scoring=settings_of(ScoringSettings, scoring, "score"),
        selection=settings_of(Selection, selection, "score"),
        train=_table(tables, "train"),
        rounds=rounds,
        refresh=settings_of(RefreshSettings, refresh, "refresh"),
        average=settings_of(AverageSettings, _table(tables, "average"), "average"),
        quantize=quantize,
        store=_taken(tables, "store", False, ""),
    )
    for table, rest in ((model, "model"), (export, "export"), (tables, "")):
        if table:
            where = f"{rest}.{next(iter(table))}" if rest else next(iter(table))
            raise InputError(f"{where} is unknown; remove it")
    if recipe.average.models > recipe.rounds + 1:
        raise InputError(
            f"average.models is {recipe.average.models}, but only {recipe.rounds + 1} are trained"
        )
    return recipe


def settings_of(kind: type[S], values: Mapping[str, Any], name: str) -> S:
    """Make a dataclass of a table; tables inside it likewise.

    Raises:
        InputError: A key is unknown, or a value has the wrong type or is impossible; names it.
    """
    hints = get_type_hints(kind)
    made = {}
    for key, value in values.items():
        if key not in hints:
            raise InputError(f"{name}.{key} is unknown; known are {', '.join(hints)}")
        made[key] = _value(hints[key], value, f"{name}.{key}")
    try:
        return kind(**made)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _value(kind: Any, value: Any, name: str) -> Any:
    if isinstance(value, Mapping) and hasattr(kind, "__dataclass_fields__"):
        return settings_of(kind, value, name)
    allowed = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if float in allowed and type(value) is int:
        return float(value)
    if type(value) not in allowed:
        expected = " or ".join(each.__name__ for each in allowed if each is not type(None))
        raise InputError(f"{name} is {value!r}; {expected} is expected")
    return value


def _table(tables: dict[str, Any], name: str) -> dict[str, Any]:
    value = tables.pop(name, {})
    if not isinstance(value, dict):
        raise InputError(f"{name} is {value!r}; a table [{name}] is expected")
    return dict(value)


def _taken(table: dict[str, Any], key: str, default: Any, name: str) -> Any:
    where = f"{name}.{key}" if name else key
    return _value(type(default), table.pop(key, default), where)


def _collection(name: str, table: Any, folder: Path) -> Collection:
    if not isinstance(table, dict) or "path" not in table:
        raise InputError(f"collections.{name} has no path")
    values = {"name": name, **table, "path": _path(str(table["path"]), folder)}
    return settings_of(Collection, values, f"collections.{name}")


def _teacher(table: Mapping[str, Any], folder: Path) -> TeacherSettings:
    values = dict(table)
    for name in ("model", "large", "labels_from", "student"):
        if values.get(name):
            values[name] = _path(str(values[name]), folder)
    values["labels"] = {**_inner(values, "labels"), "labels": True}
    return settings_of(TeacherSettings, values, "teacher")


def _inner(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = values.get(name, {})
    if not isinstance(value, dict):
        raise InputError(f"teacher.{name} is {value!r}; a table [teacher.{name}] is expected")
    return value


def _path(source: str, folder: Path) -> str:
    """A path from the recipe's folder, if there is such a folder; else as it stands (hub ids)."""
    inside = folder / Path(source).expanduser()
    return str(inside) if inside.exists() else source
