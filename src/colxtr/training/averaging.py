"""Weights between weights: means of checkpoints, and the way back to the model before training.

Knows nothing of losses or data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from colxtr.errors import InputError

Weights = Mapping[str, Tensor]


def average_weights(
    states: Sequence[Weights], shares: Sequence[float] | None = None
) -> dict[str, Tensor]:
    """The weighted mean of weights by name (Wortsman et al. 2022, "Model soups").

    Args:
        states: Weights of models of one architecture; what is no floating number is taken from
            the last.
        shares: How much of each, in any scale; None: equally.

    Raises:
        InputError: There are none, names or shapes differ, or the shares do not add up to more
            than 0.
    """
    shares = [1.0] * len(states) if shares is None else list(shares)
    if not states or len(shares) != len(states):
        raise InputError(f"{len(states)} models and {len(shares)} shares; pass one for each")
    total = sum(shares)
    if not total > 0:
        raise InputError(f"the shares add up to {total}; they must to more than 0")
    for state in states:
        _check_alike(states[0], state)
    result = {}
    for name, last in states[-1].items():
        if not last.is_floating_point():
            result[name] = last.clone()
            continue
        mean = torch.zeros_like(last, dtype=torch.float64)
        for share, state in zip(shares, states, strict=True):
            mean += state[name].to(mean.device, torch.float64) * (share / total)
        result[name] = mean.to(last.dtype)
    return result


def average_models(models: Sequence[Any], shares: Sequence[float] | None = None) -> Any:
    """The weighted mean of models; the last of them takes its weights and is returned.

    Args:
        models: sentence-transformers models of one architecture.
        shares: As `average_weights`: `[0.6, 0.4]` is 0.6 of the first and 0.4 of the second.

    Raises:
        InputError: As `average_weights`.
    """
    weights = average_weights([model.state_dict() for model in models], shares)
    models[-1].load_state_dict(weights)
    return models[-1]


def _check_alike(first: Weights, other: Weights) -> None:
    if differing := sorted(first.keys() ^ other.keys()):
        raise InputError(
            f"one of the models has weights {differing[0]!r} and another has not; average models "
            "of the same architecture"
        )
    for name, tensor in first.items():
        if tensor.shape != other[name].shape:
            raise InputError(
                f"weights {name!r} have shape {tuple(tensor.shape)} in one model and "
                f"{tuple(other[name].shape)} in another; average models of the same architecture"
            )
