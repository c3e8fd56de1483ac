"""What trains, averages and exports in a denoised training: the rooms beside this one.

Imports them, and with them torch, when a stage runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from colxtr.progress import Meter, progress_bar
from colxtr.training.libraries import imported
from colxtr.training.loop_stages import Doers, Figures
from colxtr.training.sets import TrainingSet

_PURPOSE = "training"


def doers(*, progress: bool = False) -> Doers:
    """Those of this package; `progress` shows a bar while training."""
    return Doers(_start, partial(_train, progress=progress), _average, _export)


def _start(settings: Mapping[str, Any], texts: TrainingSet, source: str, output: Path) -> Figures:
    starting = imported("colxtr.training.starting", _PURPOSE)
    checkpoints = imported("colxtr.training.checkpoints", _PURPOSE)
    made = _settings(settings, {**settings.get("model", {}), "source": source})
    model = starting.load_start(made.model, texts, made.seed)
    checkpoints.save_model(model, output, overwrite=True, warn=False)
    return {"parameters": sum(each.numel() for each in model.parameters())}


def _train(
    settings: Mapping[str, Any],
    training_set: TrainingSet,
    start: str,
    output: Path,
    *,
    progress: bool = False,
) -> Figures:
    trainer = imported("colxtr.training.trainer", _PURPOSE)
    made = _settings(settings, {"source": start})  # what else was asked of it, it has by now
    with progress_bar("Training", made.optimizer.steps, "steps", progress) as advance:
        result = trainer.train(made, training_set, output, report=_advancing(advance))
    return {name: value for name, value in asdict(result).items() if name != "model"}


def _advancing(advance: Meter) -> Callable[[Any], None]:
    """Tell a bar of each step; those of an earlier run that is gone on with need not be done."""
    before: list[int] = []

    def report(state: Any) -> None:
        if not before:
            advance.skip(state.step - 1)
        before.append(state.step)
        advance(1)

    return report


def _settings(settings: Mapping[str, Any], model: Mapping[str, Any]) -> Any:
    """The trainer's settings of a recipe's table."""
    recipes = imported("colxtr.training.recipes", _PURPOSE)
    return recipes.settings_from({**settings, "model": dict(model)}, "the table [train]")


def _average(models: Sequence[str], shares: Sequence[float], output: Path) -> Figures:
    checkpoints = imported("colxtr.training.checkpoints", _PURPOSE)
    averaging = imported("colxtr.training.averaging", _PURPOSE)
    loaded = [checkpoints.load_model(each) for each in models]
    average = averaging.average_models(loaded, list(shares))
    checkpoints.save_model(average, output, overwrite=True, warn=False)
    return {"models": len(models), "shares": list(shares)}


def _export(model: str, quantize: str, output: Path) -> Figures:
    export = imported("colxtr.training.export", "exporting")
    kind = None if quantize == "float32" else quantize
    export.export_onnx(model, output, quantize=kind, overwrite=True)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    return {"bytes": size}
