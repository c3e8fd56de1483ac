"""Training of the quantiser: what is learnt of residuals, given the centroids.

A residual is rotated to the principal directions of all, divided by its root mean square (then it
is a *shape*), and coded in groups of 8/n_bits dimensions, a byte each. The byte and the upper half
of the one before it choose among 4,096 codewords: trellis-coded quantisation (Marcellin and Fischer
1990) on a bitshift trellis (Tseng et al. 2024, "QTIP"), with a codebook that is learnt like that of
k-means. docs/log.md has what each part brings. Knows nothing of k-means, documents or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colxtr import kernels
from colxtr.clustering import unit_length

Floats = NDArray[np.float32]

N_CODEWORDS = 4096
MOST_GROUPS = 500_000  # that train the codebook
LEAST_GROUPS = 125_000
ROUNDS = ((16, 8), (4, 4), (1, 6))  # of its training: so many on a 16th of the groups, and so on
LEAST_SCALE = 0.01  # of the centroids
UNLIKE = 0.25  # of the tokens of a text: that many tell as much as independent ones
HALF_BYTE = np.uint32(4)


def to_int8(centroids: Floats) -> dict[str, NDArray[Any]]:
    """Centroids, (n, dim), as the arrays of a codec."""
    scales = np.maximum(np.abs(centroids).max(axis=1), 1e-12).astype(np.float32) / np.float32(127)
    int8 = np.rint(centroids / scales[:, None]).astype(np.int8)
    return {"centroids": int8, "centroid_scales": scales}


def to_float(arrays: Mapping[str, NDArray[Any]]) -> Floats:
    """The inverse of `to_int8`, rotated if the codec is."""
    scaled: Floats = arrays["centroids"] * arrays["centroid_scales"][:, None]
    return scaled


def train_quantiser(
    unit: Floats,
    centroids: Floats,
    nearest: NDArray[np.uint32],
    *,
    n_bits: int,
    seed: int,
    threads: int,
) -> dict[str, NDArray[Any]]:
    """All arrays of a codec but the lengths.

    Args:
        unit: (n, dim) token embeddings of length 1, n >= 1.
        centroids: (n_centroids, dim), of length 1.
        nearest: (n,), the centroid of each token.
        n_bits: 1, 2, 4 or 8.
        seed: Of everything random.
        threads: The result does not depend on it.
    """
    width = 8 // n_bits
    scale = _centroid_scale(unit, centroids[nearest])
    directions = _principal_directions(_shapes(unit - scale * centroids[nearest]))
    rotation = np.ascontiguousarray(directions[:, dealt_out(unit.shape[1], width)])
    arrays = to_int8(centroids @ rotation)
    arrays["centroid_scales"] *= scale
    rotated = unit @ rotation
    residuals = rotated - to_float(arrays)[nearest]
    shapes = _shapes(residuals)
    codebook, step = train_codebook(shapes, n_bits, seed=seed, threads=threads)
    coded = (codebook * step)[_find_codewords(shapes, codebook, step, threads)]
    gains = _gains(rotated, residuals, coded.reshape(residuals.shape))
    return arrays | {
        "rotation": rotation,
        "codebook": codebook,
        "codebook_scale": np.full(1, step),
        "gains": _gain_table(gains, unit.shape[1]),
    }


def _centroid_scale(unit: Floats, nearest: Floats) -> np.float32:
    """What centroids of length 1 are shortened by to be nearest to their tokens, on the average.

    One factor for all: with it, the nearest centroid by inner product stays the same.
    """
    cosine = np.einsum("ij,ij->i", unit, nearest).mean()
    return np.float32(max(cosine, LEAST_SCALE))


def _shapes(residuals: Floats) -> Floats:
    """Residuals divided by their root mean square; residuals of zero stay."""
    return unit_length(residuals) * np.float32(residuals.shape[1] ** 0.5)


def _principal_directions(shapes: Floats) -> Floats:
    """(dim, dim), a direction a column, the one of the largest second moment first."""
    _, directions = np.linalg.eigh(shapes.T.astype(np.float64) @ shapes)
    return directions[:, ::-1].astype(np.float32)


def dealt_out(dim: int, width: int) -> NDArray[np.intp]:
    """The directions in the order of the groups: the strongest ones dealt out there and back.

    Every group has strong and weak ones, spends its byte where the variance is, and all groups are
    alike enough for one codebook.
    """
    deals = np.arange(dim).reshape(width, -1)
    deals[1::2] = deals[1::2, ::-1]
    return deals.T.ravel()


def train_codebook(
    shapes: Floats, n_bits: int, *, seed: int = 0, threads: int = 1
) -> tuple[NDArray[np.int8], np.float32]:
    """Codewords with (locally) the least squared error on shapes, (n, dim).

    With 8 bits the integers, else each codeword moves to the mean of the groups that the trellis
    gave it, and so on. The first rounds see few groups, enough to come near.

    Args:
        shapes: In their principal directions, dealt out.
        n_bits: 1, 2, 4 or 8.
        seed: Of everything random.
        threads: The result does not depend on it.

    Returns:
        (4096, 8 / n_bits) integers, with 8 bits (256, 1), and the scale to multiply them with.
    """
    random = np.random.default_rng(seed)
    shapes = _enough(shapes, 8 // n_bits, random)
    if n_bits == 8:
        return np.arange(-128, 128, dtype=np.int8)[:, None], _best_step(shapes)
    groups = shapes.reshape(-1, 8 // n_bits)
    codebook = groups[random.choice(len(groups), N_CODEWORDS, replace=False)]
    integers, step = _to_integers(codebook, np.ones(N_CODEWORDS))
    for part, rounds in ROUNDS:
        some = shapes[: -(-len(shapes) // part)]
        for _ in range(rounds):
            found = _find_codewords(some, integers, step, threads).ravel()
            codebook = _moved(codebook, groups[: len(found)], found)
            integers, step = _to_integers(codebook, np.bincount(found, minlength=N_CODEWORDS))
    return integers, step


def _enough(shapes: Floats, width: int, random: np.random.Generator) -> Floats:
    """Shapes in random order, neither too many nor too few groups.

    Few are joined by Gaussian ones of their spread, which is what shapes look like: the codewords
    must serve documents to come.
    """
    dim = shapes.shape[1]
    most, least = MOST_GROUPS * width // dim, LEAST_GROUPS * width // dim
    shapes = shapes[random.permutation(len(shapes))[:most]]
    if (missing := least - len(shapes)) <= 0:
        return shapes
    gaussian = random.standard_normal((missing, dim), dtype=np.float32) * _deviations(shapes)
    return np.concatenate([shapes, _shapes(gaussian)])[random.permutation(least)]


def _deviations(shapes: Floats) -> Floats:
    """(dim,), the standard deviations in all principal directions of shapes, (n, dim).

    Those of few tokens differ more than in truth: of n tokens alike in all directions the variances
    would differ by dim/n in the mean square, and that much of it is taken away (Ledoit and Wolf
    2004), with n the tokens that are `UNLIKE` others.
    """
    variances = np.square(shapes).mean(axis=0)
    spread = max(np.square(variances - 1).mean(), 1e-12)
    by_chance = min(shapes.shape[1] / (len(shapes) * UNLIKE) / spread, 1)
    deviations: Floats = np.sqrt(by_chance + (1 - by_chance) * variances, dtype=np.float32)
    return deviations


def _moved(codebook: Floats, groups: Floats, found: NDArray[np.uint32]) -> Floats:
    """The codewords, each in the middle of the groups that it was found for, if there are any."""
    sums = np.zeros_like(codebook)
    kernels.add_rows(sums, groups, found)
    counts = np.bincount(found, minlength=len(codebook))[:, None]
    moved: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), codebook).astype(np.float32)
    return moved


def _to_integers(
    codebook: Floats, counts: NDArray[np.floating | np.integer]
) -> tuple[NDArray[np.int8], np.float32]:
    """The codewords in eight bits, and their unit: what matters are the ones that are used."""
    step = _best_step(codebook, counts[:, None])
    return np.rint(codebook / step).clip(-128, 127).astype(np.int8), step


def _best_step(values: Floats, weights: Any = 1) -> np.float32:
    """The distance of evenly spaced levels, 256 of them, with the least squared error."""
    steps = np.float32(np.abs(values).max() / 127) * np.linspace(0.3, 1, 36, dtype=np.float32)
    errors = [
        (weights * np.square(values - np.clip(np.rint(values / step), -128, 127) * step)).sum()
        for step in steps
    ]
    best: np.float32 = steps[int(np.argmin(errors))]
    return best


def _find_codewords(
    shapes: Floats, codebook: NDArray[np.int8], scale: np.float32, threads: int
) -> NDArray[np.uint32]:
    """(n, n_groups), which codeword each group of shapes, (n, dim), gets."""
    coder = shape_coder(codebook, scale, shapes.shape[1])

    def find(rows: Floats) -> NDArray[np.uint32]:
        codes, *_ = coder.encode(rows, np.zeros(len(rows), np.uint32))
        found = codes.astype(np.uint32)
        if len(codebook) == N_CODEWORDS:
            found = found << HALF_BYTE | np.roll(found, 1, axis=1) >> HALF_BYTE
        return found

    return kernels.in_row_blocks(find, shapes, threads)


def shape_coder(codebook: NDArray[np.int8], scale: np.float32, dim: int) -> kernels.Codec:
    """A codec that codes shapes, (n, dim): its only centroid is zero, so they are the residuals."""
    return kernels.Codec(
        8 // codebook.shape[1],
        np.zeros((1, dim), np.int8),
        np.ones(1, np.float32),
        codebook=codebook,
        codebook_scale=np.full(1, scale),
        rotation=np.eye(dim, dtype=np.float32),
        gains=np.zeros(256, np.float32),
    )


def _gains(rotated: Floats, residuals: Floats, coded: Floats) -> Floats:
    """(n,), what codewords are multiplied with: least squares, of weighted errors.

    An error along the token counts 1 + dim/4 times, because a query's best token is one that
    points where the query does: along the token lies what its similarity is wrong by.
    """
    weight = rotated.shape[1] / 4
    along, residual_along = _products(coded, rotated), _products(residuals, rotated)
    products = _products(residuals, coded) + weight * residual_along * along
    squares = _products(coded, coded) + weight * along**2
    gains: Floats = np.maximum(products, 0) / np.maximum(squares, 1e-12)
    return gains


def _products(a: Floats, b: Floats) -> Floats:
    products: Floats = np.einsum("ij,ij->i", a, b)
    return products


def _gain_table(gains: Floats, dim: int) -> Floats:
    """0, and 255 gains evenly spaced in their logarithm over more than what was seen.

    At least up to a residual of length 1: a small collection's next documents lie farther from its
    centroids than those that these were made of.
    """
    high = max(1.25 * float(gains.max()), dim**-0.5)
    low = max(0.8 * float(np.quantile(gains, 0.001)), high / 1000)
    return np.concatenate([[0.0], np.geomspace(low, high, 255)]).astype(np.float32)
