"""Recall against the truth, and what a curve of latency against recall says. Pure functions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Point(NamedTuple):
    """What one setting of an engine gives."""

    recall: float
    milliseconds: float


def mean_recall(found: Sequence[Sequence[int]], truth: NDArray[np.int32], k: int) -> float:
    """The share of the true best `k` that is among the first `k` found, averaged over queries.

    Args:
        found: Documents of each query, best first; may be fewer than `k`.
        truth: (n_queries, at least k, or all documents there are).
        k: How many count.
    """
    shares = [
        len(set(of_query[:k]) & set(best[:k].tolist())) / min(k, len(best))
        for of_query, best in zip(found, truth, strict=True)
    ]
    return float(np.mean(shares))


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """The points that no other beats in both, from the fastest to the most accurate."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.milliseconds, -p.recall)):
        if not front or point.recall > front[-1].recall:
            front.append(point)
    return front


def latency_at(points: Iterable[Point], recall: float) -> float | None:
    """Milliseconds at which a recall is reached, or None where no setting reaches it.

    Between neighbours of the Pareto front the logarithm of the latency is taken to be linear in
    the recall. Below the front's fastest point that point counts: it reaches more than is asked.
    """
    front = pareto_front(points)
    if not front or front[-1].recall < recall:
        return None
    if front[0].recall >= recall:
        return front[0].milliseconds
    for low, high in itertools.pairwise(front):
        if high.recall >= recall:
            share = (recall - low.recall) / (high.recall - low.recall)
            logarithms = math.log(low.milliseconds), math.log(high.milliseconds)
            return math.exp(logarithms[0] + share * (logarithms[1] - logarithms[0]))
    raise AssertionError("the last point reaches the recall")
