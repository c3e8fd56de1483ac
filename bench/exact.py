"""Exact MaxSim over float embeddings: the truth that engines are held against.

Documents come as pairs of arrays, some documents at a time: their tokens one after the other,
(n_tokens, dim), and how many each has, (n_documents,), never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from colxtr.progress import progress_bar

BLOCK = 1024  # tokens compared with all query tokens at once: products that stay in the cache

Pairs = Iterable[tuple[NDArray[np.floating], NDArray[np.integer]]]


def exact_scores(
    queries: Sequence[NDArray[np.float32]], documents: Pairs, n_documents: int, n_tokens: int
) -> NDArray[np.float32]:
    """(n_queries, n_documents): the sum over query tokens of the best similarity, in float32.

    Memory: `BLOCK` tokens (or one document) times all query tokens, and the result.

    Args:
        queries: One (n_query_tokens, dim) each.
        documents: As above.
        n_documents: All of them.
        n_tokens: Of all of them, for the progress bar.
    """
    tokens_of_queries = np.concatenate(queries)
    query_starts = np.cumsum([0, *map(len, queries[:-1])])
    scores = np.empty((len(queries), n_documents), np.float32)
    done = 0
    with progress_bar("Exact MaxSim", n_tokens, "tokens") as advance:
        for rows, lengths in documents:
            starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
            for first, last in blocks(starts):
                tokens = rows[starts[first] : starts[last]].astype(np.float32)
                similarities = tokens @ tokens_of_queries.T  # (n_tokens, n_query_tokens)
                best = np.maximum.reduceat(similarities, starts[first:last] - starts[first], axis=0)
                sums = np.add.reduceat(best, query_starts, axis=1)
                scores[:, done : done + len(sums)] = sums.T
                done += len(sums)
                advance(len(tokens))
    if done != n_documents:
        raise ValueError(f"{done:,} documents came; {n_documents:,} were announced")
    return scores


def top(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Ordinals and scores of the `k` best documents of each query, (n_queries, k), best first."""
    k = min(k, scores.shape[1])
    ids = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int32)
    return ids, np.take_along_axis(scores, ids, axis=1)


def blocks(starts: NDArray[np.int64], size: int = BLOCK) -> Iterator[tuple[int, int]]:
    """Cut documents into ranges of at most `size` tokens, or one document where it is longer."""
    first = 0
    while first < len(starts) - 1:
        last = int(np.searchsorted(starts, starts[first] + size, side="right")) - 1
        last = max(last, first + 1)
        yield first, last
        first = last
