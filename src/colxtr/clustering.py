"""Spherical k-means over a sample of token embeddings, and the nearest of many centroids.

Our own, not a library's, because the codec needs exactly the assignment that encoding uses; knows
nothing of documents or files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from colxtr import kernels
from colxtr.clustering_gpu import chosen_device, nearest_on
from colxtr.cpus import available_cpus, in_order
from colxtr.progress import SILENT, Meter

Nearest = Callable[[NDArray[np.float32]], NDArray[np.uint32]]

BLOCK = 65_536  # rows that are in single precision at a time
PIECE = 16_384  # rows that one thread works on: as many as the native module sorts together
MOST_COMPARED = 4_096  # centroids up to which a row is compared with all of them
GROUPS_PER_ROOT = 6  # groups of centroids: 6 * sqrt(centroids)
PROBED_GROUPS = 16  # that a row looks into
ROUNDS = (4, 4, 2, 1, 1, 1)  # of k-means: twice every fourth row of the sample, and so on
LEAST_PER_CENTROID = 8  # rows that a round must leave
LEAST_GROUPED = 4_096  # centroids from which on a search looks into groups of them
SEARCHED_GROUPS_PER_ROOT = 12  # of these: 12 * sqrt(centroids)


def number_of_centroids(n_tokens: int) -> int:
    """16 * sqrt(n_tokens), as the ColBERTv2 code base has it, but not rounded to a power of two.

    A multiple of 32 (the native module works on 32 at a time), and at most a quarter of the
    tokens, so that small collections do not get a centroid per token.
    """
    wanted = int(min(16 * n_tokens**0.5, n_tokens / 4))
    return max(wanted // 32 * 32 if wanted > 32 else wanted, 1)


def nearest_of(centroids: NDArray[np.float32]) -> Nearest:
    """A function that finds the centroid with the largest inner product for each row.

    Up to `MOST_COMPARED` centroids exactly, and on a GPU any number. Else a row sees the centroids
    of the `PROBED_GROUPS` groups whose centres are nearest to it, which docs/log.md ("Build") has
    the loss of. The function may be called from several threads; a row's result depends on that
    row alone.

    Args:
        centroids: (n_centroids, dim), n_centroids >= 1.
    """
    if len(centroids) <= MOST_COMPARED:
        return kernels.Panels(centroids).nearest
    if (device := chosen_device(len(centroids))) is not None:
        return nearest_on(device, centroids)
    n_groups = int(GROUPS_PER_ROOT * len(centroids) ** 0.5)
    centres = spherical_kmeans(centroids, n_groups, rounds=(1, 1, 1, 1))
    group_of = kernels.in_row_blocks(nearest_of(centres), centroids, available_cpus())
    groups = kernels.Groups(centroids, group_of, centres)
    return lambda rows: groups.nearest(rows, PROBED_GROUPS)


def groups_of(
    centroids: NDArray[np.float32], *, seed: int = 0, threads: int | None = None
) -> dict[str, NDArray[np.uint32]]:
    """Groups of neighbouring centroids, into some of which each query token looks.

    Args:
        centroids: (n_centroids, dim).
        seed: As of `spherical_kmeans`.
        threads: None for all processors. The result does not depend on it.

    Returns:
        "grouped", (n_centroids,): their numbers, group after group, ascending in each; and
        "group_ends", (n_groups,): where each ends. Nothing for fewer than `LEAST_GROUPED`.
    """
    n = len(centroids)
    if n < LEAST_GROUPED:
        return {}
    n_groups = int(SEARCHED_GROUPS_PER_ROOT * n**0.5)
    centres = spherical_kmeans(centroids, n_groups, rounds=(1,) * 5, seed=seed, threads=threads)
    threads = threads or available_cpus()
    group_of = kernels.in_row_blocks(nearest_of(centres), unit_length(centroids), threads)
    sizes = np.bincount(group_of)
    return {
        "grouped": np.argsort(group_of, kind="stable").astype(np.uint32),
        "group_ends": np.cumsum(sizes[sizes > 0]).astype(np.uint32),
    }


def spherical_kmeans(
    sample: NDArray[np.floating],
    n_centroids: int,
    *,
    rounds: Sequence[int] = ROUNDS,
    seed: int = 0,
    threads: int | None = None,
    meter: Meter = SILENT,
) -> NDArray[np.float32]:
    """Centroids of length 1 that maximise the mean inner product with their tokens.

    Args:
        sample: (n, dim) embeddings of any length but zero, n >= n_centroids, any floating type;
            each counts as if it had length 1.
        n_centroids: How many.
        rounds: Of assignment (`nearest_of`) and averaging; each takes every so many rows of the
            sample, or more if these would be too few. Early rounds need not see all of them.
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
    most = max(len(sample) // (LEAST_PER_CENTROID * n_centroids), 1)
    parts = [sample[:: min(every, most)] for every in rounds]
    with meter.part(f"Training ({len(parts)} rounds)", sum(map(len, parts)), "tokens") as advance:
        for part in parts:
            centroids = _moved(part, centroids, random, threads, advance)
    return centroids


def _moved(
    sample: NDArray[np.floating],
    centroids: NDArray[np.float32],
    random: np.random.Generator,
    threads: int,
    advance: Meter,
) -> NDArray[np.float32]:
    """The centroids after one round: each in the middle of the rows nearest to it."""
    nearest_to = nearest_of(centroids)

    def assigned(start: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
        rows = unit_length(sample[start : start + PIECE])
        return rows, nearest_to(rows)

    sums = np.zeros_like(centroids)
    counts = np.zeros(len(centroids), np.int64)
    for rows, nearest in in_order(assigned, range(0, len(sample), PIECE), threads):
        kernels.add_rows(sums, rows, nearest)
        counts += np.bincount(nearest, minlength=len(centroids))
        advance(len(rows))
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        drawn = np.sort(random.choice(len(sample), len(empty), replace=False))
        sums[empty] = sample[drawn]
    return unit_length(sums)


def unit_length(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Each row divided by its length, in a new array; rows of zeros stay."""
    unit = rows.astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", unit, unit))
    lengths[lengths == 0] = 1
    unit /= lengths[:, None]
    return unit
