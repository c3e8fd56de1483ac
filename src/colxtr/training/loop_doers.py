"""What trains, averages and exports in a denoised training: the rooms beside this one.

Imports them, and with them torch, when a stage runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from colxtr.training.libraries import imported
from colxtr.training.loop_stages import Doers, Figures
from colxtr.training.sets import TrainingSet

_PURPOSE = "training"


def doers() -> Doers:
    """Those of this package."""
    return Doers(_train, _average, _export)


def _train(
    settings: Mapping[str, Any], training_set: TrainingSet, start: str, output: Path
) -> Figures:
    recipes = imported("colxtr.training.recipes", _PURPOSE)
    trainer = imported("colxtr.training.trainer", _PURPOSE)
    model = {**settings.get("model", {}), "source": start}
    values = {**settings, "model": model}
    made = recipes.settings_from(values, "the table [train]")
    result = trainer.train(made, training_set, output)
    return {name: value for name, value in asdict(result).items() if name != "model"}


def _average(models: Sequence[str], shares: Sequence[float], output: Path) -> Figures:
    checkpoints = imported("colxtr.training.checkpoints", _PURPOSE)
    averaging = imported("colxtr.training.averaging", _PURPOSE)
    shutil.rmtree(output, ignore_errors=True)
    loaded = [checkpoints.load_model(each) for each in models]
    checkpoints.save_model(averaging.average_models(loaded, list(shares)), output)
    return {"models": len(models), "shares": list(shares)}


def _export(model: str, quantize: str, output: Path) -> Figures:
    export = imported("colxtr.training.export", "exporting")
    shutil.rmtree(output, ignore_errors=True)
    kind = None if quantize == "float32" else quantize
    export.export_onnx(model, output, quantize=kind)
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    return {"bytes": size}
