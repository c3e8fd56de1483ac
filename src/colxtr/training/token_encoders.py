"""One face for models that make token embeddings: our ONNX encoders and torch's.

Knows nothing of scores, indexes or training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from colxtr.encoder import Encoder
from colxtr.errors import ModelError
from colxtr.training.checkpoints.layouts import find_checkpoint
from colxtr.training.libraries import imported
from colxtr.training.model_kinds import ModelKind, model_kind

Embeddings = NDArray[np.float32]  # (n_tokens, dim)


class TokenEncoder(Protocol):
    """What `colxtr.Encoder` and `TorchEncoder` share."""

    @property
    def dim(self) -> int:
        """Dimensions of a token embedding."""

    def encode_queries(self, texts: Sequence[str]) -> list[Embeddings]:
        """One array (n_tokens, dim) for each query."""

    def encode_documents(self, documents: Sequence[str]) -> list[Embeddings]:
        """One array (n_tokens, dim) for each document."""


class TorchEncoder:
    """A `sentence_transformers.MultiVectorEncoder`, as it is now: half-trained ones are welcome."""

    def __init__(self, model: Any, *, batch_size: int = 32) -> None:
        self._model, self._batch_size = model, batch_size
        self.dim = int(self._encode(model.encode_query, ["a"])[0].shape[1])

    def encode_queries(self, texts: Sequence[str]) -> list[Embeddings]:
        """One array (n_tokens, dim) for each query, in their order."""
        return self._encode(self._model.encode_query, texts)

    def encode_documents(self, documents: Sequence[str]) -> list[Embeddings]:
        """One array (n_tokens, dim) for each document, in their order."""
        return self._encode(self._model.encode_document, documents)

    def _encode(self, encode: Any, texts: Sequence[str]) -> list[Embeddings]:
        if not texts:
            return []
        training = self._model.training
        arrays = encode(list(texts), batch_size=self._batch_size, show_progress_bar=False)
        self._model.train(training)
        return [each.float().cpu().numpy() for each in arrays]


def load_token_encoder(source: str, *, batch_size: int = 32) -> TokenEncoder:
    """Load a model that makes token embeddings.

    Args:
        source: "builtin"; a colxtr encoder folder; a folder of a `MultiVectorEncoder` (PyLate and
            Stanford layouts too); or a hub id of one of these.
        batch_size: Texts that torch encodes together.

    Raises:
        ModelError: There is no such model, or it is of another kind.
        MissingDependencyError: It needs torch, and the extra `train` is not installed.
    """
    if source == "builtin":
        return Encoder.load()
    folder = find_checkpoint(source)
    kind = model_kind(folder)
    if kind is ModelKind.COLXTR:
        return Encoder.load(folder)
    if kind is not ModelKind.MULTI_VECTOR:
        raise ModelError(
            f"{source} is a model of the kind {str(kind)!r}, which makes no token embeddings; "
            "pass a MultiVectorEncoder or a colxtr encoder folder"
        )
    checkpoints = imported("colxtr.training.checkpoints", "running a multi-vector encoder")
    return TorchEncoder(checkpoints.load_model(folder), batch_size=batch_size)
