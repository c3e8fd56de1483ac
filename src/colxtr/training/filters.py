"""Candidates that must not become negatives: false negatives, and texts that come twice.

Looks at judgements and texts; `selection.py` looks at a teacher's scores.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from colxtr.lexical import Candidate
from colxtr.training.sets import TrainingSet

_REMEMBERED = 200_000  # digests and sets of words of documents


class CandidateFilter:
    """Drops candidates of a query that are, or may well be, relevant to it.

    Attributes:
        counts: How many candidates were dropped and why: `relevant` (judged so for this query, or
            for another with the same text), `other_collection` (than the query's, where nobody has
            judged what answers it), `same_text` (as a relevant document's),
            `near_duplicate` (of a relevant document), `repeated_text` (of a better candidate).
    """

    def __init__(self, training_set: TrainingSet, near_duplicate: float | None) -> None:
        """Prepare for the queries of a set.

        Args:
            training_set: Its queries, documents and positives.
            near_duplicate: Jaccard similarity of the sets of words from which on a candidate
                counts as a copy of a relevant document; None leaves this out.
        """
        self.counts: Counter[str] = Counter()
        self._set = training_set
        self._documents = training_set.documents
        self._near = near_duplicate
        self._queries = training_set.queries
        self._positives: dict[bytes, set[str]] = {}
        for query_id, ids in training_set.positives.items():
            self._positives.setdefault(_digest(self._queries[query_id]), set()).update(ids)
        self._digest = lru_cache(_REMEMBERED)(lambda each: _digest(self._documents[each]))
        self._words = lru_cache(_REMEMBERED)(lambda each: _words(self._documents[each]))

    def known(self, query_id: str) -> set[str]:
        """All documents judged relevant to the query, or to one with the same text."""
        return self._positives.get(_digest(self._queries[query_id]), set())

    def kept(self, query_id: str, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates that may be negatives, in their order."""
        relevant = self.known(query_id)
        collection = self._set.collection_of(query_id)
        of_relevant = {self._digest(each) for each in relevant}
        seen: set[bytes] = set()
        kept = []
        for candidate in candidates:
            if self._set.collection_of(candidate.id) != collection:
                self.counts["other_collection"] += 1
                continue
            digest = self._digest(candidate.id)
            if reason := self._reason(candidate.id, digest, relevant, of_relevant, seen):
                self.counts[reason] += 1
                continue
            seen.add(digest)
            kept.append(candidate)
        return kept

    def _reason(
        self,
        identifier: str,
        digest: bytes,
        relevant: set[str],
        of_relevant: set[bytes],
        seen: set[bytes],
    ) -> str:
        """Why a candidate is dropped; empty if it is not."""
        if identifier in relevant:
            return "relevant"
        if digest in of_relevant:
            return "same_text"
        if digest in seen:
            return "repeated_text"
        if self._near is not None and self._is_near(identifier, relevant, self._near):
            return "near_duplicate"
        return ""

    def _is_near(self, identifier: str, relevant: set[str], least: float) -> bool:
        words = self._words(identifier)
        return any(_jaccard(words, self._words(each), least) for each in relevant)


def _digest(text: str) -> bytes:
    """Of a text without regard to case and white space."""
    return hashlib.blake2b(" ".join(text.lower().split()).encode(), digest_size=8).digest()


def _words(text: str) -> frozenset[int]:
    return frozenset(map(hash, text.lower().split()))


def _jaccard(first: frozenset[int], second: frozenset[int], least: float) -> bool:
    """Whether |both| / |either| is at least so much."""
    small, large = sorted((len(first), len(second)))
    if not small or small < least * large:
        return False
    both = len(first & second)
    return both >= least * (small + large - both)
