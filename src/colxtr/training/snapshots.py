"""Snapshots of a run: everything that the next step depends on, in folders that are whole.

    checkpoints/step-00000500/
        weights.safetensors     the model's, and the objective's
        optimizer.safetensors   what the optimizer remembers of each
        random-<process>.safetensors   the state of every random number generator
        state.json              the step, and what else is no tensor

A folder gets its name when all of it is on the disk, so that a kill leaves a whole snapshot or
none. No pickles. Knows nothing of models or losses.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from colxtr.errors import InputError
from colxtr.storage.files import make_folder, named_errors, sync_file, sync_folder
from colxtr.training.gathering import process_number, wait_for_all

WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"
_NAME = re.compile(r"step-(\d{8,})")
_SAME_AS = "same as "  # metadata: weights that are one tensor under two names


def write_snapshot(
    folder: Path,
    step: int,
    *,
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    state: Mapping[str, Any],
) -> Path:
    """Write a snapshot; all processes call it, the first writes all but the random numbers.

    Raises:
        StorageError: It cannot be written (DiskFullError: no space is left).
    """
    target = folder / f"step-{step:08d}"
    partial = folder / f".partial-{target.name}"
    first = process_number() == 0
    with named_errors(target):
        if first:
            shutil.rmtree(partial, ignore_errors=True)
            make_folder(partial)
        wait_for_all()
        save_file(random_state(), partial / f"random-{process_number()}.safetensors")
        if first:
            _save(weights, partial / WEIGHTS)
            _save(optimizer, partial / OPTIMIZER)
            content = json.dumps({"step": step, **state}, indent=2)
            (partial / STATE).write_text(content + "\n", encoding="utf-8")
        wait_for_all()
        if first:
            put_in_place(partial, target)
        wait_for_all()
    return target


def put_in_place(partial: Path, target: Path) -> None:
    """Give a folder of finished files its name; what had it is gone."""
    for path in partial.rglob("*"):
        (sync_folder if path.is_dir() else sync_file)(path)
    sync_folder(partial)
    if target.exists():
        shutil.rmtree(target)
    partial.rename(target)
    sync_folder(target.parent)


def snapshots(folder: Path) -> list[Path]:
    """The snapshots in a folder, the oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def remove_snapshots(folder: Path, keep: int, also: Iterable[int | None] = ()) -> None:
    """Remove all but the newest `keep`, and those of the steps in `also`."""
    kept = {f"step-{step:08d}" for step in also if step is not None}
    for path in snapshots(folder)[:-keep]:
        if path.name not in kept:
            shutil.rmtree(path)


def read_state(snapshot: Path) -> dict[str, Any]:
    """What is no tensor.

    Raises:
        InputError: The file is missing or damaged.
    """
    try:
        state = json.loads((snapshot / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{snapshot / STATE}: {error}; {_remedy(snapshot)}") from None
    if not isinstance(state, dict) or not isinstance(state.get("step"), int):
        raise InputError(f"{snapshot / STATE}: no step in it; {_remedy(snapshot)}")
    return state


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of one file of a snapshot.

    Raises:
        InputError: The file is missing or damaged.
    """
    try:
        tensors: dict[str, Tensor] = load_file(path)
        aliases = _aliases(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: {error}; {_remedy(path.parent)}") from None
    return tensors | {name: tensors[other] for name, other in aliases.items()}


def _remedy(snapshot: Path) -> str:
    return f"remove {snapshot} to go on from the snapshot before it"


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors; those that share memory (T5's embeddings) once, with a note of the others."""
    first_name: dict[tuple[int, tuple[int, ...]], str] = {}
    unique, notes = {}, {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tuple(tensor.shape))
        if tensor.numel() and place in first_name:
            notes[name] = _SAME_AS + first_name[place]
        else:
            first_name[place] = name
            unique[name] = tensor.detach().contiguous()
    save_file(unique, path, metadata=notes)


def _aliases(path: Path) -> dict[str, str]:
    from safetensors import safe_open  # noqa: PLC0415 (its types are not exported)

    with safe_open(path, framework="pt") as file:
        notes = file.metadata() or {}
    return {
        name: note.removeprefix(_SAME_AS)
        for name, note in notes.items()
        if note.startswith(_SAME_AS)
    }


def random_state() -> dict[str, Tensor]:
    """The state of Python's, NumPy's and torch's generators, as tensors."""
    version, internal, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state()
    state = {
        "python": torch.tensor([version, *internal]),
        "python_gauss": torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
        "numpy": torch.tensor([int(has_gauss), int(position), *map(int, keys)]),
        "numpy_gauss": torch.tensor(cached, dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Tensor]) -> None:
    """Put every generator back to where `random_state` saw it."""
    version, *internal = state["python"].tolist()
    gauss = state["python_gauss"].tolist()
    random.setstate((version, tuple(internal), gauss[0] if gauss else None))
    has_gauss, position, *keys = state["numpy"].tolist()
    legacy = (
        "MT19937",
        np.array(keys, np.uint32),
        position,
        has_gauss,
        state["numpy_gauss"].item(),
    )
    np.random.set_state(legacy)
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
