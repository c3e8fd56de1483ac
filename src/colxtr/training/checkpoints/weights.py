"""Tensors of a checkpoint, and the proof that a model has them: no layer stays random unnoticed.

Safetensors, or torch's files read with `weights_only=True`; nothing is ever unpickled. Knows
nothing of layouts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from colxtr.errors import ModelError
from colxtr.training.checkpoints.json_files import read_object

Tensors = dict[str, torch.Tensor]

_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
_UNUSED = ("pooler.",)  # of the whole text; token embeddings do not pass it


def read_tensors(folder: Path) -> Tensors:
    """All tensors of a checkpoint, on the processor, by name.

    Raises:
        ModelError: There are none, or a file of them is damaged or missing.
    """
    for index in _INDEXES:
        if (folder / index).is_file():
            names = set((read_object(folder / index).get("weight_map") or {}).values())
            tensors: Tensors = {}
            for name in sorted(names):
                if Path(name).name != name:
                    raise ModelError(f"{folder / index} names {name!r}, which is outside {folder}")
                tensors.update(_read_file(folder / name))
            return tensors
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return _read_file(folder / name)
    raise ModelError(f"{folder} has no weights (model.safetensors or pytorch_model.bin)")


def _read_file(path: Path) -> Tensors:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file  # noqa: PLC0415

            return dict(load_file(path))
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - the libraries' errors share no base
        raise ModelError(
            f"{path} is not a file of weights that can be read safely: "
            f"{str(error).strip().partition(chr(10))[0]}; copy it again, or convert it to "
            "safetensors"
        ) from None
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in loaded.items()
    ):
        raise ModelError(f"{path} holds no dictionary of tensors; convert it to safetensors")
    return loaded


def load_encoder(encoder: Any, tensors: Tensors, file: Path) -> None:
    """Give a T5 encoder its tensors, whatever name the class that held it had (in place).

    Raises:
        ModelError: A tensor of the encoder is missing, or has another shape.
    """
    anchor = "encoder.block.0.layer.0.SelfAttention.q.weight"
    prefixes = [name.removesuffix(anchor) for name in tensors if name.endswith(anchor)]
    if len(prefixes) != 1:
        raise ModelError(
            f"{file} has {len(prefixes)} T5 encoders (tensors {anchor!r}); one is needed"
        )
    mine = {
        name.removeprefix(prefixes[0]): value
        for name, value in tensors.items()
        if name.startswith((f"{prefixes[0]}encoder.", f"{prefixes[0]}shared."))
    }
    table = mine.get("shared.weight", mine.get("encoder.embed_tokens.weight"))
    if table is not None:
        mine |= {"shared.weight": table, "encoder.embed_tokens.weight": table}
    try:
        encoder.load_state_dict(mine, strict=True)
    except RuntimeError as error:
        lines = " ".join(str(error).split())
        raise ModelError(f"{file} does not fit config.json: {lines[:500]}") from None


def check_loaded(encoder: Any, folder: Path) -> None:
    """See that every parameter of an encoder is a tensor of the checkpoint's files.

    Args:
        encoder: A model of transformers, as it was loaded.
        folder: The folder of its weights.

    Raises:
        ModelError: Some have other values: the checkpoint lacks them, or names them otherwise.
    """
    from transformers import conversion_mapping  # noqa: PLC0415

    theirs: Any = conversion_mapping  # the library has no types here
    if theirs.get_checkpoint_conversion_mapping(encoder.config.model_type):
        return  # transformers stores these under other names or shapes than it computes with
    by_end: dict[str, list[torch.Tensor]] = {}
    for name, tensor in read_tensors(folder).items():
        for old, new in _OLD_NAMES.items():
            name = name.replace(old, new)  # noqa: PLW2901
        for end in _ends(name):
            by_end.setdefault(end, []).append(tensor)
    known: set[int] = set()
    random = []
    for name, parameter in encoder.named_parameters(remove_duplicate=False):
        found = [t for end in _ends(name) for t in by_end.get(end, ()) if _equal(parameter, t)]
        if found:
            known.add(parameter.data_ptr())
        elif not name.startswith(_UNUSED):
            random.append((name, parameter.data_ptr()))
    missing = [name for name, pointer in random if pointer not in known]
    if missing:
        raise ModelError(
            f"{folder}: the weights lack {missing[0]!r} and {len(missing) - 1} other tensors of "
            f"the {type(encoder).__name__} that config.json describes; they would be random: copy "
            "the checkpoint again, or correct the names of its tensors"
        )


def _ends(name: str) -> list[str]:
    """The name, and what is left of it without the first part: model classes wrap one another."""
    parts = name.split(".")
    return [".".join(parts[start:]) for start in range(min(3, len(parts) - 1))]


def _equal(parameter: torch.Tensor, tensor: torch.Tensor) -> bool:
    mine = parameter.detach().cpu()
    return mine.shape == tensor.shape and torch.equal(mine, tensor.to(mine.dtype))
