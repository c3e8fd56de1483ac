"""What kind of model a folder holds, by its configuration alone. Knows nothing of weights."""

from __future__ import annotations

import enum
import json
import re
from pathlib import Path
from typing import Any

from colxtr.encoder_config import CONFIG_FILE
from colxtr.errors import ModelError

_HUB_ID = re.compile(r"(?P<id>[\w][\w.-]*/[\w][\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
_HUB_FILES = ["*.json", "*.txt", "*.model", "*.safetensors", "pytorch_model.bin", "*.metadata"]


class ModelKind(enum.StrEnum):
    """What a model makes of texts."""

    CROSS_ENCODER = "cross-encoder"  # query and document together, one score
    MULTI_VECTOR = "multi-vector"  # token embeddings, in torch
    COLXTR = "colxtr"  # token embeddings, in our own layout (ONNX)
    ENCODER = "encoder"  # hidden states or one vector: a start for training, no judge


def model_folder(source: str) -> Path:
    """The folder of a model: a folder, or a hub id that is fetched once.

    Raises:
        ModelError: It is neither, or the hub does not give it.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    match = _HUB_ID.fullmatch(source)
    if match is None or path.exists():
        raise ModelError(
            f"{source!r} is neither a folder nor a hub id (owner/name); check the path"
        )
    import huggingface_hub  # noqa: PLC0415 - only for models from the hub

    try:
        return Path(
            huggingface_hub.snapshot_download(
                match["id"], revision=match["revision"], allow_patterns=_HUB_FILES
            )
        )
    except Exception as error:
        raise ModelError(
            f"there is no folder {source!r}, and the model {match['id']!r} could not be had from "
            f"the hub: {str(error).strip().partition(chr(10))[0]}; check the name and the "
            "connection, or pass the folder of a model"
        ) from error


def model_kind(folder: Path) -> ModelKind:
    """Tell what a folder holds.

    Raises:
        ModelError: It has none of the configurations that are known, or a damaged one.
    """
    if (folder / CONFIG_FILE).is_file():
        return ModelKind.COLXTR
    declared = _json(folder / "config_sentence_transformers.json").get("model_type")
    modules = folder / "modules.json"
    if declared == "CrossEncoder":
        return ModelKind.CROSS_ENCODER
    if declared == "MultiVectorEncoder" or "pylate" in _text(modules):
        return ModelKind.MULTI_VECTOR
    config = _json(folder / "config.json")
    architectures = " ".join(map(str, config.get("architectures") or ()))
    if "ForSequenceClassification" in architectures:
        return ModelKind.CROSS_ENCODER
    if "ColBERT" in architectures or (folder / "artifact.metadata").is_file():
        return ModelKind.MULTI_VECTOR
    if not config:
        raise ModelError(f"{folder} holds no model: no config.json and no {CONFIG_FILE}")
    return ModelKind.ENCODER


def _json(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}; copy the model again") from None
    return value if isinstance(value, dict) else {}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
