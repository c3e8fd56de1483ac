"""From the candidates of a query to tuples: what is filtered, skipped, drawn and counted.

Knows nothing of where candidates come from (`proposals.py`), nor of files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from colxtr.errors import InputError
from colxtr.lexical import Candidate
from colxtr.training.filters import CandidateFilter
from colxtr.training.sampling import check_way, sampled
from colxtr.training.sets import NWayTuple, TrainingSet


@dataclass(frozen=True, slots=True)
class MineSettings:
    """How negatives are mined.

    Attributes:
        depth: Candidates looked at for each query (mining habits: 200 to 1,000).
        skip: How many of the best candidates are passed over, after the relevant ones are out:
            the very top holds most of the relevant documents that nobody has judged.
        negatives: At most so many for each tuple.
        min_negatives: A tuple with fewer is left out.
        positives: At most so many relevant documents of a query lead a tuple of their own.
        near_duplicate: Jaccard similarity of words from which on a candidate counts as a copy of
            a relevant document; None leaves this out.
        sampling: "strata" (one of each stretch of the ranking), "uniform" or "top".
        seed: Of the drawing.
        k1: BM25's saturation.
        b: BM25's weight of length.
        language: What BM25 does to words; see `Bm25`.

    Raises:
        InputError: A value is out of range.
    """

    depth: int = 200
    skip: int = 0
    negatives: int = 15
    min_negatives: int = 1
    positives: int = 4
    near_duplicate: float | None = 0.8
    sampling: str = "strata"
    seed: int = 0
    k1: float = 0.9
    b: float = 0.4
    language: str = "english"

    def __post_init__(self) -> None:
        check_way(self.sampling)
        for name in ("depth", "negatives", "min_negatives", "positives"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if not 0 <= self.skip < self.depth:
            raise InputError(f"skip is {self.skip}; it must be from 0 to depth - 1")
        if self.min_negatives > self.negatives:
            raise InputError(
                f"min_negatives is {self.min_negatives}, more than negatives ({self.negatives})"
            )
        if self.near_duplicate is not None and not 0 < self.near_duplicate <= 1:
            raise InputError(
                f"near_duplicate is {self.near_duplicate}; it must be above 0, and at most 1"
            )


@dataclass(frozen=True, slots=True)
class MineReport:
    """What mining came to.

    Attributes:
        queries: Queries with relevant documents.
        tuples: Tuples written.
        negatives: Negatives in them.
        candidates: Candidates that were looked at.
        dropped: Candidates dropped by reason: those of `CandidateFilter.counts`, and `skipped`.
        too_few: Tuples left out for want of negatives.
        found_at_10: Share of relevant documents among the first 10 candidates, over all queries.
        found_at_100: The same of the first 100 (of `depth`, if that is less).
    """

    queries: int
    tuples: int
    negatives: int
    candidates: int
    dropped: dict[str, int]
    too_few: int
    found_at_10: float
    found_at_100: float

    @classmethod
    def of(cls, counts: Counter[str]) -> MineReport:
        """Make a report of the counts that `Miner` keeps."""
        reasons = (
            "relevant",
            "other_collection",
            "same_text",
            "near_duplicate",
            "repeated_text",
            "skipped",
        )
        relevant = max(1, counts["judged"])
        return cls(
            queries=counts["queries"],
            tuples=counts["tuples"],
            negatives=counts["negatives"],
            candidates=counts["candidates"],
            dropped={reason: counts[reason] for reason in reasons},
            too_few=counts["too_few"],
            found_at_10=counts["found_at_10"] / relevant,
            found_at_100=counts["found_at_100"] / relevant,
        )


class Miner:
    """Turns candidates into tuples, query by query.

    Attributes:
        counts: Everything that `MineReport` tells.
    """

    def __init__(self, training_set: TrainingSet, settings: MineSettings) -> None:
        self.counts: Counter[str] = Counter()
        self._set, self._settings = training_set, settings
        self._filter = CandidateFilter(training_set, settings.near_duplicate)

    def tuples(self, query_id: str, candidates: Sequence[Candidate]) -> Iterator[NWayTuple]:
        """A tuple for each relevant document of the query, led by it."""
        settings, counts = self._settings, self.counts
        relevant = sorted(self._set.positives[query_id])
        self._count(relevant, candidates)
        kept = self._filter.kept(query_id, candidates)
        for reason, count in self._filter.counts.items():
            counts[reason] += count
        self._filter.counts.clear()
        counts["skipped"] += len(kept[: settings.skip])
        kept = kept[settings.skip :]
        for positive in relevant[: settings.positives]:
            seed = f"{settings.seed}:{query_id}:{positive}"
            chosen = sampled(kept, settings.negatives, settings.sampling, seed)
            if len(chosen) < settings.min_negatives:
                counts["too_few"] += 1
                continue
            counts["tuples"] += 1
            counts["negatives"] += len(chosen)
            yield NWayTuple(query_id, (positive, *(each.id for each in chosen)))

    def _count(self, relevant: Sequence[str], candidates: Sequence[Candidate]) -> None:
        ids = [each.id for each in candidates]
        self.counts["queries"] += 1
        self.counts["candidates"] += len(ids)
        self.counts["judged"] += len(relevant)
        for depth in (10, 100):
            self.counts[f"found_at_{depth}"] += len(set(relevant) & set(ids[:depth]))
