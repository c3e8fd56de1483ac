"""Which relevant documents have a token among the k' best: the heart of XTR's argument.

XTR scores a document by its retrieved tokens alone. A document of which no token is retrieved
cannot be found, however high its MaxSim; one of which few query tokens retrieve a token is scored
by imputed values (Lee et al. 2023, section 2 and figure 2). Retrieval is exact here: what lists
or codes lose is not in these figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colxtr.errors import InputError
from colxtr.evaluation.embedded import EmbeddedCollection, Floats
from colxtr.evaluation.exhaustive import pieces

K_PRIMES = (10, 100, 500, 1_000, 10_000, 100_000)

Ranks = NDArray[np.int64]  # (n_relevant, n_query_tokens)


@dataclass(frozen=True)
class Coverage:
    """What is retrieved of the relevant documents with so many tokens per query token.

    Attributes:
        k_prime: Tokens retrieved per query token.
        documents: Share of the relevant documents of which a token is retrieved; mean over the
            queries.
        query_tokens: Share of the query tokens that retrieve a token of a relevant document; mean
            over its relevant documents, then over the queries. What is left is imputed.
    """

    k_prime: int
    documents: float
    query_tokens: float

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self)


def coverage(ranks: Sequence[Ranks], k_primes: Sequence[int] = K_PRIMES) -> list[Coverage]:
    """Shares retrieved at each k'.

    Args:
        ranks: Of each query, as `retrieval_ranks` has them; queries without a relevant document
            or without tokens do not count.
        k_primes: Tokens retrieved per query token.

    Raises:
        InputError: A k' is below 1, or no query counts.
    """
    counted = [each for each in ranks if each.size]
    if not counted:
        raise InputError("no query has both tokens and a relevant document in the collection")
    if min(k_primes, default=0) < 1:
        raise InputError(f"k_primes are {list(k_primes)}; numbers of at least 1 are possible")
    return [
        Coverage(
            k_prime,
            float(np.mean([(each <= k_prime).any(axis=1).mean() for each in counted])),
            float(np.mean([(each <= k_prime).mean() for each in counted])),
        )
        for k_prime in k_primes
    ]


def retrieval_ranks(
    embedded: EmbeddedCollection,
    queries: Sequence[Floats],
    relevant: Sequence[Sequence[int]],
) -> list[Ranks]:
    """The rank, from 1, of each relevant document's best token for each query token.

    A document is retrieved at k' by the query tokens for which this is at most k'. Tokens equally
    similar have the same rank, the best.

    Args:
        embedded: The collection; read twice.
        queries: (n_tokens, dim) each.
        relevant: Of each query, the ordinals of its relevant documents.

    Returns:
        (n_relevant, n_query_tokens) of each query; a document without tokens ranks behind all.
    """
    best = _best(embedded, queries, relevant)
    ranks = [np.ones(each.shape, np.int64) for each in best]
    for _, tokens in pieces(embedded):
        for i, query in enumerate(queries):
            if best[i].size:
                similarities = query @ tokens.T  # (n_query_tokens, n)
                for row, of_document in enumerate(best[i]):
                    ranks[i][row] += (similarities > of_document[:, None]).sum(axis=1)
    for each, of_query in zip(ranks, best, strict=True):
        each[np.isneginf(of_query)] = np.iinfo(np.int64).max
    return ranks


def _best(
    embedded: EmbeddedCollection, queries: Sequence[Floats], relevant: Sequence[Sequence[int]]
) -> list[Floats]:
    """(n_relevant, n_query_tokens) of each query: the largest similarity with each document.

    Products of the same shapes as those they will be compared with: others differ in the last bits.
    """
    best = [
        np.full((len(of_query), len(query)), -np.inf, np.float32)
        for query, of_query in zip(queries, relevant, strict=True)
    ]
    first = 0
    for counts, tokens in pieces(embedded):
        ends = np.cumsum(counts)
        for i, of_query in enumerate(relevant):
            here = [
                (row, ordinal - first)
                for row, ordinal in enumerate(of_query)
                if first <= ordinal < first + len(counts) and counts[ordinal - first]
            ]
            if not here:
                continue
            similarities = queries[i] @ tokens.T
            for row, local in here:
                best[i][row] = similarities[:, ends[local] - counts[local] : ends[local]].max(
                    axis=1
                )
        first += len(counts)
    return best
