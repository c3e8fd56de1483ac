"""Exact MaxSim over float32 embeddings on the disk: what every method is measured against.

Reads the collection once for all queries. Knows nothing of indexes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from colxtr.evaluation.embedded import EmbeddedCollection, Floats
from colxtr.evaluation.run_files import Run

QUERY_TOKENS = 1_024  # compared with a part of the collection at a time
PIECE_TOKENS = 65_536  # of such a part


def exact_run(
    embedded: EmbeddedCollection, doc_ids: Sequence[str], queries: Mapping[str, Floats], k: int
) -> Run:
    """The k best documents of each query by mean_i max_j s_ij, equals in their order.

    Args:
        embedded: The collection.
        doc_ids: Its ids, in its order. Documents without a token are not found.
        queries: (n_tokens, dim) by query id; one without a token finds nothing.
        k: How many.
    """
    names = [name for name, tokens in queries.items() if len(tokens)]
    scores = np.full((len(names), len(doc_ids)), -np.inf, np.float32)
    first = 0
    for counts, tokens in pieces(embedded):
        filled = np.flatnonzero(counts)
        if len(filled):
            starts = np.cumsum(counts[filled]) - counts[filled]
            for some, rows in _blocks([queries[name] for name in names]):
                best = np.maximum.reduceat(tokens @ rows.T, starts, axis=0)  # (documents, tokens)
                scores[np.ix_(some, first + filled)] = _means(best, queries, names, some)
        first += len(counts)
    run: Run = {name: {} for name in queries}
    for name, row in zip(names, scores, strict=True):
        order = np.argsort(-row, kind="stable")[:k]
        run[name] = {doc_ids[i]: float(row[i]) for i in order if np.isfinite(row[i])}
    return run


def pieces(embedded: EmbeddedCollection) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Token counts and tokens of consecutive documents, some 65,536 tokens at a time."""
    for part in embedded.parts():
        ends = np.cumsum(part.counts)
        start = 0
        while start < len(ends):
            begin = int(ends[start] - part.counts[start])
            stop = max(start + 1, int(np.searchsorted(ends, begin + PIECE_TOKENS, "right")))
            yield part.counts[start:stop], part.tokens[begin : int(ends[stop - 1])]
            start = stop


def _blocks(arrays: Sequence[Floats]) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Consecutive queries of about 1,024 tokens together: which they are, and their tokens."""
    start = size = 0
    for i, array in enumerate(arrays):
        size += len(array)
        if size >= QUERY_TOKENS or i == len(arrays) - 1:
            yield np.arange(start, i + 1), np.concatenate(arrays[start : i + 1])
            start, size = i + 1, 0


def _means(
    best: Floats, queries: Mapping[str, Floats], names: Sequence[str], some: NDArray[np.int64]
) -> Floats:
    """(queries, documents): means over each query's tokens of (documents, tokens of all)."""
    counts = np.array([len(queries[names[i]]) for i in some])
    sums = np.add.reduceat(best, np.cumsum(counts) - counts, axis=1)
    means: Floats = (sums / counts).T.astype(np.float32)
    return means
