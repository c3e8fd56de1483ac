"""Which of many ranked candidates become negatives. Knows only their number."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

from colxtr.errors import InputError

T = TypeVar("T")

WAYS = ("strata", "uniform", "top")


def check_way(way: str) -> None:
    """Raise `InputError` unless there is such a way of sampling."""
    if way not in WAYS:
        raise InputError(f"sampling is {way!r}; possible are {', '.join(WAYS)}")


def sampled(ranked: Sequence[T], n: int, way: str, seed: str) -> list[T]:
    """Draw n of some ranked candidates; what is drawn keeps its order, hardest first.

    Args:
        ranked: The candidates, hardest first.
        n: How many; all of them if there are no more.
        way: "top" takes the first; "uniform" draws from all with equal chances; "strata" cuts the
            ranking into n stretches and draws one of each, so that easy and hard ones are there.
        seed: The same seed draws the same.
    """
    check_way(way)
    if len(ranked) <= n:
        return list(ranked)
    if way == "top":
        return list(ranked[:n])
    generator = random.Random(seed)
    if way == "uniform":
        return [ranked[i] for i in sorted(generator.sample(range(len(ranked)), n))]
    edges = [i * len(ranked) // n for i in range(n + 1)]
    return [ranked[generator.randrange(edge, edges[i + 1])] for i, edge in enumerate(edges[:-1])]
