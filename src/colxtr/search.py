"""The methods: from a query's token embeddings to scored documents.

`reference.py` defines what each computes; this is the same over segments and native kernels.
Knows nothing of text or files.

Sources: ColBERTv2 (Santhanam et al. 2022, section 3.5), XTR (Lee et al. 2023, section 4), ColXTR
(Bhat and Sen 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from colxtr import kernels
from colxtr.codec import HALF, Codec
from colxtr.errors import InputError
from colxtr.storage.segment import Segment

Method = Literal["colxtr", "xtr", "colbertv2", "colbert", "exact"]
METHODS: tuple[str, ...] = get_args(Method)

EXHAUSTIVE_BELOW = 100_000  # tokens: less saves nothing that is worth a lost document

Floats = NDArray[np.float32]


class SearchOptions(TypedDict, total=False):
    """The fields of `SearchSettings`, as keyword arguments."""

    method: str
    n_probe: int | None
    k_prime: int | None
    rerank: int | None
    n_candidates: int | None


@dataclass(frozen=True)
class SearchSettings:
    """How to search; None chooses from the collection. Values beyond what there is are clamped.

    Attributes:
        method: "colxtr", "xtr", "colbertv2", "colbert" or "exact".
        n_probe: Centroids that each query token looks into. Default 10; all of them in collections
            below 100,000 tokens, and for "xtr" and "colbert" with n_bits=16. "exact" has no use
            for it.
        k_prime: Tokens that each query token keeps, of those it sees; the lowest of them is what
            is imputed. Default 2 * sqrt(tokens of the collection): 2,000 of a million, 20,000 of
            100 million, between the paper's 500 and 100,000; all below 100,000 tokens.
        rerank: For "colxtr": how many of the best documents (at least k) get their full MaxSim;
            0 for none. Default 100.
        n_candidates: For "colbertv2": how many of the best documents by lower bound are re-ranked
            (at least k). Default 1,024.
    """

    method: str = "colxtr"
    n_probe: int | None = None
    k_prime: int | None = None
    rerank: int | None = None
    n_candidates: int | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method is {self.method!r}; {', '.join(METHODS)} are possible")
        for name, least in (("n_probe", 1), ("k_prime", 1), ("rerank", 0), ("n_candidates", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} is {value}; at least {least} is possible")


@dataclass(frozen=True)
class Collection:
    """What is searched: a codec and the segments that have tokens."""

    codec: Codec
    segments: Sequence[Segment]

    @property
    def n_tokens(self) -> int:
        """Tokens of all segments."""
        return sum(segment.n_tokens for segment in self.segments)

    @property
    def is_small(self) -> bool:
        """Whether probing would save nothing."""
        return self.n_tokens < EXHAUSTIVE_BELOW

    def by_segment(
        self, ordinals: NDArray[np.uint64]
    ) -> list[tuple[Segment, NDArray[np.intp], NDArray[np.uint64]]]:
        """Split ordinals of the index: (segment, places in `ordinals`, ordinals of the segment)."""
        parts = []
        for segment in self.segments:
            first = segment.first_ordinal
            inside = (ordinals >= first) & (ordinals < first + segment.n_documents)
            places = np.flatnonzero(inside)
            if len(places):
                parts.append((segment, places, ordinals[places] - np.uint64(first)))
        return parts


class Ranking(NamedTuple):
    """Documents, the best first, equals by ordinal: (n,) uint64 and (n,) float32."""

    ordinals: NDArray[np.uint64]
    scores: Floats


class Candidates(NamedTuple):
    """What the query tokens found.

    Attributes:
        ordinals: (n,) documents that own a token of a probed list.
        best: (n, n_query_tokens), the largest similarity seen; -inf where none was.
        thresholds: (n_query_tokens,), m_i: the lowest similarity that row i kept; 0 if it saw
            no token.
        probes: (n_query_tokens, n_probe) centroids; (1, n_centroids) if all are probed.
    """

    ordinals: NDArray[np.uint64]
    best: Floats
    thresholds: Floats
    probes: NDArray[np.uint32]

    def imputed_scores(self) -> Floats:
        """mean_i max(best_i, m_i)."""
        return _row_means(np.maximum(self.best, self.thresholds))

    def retrieved(self) -> NDArray[np.bool_]:
        """(n,): whether some row kept a token of the document."""
        retrieved: NDArray[np.bool_] = np.any(self.best >= self.thresholds, axis=1)
        return retrieved


def rank(collection: Collection, embeddings: Floats, settings: SearchSettings, k: int) -> Ranking:
    """The k best documents.

    Args:
        collection: With at least one token.
        embeddings: (n_query_tokens, dim), n_query_tokens >= 1, checked.
        settings: Method and parameters.
        k: At least 1; fewer documents come back if the method finds fewer.
    """
    query = collection.codec.query(embeddings)
    return _METHODS[settings.method](collection, query, settings, k)


def _colxtr(c: Collection, query: kernels.Query, settings: SearchSettings, k: int) -> Ranking:
    found = find_candidates(c, query, settings)
    rerank = 100 if settings.rerank is None else settings.rerank
    ranking = _top(found.ordinals, found.imputed_scores(), max(k, rerank))
    return _rerank(c, query, ranking.ordinals, k) if rerank else ranking


def _xtr(c: Collection, query: kernels.Query, settings: SearchSettings, k: int) -> Ranking:
    found = find_candidates(c, query, settings)
    retrieved = found.retrieved()
    return _top(found.ordinals[retrieved], found.imputed_scores()[retrieved], k)


def _colbertv2(c: Collection, query: kernels.Query, settings: SearchSettings, k: int) -> Ranking:
    found = find_candidates(c, query, settings)
    n_candidates = 1_024 if settings.n_candidates is None else settings.n_candidates
    ranking = _top(found.ordinals, _row_means(found.best), max(k, n_candidates))  # lower bounds
    return _rerank(c, query, ranking.ordinals, k)


def _colbert(c: Collection, query: kernels.Query, settings: SearchSettings, k: int) -> Ranking:
    found = find_candidates(c, query, settings)
    return _rerank(c, query, found.ordinals[found.retrieved()], k)


def _exact(c: Collection, query: kernels.Query, settings: SearchSettings, k: int) -> Ranking:
    del settings
    owners = [
        np.flatnonzero(segment.token_counts).astype(np.uint64) + np.uint64(segment.first_ordinal)
        for segment in c.segments
    ]
    return _rerank(c, query, np.concatenate(owners), k)


_METHODS: dict[str, Callable[[Collection, kernels.Query, SearchSettings, int], Ranking]] = {
    "colxtr": _colxtr,
    "xtr": _xtr,
    "colbertv2": _colbertv2,
    "colbert": _colbert,
    "exact": _exact,
}


def _row_means(values: Floats) -> Floats:
    means: Floats = values.mean(axis=1, dtype=np.float32)
    return means


def _top(ordinals: NDArray[np.uint64], scores: Floats, k: int) -> Ranking:
    if len(scores) > 2 * k:  # drop most before sorting the rest; equals of the k-th stay
        keep = scores >= np.partition(scores, -k)[-k]
        ordinals, scores = ordinals[keep], scores[keep]
    order = np.lexsort((ordinals, -scores))[:k]
    return Ranking(ordinals[order], scores[order])


def _rerank(c: Collection, query: kernels.Query, ordinals: NDArray[np.uint64], k: int) -> Ranking:
    """The k best of some documents by MaxSim over all their tokens, decompressed."""
    return _top(ordinals, maxsim(c, query, ordinals), k)


def maxsim(c: Collection, query: kernels.Query, ordinals: NDArray[np.uint64]) -> Floats:
    """mean_i max_j s_ij of each document, (n,)."""
    scores = np.empty(len(ordinals), np.float32)
    for segment, places, local in c.by_segment(ordinals):
        with kernels.damage_named(segment.path):
            scores[places] = query.maxsim(segment.native, local)
    return scores


def resolve_n_probe(c: Collection, settings: SearchSettings) -> int:
    """How many centroids each query token looks into."""
    exhaustive = c.is_small or (settings.method in ("xtr", "colbert") and c.codec.n_bits == HALF)
    n_probe = settings.n_probe or (c.codec.n_centroids if exhaustive else 10)
    return min(n_probe, c.codec.n_centroids)


def find_candidates(c: Collection, query: kernels.Query, settings: SearchSettings) -> Candidates:
    """Look into the probed lists; every query token keeps its k_prime best of what it sees.

    It sees the lists that it probes itself ("xtr", "colbert"), or those that any query token
    probes, pooled ("colxtr", "colbertv2").
    """
    n_probe = resolve_n_probe(c, settings)
    everything = n_probe == c.codec.n_centroids
    probes = np.arange(n_probe, dtype=np.uint32)[None] if everything else query.probe(n_probe)
    pooled = settings.method in ("colxtr", "colbertv2") or everything
    union = np.unique(probes)
    probed = None if pooled else _probed_by(union, probes)
    lists = [_lists(segment, union) for segment in c.segments]
    most = sum(
        int(segment.list_sizes[found].sum())
        for segment, (found, _) in zip(c.segments, lists, strict=True)
    )
    k_prime = settings.k_prime or (most if c.is_small else round(2 * c.n_tokens**0.5))
    pool = kernels.Pool(query, k_prime if k_prime < most else 0)
    for segment, (found, places) in zip(c.segments, lists, strict=True):
        with kernels.damage_named(segment.path):
            pool.add(segment.native, found, None if probed is None else probed[places])
    ordinals, best, thresholds = pool.result()
    thresholds[np.isneginf(thresholds)] = 0  # a row that saw nothing favours no document
    return Candidates(ordinals, best, thresholds, probes)


def _probed_by(union: NDArray[np.uint32], probes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """(len(union), n_query_tokens): which query token probes which centroid of the union."""
    probed = np.zeros((len(union), len(probes)), np.bool_)
    for i, row in enumerate(probes):
        probed[np.searchsorted(union, row), i] = True
    return probed


def _lists(
    segment: Segment, centroids: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    """A segment's lists of some (ascending) centroids, and the places of these in `centroids`."""
    places = np.searchsorted(segment.list_centroids, centroids)
    places = np.minimum(places, len(segment.list_centroids) - 1)
    there = np.flatnonzero(segment.list_centroids[places] == centroids)
    return places[there].astype(np.uint32), there
