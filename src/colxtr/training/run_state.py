"""What a run is at a step, apart from the data: into a snapshot and back.

Knows nothing of how a step is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from colxtr.codec import Codec
from colxtr.training.gathering import process_number
from colxtr.training.snapshots import (
    OPTIMIZER,
    WEIGHTS,
    read_state,
    read_tensors,
    restore_random_state,
    write_snapshot,
)
from colxtr.training.steps import Step

_MODEL, _OBJECTIVE, _CODEC = "model.", "objective.", "codec."


class RunState:
    """The course of a run.

    Attributes:
        identity: What must be the same to go on.
        step: Steps done.
        loss: Of the last of them.
        before: The measure before the first.
        best: The best measure,
        best_step: and the step after which it was.
        stale: Measurements since.
        stopped: Whether training ended early.
    """

    def __init__(self, identity: Mapping[str, Any]) -> None:
        self.identity = dict(identity)
        self.step = 0
        self.loss: float | None = None
        self.before: float | None = None
        self.best: float | None = None
        self.best_step: int | None = None
        self.stale = 0
        self.stopped = False

    def advance(self, loss: float) -> None:
        """Note that a step is done."""
        self.step += 1
        self.loss = loss

    def note(self, measure: float, patience: int) -> bool:
        """Note a measurement after this step; returns whether it is the best so far."""
        if self.best is None or measure > self.best:
            self.best, self.best_step, self.stale = measure, self.step, 0
            return True
        self.stale += 1
        self.stopped = bool(patience) and self.stale >= patience
        return False

    def write(self, folder: Path, step: Step, optimizer: torch.optim.Optimizer) -> Path:
        """Write a snapshot; errors as `write_snapshot`."""
        remembered = _optimizer_tensors(step, optimizer)
        state: dict[str, Any] = {
            name: value for name, value in vars(self).items() if name != "step"
        }
        if step.codec is not None:
            state["codec_n_bits"] = step.codec.n_bits
            remembered |= {
                _CODEC + name: torch.from_numpy(array) for name, array in step.codec.arrays.items()
            }
        weights = {_MODEL + name: each for name, each in step.model.model.state_dict().items()}
        weights |= {_OBJECTIVE + name: each for name, each in step.objective.state_dict().items()}
        return write_snapshot(folder, self.step, weights=weights, optimizer=remembered, state=state)

    def restore(self, snapshot: Path, step: Step, optimizer: torch.optim.Optimizer) -> None:
        """Become what a snapshot holds: the model, the optimizer and the random numbers, too.

        Raises:
            InputError: A file is missing or damaged.
        """
        state = read_state(snapshot)
        for name in vars(self):
            if name != "identity":
                setattr(self, name, state[name])
        weights = read_tensors(snapshot / WEIGHTS)
        step.model.model.load_state_dict(part(weights, _MODEL))
        step.objective.load_state_dict(part(weights, _OBJECTIVE))
        remembered = read_tensors(snapshot / OPTIMIZER)
        for name, parameter in _learnt(step, optimizer):
            if memory := part(remembered, f"{name}/"):  # nothing where no gradient ever came
                optimizer.state[parameter] = {
                    key: each.to(parameter.device) for key, each in memory.items()
                }
        if codec := part(remembered, _CODEC):
            arrays = {name: each.numpy() for name, each in codec.items()}
            step.codec = Codec(state["codec_n_bits"], arrays)
        random = snapshot / f"random-{process_number()}.safetensors"
        restore_random_state(read_tensors(random))


def model_weights(snapshot: Path) -> dict[str, Tensor]:
    """The model's weights of a snapshot; errors as `read_tensors`."""
    return part(read_tensors(snapshot / WEIGHTS), _MODEL)


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, without that."""
    return {
        name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)
    }


def _learnt(step: Step, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of an optimizer and their names."""
    named = [
        *((_MODEL + name, each) for name, each in step.model.model.named_parameters()),
        *((_OBJECTIVE + name, each) for name, each in step.objective.named_parameters()),
    ]
    inside = {id(each) for group in optimizer.param_groups for each in group["params"]}
    return ((name, each) for name, each in named if id(each) in inside)


def _optimizer_tensors(step: Step, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": each
        for name, parameter in _learnt(step, optimizer)
        for key, each in optimizer.state[parameter].items()
    }
