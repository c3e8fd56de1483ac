"""Where an encoder's files are: the built-in model, a folder, or a model hub.

Knows nothing of what is in them but the name of the configuration.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from colxtr.encoder_config import CONFIG_FILE, EncoderConfig
from colxtr.errors import ModelError

BUILTIN = "builtin"

_BUILTIN_FOLDER = Path(__file__).parent / "models" / BUILTIN
_HUB_ID = re.compile(r"(?P<id>[\w][\w.-]*/[\w][\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
_EXTERNAL_DATA = (".data", "_data")  # weights beside model.onnx, in model.onnx.data
_CHECKPOINT_FILES = ("modules.json", "config.json")  # what transformers and its like begin with
_HUB_FILES = ["*.json", "*.onnx", "*.npy", *(f"*.onnx{end}" for end in _EXTERNAL_DATA)]


class ModelFolder(NamedTuple):
    """A folder with an encoder in it, and how to name it so that it is found again."""

    path: Path
    source: str


def find_model(model: str | os.PathLike[str] | None, revision: str | None = None) -> ModelFolder:
    """Find an encoder's folder, from the hub if need be.

    Args:
        model: None or "builtin" for the model that comes with colxtr; a folder; or a hub id,
            "owner/name" or "owner/name@revision".
        revision: Branch, tag or commit on the hub.

    Raises:
        ModelError: There is no such folder, and the hub has or gives no such model; or the folder
            has no `colxtr.json`.
    """
    if model is None or model == BUILTIN:
        return ModelFolder(_checked(_BUILTIN_FOLDER, BUILTIN), BUILTIN)
    path = Path(model).expanduser()
    if path.exists():
        return ModelFolder(_checked(path.resolve(), str(model)), str(path.resolve()))
    match = _HUB_ID.fullmatch(str(model)) if isinstance(model, str) else None
    if match is None:
        raise ModelError(
            f"{str(model)!r} is neither a folder that exists nor a hub id (owner/name); "
            "correct the path, or leave the model out to use the built-in one"
        )
    revision = revision or match["revision"]
    source = match["id"] + (f"@{revision}" if revision else "")
    return ModelFolder(_checked(_from_hub(match["id"], revision), source), source)


def fingerprint(folder: Path, config: EncoderConfig) -> str:
    """Digest all that decides about embeddings; 16 hexadecimal digits.

    The names of the model and its files and the layout of `colxtr.json` do not count; nor do
    settings at their default, so that settings of a later version leave old digests as they are.
    """
    settings = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if field.name not in ("name", "onnx", "tokenizer", "query_weights")
        and getattr(config, field.name) != field.default
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    external = [folder / (config.onnx + suffix) for suffix in _EXTERNAL_DATA]
    files = [folder / name for name in config.files]
    for path in files + [path for path in external if path.exists()]:
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()[:16]


def _checked(folder: Path, model: str) -> Path:
    if (folder / CONFIG_FILE).is_file():
        return folder
    if folder.is_file():
        raise ModelError(f"{folder} is a file; pass the folder of an encoder, with {CONFIG_FILE}")
    if not folder.exists():
        raise ModelError(f"this installation has no built-in model in {folder}; install it again")
    if any((folder / name).is_file() for name in _CHECKPOINT_FILES):
        raise ModelError(
            f"{folder} is a checkpoint of torch, not an encoder folder ({CONFIG_FILE} is missing); "
            f'make one of it with: pip install "colxtr[train]" and '
            f"colxtr export {model} --output FOLDER"
        )
    raise ModelError(
        f"{folder} has no {CONFIG_FILE}, so it is no colxtr encoder; make one of a "
        "checkpoint with: colxtr export MODEL --output FOLDER"
    )


def _from_hub(hub_id: str, revision: str | None) -> Path:
    """The folder of a hub model in the local cache; downloaded where it is not there yet."""
    import huggingface_hub  # noqa: PLC0415 - only for models from the hub

    def snapshot(*, local: bool) -> Path:
        return Path(
            huggingface_hub.snapshot_download(
                hub_id, revision=revision, allow_patterns=_HUB_FILES, local_files_only=local
            )
        )

    try:
        folder = snapshot(local=True)
        EncoderConfig.read(folder)  # a download may have been broken off
    except (OSError, ValueError, ModelError):
        pass
    else:
        return folder
    try:
        return snapshot(local=False)
    except Exception as error:
        raise ModelError(
            f"there is no folder {hub_id!r}, and the model {hub_id!r} "
            f"(revision {revision or 'main'}) could not be had from the hub: "
            f"{str(error).strip().partition(chr(10))[0]}; check the name and the connection, or "
            "pass the folder of a model"
        ) from error
