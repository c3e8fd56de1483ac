"""Scoring: a teacher's scores for tuples, and the selection that follows from them.

Works part by part, so that hours of work survive an interruption.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from colxtr.training.fingerprints import of_value
from colxtr.training.parts import in_parts
from colxtr.training.selection import Selection, select
from colxtr.training.sets import NWayTuple, TrainingSet
from colxtr.training.teachers import Teacher
from colxtr.training.tuple_files.own import tuple_line

_PART_TUPLES = 64  # a minute or so of a small cross-encoder on one core

Known = Mapping[tuple[str, str], float]  # (query id, document id) -> score


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """What scoring came to.

    Attributes:
        tuples: Tuples written.
        tuples_dropped: Tuples left with too few negatives.
        negatives: Negatives written.
        negatives_scored: Negatives that were looked at.
        false_negatives: Of these, dropped for scoring too near to the relevant document.
        pairs_scored: Pairs that the teacher read; the others' scores were known.
        positive_first: Share of tuples whose relevant document the teacher puts first.
    """

    tuples: int
    tuples_dropped: int
    negatives: int
    negatives_scored: int
    false_negatives: int
    pairs_scored: int
    positive_first: float

    @classmethod
    def of(cls, counts: Counter[str]) -> ScoreReport:
        """Make a report of the counts."""
        read = max(1, counts["tuples"] + counts["tuples_dropped"])
        names = (
            "tuples",
            "tuples_dropped",
            "negatives",
            "negatives_scored",
            "false_negatives",
            "pairs_scored",
        )
        return cls(
            **{name: counts[name] for name in names},
            positive_first=counts["positive_first"] / read,
        )


def score(
    training_set: TrainingSet,
    teacher: Teacher,
    output: str | Path,
    *,
    selection: Selection | None = None,
    known: Known | None = None,
    key: object = None,
    part_tuples: int = _PART_TUPLES,
    progress: bool = False,
) -> ScoreReport:
    """Score all tuples of a set, select, and write them, as `tuple_files.own` has them.

    After an interruption the same call goes on (`parts.py`).

    Args:
        training_set: Tuples and texts; scores that tuples have are replaced.
        teacher: Gives the scores.
        output: The file of tuples; an existing one is replaced at the end.
        selection: Which tuples and negatives are kept; by default all.
        known: Scores that need not be asked for again, of the same teacher.
        key: Anything in JSON that tells which set and teacher these are: parts begun with another
            are thrown away.
        part_tuples: Tuples between two writes.
        progress: Show a progress bar.

    Raises:
        StorageError: The file cannot be written.
    """
    selection = selection or Selection()
    given = known or {}

    def work(some: Sequence[NWayTuple]) -> tuple[list[str], Counter[str]]:
        counts: Counter[str] = Counter()
        lines = []
        for example in _scored(some, training_set, teacher, given, counts):
            counts["positive_first"] += is_positive_first(example)
            if (kept := select(example, selection, counts)) is not None:
                lines.append(tuple_line(kept))
        return lines, counts

    tuples = of_value([(t.query_id, t.document_ids) for t in training_set.tuples])
    counts = in_parts(
        Path(output),
        training_set.tuples,
        work,
        key={**asdict(selection), "tuples": tuples, "input": key},
        size=part_tuples,
        description="Scoring",
        unit="tuples",
        progress=progress,
    )
    return ScoreReport.of(counts)


def is_positive_first(example: NWayTuple) -> bool:
    """Whether the relevant document has the best score."""
    return example.scores is not None and example.scores[0] >= max(example.scores)


def known_scores(tuples: Sequence[NWayTuple]) -> dict[tuple[str, str], float]:
    """The scores that some tuples carry, by query and document."""
    return {
        (example.query_id, document_id): score
        for example in tuples
        if example.scores is not None
        for document_id, score in zip(example.document_ids, example.scores, strict=True)
    }


def _scored(
    tuples: Sequence[NWayTuple],
    training_set: TrainingSet,
    teacher: Teacher,
    known: Known,
    counts: Counter[str],
) -> list[NWayTuple]:
    asked = dict.fromkeys((t.query_id, each) for t in tuples for each in t.document_ids)
    missing = [pair for pair in asked if pair not in known]
    counts["pairs_scored"] += len(missing)
    texts = [(training_set.queries[q], training_set.documents[d]) for q, d in missing]
    scores = {pair: known[pair] for pair in asked if pair in known}
    scores |= dict(zip(missing, map(float, teacher.score(texts)), strict=True))
    return [
        NWayTuple(
            t.query_id, t.document_ids, tuple(scores[t.query_id, each] for each in t.document_ids)
        )
        for t in tuples
    ]
