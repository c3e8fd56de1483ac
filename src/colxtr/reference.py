"""The slow, obvious NumPy definition of the codec and of every method.

The tests hold the fast paths (`kernels.py`, `search.py`) against this file. Nothing else imports
it, and it knows nothing of files or of the native module. All of a collection is in memory here:
documents are arrays of token embeddings, (n_tokens, dim).

Sources: ColBERTv2 (Santhanam et al. 2022), XTR (Lee et al. 2023, section 4), ColXTR (Bhat and Sen
2025); docs/index-format.md for the code of a token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


# --- the code of a token -------------------------------------------------------------------------


def nearest_centroid(embeddings: Floats, centroids: Floats) -> NDArray[np.int64]:
    """The centroid with the largest inner product for each embedding, the first of equals."""
    nearest: NDArray[np.int64] = np.argmax(embeddings @ centroids.T, axis=1)
    return nearest


class Code(NamedTuple):
    """Centroids (n,), codewords (n, dim * n_bits / 8), gain and length codes (n,) of tokens."""

    centroids: NDArray[np.int64]
    codewords: NDArray[np.int64]
    gains: NDArray[np.int64]
    lengths: NDArray[np.int64] | None


def encode(embeddings: Floats, arrays: Mapping[str, NDArray[Any]]) -> Code:
    """The code of each embedding (docs/index-format.md, "Codec"), n_bits below 16."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    rotated = embeddings / lengths @ arrays["rotation"]
    centroids = arrays["centroids"] * arrays["centroid_scales"][:, None]
    nearest = nearest_centroid(rotated, centroids)
    residuals = rotated - centroids[nearest]
    spread = np.sqrt(np.square(residuals).mean(axis=1, keepdims=True))
    codebook = arrays["codebook"] * arrays["codebook_scale"]
    groups = (residuals / spread).reshape(len(residuals), -1, 1, codebook.shape[1])
    codewords = np.argmin(np.square(groups - codebook).sum(axis=3), axis=2)
    shapes = codebook[codewords].reshape(residuals.shape)
    gains = (residuals * shapes).sum(axis=1) / np.square(shapes).sum(axis=1)
    table = arrays.get("lengths")
    return Code(
        nearest,
        codewords,
        np.argmin(np.abs(gains[:, None] - arrays["gains"]), axis=1),
        None if table is None else np.argmin(np.abs(lengths - table), axis=1),
    )


def decode(code: Code, arrays: Mapping[str, NDArray[Any]]) -> Floats:
    """The decompressed embeddings, (n, dim)."""
    centroids = arrays["centroids"] * arrays["centroid_scales"][:, None]
    codebook = arrays["codebook"] * arrays["codebook_scale"]
    shapes = codebook[code.codewords].reshape(len(code.centroids), -1)
    rotated = centroids[code.centroids] + arrays["gains"][code.gains, None] * shapes
    lengths = 1 if code.lengths is None else arrays["lengths"][code.lengths, None]
    decoded: Floats = lengths * rotated @ arrays["rotation"].T
    return decoded


# --- the methods ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Collection:
    """Decompressed documents, and the centroid of every token.

    Attributes:
        embeddings: (n_tokens, dim), document after document.
        owners: (n_tokens,), the document of each token.
        token_centroids: (n_tokens,).
        centroids: (n_centroids, dim).
    """

    embeddings: Floats
    owners: NDArray[np.int64]
    token_centroids: NDArray[np.int64]
    centroids: Floats


def maxsim(query: Floats, document: Floats) -> float:
    """mean_i max_j <q_i, p_j> of one document with at least one token."""
    return float((query @ document.T).max(axis=1).mean())


def exact(query: Floats, documents: Sequence[Floats]) -> dict[int, float]:
    """MaxSim of every document that has a token."""
    return {i: maxsim(query, document) for i, document in enumerate(documents) if len(document)}


def probes(query: Floats, centroids: Floats, n_probe: int) -> NDArray[np.int64]:
    """(n_query_tokens, n_probe): the nearest centroids, the nearest first, equals by number."""
    return np.argsort(-(query @ centroids.T), axis=1, kind="stable")[:, :n_probe]


def pooled(query: Floats, collection: Collection, n_probe: int) -> NDArray[np.bool_]:
    """(n_query_tokens, n_tokens): every query token sees the union of the probed lists."""
    found = np.isin(collection.token_centroids, probes(query, collection.centroids, n_probe))
    return np.broadcast_to(found, (len(query), len(found)))


def own_lists(query: Floats, collection: Collection, n_probe: int) -> NDArray[np.bool_]:
    """(n_query_tokens, n_tokens): each query token sees the lists that it probes itself."""
    lists = probes(query, collection.centroids, n_probe)
    return np.array([np.isin(collection.token_centroids, row) for row in lists])


@dataclass(frozen=True)
class Retrieval:
    """What the query tokens retrieved.

    Attributes:
        best: (n_query_tokens, n_documents), the largest similarity seen; -inf where none.
        thresholds: (n_query_tokens,), m_i: the lowest similarity that row i kept; 0 for a row
            that saw no token, so that it favours no document.
        candidates: Documents with a token that any row saw.
    """

    best: Floats
    thresholds: Floats
    candidates: NDArray[np.int64]


def retrieve(
    query: Floats, collection: Collection, seen: NDArray[np.bool_], k_prime: int
) -> Retrieval:
    """Each query token keeps its `k_prime` most similar of the tokens that it saw."""
    similarities = np.where(seen, query @ collection.embeddings.T, -np.inf)
    n_documents = int(collection.owners.max()) + 1
    best = np.full((len(query), n_documents), -np.inf)
    thresholds = np.zeros(len(query))
    for i, row in enumerate(similarities):
        kept = np.sort(row[seen[i]])[::-1][:k_prime]
        if len(kept):
            thresholds[i] = kept[-1]
        np.maximum.at(best[i], collection.owners, row)
    return Retrieval(best, thresholds, np.unique(collection.owners[seen.any(axis=0)]))


def imputed_scores(found: Retrieval, *, retrieved_only: bool) -> dict[int, float]:
    """mean_i max(best_i, m_i) (XTR, equation 7), m_i standing in for what was not retrieved.

    Args:
        found: What the query tokens retrieved.
        retrieved_only: Leave out the documents of which no row kept a token.
    """
    scores = {}
    for document in found.candidates:
        best = found.best[:, document]
        if not retrieved_only or (best >= found.thresholds).any():
            scores[int(document)] = float(np.maximum(best, found.thresholds).mean())
    return scores


def lower_bounds(found: Retrieval) -> dict[int, float]:
    """mean_i of the largest pooled similarity: at most MaxSim (ColBERTv2, section 3.5)."""
    return {int(d): float(found.best[:, d].mean()) for d in found.candidates}


def top(scores: dict[int, float], k: int) -> list[tuple[int, float]]:
    """The k best, equals by ordinal."""
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k]
