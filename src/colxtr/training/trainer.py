"""`train`: a model, a training set and a recipe become a better model.

`train` with the same settings, data and output folder continues what is in the folder; on a
processor in float32 the losses that follow are those of a run that was never interrupted. Several
processes (torchrun) train together. docs/log.md says why this is not the Trainer of
sentence-transformers. Knows nothing of formulas (`objectives.py`) or files of data.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from colxtr.training.interruption import interruptible
from colxtr.training.run import Progress, Run, TrainResult
from colxtr.training.sets import TrainingSet
from colxtr.training.settings import TrainSettings
from colxtr.training.starting import load_start

__all__ = ["Progress", "TrainResult", "train"]


def train(
    settings: TrainSettings,
    training_set: TrainingSet,
    output: str | Path,
    *,
    model: Any = None,
    report: Callable[[Progress], None] | None = None,
) -> TrainResult:
    """Train a model, or go on with it.

    Args:
        settings: The recipe.
        training_set: What is trained on.
        output: A folder: `model/` is the trained model, `checkpoints/` what a run goes on from,
            `history.jsonl` and `tensorboard/` the course of it. What is in it is continued.
        model: A `MultiVectorEncoder` to train, as it is before the first step; None: the
            settings' source. It holds the trained weights afterwards.
        report: Called after every step.

    Returns:
        Where the model is, and how good.

    Raises:
        InputError: The settings do not fit the data, or `output` holds a run with others.
        ModelError: The model cannot be loaded, or its loss is not finite.
        KeyboardInterrupt: After Ctrl-C or SIGTERM; a snapshot was written, and the same call goes
            on from it.
    """
    with _joined_processes():
        if model is None:
            model = load_start(settings.model, training_set, settings.seed)
        device = _own_device()
        if device is not None:
            model.to(device)
        run = Run(settings, training_set, Path(output), model, report or (lambda _: None))
        with interruptible() as interruption, closing(run):
            run.go(interruption)
        return run.finish()


@contextmanager
def _joined_processes() -> Iterator[None]:
    """Join the processes that torchrun started, if it did and nobody has, and leave them again."""
    joins = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized()
    if joins:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        if joins:
            dist.destroy_process_group()


def _own_device() -> torch.device | None:
    """The GPU of this process; None where there is none."""
    if not torch.cuda.is_available():
        return None
    if "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cuda")
