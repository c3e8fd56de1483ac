"""How each layout becomes a MultiVectorEncoder of sentence-transformers.

What the library reads itself (PyLate, its own, Stanford's) it reads; what it lacks or leaves out is
added here. The others are put together from its modules. Knows nothing of overrides and devices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

from colxtr.errors import ModelError
from colxtr.training.checkpoints.eos_mean import EosMean
from colxtr.training.checkpoints.json_files import read_json, read_object
from colxtr.training.checkpoints.layouts import EXTRAS_FILE, Layout
from colxtr.training.checkpoints.projection import make_projection
from colxtr.training.checkpoints.query_weights import load_query_weights
from colxtr.training.checkpoints.weights import load_encoder, read_tensors

_STANFORD_LENGTHS = 32, 220  # what its settings are where artifact.metadata does not say
_XTR_LENGTHS = 64, 512
_NEW_LENGTHS = 48, 220  # those of the built-in model


@dataclass(frozen=True, slots=True)
class NewProjection:
    """What head an encoder without one gets."""

    dim: int
    kind: str


def build(folder: Path, layout: Layout, new: NewProjection) -> Any:
    """Build the MultiVectorEncoder of a checkpoint, on the processor.

    Raises:
        ModelError: Files of the checkpoint are missing or do not fit together.
    """
    builders: dict[Layout, Callable[[Path, NewProjection], Any]] = {
        Layout.COLXTR: _colxtr,
        Layout.PYLATE: _pylate,
        Layout.SENTENCE_TRANSFORMERS: _as_saved,
        Layout.STANFORD: _stanford,
        Layout.XTR: _xtr,
        Layout.PRIMEQA: _primeqa,
        Layout.DENSE: _dense,
        Layout.PLAIN: _plain,
    }
    return builders[layout](folder, new)


def transformer_folder(folder: Path) -> Path:
    """Where the weights of the first module are: the folder itself, or one inside it."""
    if not (folder / "modules.json").is_file():
        return folder
    return folder / str(read_json(folder / "modules.json")[0].get("path", ""))


def _as_saved(folder: Path, _: NewProjection) -> Any:
    return MultiVectorEncoder(str(folder), device="cpu", local_files_only=True)


def _pylate(folder: Path, new: NewProjection) -> Any:
    """The library's reading; its Dense takes tanh for an activation that it does not trust."""
    for config in sorted(folder.glob("*_Dense/config.json")):
        activation = str(read_object(config).get("activation_function", "torch."))
        if not activation.startswith("torch."):
            raise ModelError(
                f'{config}: "activation_function" is {activation!r}, which is code from outside '
                "torch; code of checkpoints is never run"
            )
    return _as_saved(folder, new)


def _colxtr(folder: Path, new: NewProjection) -> Any:
    extras = read_object(folder / EXTRAS_FILE)
    if unknown := sorted(extras.keys() - {"eos_mean", "query_weights"}):
        raise ModelError(
            f"{folder / EXTRAS_FILE}: unknown key {unknown[0]!r}; it was written by a newer "
            "colxtr: upgrade"
        )
    model = _as_saved(folder, new)
    if extras.get("eos_mean"):
        model.append(EosMean())
    if extras.get("query_weights"):
        model.append(load_query_weights(folder, model.tokenizer))
    return model


def _stanford(folder: Path, new: NewProjection) -> Any:
    """The library's reading, and a length that it leaves open."""
    path = folder / "artifact.metadata"
    metadata = read_object(path) if path.is_file() else {}
    model = _as_saved(folder, new)
    for key, default in (("query_token_id", "[unused0]"), ("doc_token_id", "[unused1]")):
        marker = metadata.get(key) or default
        if marker not in model.tokenizer.get_vocab():
            raise ModelError(
                f'{path}: "{key}" is {marker!r}, which the vocabulary of the tokenizer lacks; '
                "name a token that it has"
            )
    if model[0].document_length is None:
        model[0].document_length = _STANFORD_LENGTHS[1]
    return model


def _xtr(folder: Path, _: NewProjection) -> Any:
    """T5 encoder in the root, lower-cased text, head in 2_Dense, every token kept."""
    query, document = _XTR_LENGTHS
    transformer = Transformer(
        str(folder), do_lower_case=True, query_length=query, document_length=document
    )
    head = Dense.load(str(folder), subfolder="2_Dense", local_files_only=True)
    head.module_input_name = head.module_output_name = "token_embeddings"
    if head.in_features != transformer.get_embedding_dimension():
        raise ModelError(
            f"{folder / '2_Dense' / 'config.json'} takes {head.in_features} dimensions, the "
            f"encoder makes {transformer.get_embedding_dimension()}"
        )
    return assemble(transformer, [head])


def _primeqa(folder: Path, _: NewProjection) -> Any:
    """T5 encoder and bottleneck; text prefixes, no normalisation, the mean in the place of EOS."""
    query, document = _XTR_LENGTHS
    transformer = Transformer(str(folder), query_length=query, document_length=document)
    tensors = read_tensors(folder)
    load_encoder(transformer.model.float(), tensors, folder)
    (name,) = [n for n in tensors if n == "bottleneck.weight" or n.endswith(".bottleneck.weight")]
    weight, bias = tensors[name].float(), tensors.get(name.removesuffix("weight") + "bias")
    if weight.ndim != 2 or weight.shape[1] != transformer.get_embedding_dimension():
        raise ModelError(
            f"{folder}: {name} has the shape {tuple(weight.shape)}; it must be (dim, "
            f"{transformer.get_embedding_dimension()}), as the encoder's vectors are"
        )
    head = Dense(
        weight.shape[1],
        weight.shape[0],
        bias=bias is not None,
        activation_function=torch.nn.Identity(),
        init_weight=weight,
        init_bias=None if bias is None else bias.float(),
        module_input_name="token_embeddings",
    )
    prompts = {"query": "Query: ", "document": "Document: "}
    return assemble(transformer, [head, EosMean()], prompts=prompts, normalize=False)


def _dense(folder: Path, new: NewProjection) -> Any:
    """The encoder and the prompts of a dense model; its pooling and what follows are left."""
    first = read_json(folder / "modules.json")[0]
    if not str(first.get("type")).endswith(".Transformer"):
        raise ModelError(
            f"{folder / 'modules.json'} begins with {first.get('type')!r}; only models that begin "
            "with a Transformer have token embeddings"
        )
    transformer = Transformer.load(
        str(folder), subfolder=str(first.get("path", "")), local_files_only=True
    )
    path = folder / "config_sentence_transformers.json"
    prompts = (read_object(path).get("prompts") or {}) if path.is_file() else {}
    document = prompts.get("document") or prompts.get("passage") or ""
    return _with_new_head(
        transformer, new, prompts={"query": prompts.get("query") or "", "document": document}
    )


def _plain(folder: Path, new: NewProjection) -> Any:
    return _with_new_head(Transformer(str(folder)), new, prompts=None)


def _with_new_head(transformer: Any, new: NewProjection, prompts: dict[str, str] | None) -> Any:
    positions = getattr(transformer.config, "max_position_embeddings", None) or 512
    transformer.query_length = min(_NEW_LENGTHS[0], positions)
    transformer.document_length = min(_NEW_LENGTHS[1], positions)
    hidden = transformer.get_embedding_dimension()
    return assemble(transformer, make_projection(new.kind, hidden, new.dim), prompts=prompts)


def assemble(
    transformer: Any,
    head: list[Any],
    *,
    prompts: dict[str, str] | None = None,
    normalize: bool = True,
) -> Any:
    """Put modules together: encoder, head, which tokens count, length 1."""
    modules = [transformer, *head, MultiVectorMask()]
    if normalize:
        modules.append(Normalize(module_input_name="token_embeddings"))
    return MultiVectorEncoder(modules=modules, prompts=prompts, device="cpu")
