"""`export_onnx`: a checkpoint becomes an encoder folder, all of it or nothing.

Knows nothing of how networks are written and made small.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tokenizers
import torch

from colxtr.encoder_config import EncoderConfig
from colxtr.errors import InputError
from colxtr.training.checkpoints.load import load_model
from colxtr.training.checkpoints.query_weights import query_weights_of
from colxtr.training.checkpoints.save import new_folder
from colxtr.training.export.agreement import token_cosine
from colxtr.training.export.card import write_credit
from colxtr.training.export.dynamic_int8 import write_dynamic_int8
from colxtr.training.export.graph import write_float_graph
from colxtr.training.export.settings import encoder_config, head_of
from colxtr.training.export.static_int8 import check_static, write_static_int8

Quantize = Literal["int8", "both"] | None
_FLOAT, _INT8 = "float32", "int8"


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was exported.

    Attributes:
        folder: The encoder folder; with "both" the folder of the two.
        name: The model's name.
        layout: The layout of the checkpoint, for people.
        dim: Dimensions of a token embedding.
        cosines: Mean cosine of token embeddings to those of torch: "float32" and "int8", of which
            was written.
        sizes: Bytes of the same.
    """

    folder: Path
    name: str
    layout: str
    dim: int
    cosines: dict[str, float]
    sizes: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON."""
        return {**asdict(self), "folder": str(self.folder)}


def export_onnx(
    model: Any,
    folder: str | os.PathLike[str],
    *,
    quantize: Quantize = "int8",
    name: str | None = None,
    calibration: Iterable[str] | None = None,
    calibration_queries: Iterable[str] = (),
    revision: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the encoder folder of a model: colxtr.json, tokenizer.json, model.onnx, credit.

    Before the folder is there, its embeddings are compared with the model's: float32 must agree in
    every token (cosine above 0.9999), int8 on average above 0.9.

    Args:
        model: A model (`load_model`), or what `load_model` takes: a folder or hub id.
        folder: Where to; must not be there, or be empty, unless `overwrite`.
        quantize: "int8": weights with one scale per output; None: float32; "both": two encoder
            folders, `float32` and `int8`, in this one.
        name: For people; None takes that of the checkpoint.
        calibration: Documents of the kind to be searched (some hundreds), for int8 of BERT with
            ranges fixed beforehand: faster, and an embedding does not depend on what else is in its
            batch. None for ranges found in each run, which any model can have.
        calibration_queries: Queries for the same.
        revision: Branch, tag or commit on the hub.
        overwrite: Replace what is there.

    Returns:
        The folder.

    Raises:
        ModelError: The checkpoint cannot be loaded, does what an encoder folder cannot say, or
            does not survive the comparison.
        InputError: The folder is there already, or `quantize` is something else.
    """
    return export(
        model,
        folder,
        quantize=quantize,
        name=name,
        calibration=calibration,
        calibration_queries=calibration_queries,
        revision=revision,
        overwrite=overwrite,
    ).folder


def export(
    model: Any,
    folder: str | os.PathLike[str],
    *,
    quantize: Quantize = "int8",
    name: str | None = None,
    calibration: Iterable[str] | None = None,
    calibration_queries: Iterable[str] = (),
    revision: str | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """As `export_onnx`; tells how near the result is to the model."""
    kinds = {"int8": [_INT8], None: [_FLOAT], "both": [_FLOAT, _INT8]}.get(quantize)
    if kinds is None:
        raise InputError(f'quantize is {quantize!r}; it can be "int8", None or "both"')
    target = Path(folder)
    if isinstance(model, str | os.PathLike):
        model = load_model(model, revision=revision, device="cpu")
    texts = None if calibration is None else (list(calibration), list(calibration_queries))
    if texts is not None and _INT8 in kinds:
        check_static(model)
    with _as_inference(model) as network, new_folder(target, overwrite=overwrite) as temporary:
        config = encoder_config(network, name or _name(network, target))
        cosines = _write(network, config, temporary, kinds, texts)
        sizes = {kind: _bytes(_place(temporary, kinds, kind)) for kind in kinds}
    layout = _origin(model)[1]
    return ExportReport(target, config.name, layout, config.dim, cosines, sizes)


def _write(
    model: Any,
    config: EncoderConfig,
    folder: Path,
    kinds: list[str],
    texts: tuple[list[str], list[str]] | None,
) -> dict[str, float]:
    """Write one or two encoder folders; the cosine of each."""
    cosines = {}
    exact = folder / "float.tmp"
    exact.mkdir()
    write_float_graph(model[0].model, head_of(model), exact / config.onnx)
    for kind in kinds:
        place = _place(folder, kinds, kind)
        place.mkdir(exist_ok=True)
        if kind == _FLOAT:
            for path in exact.iterdir():
                shutil.copyfile(path, place / path.name)
            weights = "float32"
        elif texts is None:
            write_dynamic_int8(exact / config.onnx, place / config.onnx)
            weights = "int8 with ranges of activations found in each run"
        else:
            write_static_int8(model, *texts, place / config.onnx, masked=config.hides_tokens)
            weights = "int8 with ranges of activations found beforehand"
        named = config if len(kinds) == 1 else replace(config, name=f"{config.name}-{kind}")
        _write_rest(model, named, place, weights)
        cosines[kind] = token_cosine(model, place, exact=kind == _FLOAT)
    shutil.rmtree(exact)
    return cosines


def _write_rest(model: Any, config: EncoderConfig, folder: Path, weights: str) -> None:
    config.write(folder)
    if (query_weights := query_weights_of(model)) is not None:
        query_weights.save(str(folder))
    tokenizer = tokenizers.Tokenizer.from_str(model.tokenizer.backend_tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / config.tokenizer), pretty=False)
    origin, layout = _origin(model)
    write_credit(folder, config, origin=origin, layout=layout, weights=weights)


def _place(folder: Path, kinds: list[str], kind: str) -> Path:
    return folder if len(kinds) == 1 else folder / kind


def _origin(model: Any) -> tuple[Path | None, str]:
    origin = getattr(model, "colxtr_origin", None)
    return (None, "made in memory") if origin is None else (origin.folder, origin.layout.value)


def _name(model: Any, target: Path) -> str:
    origin = getattr(model, "colxtr_origin", None)
    source = target.name if origin is None else origin.source.partition("@")[0]
    return Path(source).name or target.resolve().name


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def _as_inference(model: Any) -> Iterator[Any]:
    """The model as it encodes on a processor, in float32; a copy where it is elsewhere."""
    parameters = list(model.parameters())
    if any(p.device.type != "cpu" or p.dtype != torch.float32 for p in parameters):
        model = copy.deepcopy(model).to(device="cpu", dtype=torch.float32)
    was_training = model.training
    model.eval()
    try:
        yield model
    finally:
        model.train(was_training)
