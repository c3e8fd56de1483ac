"""The codec: a token embedding as its nearest centroid and a vector-quantised residual.

docs/index-format.md defines the code; `reference.py` restates it in NumPy. ColBERTv2's residual
compression (Santhanam et al. 2022, section 3.3) with other residuals: rotated to their principal
directions, divided by their length, and coded in groups of 8/n_bits dimensions, a byte each, along
a trellis (`quantiser.py`). One more byte per token keeps the gain that undoes the division
(docs/log.md has what each of these brings). Knows nothing of documents or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from colxtr import kernels
from colxtr.clustering import BLOCK, Nearest, groups_of, nearest_of, spherical_kmeans, unit_length
from colxtr.cpus import available_cpus
from colxtr.errors import EmbeddingError, InputError
from colxtr.progress import SILENT, Meter
from colxtr.quantiser import to_float, to_int8, train_quantiser

N_BITS = (1, 2, 4, 8, 16)
HALF = 16  # n_bits of embeddings kept whole, in half precision: XTR's exact store
LARGEST_PARAMETER = 1e7  # of a codec: products of a few such numbers are finite
LARGEST_HALF = 65_504.0  # samples and n_bits=16 are in half precision,
SMALLEST_HALF = 2.0**-14  # which has fewer digits below this
UNIT_TOLERANCE = 1e-3  # lengths this near to 1 are 1
LEAST_HELD_OUT = 2_048
MOST_KEPT = 1 << 22  # bytes; docs/log.md, "Groups of centroids", has what follows of others
RESIDUAL_SAMPLE = 65_536  # tokens from which rotation, codebook and gains are learnt


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
    if array.dtype != np.float32 or not (array.flags.c_contiguous and array.flags.aligned):
        with np.errstate(over="ignore"):  # infinity is found below
            array = np.require(array, np.float32, ["C", "ALIGNED"])
    largest = np.abs(array).max(axis=1)
    most, least = largest.max(initial=0), largest.min(initial=1)
    if not (least >= SMALLEST_HALF and most <= LARGEST_HALF):  # nor if one is NaN
        raise EmbeddingError(_what_is_wrong(array, largest, what))
    return array


def _what_is_wrong(array: NDArray[np.float32], largest: NDArray[np.float32], what: str) -> str:
    if not np.isfinite(largest).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        return f"the embeddings of {what} hold NaN or infinity, first in row {row}"
    if (most := largest.max()) > LARGEST_HALF:
        return f"the embeddings of {what} hold {most:g}; values up to {LARGEST_HALF:g} are possible"
    row = int(np.flatnonzero(largest < SMALLEST_HALF)[0])
    return (
        f"the embedding in row {row} of {what} is zero or nearly so (at most {largest[row]:g}); "
        "leave such tokens out"
    )


class EncodedTokens(NamedTuple):
    """Token embeddings in codes.

    Attributes:
        centroids: (n,) uint32.
        codes: (n, dim * n_bits / 8) uint8.
        gains: (n,) uint8; None with n_bits=16.
        lengths: (n,) uint8; None with n_bits=16, or if all embeddings have length 1.
    """

    centroids: NDArray[np.uint32]
    codes: NDArray[np.uint8]
    gains: NDArray[np.uint8] | None = None
    lengths: NDArray[np.uint8] | None = None


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
        lengths = np.empty(len(sample), np.float32)
        for start in range(0, len(sample), BLOCK):  # a sample in half precision stays small
            rows = sample[start : start + BLOCK].astype(np.float32)
            lengths[start : start + BLOCK] = np.linalg.norm(rows, axis=1)
        kept, held_out = _hold_out(len(sample), n_centroids)
        centroids = spherical_kmeans(
            sample[kept], min(n_centroids, len(sample)), seed=seed, threads=threads, meter=meter
        )
        threads = threads or available_cpus()
        if n_bits == HALF:
            arrays = to_int8(centroids)
        else:
            unit = unit_length(sample[held_out])
            nearest = kernels.in_row_blocks(nearest_of(centroids), unit, threads)
            arrays = train_quantiser(
                unit, centroids, nearest, n_bits=n_bits, seed=seed, threads=threads
            )
            if (np.abs(lengths - 1) > UNIT_TOLERANCE).any():
                ends = lengths.min() / 1.25, lengths.max() * 1.25
                arrays["lengths"] = np.geomspace(*ends, 256).astype(np.float32)
        return cls(n_bits, arrays | groups_of(to_float(arrays), seed=seed, threads=threads))

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return int(self.arrays["centroids"].shape[1])

    @property
    def n_centroids(self) -> int:
        """Number of centroids."""
        return len(self.arrays["centroids"])

    @property
    def has_levels(self) -> bool:
        """Whether centroids stand for tokens: these have residuals, and length 1."""
        return self.n_bits != HALF and "lengths" not in self.arrays

    @cached_property
    def native(self) -> kernels.Codec:
        """The same codec in the native module."""
        return kernels.Codec(self.n_bits, **self.arrays)

    @cached_property
    def centroids(self) -> NDArray[np.float32]:
        """(n_centroids, dim), as the codes use them, rotated back."""
        return self.rotated_back(to_float(self.arrays))

    @cached_property
    def _nearest(self) -> Nearest:
        return nearest_of(to_float(self.arrays))

    def prepare(self) -> None:
        """Make now what `encode` needs, so that several threads may call it at once."""
        self.native  # noqa: B018
        self._nearest  # noqa: B018

    def rotated(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embeddings, (n, dim), in the coordinates of the codes."""
        rotation = self.arrays.get("rotation")
        return embeddings if rotation is None else embeddings @ rotation

    def rotated_back(self, rotated: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inverse of `rotated`."""
        rotation = self.arrays.get("rotation")
        return rotated if rotation is None else rotated @ rotation.T

    def query(
        self,
        embeddings: NDArray[np.float32],
        n_probe: int = 0,
        threads: int = 1,
        *,
        levels: bool = False,
        most_kept: int | None = None,
    ) -> kernels.Query:
        """A query, (n_tokens, dim), n_tokens >= 1, prepared for segments of this codec.

        Args:
            embeddings: Checked.
            n_probe: Nearest centroids to find for each token.
            threads: For all that is done with the query.
            levels: Keep products with centroids in eight bits, for shortlists and skimming; only
                if `has_levels`.
            most_kept: Up to so many bytes the products with all centroids are worked out; with
                more centroids, the query looks into groups of them, and finds what it needs. By
                default `MOST_KEPT`.
        """
        kept = MOST_KEPT if most_kept is None else most_kept
        return kernels.Query(self.native, embeddings, n_probe, threads, levels, kept)

    def as_searched(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """A query's token embeddings, (n, dim), as the integers that stand for them in a search."""
        if self.n_bits == HALF:
            return embeddings
        return self.rotated_back(quantised(self.rotated(embeddings)))

    def encode(self, embeddings: NDArray[np.float32], threads: int | None = None) -> EncodedTokens:
        """Codes of checked embeddings (`check_embeddings`), (n, dim) float32.

        Raises:
            EmbeddingError: An embedding of another length than 1, if the codec was trained on
                embeddings that all had that length.
        """
        rotated = self.rotated(embeddings)
        nearest = kernels.in_row_blocks(self._nearest, rotated, threads or available_cpus())
        if self.n_bits == HALF:
            return EncodedTokens(nearest, embeddings.astype("<f2").view(np.uint8))
        if "lengths" not in self.arrays:
            _check_unit_length(embeddings)
        return EncodedTokens(nearest, *self.native.encode(rotated, nearest))


def quantised(rotated: NDArray[np.float32]) -> NDArray[np.float32]:
    """Query tokens, (n, dim), as multiples of a 127th of their largest component."""
    largest = np.abs(rotated).max(axis=1, keepdims=True)
    scales = np.maximum(largest, np.float32(1e-30)) / np.float32(127)
    integers: NDArray[np.float32] = np.rint(rotated * (1 / scales)) * scales
    return integers


def _check_unit_length(embeddings: NDArray[np.float32]) -> None:
    squares = np.einsum("ij,ij->i", embeddings, embeddings)
    if (off := np.abs(squares - 1) > 4 * UNIT_TOLERANCE).any():
        row = int(np.flatnonzero(off)[0])
        raise EmbeddingError(
            f"an embedding has length {squares[row] ** 0.5:g}, but the index began with embeddings "
            "of length 1, and stores no lengths; normalise all of them, or none from the start"
        )


def _hold_out(n: int, n_centroids: int) -> tuple[slice, slice]:
    """Which tokens of a sample the centroids are trained on, and which the quantiser.

    Residuals of tokens that pulled a centroid towards themselves are too small: with 32 tokens a
    centroid their spread is 0.77 of that of others, with 8 far less. So the last twentieth of a
    large sample is held out: whole documents, since equal words of a document are alike. A small
    sample is all that there is to code, or nearly, and serves for both.
    """
    spare = min(n // 20, RESIDUAL_SAMPLE)
    if spare < LEAST_HELD_OUT or n - spare < n_centroids:
        return slice(n), slice(max(n - RESIDUAL_SAMPLE, 0), n)
    return slice(n - spare), slice(n - spare, n)


def contradiction(codec: Codec) -> str | None:
    """What is wrong with the arrays of a codec read from a file; None if nothing is."""
    for name, array in codec.arrays.items():
        if array.dtype == np.float32 and not np.isfinite(array).all():
            return f"{name} holds NaN or infinity"
        if array.dtype == np.float32 and np.abs(array).max(initial=0) > LARGEST_PARAMETER:
            return f"{name} holds more than {LARGEST_PARAMETER:g}"
    for name in ("gains", "lengths"):
        if name in codec.arrays and (np.diff(codec.arrays[name]) < 0).any():
            return f"{name} descends"
    for name in ("centroid_scales", "codebook_scale", "lengths"):
        if name in codec.arrays and not (codec.arrays[name] > 0).all():
            return f"{name} is not positive"
    if codec.n_bits == 8 and codec.arrays["codebook"].ravel().tolist() != list(range(-128, 128)):
        return "the codebook is not the integers of 8 bits"
    return _contradictory_rotation(codec)


def _contradictory_rotation(codec: Codec) -> str | None:
    rotation = codec.arrays.get("rotation")
    if (rotation is None) != (codec.n_bits == HALF):
        return "a rotation that does not fit n_bits"
    if rotation is not None and rotation.shape != (codec.dim, codec.dim):
        return f"rotation has shape {rotation.shape}"
    return None
