"""`load_model`: any checkpoint of the field as a MultiVectorEncoder, ready to encode or to train.

Knows nothing of what the layouts hold (`builders.py`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from colxtr.errors import ColxtrError, InputError, ModelError
from colxtr.training.checkpoints.builders import NewProjection, build, transformer_folder
from colxtr.training.checkpoints.layouts import Layout, detect_layout, find_checkpoint
from colxtr.training.checkpoints.tokenizers_agree import warn_of_other_tokens
from colxtr.training.checkpoints.weights import check_loaded
from colxtr.training.libraries import quiet

_NEW = (Layout.DENSE, Layout.PLAIN)
_DEFAULT_DIM = 128
_log = logging.getLogger("colxtr")


class Origin(NamedTuple):
    """Where a model came from: `load_model` leaves it in the model's `colxtr_origin`."""

    source: str
    folder: Path
    layout: Layout


def load_model(
    source: str | os.PathLike[str],
    *,
    dim: int | None = None,
    projection: str | None = None,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    revision: str | None = None,
    query_length: int | None = None,
    document_length: int | None = None,
    query_prefix: str | None = None,
    document_prefix: str | None = None,
) -> Any:
    """Load a checkpoint of any layout (docs/models.md); its code, if it has any, is never run.

    Args:
        source: A folder, or a hub id ("owner/name" or "owner/name@revision").
        dim: Dimensions of a new projection, where the checkpoint has none: 128 by default.
        projection: Its kind: "linear" (default), "mlp" or "residual".
        device: "cpu", "cuda", ...; None for a GPU where there is one.
        dtype: Of the weights; None for float32 whatever the files hold.
        revision: Branch, tag or commit on the hub.
        query_length: Most tokens of a query, special tokens and prefix included; None leaves what
            the checkpoint says. With query expansion it is also the length of every query.
        document_length: Most tokens of a document.
        query_prefix: Text put before queries; None leaves what the checkpoint says, "" puts none.
        document_prefix: The same for documents.

    Returns:
        A `sentence_transformers.MultiVectorEncoder` in evaluation mode; `colxtr_origin` is its
        `Origin`.

    Raises:
        ModelError: There is no such checkpoint, it fits no layout or several, its files are
            damaged, weights are missing, or `dim` or `projection` are given although it has one.
        InputError: `dim`, `projection` or a length cannot be.
    """
    folder = find_checkpoint(source, revision)
    layout = detect_layout(folder)
    if layout not in _NEW and projection is not None:
        raise ModelError(
            f"{folder} ({layout.value}) has a projection; leave projection= out, or load the plain "
            "encoder that it was made of"
        )
    new = NewProjection(_DEFAULT_DIM if dim is None else dim, projection or "linear")
    with quiet(), _named(folder, layout):
        model = build(folder, layout, new)
        check_loaded(model[0].model, transformer_folder(folder))
        warn_of_other_tokens(
            transformer_folder(folder), model.tokenizer, lowercase=model[0].do_lower_case
        )
    _check_dim(model, dim, folder)
    _override_lengths(model, query_length, document_length)
    _override_prefixes(model, query_prefix, document_prefix)
    model.colxtr_origin = Origin(str(source), folder, layout)
    _log.info("%s: %s", source, layout.value)
    return _placed(model, device, dtype)


def _check_dim(model: Any, dim: int | None, folder: Path) -> None:
    found = model.get_embedding_dimension()
    if dim is not None and dim != found:
        raise ModelError(
            f"{folder} has a projection to {found} dimensions, and dim={dim} was asked for; leave "
            "dim out, or load the plain encoder that it was made of"
        )


def _override_lengths(model: Any, query: int | None, document: int | None) -> None:
    for name, length in (("query_length", query), ("document_length", document)):
        if length is not None and length < 1:
            raise InputError(f"{name} is {length}; 1 or more tokens are possible")
    transformer = model[0]
    if document is not None:
        transformer.document_length = document
    if query is not None:
        expansion = transformer.query_expansion
        transformer.query_expansion = None
        transformer.query_length = query
        if expansion is not None:
            transformer.query_expansion = {**expansion, "length": query}


def _override_prefixes(model: Any, query: str | None, document: str | None) -> None:
    given = {"query": query, "document": document}
    model.prompts |= {task: prefix for task, prefix in given.items() if prefix is not None}


def _placed(model: Any, device: str | None, dtype: torch.dtype | None) -> Any:
    if device is None:
        from sentence_transformers.util import get_device_name  # noqa: PLC0415

        device = get_device_name()
    return model.to(device=device, dtype=dtype or torch.float32).eval()


@contextmanager
def _named(folder: Path, layout: Layout) -> Iterator[None]:
    """Turn what the libraries raise into a `ModelError` that names folder and layout."""
    try:
        yield
    except ColxtrError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        raise ModelError(
            f"{folder} cannot be loaded as {layout.value}: "
            f"{' '.join(str(error).split())[:500]}; copy the checkpoint again, or save it with the "
            "library that made it"
        ) from error
