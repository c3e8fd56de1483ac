"""Does an encoder folder do what the model does? Asked of every folder before it is handed over.

Knows nothing of how the folder was made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colxtr.encoder import Encoder
from colxtr.errors import ModelError

_FLOAT_COSINE = 0.9999  # of every token
_INT8_COSINE = 0.9  # on average; below it the model is broken, not only rounded

_TEXTS = (
    "How does the immune system recognise a virus?",
    "It doesn't - see (Smith et al., 2019); costs rose by 12.5%: why?",
    "Dependent co-trustee naïveté in Zürich, MÜNCHEN and 東京; x = y_0 + f(z).",
    "short",
    "The index keeps a centroid and a residual for every token of a document. " * 60,
)


def token_cosine(model: Any, folder: Path, *, exact: bool) -> float:
    """Mean cosine of the token embeddings of a folder and of the model it was made of.

    Args:
        model: The MultiVectorEncoder.
        folder: The encoder folder.
        exact: Whether it is float32 and must agree in every token.

    Raises:
        ModelError: Other tokens are kept, or the embeddings differ by more than rounding.
    """
    encoder = Encoder(folder, source=str(folder))
    was_training = model.training
    pairs = [
        ("queries", model.encode_query(list(_TEXTS), convert_to_numpy=True),
         encoder.encode_queries(_TEXTS)),
        ("documents", model.encode_document(list(_TEXTS), convert_to_numpy=True),
         encoder.encode_documents(_TEXTS)),
    ]  # fmt: skip
    model.train(was_training)
    cosines = [
        _compared(theirs, ours, kind, text)
        for kind, *both in pairs
        for theirs, ours, text in zip(*both, _TEXTS, strict=True)
    ]
    every = np.concatenate(cosines)
    if exact and every.min() < _FLOAT_COSINE:
        raise ModelError(
            f"the exported network disagrees with the model: the cosine of a token is "
            f"{every.min():.6f}, below {_FLOAT_COSINE}; this kind of model cannot be exported yet"
        )
    if every.mean() < _INT8_COSINE:
        raise ModelError(
            f"int8 changes this model too much: token embeddings keep a cosine of "
            f"{every.mean():.3f} on average, below {_INT8_COSINE}; give more texts to calibrate "
            "on, or export it in float32"
        )
    return float(every.mean())


def _compared(
    theirs: NDArray[np.float32], ours: NDArray[np.float32], kind: str, text: str
) -> NDArray[np.float32]:
    """Cosine of each token, (n_tokens,)."""
    if theirs.shape != ours.shape:
        raise ModelError(
            f"the model keeps {len(theirs)} tokens of {text[:60]!r} (one of the {kind}), the "
            f"exported folder {len(ours)}; this kind of tokenizer cannot be exported yet"
        )
    lengths = np.linalg.norm(theirs, axis=1) * np.linalg.norm(ours, axis=1)
    return np.asarray((theirs * ours).sum(1) / np.maximum(lengths, 1e-12), np.float32)
