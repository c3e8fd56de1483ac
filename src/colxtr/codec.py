"""The codec: a token embedding as its nearest centroid and a quantised residual.

docs/index-format.md defines the code; `reference.py` restates it in NumPy. ColBERTv2's residual
compression (Santhanam et al. 2022, section 3.3) with three changes: residuals are scaled by their
spread in each dimension before they are quantised, bucket values are those of Lloyd and Max, and a
byte per token restores the length that quantisation changed. Knows nothing of documents or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from colxtr import kernels
from colxtr.clustering import BLOCK, spherical_kmeans, unit_length
from colxtr.cpus import available_cpus
from colxtr.errors import EmbeddingError, InputError
from colxtr.progress import SILENT, Meter

N_BITS = (1, 2, 4, 8, 16)
HALF = 16  # n_bits of embeddings kept whole, in half precision: XTR's exact store
LARGEST_HALF = 65_504.0  # samples and n_bits=16 are in half precision,
SMALLEST_HALF = 2.0**-14  # which has fewer digits below this
MOST_VALUES = 1_000_000  # of residuals, for the buckets
LEAST_HELD_OUT = 2_048
RESIDUAL_SAMPLE = 65_536  # tokens from which scales, buckets and lengths are learnt


def check_dim(dim: int) -> None:
    """Raise `InputError` unless `dim` is a multiple of 8 from 16 to 1,024."""
    if not 16 <= dim <= 1024 or dim % 8:
        raise InputError(f"dim is {dim}; a multiple of 8 from 16 to 1024 is possible")


def check_n_bits(n_bits: int) -> None:
    """Raise `InputError` unless `n_bits` is 1, 2, 4, 8 or 16."""
    if n_bits not in N_BITS:
        raise InputError(f"n_bits is {n_bits}; 1, 2, 4, 8 or 16 is possible")


def check_embeddings(embeddings: object, dim: int, what: str) -> NDArray[np.float32]:
    """Make (n_tokens, dim) float32 embeddings of an array, or say what is wrong with it.

    Raises:
        EmbeddingError: Another shape, values that are not finite or beyond half precision, or a
            token that is zero or all but zero there: it has no direction.
    """
    array = np.asarray(embeddings)
    if array.ndim != 2 or array.shape[1] != dim or array.dtype.kind not in "iuf":
        raise EmbeddingError(
            f"the embeddings of {what} have shape {array.shape} and type {array.dtype}; "
            f"expected numbers of shape (n_tokens, {dim})"
        )
    with np.errstate(over="ignore"):  # infinity is found below
        array = np.require(array, np.float32, ["C", "ALIGNED"])
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise EmbeddingError(f"the embeddings of {what} hold NaN or infinity, first in row {row}")
    largest = np.abs(array).max(axis=1)
    if (most := largest.max(initial=0)) > LARGEST_HALF:
        raise EmbeddingError(
            f"the embeddings of {what} hold {most:g}; values up to {LARGEST_HALF:g} are possible"
        )
    if len(rows := np.flatnonzero(largest < SMALLEST_HALF)):
        raise EmbeddingError(
            f"the embedding in row {rows[0]} of {what} is zero or nearly so (at most "
            f"{largest[rows[0]]:g}); leave such tokens out"
        )
    return array


class EncodedTokens(NamedTuple):
    """Token embeddings in codes.

    Attributes:
        centroids: (n,) uint32.
        codes: (n, dim * n_bits / 8) uint8.
        lengths: (n,) uint8; None with n_bits=16.
    """

    centroids: NDArray[np.uint32]
    codes: NDArray[np.uint8]
    lengths: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Codec:
    """Centroids and quantiser of an index. Two are equal only if they are the same object.

    Attributes:
        n_bits: Bits per dimension: 1, 2, 4, 8, or 16 for half precision without residuals.
        arrays: What docs/index-format.md lists under "Codec", by name.
    """

    n_bits: int
    arrays: Mapping[str, NDArray[Any]]

    @classmethod
    def train(
        cls,
        sample: NDArray[np.floating],
        *,
        n_bits: int,
        n_centroids: int,
        seed: int = 0,
        threads: int | None = None,
        meter: Meter = SILENT,
    ) -> Codec:
        """Learn a codec from a sample of token embeddings.

        Args:
            sample: (n, dim), n >= 1; any floating type.
            n_bits: 1, 2, 4, 8 or 16.
            n_centroids: Clamped to n.
            seed: Of everything random.
            threads: None for all processors; the result does not depend on it.
            meter: Shows the progress.
        """
        unit = np.empty_like(sample)
        lengths = np.empty(len(sample), np.float32)
        for start in range(0, len(sample), BLOCK):  # a sample in half precision stays small
            rows = sample[start : start + BLOCK].astype(np.float32)
            lengths[start : start + BLOCK] = np.linalg.norm(rows, axis=1)
            unit[start : start + BLOCK] = unit_length(rows)
        kept, held_out = _hold_out(len(unit), n_centroids)
        centroids = spherical_kmeans(
            unit[kept], min(n_centroids, len(unit)), seed=seed, threads=threads, meter=meter
        )
        int8, scales = _to_int8(centroids)
        arrays: dict[str, NDArray[Any]] = {"centroids": int8, "centroid_scales": scales}
        if n_bits != HALF:
            arrays |= _train_quantiser(
                unit[held_out].astype(np.float32),
                lengths[held_out],
                _to_float(arrays),
                n_bits,
                seed,
            )
        return cls(n_bits, arrays)

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return int(self.arrays["centroids"].shape[1])

    @property
    def n_centroids(self) -> int:
        """Number of centroids."""
        return len(self.arrays["centroids"])

    @cached_property
    def native(self) -> kernels.Codec:
        """The same codec in the native module."""
        return kernels.Codec(self.n_bits, **self.arrays)

    @cached_property
    def centroids(self) -> NDArray[np.float32]:
        """(n_centroids, dim), as the codes use them."""
        return _to_float(self.arrays)

    @cached_property
    def _panels(self) -> kernels.Panels:
        return kernels.Panels(self.centroids)

    def encode(self, embeddings: NDArray[np.float32], threads: int | None = None) -> EncodedTokens:
        """Codes of checked embeddings (`check_embeddings`), (n, dim) float32."""
        nearest = kernels.in_row_blocks(
            self._panels.nearest, embeddings, threads or available_cpus()
        )
        if self.n_bits != HALF:
            return EncodedTokens(nearest, *self.native.encode(embeddings, nearest))
        halves = embeddings.astype("<f2").view(np.uint8)
        return EncodedTokens(nearest, halves, None)


def _hold_out(n: int, n_centroids: int) -> tuple[slice, slice]:
    """Which tokens of a sample the centroids are trained on, and which the quantiser.

    Residuals of tokens that pulled a centroid towards themselves are too small: with 32 tokens a
    centroid their spread is 0.77 of that of others. So the last twentieth of a large sample is
    held out: whole documents, since equal words of a document are alike. A small sample is all
    that there is to code, or nearly, and serves for both.
    """
    spare = min(n // 20, RESIDUAL_SAMPLE)
    if spare < LEAST_HELD_OUT or n - spare < 8 * n_centroids:
        return slice(n), slice(max(n - RESIDUAL_SAMPLE, 0), n)
    return slice(n - spare), slice(n - spare, n)


def _to_int8(centroids: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    scales = np.maximum(np.abs(centroids).max(axis=1), 1e-12).astype(np.float32) / np.float32(127)
    return np.rint(centroids / scales[:, None]).astype(np.int8), scales


def _to_float(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = arrays["centroids"] * arrays["centroid_scales"][:, None]
    return scaled


def _train_quantiser(
    unit: NDArray[np.float32],
    lengths: NDArray[np.float32],
    centroids: NDArray[np.float32],
    n_bits: int,
    seed: int,
) -> dict[str, NDArray[Any]]:
    """Scales, buckets and length table from tokens of length 1 and their true lengths."""
    nearest = kernels.in_row_blocks(kernels.Panels(centroids).nearest, unit, available_cpus())
    means = centroids[nearest]
    residuals = unit - means
    scales = np.maximum(np.sqrt(np.square(residuals).mean(axis=0)), 1e-6).astype(np.float32)
    residuals /= scales
    values, cutoffs = lloyd_max(residuals.ravel(), 1 << n_bits, seed=seed)
    approximate = means + scales * values[np.searchsorted(cutoffs, residuals, side="right")]
    norms = np.maximum(np.linalg.norm(approximate, axis=1), 1e-12)
    return {
        "dimension_scales": scales,
        "bucket_values": values,
        "bucket_cutoffs": cutoffs,
        "lengths": _length_table(lengths / norms),
    }


def lloyd_max(
    values: NDArray[np.float32], n_buckets: int, iterations: int = 60, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bucket values and cutoffs with (locally) the least squared error on `values`.

    Starts where the cube root of the density puts them (Panter and Dite 1951), then moves each
    bucket value to the mean of its bucket and each cutoff midway between its neighbours (Lloyd
    1982, Max 1960).

    Args:
        values: (n,), n >= 1; a million of them, drawn at random, are used.
        n_buckets: At least 2.
        iterations: Rounds.
        seed: Of the drawing.

    Returns:
        Bucket values (n_buckets,) and cutoffs (n_buckets - 1,), not descending.
    """
    if len(values) > MOST_VALUES:
        values = np.random.default_rng(seed).choice(values, MOST_VALUES, replace=False)
    ordered = np.sort(values.astype(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    density, edges = np.histogram(ordered, 4096)
    share = np.cumsum(np.cbrt(density)) / np.cbrt(density).sum()
    centres = np.interp((np.arange(n_buckets) + 0.5) / n_buckets, share, edges[1:])
    for _ in range(iterations):
        cutoffs = (centres[1:] + centres[:-1]) / 2
        bounds = np.concatenate([[0], np.searchsorted(ordered, cutoffs), [len(ordered)]])
        counts = np.diff(bounds)
        means = np.diff(sums[bounds]) / np.maximum(counts, 1)
        centres = np.where(counts > 0, means, centres)
    centres = np.maximum.accumulate(centres)
    return centres.astype(np.float32), ((centres[1:] + centres[:-1]) / 2).astype(np.float32)


def _length_table(ratios: NDArray[np.float32]) -> NDArray[np.float32]:
    """256 lengths, evenly spaced in their logarithm, over a little more than what was seen."""
    low, high = ratios.min() * 0.95, ratios.max() * 1.05
    return np.geomspace(low, high, 256).astype(np.float32)


def contradiction(codec: Codec) -> str | None:
    """What is wrong with the arrays of a codec read from a file; None if nothing is."""
    for name, array in codec.arrays.items():
        if array.dtype == np.float32 and not np.isfinite(array).all():
            return f"{name} holds NaN or infinity"
    for name in ("bucket_values", "bucket_cutoffs", "lengths"):
        if name in codec.arrays and (np.diff(codec.arrays[name]) < 0).any():
            return f"{name} descends"
    for name in ("centroid_scales", "dimension_scales", "lengths"):
        if name in codec.arrays and not (codec.arrays[name] > 0).all():
            return f"{name} is not positive"
    return None
