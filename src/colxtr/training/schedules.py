"""How fast weights change: the optimizer's groups of parameters, and the course of their rates.

Everything is a function of the step, so that nothing of it needs to be remembered. Knows nothing
of losses or data.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from colxtr.training.settings import OptimizerSettings


def rate_at(settings: OptimizerSettings, step: int) -> float:
    """The share of the full learning rate at a step, counted from 0.

    It rises in a straight line over `warmup_steps`, (step + 1) / warmup_steps, and falls to 0 after
    the last step.
    """
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return 1.0
    progress = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    if settings.schedule == "linear":
        return max(0.0, 1 - progress)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def make_optimizer(
    model: Any, objective: nn.Module, settings: OptimizerSettings
) -> torch.optim.AdamW:
    """AdamW with a group for each learning rate, with and without weight decay.

    Args:
        model: Its first module is the encoder; all behind it learns at the projection's rate.
        objective: Learns at that rate, too.
        settings: Of the optimizer.
    """
    encoder = dict(model[0].named_parameters())
    inside = {id(parameter) for parameter in encoder.values()}
    behind = [each for each in model.parameters() if id(each) not in inside]
    faster = settings.projection_learning_rate
    groups = [
        *_groups(list(encoder.values()), settings.learning_rate, settings.weight_decay),
        *_groups(
            [*behind, *objective.parameters()],
            settings.learning_rate if faster is None else faster,
            settings.weight_decay,
        ),
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def _groups(
    parameters: list[nn.Parameter], rate: float, weight_decay: float
) -> list[dict[str, Any]]:
    learnt = [each for each in parameters if each.requires_grad]
    matrices = [each for each in learnt if each.ndim > 1]
    others = [each for each in learnt if each.ndim <= 1]  # biases, norms, the temperature
    return [
        {"params": members, "lr": rate, "full_rate": rate, "weight_decay": decay}
        for members, decay in ((matrices, weight_decay), (others, 0.0))
        if members
    ]


def set_rates(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set every group's learning rate to a share of its full one."""
    for group in optimizer.param_groups:
        group["lr"] = group["full_rate"] * share
