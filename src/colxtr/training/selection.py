"""From scored tuples to those that are trained on: what the teacher takes for relevant is dropped.

Knows nothing of the teacher, only its scores.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from colxtr.errors import InputError
from colxtr.training.sampling import check_way, sampled
from colxtr.training.sets import NWayTuple


@dataclass(frozen=True, slots=True)
class Selection:
    """Which scored negatives are kept, and how many.

    Attributes:
        negatives: At most so many for each tuple; None keeps all.
        min_negatives: A tuple left with fewer is dropped.
        max_ratio: Negatives scoring above this share of the relevant document's score are taken
            for false ones and dropped: NV-Retriever's "percentage of the positive score"
            (Moreira et al. 2024), 0.95 there. Of a negative score s the share is s - (1 - share)
            |s|, so that it stays below s. None switches this off.
        margin: A negative must score at least so much below the relevant document; 0 drops only
            what scores above it; None: off. The criterion for teachers trained by KL or a softmax
            (`distil.py`): a constant added to all scores of a query leaves their loss as it is, so
            that only differences mean something, neither shares nor probabilities.
        probabilities: Compare sigmoid(score), for cross-encoders that were trained on single
            pairs, whose scores are logits.
        sampling: How negatives are drawn from what is left, by score: "top", "uniform", "strata".
        seed: Of the drawing.

    Raises:
        InputError: A value is out of range.
    """

    negatives: int | None = None
    min_negatives: int = 1
    max_ratio: float | None = None
    margin: float | None = None
    probabilities: bool = False
    sampling: str = "top"
    seed: int = 0

    def __post_init__(self) -> None:
        check_way(self.sampling)
        if self.max_ratio is not None and not 0 < self.max_ratio <= 1:
            raise InputError(f"max_ratio is {self.max_ratio}; it must be above 0, and at most 1")
        if self.margin is not None and not self.margin >= 0:
            raise InputError(f"margin is {self.margin}; it must be 0 or more")
        if self.negatives is not None and self.negatives < max(1, self.min_negatives):
            raise InputError(
                f"negatives is {self.negatives}, but at least {max(1, self.min_negatives)} are "
                "wanted (min_negatives)"
            )


def select(example: NWayTuple, selection: Selection, counts: Counter[str]) -> NWayTuple | None:
    """Drop false negatives of a scored tuple, and draw from the others.

    Args:
        example: With scores.
        selection: What is kept.
        counts: Counts up `negatives_scored`, `false_negatives`, and `tuples` or `tuples_dropped`.

    Returns:
        The tuple, its negatives in the order of their scores; None if too few are left.

    Raises:
        InputError: The tuple has no scores.
    """
    if example.scores is None:
        raise InputError(f"the tuple of query {example.query_id!r} has no scores; score it first")
    positive, *others = zip(example.document_ids, example.scores, strict=True)
    limit = _limit(_compared(positive[1], selection), selection)
    kept = [each for each in others if _compared(each[1], selection) <= limit]
    counts["negatives_scored"] += len(others)
    counts["false_negatives"] += len(others) - len(kept)
    if len(kept) < selection.min_negatives:
        counts["tuples_dropped"] += 1
        return None
    kept.sort(key=lambda each: (-each[1], each[0]))
    n = len(kept) if selection.negatives is None else selection.negatives
    seed = f"{selection.seed}:{example.query_id}:{positive[0]}"
    chosen = [positive, *sampled(kept, n, selection.sampling, seed)]
    counts["tuples"] += 1
    counts["negatives"] += len(chosen) - 1
    ids, scores = zip(*chosen, strict=True)
    return NWayTuple(example.query_id, ids, scores)


def _compared(score: float, selection: Selection) -> float:
    if not selection.probabilities:
        return score
    return 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))


def _limit(positive: float, selection: Selection) -> float:
    """The highest score of a negative."""
    limit = math.inf
    if selection.max_ratio is not None:
        limit = positive - (1 - selection.max_ratio) * abs(positive)
    if selection.margin is not None:
        limit = min(limit, positive - selection.margin)
    return limit
