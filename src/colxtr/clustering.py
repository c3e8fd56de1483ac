"""Spherical k-means over a sample of token embeddings: the centroids of the codec.

Our own, not a library's, because the codec needs exactly the assignment kernel that encoding uses;
knows nothing of documents or files.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from colxtr import kernels
from colxtr.cpus import available_cpus
from colxtr.progress import SILENT, Meter

BLOCK = 65_536  # rows that are in single precision at a time


def number_of_centroids(n_tokens: int) -> int:
    """16 * sqrt(n_tokens), as the ColBERTv2 code base has it, but not rounded to a power of two.

    A multiple of 32 (the native module works on 32 at a time), and at most a quarter of the
    tokens, so that small collections do not get a centroid per token.
    """
    wanted = int(min(16 * n_tokens**0.5, n_tokens / 4))
    return max(wanted // 32 * 32 if wanted > 32 else wanted, 1)


def spherical_kmeans(
    sample: NDArray[np.floating],
    n_centroids: int,
    *,
    iterations: int = 6,
    seed: int = 0,
    threads: int | None = None,
    meter: Meter = SILENT,
) -> NDArray[np.float32]:
    """Centroids of length 1 that maximise the mean inner product with their tokens.

    Args:
        sample: (n, dim) embeddings of length 1, n >= n_centroids, any floating type.
        n_centroids: How many.
        iterations: Rounds of assignment and averaging.
        seed: Of the first centroids (rows drawn without repetition) and of the replacements for
            centroids that lost all their tokens.
        threads: None for all processors. The result does not depend on it.
        meter: Shows the progress.

    Returns:
        (n_centroids, dim) float32.
    """
    threads = threads or available_cpus()
    random = np.random.default_rng(seed)
    first = np.sort(random.choice(len(sample), n_centroids, replace=False))
    centroids = unit_length(sample[first].astype(np.float32))
    with meter.part(
        f"Training ({iterations} rounds)", iterations * len(sample), "tokens"
    ) as advance:
        for _ in range(iterations):
            centroids = _moved(sample, centroids, random, threads, advance)
    return centroids


def _moved(
    sample: NDArray[np.floating],
    centroids: NDArray[np.float32],
    random: np.random.Generator,
    threads: int,
    advance: Meter,
) -> NDArray[np.float32]:
    """The centroids after one round: each in the middle of the rows nearest to it."""
    panels = kernels.Panels(centroids)
    sums = np.zeros_like(centroids)
    counts = np.zeros(len(centroids), np.int64)
    for start in range(0, len(sample), BLOCK):
        rows = np.ascontiguousarray(sample[start : start + BLOCK], np.float32)
        nearest = kernels.in_row_blocks(panels.nearest, rows, threads)
        kernels.add_rows(sums, rows, nearest)
        counts += np.bincount(nearest, minlength=len(centroids))
        advance(len(rows))
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        sums[empty] = sample[np.sort(random.choice(len(sample), len(empty), replace=False))]
    return unit_length(sums)


def unit_length(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Each row divided by its length; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.zeros(rows.shape, np.float32)
    np.divide(rows, lengths, where=lengths > 0, out=unit)
    return unit
