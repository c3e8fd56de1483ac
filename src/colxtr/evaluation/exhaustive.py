"""Exact MaxSim over float32 embeddings on the disk: what every method is measured against.

Reads the collection once for all queries. Knows nothing of indexes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from colxtr.cpus import available_cpus, in_order
from colxtr.evaluation.embedded import EmbeddedCollection, Floats
from colxtr.evaluation.run_files import Run

QUERY_TOKENS = 256  # compared with a part of the collection at a time, so many that the products
PIECE_TOKENS = 8_192  # with such a part stay in a cache


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
    blocks = list(_blocks([queries[name] for name in names]))
    first = 0
    for counts, tokens in pieces(embedded):
        filled = np.flatnonzero(counts)
        starts = np.cumsum(counts[filled]) - counts[filled]
        found = in_order(partial(_block_scores, tokens, starts), blocks, available_cpus())
        for block, of_block in zip(blocks, found, strict=True):
            scores[block.first : block.stop, first + filled] = of_block
        first += len(counts)
    run: Run = {name: {} for name in queries}
    for name, row in zip(names, scores, strict=True):
        order = np.argsort(-row, kind="stable")[:k]
        run[name] = {doc_ids[i]: float(row[i]) for i in order if np.isfinite(row[i])}
    return run


def pieces(embedded: EmbeddedCollection) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Token counts and tokens of consecutive documents, `PIECE_TOKENS` at a time."""
    for part in embedded.parts():
        begin = 0
        for start, stop in _spans(part.counts, PIECE_TOKENS):
            counts = part.counts[start:stop]
            end = begin + int(counts.sum())
            yield counts, part.tokens[begin:end]
            begin = end


def _spans(counts: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """From where to where consecutive texts have at most so many tokens together, or are one."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = ends[start] - counts[start]
        stop = max(start + 1, int(np.searchsorted(ends, before + most, "right")))
        yield start, stop
        start = stop


class _Block(NamedTuple):
    """Consecutive queries, from `first` to `stop`: their tokens, and how many each has."""

    first: int
    stop: int
    tokens: Floats
    counts: NDArray[np.int64]


def _blocks(queries: Sequence[Floats]) -> Iterator[_Block]:
    """Queries together, `QUERY_TOKENS` at a time."""
    counts = np.array([len(query) for query in queries], np.int64)
    for first, stop in _spans(counts, QUERY_TOKENS):
        yield _Block(first, stop, np.concatenate(queries[first:stop]), counts[first:stop])


def _block_scores(tokens: Floats, starts: NDArray[np.int64], block: _Block) -> Floats:
    """(queries of the block, documents): mean_i max_j s_ij.

    Args:
        tokens: Of documents, one after the other.
        starts: The first of each document.
        block: The queries.
    """
    if not len(starts):
        return np.empty((len(block.counts), 0), np.float32)
    best = np.maximum.reduceat(tokens @ block.tokens.T, starts, axis=0)  # (documents, query tokens)
    sums = np.add.reduceat(best, np.cumsum(block.counts) - block.counts, axis=1)
    means: Floats = (sums / block.counts).T.astype(np.float32)
    return means
