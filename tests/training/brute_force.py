"""Training scores and losses as loops over the formulas: what the fast ones are held against."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def maxsim(q: Floats, q_mask: Mask, d: Floats, d_mask: Mask) -> Floats:
    scores = np.zeros((len(q), len(d)))
    for a in range(len(q)):
        for b in range(len(d)):
            tokens = d[b][d_mask[b]]
            best = [max(t @ token for token in tokens) for t in q[a][q_mask[a]] if len(tokens)]
            scores[a, b] = sum(best) / max(1, q_mask[a].sum())
    return scores


def xtr(  # noqa: PLR0917
    q: Floats, q_mask: Mask, d: Floats, d_mask: Mask, k: int, weights: Floats | None = None
) -> Floats:
    """(1/Z) sum_i w_i max_j A_ij s_ij; what was not retrieved is left out, not taken for 0."""
    weights = np.ones(q_mask.shape) if weights is None else weights
    scores = np.zeros((len(q), len(d)))
    valid = [(b, j) for b in range(len(d)) for j in range(d.shape[1]) if d_mask[b, j]]
    for a in range(len(q)):
        retrieved: list[list[tuple[float, int]]] = []
        for token in q[a][q_mask[a]]:
            ranked = sorted(((token @ d[b, j], b) for b, j in valid), reverse=True)
            retrieved.append(ranked[:k])
        for b in range(len(d)):
            best = [[s for s, owner in row if owner == b] for row in retrieved]
            rows = zip(weights[a][q_mask[a]], best, strict=True)
            maxima = [(w, max(row)) for w, row in rows if row]
            z = sum(w for w, _ in maxima)
            scores[a, b] = sum(w * s for w, s in maxima) / (z or 1)
    return scores


def softmax(values: list[float]) -> list[float]:
    largest = max(values)
    powers = [math.exp(value - largest) for value in values]
    return [power / sum(powers) for power in powers]


def cross_entropy(scores: Floats, positives: list[int], allowed: Mask, temperature: float) -> float:
    total = 0.0
    for row, positive in enumerate(positives):
        columns = [c for c in range(scores.shape[1]) if allowed[row, c] or c == positive]
        shares = softmax([scores[row, c] / temperature for c in columns])
        total -= math.log(shares[columns.index(positive)])
    return total / len(positives)


def divergence(  # noqa: PLR0917
    student: Floats, teacher: Floats, valid: Mask, t_student: float, t_teacher: float, how: str
) -> float:
    terms = []
    for row in range(len(student)):
        ways = [w for w in range(student.shape[1]) if valid[row, w]]
        if len(ways) < 2:
            continue
        scores = teacher[row, ways]
        if how == "min-max":
            spread = scores.max() - scores.min()
            scores = (scores - scores.min()) / spread if spread > 1e-9 else scores * 0
        elif how == "z-score":
            spread = scores.std()
            scores = (scores - scores.mean()) / spread if spread > 1e-9 else scores * 0
        p = softmax([score / t_teacher for score in scores])
        s = softmax([student[row, w] / t_student for w in ways])
        terms.append(sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, s, strict=True)))
    return sum(terms) / max(1, len(terms))
