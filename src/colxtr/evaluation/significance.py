"""Is the difference of two runs more than chance? The same queries, measured in both.

Sources: Smucker, Allan and Carterette 2007 ("A comparison of statistical significance tests for
information retrieval evaluation"): randomisation test and paired t-test agree, the sign test and
Wilcoxon's should not be used.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colxtr.errors import InputError

ROUNDS = 100_000
_BLOCK = 4_000_000  # random signs in memory at a time
_EQUAL = 1e-12  # sums of the same values in another order differ by less


@dataclass(frozen=True)
class Significance:
    """A measure's difference between two runs, second minus first.

    Attributes:
        difference: Of the means.
        n_queries: Measured in both.
        wins: Queries on which the second run is better.
        losses: On which it is worse.
        p_randomisation: Two-sided, of the paired randomisation test.
        p_t: Two-sided, of the paired t-test; None where scipy is not installed.
    """

    difference: float
    n_queries: int
    wins: int
    losses: int
    p_randomisation: float
    p_t: float | None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self)


def compare_runs(
    first: Mapping[str, float],
    second: Mapping[str, float],
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> Significance:
    """Test whether two runs differ in a measure.

    Args:
        first: The measure by query id (`Evaluation.per_query[...]`).
        second: The same of the other run, with the same queries.
        rounds: Of the randomisation test; its smallest p is 1 / (rounds + 1).
        seed: Of the randomisation.

    Raises:
        InputError: The queries differ, or there are none, or `rounds` is below 1.
    """
    if first.keys() != second.keys() or not first:
        only = len(first.keys() ^ second.keys())
        raise InputError(
            f"the runs have {len(first)} and {len(second)} measured queries, {only} of them in one "
            "run only; measure both with the same judgements"
        )
    if rounds < 1:
        raise InputError(f"rounds is {rounds}; at least 1 is possible")
    differences = np.array([second[query] - first[query] for query in sorted(first)])
    return Significance(
        difference=float(differences.mean()),
        n_queries=len(differences),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        p_randomisation=randomisation_test(differences, rounds=rounds, seed=seed),
        p_t=paired_t_test(differences),
    )


def randomisation_test(
    differences: NDArray[np.floating], *, rounds: int = ROUNDS, seed: int = 0
) -> float:
    """P of the paired randomisation test, two-sided.

    If the runs were equal, each query's difference could as well have the other sign. p is the
    share of random signs under which the mean differs from 0 by as much as it does, the observed
    signs counted as one round: (hits + 1) / (rounds + 1).

    Args:
        differences: (n_queries,).
        rounds: How many times signs are drawn.
        seed: Of the drawing.
    """
    moving = differences[differences != 0]
    if not len(moving):
        return 1.0
    observed = abs(moving.sum()) - _EQUAL
    generator = np.random.default_rng(seed)
    hits = 0
    for start in range(0, rounds, block := max(1, _BLOCK // len(moving))):
        shape = (min(block, rounds - start), len(moving))
        signs = generator.integers(0, 2, shape, dtype=np.int8) * np.int8(2) - np.int8(1)
        hits += int((np.abs(signs @ moving) >= observed).sum())
    return (hits + 1) / (rounds + 1)


def paired_t_test(differences: NDArray[np.floating]) -> float | None:
    """P of Student's paired t-test, two-sided; None where scipy is not installed.

    1 where all differences are 0, or where there is but one.
    """
    if importlib.util.find_spec("scipy") is None:
        return None
    if len(differences) < 2 or not differences.any():
        return 1.0
    deviation = float(differences.std(ddof=1))
    if deviation == 0:
        return 0.0
    from scipy.stats import t  # noqa: PLC0415 - takes half a second

    statistic = float(differences.mean()) / (deviation / len(differences) ** 0.5)
    return float(2 * t.sf(abs(statistic), len(differences) - 1))
