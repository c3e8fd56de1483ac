"""From the snapshots of a run to its final weights.

Knows nothing of how they came about.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from colxtr.training.averaging import average_weights
from colxtr.training.run_state import model_weights
from colxtr.training.settings import TrainSettings
from colxtr.training.snapshots import snapshots


def final_weights(
    settings: TrainSettings, folder: Path, start: Mapping[str, Tensor], best_step: int | None
) -> dict[str, Tensor]:
    """The weights that a recipe asks for.

    With early stopping those of the best measurement, otherwise the mean of the newest
    `average_last` snapshots; then `trained_share` of them and the rest of the untrained ones.

    Args:
        settings: The recipe.
        folder: Of the snapshots; there is one at least.
        start: The weights before the first step.
        best_step: The step with the best measurement.

    Raises:
        InputError: A snapshot is damaged.
    """
    there = snapshots(folder)
    if settings.evaluation.patience and best_step is not None:
        chosen = [path for path in there if path.name == f"step-{best_step:08d}"]
    else:
        chosen = there[-settings.checkpoints.average_last :]
    trained = average_weights([model_weights(path) for path in chosen])
    share = settings.checkpoints.trained_share
    if share == 1:
        return trained
    return average_weights([start, trained], [1 - share, share])
