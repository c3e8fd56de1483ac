"""`save_model`: a folder that sentence-transformers 6 loads, and PyLate where it can say the model.

Knows nothing of how models are loaded.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

from colxtr.errors import InputError, ModelError
from colxtr.query_weights import QUERY_WEIGHTS_FILE
from colxtr.training.checkpoints.credit import CARD, card_of, copy_licences
from colxtr.training.checkpoints.eos_mean import EosMean
from colxtr.training.checkpoints.layouts import EXTRAS_FILE
from colxtr.training.checkpoints.prefixes import split_prefix
from colxtr.training.checkpoints.query_weights import QueryWeights, query_weights_of
from colxtr.training.libraries import quiet

_PYLATE_DENSE = "pylate.models.Dense.Dense"


class _Extra(NamedTuple):
    """A module of ours: its key in the file of extras, and what happens without it."""

    key: str
    without: str


_EXTRAS = {
    EosMean.__name__: _Extra("eos_mean", "keeps the vector of the last token"),
    QueryWeights.__name__: _Extra("query_weights", "weighs all query tokens alike"),
}


class SavingWarning(UserWarning):
    """A saved model will not be the same in another library; says where and why."""


def save_model(
    model: Any, folder: str | os.PathLike[str], *, overwrite: bool = False, warn: bool = True
) -> Path:
    """Save a model: all of the folder or nothing of it.

    A model that PyLate can say is saved in its layout, which sentence-transformers 6 reads too;
    any other in that of sentence-transformers 6. `load_model` loads both as they were.

    Args:
        model: What `load_model` returned, trained or not.
        folder: Where to; must not be there, or be empty, unless `overwrite`.
        overwrite: Replace what is there.
        warn: Warn of what another library will not do as this model does.

    Returns:
        The folder.

    Raises:
        InputError: The folder is there already.
        ModelError: The model has modules that cannot be saved, or the folder cannot be written.

    Warns:
        SavingWarning: PyLate, or sentence-transformers too, cannot say all of the model.
    """
    target = Path(folder)
    reasons = beyond_pylate(model)
    with new_folder(target, overwrite=overwrite) as temporary:
        with quiet():
            extras = _save_modules(model, temporary)
        _save_credit(model, temporary)
        if reasons:
            if extras:
                _write_json(temporary / EXTRAS_FILE, extras)
        else:
            _as_pylate(model, temporary)
    if warn and reasons:
        warnings.warn(_warning(target, reasons, extras), SavingWarning, stacklevel=2)
    return target


def beyond_pylate(model: Any) -> list[str]:
    """What of a model PyLate's layout cannot say; empty where it can say all."""
    transformer, reasons = model[0], []
    heads = [module for module in model if isinstance(module, Dense)]
    if len(heads) != 1 or not isinstance(heads[0].activation_function, torch.nn.Identity):
        reasons.append("the projection is not one matrix")
    if not any(isinstance(module, Normalize) for module in model):
        reasons.append("token embeddings are not scaled to length 1")
    if any(isinstance(module, EosMean) for module in model):
        reasons.append("the last token's vector is replaced by the mean")
    if query_weights_of(model) is not None:
        reasons.append("query tokens have weights")
    known = (Transformer, Dense, MultiVectorMask, Normalize, EosMean, QueryWeights)
    reasons += [f"module {type(m).__name__}" for m in model if not isinstance(m, known)]
    for task in ("query", "document"):
        prefix = split_prefix(model.tokenizer, (model.prompts or {}).get(task))
        if prefix.token is None:
            reasons.append(f"no vocabulary token is put before a {task}")
    expansion = transformer.query_expansion
    if expansion and (expansion["strategy"] != "fixed" or expansion["token"] is not None):
        reasons.append("queries are padded in another way than with [MASK] to a fixed length")
    if transformer.document_length is None or not (expansion or transformer.query_length):
        reasons.append("no query_length or document_length is set")
    masks = [module for module in model if isinstance(module, MultiVectorMask)]
    if any(mask.skiplist_tasks != ["document"] or mask.keep_only_token_ids for mask in masks):
        reasons.append("tokens are dropped from more than documents, or by an allowlist")
    return reasons


@contextmanager
def new_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary folder that takes the target's place at the end, if nothing fails before.

    Raises:
        InputError: The target is there, not empty, and is not to be overwritten; or is a file.
        ModelError: The disk does not take it.
    """
    if target.is_file() or (target.is_dir() and any(target.iterdir()) and not overwrite):
        raise InputError(f"{target} is there already; pass another folder, or overwrite it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise ModelError(f"{target} cannot be made: {error.strerror}") from error
    try:
        yield temporary
        _take_place(temporary, target)
    except OSError as error:
        raise ModelError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_place(temporary: Path, target: Path) -> None:
    temporary.chmod(0o777 & ~_umask())
    if not target.exists():
        temporary.rename(target)
        return
    old = temporary.with_name(temporary.name + ".old")
    target.rename(old)
    try:
        temporary.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _save_modules(model: Any, folder: Path) -> dict[str, bool]:
    """Save in the layout of sentence-transformers 6; what it lacks is left out and returned."""
    model.save(str(folder), create_model_card=False)
    if model[0].do_lower_case:  # the library leaves it to the tokenizer, which may forget it
        path = folder / "sentence_bert_config.json"
        _write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"do_lower_case": True})
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    ours = [module for module in modules if not module["type"].startswith("sentence_transformers.")]
    extras = {}
    for module in ours:
        kind = module["type"].rpartition(".")[2]
        if kind not in _EXTRAS:
            raise ModelError(
                f"the module {module['type']} cannot be saved; put the model together from those "
                "of sentence-transformers"
            )
        extras[_EXTRAS[kind].key] = True
        if kind == QueryWeights.__name__:
            (folder / module["path"] / QUERY_WEIGHTS_FILE).rename(folder / QUERY_WEIGHTS_FILE)
        shutil.rmtree(folder / module["path"])
    if ours:
        _write_json(folder / "modules.json", [module for module in modules if module not in ours])
    return extras


def _save_credit(model: Any, folder: Path) -> None:
    origin = getattr(model, "colxtr_origin", None)
    if origin is None:
        return
    copy_licences(origin.folder, folder)
    if card := card_of(origin.folder):
        (folder / CARD).write_text(card, encoding="utf-8")


def _as_pylate(model: Any, folder: Path) -> None:
    """Turn a saved model into PyLate's layout: mask and normalisation go without saying."""
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    encoder, dense = (
        next(module for module in modules if module["type"].endswith(kind))
        for kind in (".Transformer", ".Dense")
    )
    for module in modules:
        if module not in (encoder, dense):
            shutil.rmtree(folder / module["path"])
    (folder / dense["path"]).rename(folder / "1_Dense")
    dense |= {"idx": 1, "name": "1", "path": "1_Dense", "type": _PYLATE_DENSE}
    _write_json(folder / "modules.json", [encoder, dense])
    path = folder / "config_sentence_transformers.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    _write_json(path, {**config, **_pylate_settings(model)})
    transformer = model[0]
    _write_json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": transformer.max_seq_length, "do_lower_case": transformer.do_lower_case},
    )


def _pylate_settings(model: Any) -> dict[str, Any]:
    transformer, expansion = model[0], model[0].query_expansion
    masks = [module for module in model if isinstance(module, MultiVectorMask)]
    prefixes, prompts = {}, {}
    for task in ("query", "document"):
        prompt = model.prompts[task]
        prefix = split_prefix(model.tokenizer, prompt)
        token = prefix.token or ""
        blank = prompt[len(token) :]
        prefixes[f"{task}_prefix"] = prompt if not prefix.text else token
        if prefix.text:
            prompts[task] = blank
    return {
        "model_type": "ColBERT",
        **prefixes,
        "prompts": prompts,
        "similarity_fn_name": "MaxSim",
        "query_length": expansion["length"] if expansion else transformer.query_length,
        "document_length": transformer.document_length,
        "do_query_expansion": expansion is not None,
        "attend_to_expansion_tokens": bool(expansion and expansion["attend"]),
        "skiplist_words": masks[0].skiplist_words if masks else [],
    }


def _warning(target: Path, reasons: list[str], extras: dict[str, bool]) -> str:
    text = f"{target} is in the layout of sentence-transformers 6: PyLate's has no place for this: "
    text += "; ".join(reasons)
    if extras:
        without = " and ".join(each.without for each in _EXTRAS.values() if each.key in extras)
        text += (
            f". Nor does sentence-transformers read {EXTRAS_FILE}: it {without}; colxtr's "
            "load_model loads the model as it is"
        )
    return text


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
