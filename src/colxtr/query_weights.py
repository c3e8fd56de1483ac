"""Weights of query tokens: a number for each token of a vocabulary, in a file of its own.

A query token's embedding is multiplied by its weight, so that a rare word counts for more in a
score than "the" (docs/encoder-folder.md). Only their proportions matter: within each query they are
scaled to a mean of 1. Knows nothing of how weights are found.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from colxtr.errors import ModelError

QUERY_WEIGHTS_FILE = "query_weights.npy"

_LARGEST = 1e3  # of a weight; beyond it a file is damaged


def read_query_weights(path: Path, n_tokens: int) -> NDArray[np.float32]:
    """Read the weights of a vocabulary.

    Args:
        path: A file of NumPy's format, float32 (at least n_tokens,).
        n_tokens: Tokens of the vocabulary.

    Returns:
        (n_tokens or more,), above 0.

    Raises:
        ModelError: The file is missing or damaged, or holds something else.
    """
    try:
        weights = np.load(path, allow_pickle=False)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError) as error:
        raise ModelError(f"{path} is damaged: {error}; copy or export the model again") from None
    if not isinstance(weights, np.ndarray) or weights.dtype != np.float32 or weights.ndim != 1:
        raise ModelError(f"{path} holds no float32 of one dimension; export the model again")
    if len(weights) < n_tokens:
        raise ModelError(
            f"{path} has weights for {len(weights)} tokens, the vocabulary has {n_tokens}; "
            "copy or export the model again"
        )
    if not (weights > 0).all() or not (weights <= _LARGEST).all():
        raise ModelError(
            f"{path} holds weights that are not above 0 and up to {_LARGEST:g}; copy or export "
            "the model again"
        )
    return weights


def write_query_weights(path: Path, weights: NDArray[np.float32]) -> None:
    """Write the weights of a vocabulary, (n_tokens,), to be read by `read_query_weights`."""
    with path.open("wb") as file:
        np.save(file, np.ascontiguousarray(weights, np.float32), allow_pickle=False)
