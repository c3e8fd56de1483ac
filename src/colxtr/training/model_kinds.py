"""What kind of model a folder holds: one that judges, one that encodes tokens, or a mere start.

Knows its configuration alone, nothing of weights.
"""

from __future__ import annotations

import enum
from pathlib import Path

from colxtr.encoder_config import CONFIG_FILE
from colxtr.training.checkpoints.json_files import read_object
from colxtr.training.checkpoints.layouts import Layout, detect_layout

_UNTRAINED = (Layout.DENSE, Layout.PLAIN)  # token embeddings only after training


class ModelKind(enum.StrEnum):
    """What a model makes of texts."""

    CROSS_ENCODER = "cross-encoder"  # query and document together, one score
    MULTI_VECTOR = "multi-vector"  # token embeddings, in torch
    COLXTR = "colxtr"  # token embeddings, in our own layout (ONNX)
    ENCODER = "encoder"  # hidden states or one vector: a start for training, no judge


def model_kind(folder: Path) -> ModelKind:
    """Tell what a folder holds.

    Raises:
        ModelError: It has none of the layouts that are known, or a damaged configuration.
    """
    if (folder / CONFIG_FILE).is_file():
        return ModelKind.COLXTR
    if _is_cross_encoder(folder):
        return ModelKind.CROSS_ENCODER
    return ModelKind.ENCODER if detect_layout(folder) in _UNTRAINED else ModelKind.MULTI_VECTOR


def _is_cross_encoder(folder: Path) -> bool:
    settings, config = folder / "config_sentence_transformers.json", folder / "config.json"
    if settings.is_file() and read_object(settings).get("model_type") == "CrossEncoder":
        return True
    architectures = read_object(config).get("architectures") if config.is_file() else None
    return any("ForSequenceClassification" in str(each) for each in architectures or ())
