"""Which layout a checkpoint has, told from its files alone. Knows nothing of torch."""

from __future__ import annotations

import json
import os
import re
import struct
from enum import Enum
from pathlib import Path
from typing import Any

from colxtr.encoder_config import CONFIG_FILE
from colxtr.errors import ModelError
from colxtr.training.checkpoints.json_files import read_json, read_object

EXTRAS_FILE = "colxtr_model.json"  # what of a model of ours sentence-transformers cannot say
PYLATE_KEYS = {"query_prefix", "document_prefix", "do_query_expansion", "skiplist_words"}

_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*", re.ASCII)
_HUB_FILES = ["*.json", "*.safetensors", "*.bin", "*.txt", "*.model", "artifact.metadata", "*.md"]
_T5_TYPES = {"t5", "mt5", "umt5"}


class Layout(Enum):
    """The layouts that `load_model` reads; the value says it for people."""

    COLXTR = "colxtr (saved by save_model)"
    PYLATE = "PyLate"
    SENTENCE_TRANSFORMERS = "sentence-transformers 6 MultiVectorEncoder"
    STANFORD = "Stanford ColBERT (HF_ColBERT)"
    XTR = "XTR (T5 encoder and 2_Dense)"
    PRIMEQA = "PrimeQA ColXTR (T5 encoder and bottleneck.weight)"
    DENSE = "dense sentence-transformers model (gets a new projection)"
    PLAIN = "plain encoder (gets a new projection)"


def detect_layout(folder: str | os.PathLike[str]) -> Layout:
    """Tell the layout of a checkpoint's folder.

    Raises:
        ModelError: The folder holds no checkpoint, one that fits several layouts, or one of a kind
            that cannot be used; names the file that decides, and what to do.
    """
    path = Path(folder)
    if (path / "modules.json").is_file():
        return _of_modules(path)
    if not (path / "config.json").is_file():
        raise _not_a_checkpoint(path)
    return _of_bare_weights(path)


def find_checkpoint(source: str | os.PathLike[str], revision: str | None = None) -> Path:
    """The folder of a checkpoint: the one given, or a hub model's in the local cache.

    Raises:
        ModelError: There is no such folder, and the hub has or gives no such model.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.exists():
        raise ModelError(f"{path} is a file; pass the folder of a checkpoint")
    hub_id, _, at = str(source).partition("@")
    if not _HUB_ID.fullmatch(hub_id):
        raise ModelError(
            f"{str(source)!r} is neither a folder that exists nor a hub id (owner/name)"
        )
    return _from_hub(hub_id, revision or at or None)


def _of_modules(path: Path) -> Layout:
    modules = read_json(path / "modules.json")
    if not isinstance(modules, list) or not all(isinstance(m, dict) for m in modules):
        raise ModelError(f"{path / 'modules.json'} is no list of modules; copy the model again")
    types = [str(module.get("type")) for module in modules]
    foreign = [kind for kind in types if not kind.startswith(("sentence_transformers.", "pylate."))]
    if foreign:
        raise ModelError(
            f"{path / 'modules.json'} wants the class {foreign[0]!r}, which is code from outside "
            "sentence-transformers; code of checkpoints is never run: save the model with the "
            "modules of sentence-transformers"
        )
    settings = path / "config_sentence_transformers.json"
    config = read_object(settings) if settings.is_file() else {}
    if (path / EXTRAS_FILE).is_file():
        return Layout.COLXTR
    kind = config.get("model_type")
    if (
        kind == "ColBERT"
        or any(t.startswith("pylate.") for t in types)
        or PYLATE_KEYS & set(config)
    ):
        return Layout.PYLATE
    if kind == "MultiVectorEncoder":
        return Layout.SENTENCE_TRANSFORMERS
    if kind in (None, "SentenceTransformer"):
        return Layout.DENSE
    raise ModelError(
        f'{settings}: "model_type" is {kind!r}; only multi-vector and dense models can be loaded'
    )


def _of_bare_weights(path: Path) -> Layout:
    config = read_object(path / "config.json")
    architectures = config.get("architectures") or []
    if config.get("auto_map") and not config.get("model_type"):
        raise ModelError(
            f"{path / 'config.json'} needs code of its own (auto_map); code of checkpoints is "
            "never run: use a checkpoint of a model that transformers knows"
        )
    names = tensor_names(path)
    found = []
    if "HF_ColBERT" in architectures:
        found.append(Layout.STANFORD)
    if (path / "2_Dense" / "config.json").is_file():
        found.append(Layout.XTR)
    if any(name == "bottleneck.weight" or name.endswith(".bottleneck.weight") for name in names):
        found.append(Layout.PRIMEQA)
    if len(found) > 1:
        raise ModelError(
            f"{path} fits several layouts: {', '.join(layout.value for layout in found)}; remove "
            "what does not belong to the model"
        )
    if not found and ("linear.weight" in names or (path / "artifact.metadata").is_file()):
        raise ModelError(
            f"{path} has Stanford ColBERT's linear.weight or artifact.metadata, but the "
            f'"architectures" in {path / "config.json"} are {architectures}; put "HF_ColBERT" '
            "there if it is one"
        )
    layout = found[0] if found else Layout.PLAIN
    if layout in (Layout.XTR, Layout.PRIMEQA) and config.get("model_type") not in _T5_TYPES:
        raise ModelError(
            f'{path / "config.json"}: "model_type" is {config.get("model_type")!r}, but the layout '
            f'"{layout.value}" has a T5 encoder'
        )
    return layout


def tensor_names(path: Path) -> set[str]:
    """Names of the tensors of a checkpoint; no names are known of pickled ones without an index.

    Those are opened by `weights.read_tensors`, which needs torch.
    """
    for index in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        if (path / index).is_file():
            return set(read_object(path / index).get("weight_map") or {})
    if (path / "model.safetensors").is_file():
        return set(_safetensors_header(path / "model.safetensors")) - {"__metadata__"}
    if (path / "pytorch_model.bin").is_file():
        from colxtr.training.checkpoints.weights import read_tensors  # noqa: PLC0415

        return set(read_tensors(path))
    raise ModelError(
        f"{path} has no weights (model.safetensors or pytorch_model.bin); copy the checkpoint again"
    )


def _safetensors_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: 8 bytes of its length, then JSON."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                raise ValueError("it is shorter than its header says")
            header = json.loads(file.read(length))
    except (OSError, ValueError, struct.error) as error:
        raise ModelError(
            f"{path} is no safetensors file: {error}; copy the checkpoint again"
        ) from None
    return dict(header)


def _not_a_checkpoint(path: Path) -> ModelError:
    if (path / CONFIG_FILE).is_file():
        return ModelError(
            f"{path} is an exported encoder ({CONFIG_FILE} and ONNX), which cannot be trained or "
            "exported again; pass the checkpoint that it was made of"
        )
    return ModelError(
        f"{path} has neither modules.json nor config.json, so it is no checkpoint; pass the folder "
        "that holds them"
    )


def _from_hub(hub_id: str, revision: str | None) -> Path:
    import huggingface_hub  # noqa: PLC0415 - only for models from the hub

    try:
        return Path(
            huggingface_hub.snapshot_download(
                hub_id, revision=revision, allow_patterns=_HUB_FILES, ignore_patterns=["onnx/*"]
            )
        )
    except Exception as error:
        raise ModelError(
            f"there is no folder {hub_id!r}, and the model {hub_id!r} (revision "
            f"{revision or 'main'}) could not be had from the hub: "
            f"{str(error).strip().partition(chr(10))[0]}; check the name and the connection, or "
            "pass the folder of a checkpoint"
        ) from error
