"""What makes a run the same run, so that going on with another one is noticed.

Knows nothing of how training is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from colxtr.errors import InputError
from colxtr.training.gathering import n_processes
from colxtr.training.sets import TrainingSet
from colxtr.training.settings import TrainSettings
from colxtr.training.snapshots import read_state

_TUPLES = 10_000  # that are looked at


def identity_of(settings: TrainSettings, training_set: TrainingSet, model: Any) -> dict[str, Any]:
    """All that decides what a step does: settings, tuples, weights, number of processes.

    Checkpoints and measurements may be set otherwise when a run goes on.
    """
    every = max(1, len(training_set.tuples) // _TUPLES)
    seen = (training_set.tuples[i] for i in range(0, len(training_set.tuples), every))
    tuples = _digest(
        f"{each.query_id}\t{each.document_ids}\t{each.scores}\n".encode() for each in seen
    )
    weights = _digest(
        part
        for name, tensor in sorted(model.state_dict().items())
        for part in (name.encode(), tensor.detach().cpu().contiguous().view(-1).numpy().data)
    )
    return {
        "objective": asdict(settings.objective),
        "batches": asdict(settings.batches),
        "optimizer": asdict(settings.optimizer),
        "seed": settings.seed,
        "processes": n_processes(),
        "tuples": f"{len(training_set.tuples)}, digest {tuples}",
        "weights before training": f"digest {weights}",
    }


def check_same_run(snapshot: Path, identity: dict[str, Any]) -> None:
    """See that a snapshot is of the run with this identity.

    Raises:
        InputError: It is of another; names what differs.
    """
    there = _flat(read_state(snapshot).get("identity", {}))
    ours = _flat(identity)
    for name in [*ours, *(there.keys() - ours.keys())]:
        if ours.get(name) != there.get(name):
            raise InputError(
                f"{snapshot.parent.parent} holds a run with {name} = {there.get(name)!r}, not "
                f"{ours.get(name)!r}; go on with the same, or name another output folder"
            )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _digest(parts: Iterator[Any]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
