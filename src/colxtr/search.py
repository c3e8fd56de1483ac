"""The methods: from a query's token embeddings to scored documents.

`reference.py` defines what each computes; this is the same over segments and native kernels.
Knows nothing of text or files.

Sources: ColBERTv2 (Santhanam et al. 2022, section 3.5), XTR (Lee et al. 2023, section 4), ColXTR
(Bhat and Sen 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from math import ceil, isqrt, sqrt
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

BASE_TOKENS = 1_000_000  # the defaults are those of such a collection; larger ones need more
MANY_TOKENS = 8_000_000  # beyond so many, further probes find little more where "colxtr" glances
FEW_WANTED = 10  # documents; the last of more are found by less of their tokens
FEW_DOCUMENTS = 24_000  # that are told apart as well as fewer are
MANY_DOCUMENTS = 150_000  # up to so many was measured how many more must be looked at
FIRST_RERANKED = 40  # documents, before it is asked whether to go on
MOST_MAXIMA = 1 << 25  # of memory for each query token's best of each document of a collection
SHORTLISTED = 8  # documents that are more than glanced at at first, for each that is re-ranked
SOUGHT = 0.16  # of those that are re-ranked of few documents: the best that a glance must not miss

Floats = NDArray[np.float32]


class SearchOptions(TypedDict, total=False):
    """The fields of `SearchSettings`, as keyword arguments."""

    method: str
    quality: float
    n_probe: int | None
    k_prime: int | None
    rerank: int | None
    n_candidates: int | None


class Shortlisting(NamedTuple):
    """Which documents are more than glanced at: the best at a glance, until there are enough.

    Attributes:
        first: How many before it is asked whether to go on: then twice as many, and so on.
        sought: It goes on while another may be among so many best.
        unlikely: None may be that would have to exceed by so many standard deviations what those
            before exceeded their glances by in the mean.
    """

    first: int
    sought: int
    unlikely: float


NO_SHORTLIST = Shortlisting(0, 1, 0)  # all are looked at


@dataclass(frozen=True)
class SearchSettings:
    """How to search; None chooses from the collection. Values beyond what there is are clamped.

    Attributes:
        method: "colxtr", "xtr", "colbertv2", "colbert" or "exact".
        quality: From 0, the fastest, to 1, all but exact: chooses `n_probe` and `rerank` where
            these are None. Default 0.5.
        n_probe: Centroids that each query token looks into. Default 3 at quality 0, 8 at 0.5, 21 at
            1, up to a million tokens, beyond that with their power of 0.27, to 14 at 0.5 for eight
            million and more (with their third root, and no end, for other methods than "colxtr",
            with a `k_prime`, or without re-ranking); where no MaxSim makes up for what was not
            seen, twice ("colxtr" with `rerank` 0) or four times as many ("xtr", whose tokens see
            their own lists only). "colxtr" with re-ranking looks into more for more documents than
            10, the last of which are found by less: 1.6 times as many for k=30, 2.5 for k=100, 6.3
            for k=1000. All of them in collections below 100,000 tokens, and for "xtr" and "colbert"
            with n_bits=16. "exact" has no use for it.
        k_prime: Tokens that each query token keeps, of those it sees; the lowest of them is what
            is imputed. Default: all, where "colxtr" re-ranks (nothing seen is thrown away then;
            where a document shows a query token nothing better, 0.8 of the product with the last
            centroid that the token looks into stands in) and below 100,000 tokens; else
            2 * sqrt(tokens of the collection): 2,000 of a million, 20,000 of 100 million, between
            the paper's 500 and 100,000.
        rerank: For "colxtr": how many of the best documents (at least k) get their full MaxSim; 0
            for none. By default as many as may come among the k best, as far as can be told from
            those before; for k=10 up to 21 at quality 0, 85 at 0.5, 340 at 1, and 6.3 times as
            many for k=100; of more than 24,000 documents more, with their power of 0.75 up to
            150,000 (336 at 0.5), from there on with their third root.
        n_candidates: For "colbertv2": how many of the best documents by lower bound are re-ranked
            (at least k). Default 1,024.
    """

    method: str = "colxtr"
    quality: float = 0.5
    n_probe: int | None = None
    k_prime: int | None = None
    rerank: int | None = None
    n_candidates: int | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method is {self.method!r}; {', '.join(METHODS)} are possible")
        if not 0 <= self.quality <= 1:
            raise InputError(f"quality is {self.quality}; from 0 to 1 is possible")
        for name, least in (("n_probe", 1), ("k_prime", 1), ("rerank", 0), ("n_candidates", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} is {value}; at least {least} is possible")

    def n_probe_chosen(self, k: int, n_tokens: int) -> int:
        """`n_probe`, or what `quality`, `k` and a collection of so many tokens make of it."""
        if self.glances:
            growth = max(1.0, min(n_tokens, MANY_TOKENS) / BASE_TOKENS) ** 0.27
            growth *= max(1.0, k / FEW_WANTED) ** 0.4
        else:
            growth = max(1.0, n_tokens / BASE_TOKENS) ** (1 / 3)
        least = 32 if self.method == "xtr" else 16 if self.ends_imputed else 8
        return self.n_probe or round(least * (8 / 3) ** (2 * self.quality - 1) * growth)

    @property
    def ends_imputed(self) -> bool:
        """Whether documents keep the scores that were imputed, and none gets its MaxSim."""
        return self.method == "xtr" or (self.method == "colxtr" and self.rerank == 0)

    @property
    def glances(self) -> bool:
        """Whether centroids decide which documents, and which of their tokens, are looked at."""
        return self.method == "colxtr" and self.rerank != 0 and self.k_prime is None

    def rerank_chosen(self, k: int, n_documents: int) -> int:
        """`rerank`, or what `quality`, `k` and the documents make of it; at least k, unless 0."""
        wanted = self._reranked_of_few(k)
        if self.rerank is None:
            measured = max(1.0, min(n_documents, MANY_DOCUMENTS) / FEW_DOCUMENTS)
            beyond = max(1.0, n_documents / MANY_DOCUMENTS)
            wanted *= measured**0.75 * beyond ** (1 / 3)
        return max(k, min(round(wanted), n_documents)) if wanted else 0

    def _reranked_of_few(self, k: int) -> float:
        if self.rerank is not None:
            return self.rerank
        return float((35 + 5 * k) * 4 ** (2 * self.quality - 1))

    def shortlist_chosen(self, k: int, n_documents: int) -> Shortlisting:
        """Which documents are more than glanced at, where `glances`."""
        first = round(SHORTLISTED * self.rerank_chosen(k, n_documents))
        sought = max(k, round(SOUGHT * self._reranked_of_few(k)))
        return Shortlisting(first, sought, self.unlikely)

    @property
    def unlikely(self) -> float:
        """Standard deviations by which no document is taken to exceed what is expected of it."""
        return 2.5 + 3 * self.quality


class Collection:
    """What is searched: a codec, the segments that have tokens, and which documents count.

    Attributes:
        codec: Theirs.
        segments: Ascending by their first ordinals, one or more.
        native: The same in the native module.
        n_stored: Tokens of all documents, those deleted included.
        n_live: Tokens of the documents that are not deleted.
        n_counting: The documents that count and have a token: of those, what a filter lets through.
        n_tokens: Their tokens.
        allowed: A bit for each ordinal, or None if all documents count.
    """

    def __init__(
        self, codec: Codec, segments: Sequence[Segment], live: NDArray[np.bool_] | None = None
    ) -> None:
        """Prepare.

        Args:
            codec: Of the segments.
            segments: With tokens.
            live: (n_ordinals,) which documents are not deleted; None if none is.
        """
        self.codec, self.segments, self._live = codec, segments, live
        self.native = kernels.Collection(codec.native, [segment.native for segment in segments])
        self.n_stored = sum(segment.n_tokens for segment in segments)
        self._counts(live)
        self.n_live = self.n_tokens

    def _counts(self, mask: NDArray[np.bool_] | None) -> None:
        """Let the documents of a mask count, and no others."""
        self.allowed = None if mask is None else np.packbits(mask, bitorder="little")
        owners, counts = [], []
        for segment in self.segments:
            counted = segment.token_counts > 0
            if mask is not None:
                first = segment.first_ordinal
                counted &= mask[first : first + segment.n_documents]
            owners.append(np.flatnonzero(counted) + segment.first_ordinal)
            counts.append(int(segment.token_counts[counted].sum()))
        self._owners, self.n_tokens = owners, sum(counts)
        self.n_counting = sum(map(len, owners))

    def only(self, selected: NDArray[np.bool_]) -> Collection:
        """The same collection in which only documents of a mask, (n_ordinals,), count."""
        restricted = copy(self)
        restricted._counts(selected if self._live is None else selected & self._live)
        return restricted

    @property
    def is_small(self) -> bool:
        """Whether probing would save nothing."""
        return self.n_tokens < EXHAUSTIVE_BELOW

    @property
    def n_documents(self) -> int:
        """Of all segments, those without a token and deleted ones included."""
        return sum(segment.n_documents for segment in self.segments)

    def with_tokens(self) -> NDArray[np.uint64]:
        """Ordinals of the documents that count and have a token."""
        return np.concatenate(self._owners).astype(np.uint64)


class Ranking(NamedTuple):
    """Documents, the best first, equals by ordinal: (n,) uint64 and (n,) float32."""

    ordinals: NDArray[np.uint64]
    scores: Floats


class Search:
    """One query in one collection, and what each of its tokens finds."""

    def __init__(
        self,
        collection: Collection,
        embeddings: Floats,
        settings: SearchSettings,
        k: int = 10,
        threads: int = 1,
    ) -> None:
        """Prepare.

        Args:
            collection: With at least one token.
            embeddings: (n_query_tokens, dim), n_query_tokens >= 1, checked.
            settings: Method and parameters.
            k: How many documents are wanted, at least 1.
            threads: For this query; the results do not depend on it.
        """
        self.collection, self.settings = collection, settings
        self._k = min(k, collection.n_counting)
        n_probe = self._n_probe()
        self.all_lists = n_probe == collection.codec.n_centroids
        self._n_query_tokens = len(embeddings)
        self._glances = settings.glances and not self.all_lists and collection.codec.has_levels
        self._query = collection.codec.query(
            embeddings, 0 if self.all_lists else n_probe, threads, levels=self._glances
        )

    def _maxima_fit(self) -> bool:
        """Whether there can be a float for each query token and document."""
        return 4 * self._n_query_tokens * self.collection.n_documents <= MOST_MAXIMA

    def _n_probe(self) -> int:
        codec, settings = self.collection.codec, self.settings
        if settings.method == "exact":
            return codec.n_centroids
        exact_store = settings.method in ("xtr", "colbert") and codec.n_bits == HALF
        exhaustive = self.collection.is_small or exact_store
        if exhaustive and settings.n_probe is None:
            return codec.n_centroids
        collection = self.collection
        n_probe = settings.n_probe_chosen(self._k, collection.n_tokens)
        if settings.n_probe is None:
            # An index of the documents that a filter lets through would have fewer centroids.
            n_probe = ceil(n_probe * sqrt(collection.n_live / collection.n_tokens))
        return min(n_probe, codec.n_centroids)

    def _k_prime(self) -> int:
        """Tokens kept per query token by default; 0 for all."""
        reranked = self.settings.method == "colxtr" and self.settings.rerank != 0
        if reranked or self.collection.is_small:
            return 0
        return 2 * isqrt(self.collection.n_tokens)

    def candidates(
        self, *, thresholds: bool = True, shortlist: Shortlisting = NO_SHORTLIST
    ) -> kernels.Candidates:
        """Look into the probed lists; every query token keeps its k_prime best of what it sees.

        It sees the lists that it probes itself ("xtr", "colbert"), or those that any query token
        probes, pooled ("colxtr", "colbertv2").
        """
        c = self.collection
        k_prime = self.settings.k_prime or self._k_prime()
        if not self._glances:
            shortlist = NO_SHORTLIST
        with kernels.damage_reported():
            return kernels.Candidates(
                self._query,
                c.native,
                k_prime if k_prime < c.n_tokens else 0,
                all_lists=self.all_lists,
                own_lists=self.settings.method in ("xtr", "colbert"),
                thresholds=thresholds,
                shortlist=shortlist.first,
                sought=shortlist.sought,
                unlikely=shortlist.unlikely,
                allowed=c.allowed,
            )

    def probes(self) -> NDArray[np.uint32]:
        """(n_query_tokens, n_probe) centroids; (1, n_centroids) if all lists are looked into."""
        if self.all_lists:
            return np.arange(self.collection.codec.n_centroids, dtype=np.uint32)[None]
        return self._query.probes()

    def maxsim(self, ordinals: NDArray[np.uint64]) -> Floats:
        """mean_i max_j s_ij of each document, (n,)."""
        with kernels.damage_reported():
            return self._query.maxsim(self.collection.native, ordinals)

    def rerank(self, ordinals: NDArray[np.uint64], k: int) -> Ranking:
        """The k best of some documents by MaxSim over all their tokens, decompressed."""
        return _best(ordinals, self.maxsim(ordinals), k)

    def exhaustive(self, k: int) -> Ranking:
        """The k best documents that count by MaxSim.

        List after list, where the documents' maxima fit into little memory and most documents
        count: codes are read in their order then. Document after document otherwise.
        """
        collection = self.collection
        if 2 * collection.n_tokens < collection.n_stored or not self._maxima_fit():
            return self.rerank(collection.with_tokens(), k)
        return Ranking(*self.candidates(thresholds=False).best_lower_bounds(k))

    def rerank_promising(self, ranking: Ranking, k: int) -> Ranking:
        """The same, but stops where the next document would have to gain more than is likely.

        MaxSim over all tokens exceeds what was expected by about as much for one document as for
        another. Once the next document needs 2.5 (`quality` 0) to 5.5 (1) standard deviations more
        than the mean of that to come among the k best, it and all that follow stay out. Documents
        are skimmed first, where that is possible, and only the best of them scored.
        """
        with kernels.damage_reported():
            found = self._query.best_promising(
                self.collection.native,
                *ranking,
                k=k,
                first=FIRST_RERANKED,
                unlikely=self.settings.unlikely,
            )
        return Ranking(*found)

    def rank(self) -> Ranking:
        """The k best documents; fewer if the method finds fewer."""
        return _METHODS[self.settings.method](self, self._k)


def _best(ordinals: NDArray[np.uint64], scores: Floats, k: int) -> Ranking:
    order = np.lexsort((ordinals, -scores))[:k]
    return Ranking(ordinals[order], scores[order])


def _colxtr(search: Search, k: int) -> Ranking:
    rerank = search.settings.rerank_chosen(k, search.collection.n_counting)
    if rerank and search.settings.k_prime is None:
        if search.all_lists:
            return search.exhaustive(k)  # nothing is left to guess
        shortlist = search.settings.shortlist_chosen(k, search.collection.n_counting)
        found = search.candidates(thresholds=False, shortlist=shortlist)
        ranking = Ranking(*found.best_expected(rerank))
    else:
        ranking = Ranking(*search.candidates().best_imputed(rerank or k))
    if not rerank:
        return ranking
    if search.settings.rerank is None:
        return search.rerank_promising(ranking, k)
    return search.rerank(ranking.ordinals, k)


def _xtr(search: Search, k: int) -> Ranking:
    return Ranking(*search.candidates().best_imputed(k, retrieved_only=True))


def _colbertv2(search: Search, k: int) -> Ranking:
    if search.all_lists:
        return search.exhaustive(k)  # what would be lower bounds is MaxSim
    n_candidates = search.settings.n_candidates or 1_024
    found = search.candidates(thresholds=False)
    ordinals, _ = found.best_lower_bounds(max(k, n_candidates))
    return search.rerank(ordinals, k)


def _colbert(search: Search, k: int) -> Ranking:
    found = search.candidates()
    if search.all_lists:  # each document's best similarities are known
        return Ranking(*found.best_lower_bounds(k, retrieved_only=True))
    return search.rerank(found.retrieved(), k)


def _exact(search: Search, k: int) -> Ranking:
    return search.exhaustive(k)


_METHODS: dict[str, Callable[[Search, int], Ranking]] = {
    "colxtr": _colxtr,
    "xtr": _xtr,
    "colbertv2": _colbertv2,
    "colbert": _colbert,
    "exact": _exact,
}
