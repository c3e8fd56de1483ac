"""Segments: some documents' codes in inverted lists, and the way back from a document.

Knows the codec as arrays and native objects, nothing of encoders or search methods.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from colxtr import kernels
from colxtr.codec import Codec, EncodedTokens, contradiction
from colxtr.documents import Document
from colxtr.errors import CorruptIndexError
from colxtr.storage.arrays import Streamed, read_arrays, write_arrays
from colxtr.storage.documents import write_documents

Array = NDArray[Any]

PIECE_BYTES = 32 << 20  # of codes that are sorted at a time
SORTING_BYTES = 32  # of memory that writing a segment takes for each token
DOCUMENT_BYTES = 600  # of an empty `Document` and what belongs to it

OPTIONAL = ("gains", "lengths")  # whether they must be there, the codec says

# Type and number of axes of each array.
ARRAYS: dict[str, tuple[type, int]] = {
    "list_centroids": (np.uint32, 1),
    "list_offsets": (np.uint64, 1),
    "document_offsets": (np.uint64, 1),
    "ordinals": (np.uint8, 1),
    "positions": (np.uint8, 1),
    "codes": (np.uint8, 2),
    "gains": (np.uint8, 1),
    "lengths": (np.uint8, 1),
}
CODEC_ARRAYS: dict[str, tuple[type, int]] = {
    "centroids": (np.int8, 2),
    "centroid_scales": (np.float32, 1),
    "rotation": (np.float32, 2),
    "codebook": (np.int8, 2),
    "codebook_scale": (np.float32, 1),
    "gains": (np.float32, 1),
    "lengths": (np.float32, 1),
    "grouped": (np.uint32, 1),
    "group_ends": (np.uint32, 1),
}


def write_codec(path: Path, codec: Codec) -> None:
    """Write a codec to a new file."""
    write_arrays(path, codec.arrays, {"n_bits": codec.n_bits, "dim": codec.dim})


def read_codec(path: Path) -> Codec:
    """Read a codec.

    Raises:
        CorruptIndexError: The file is damaged or contradicts itself.
    """
    file = read_arrays(path)
    arrays = {
        name: file.array(name, *CODEC_ARRAYS[name]) for name in file.arrays if name in CODEC_ARRAYS
    }
    codec = Codec(file.number("n_bits"), arrays)
    try:
        codec.native  # noqa: B018 - checks shapes
    except (TypeError, ValueError) as error:
        raise CorruptIndexError(f"{path}: damaged: {error}") from None
    if problem := contradiction(codec):
        raise CorruptIndexError(f"{path}: damaged: {problem}")
    return codec


class Batch(NamedTuple):
    """Documents with the codes of all their tokens, document after document."""

    documents: Sequence[Document]
    token_counts: Sequence[int]
    encoded: EncodedTokens


class SegmentBuilder:
    """Collects coded documents in memory until they are written as one segment."""

    def __init__(self) -> None:
        self._batches: list[Batch] = []
        self.n_bytes = 0  # of memory until they are written, roughly

    def add(self, batch: Batch) -> None:
        """Add documents, as a whole or (if interrupted) not at all."""
        n_bytes = self.n_bytes + _memory_needed(batch)
        self._batches.append(batch)
        self.n_bytes = n_bytes

    def __bool__(self) -> bool:
        return bool(self._batches)

    def documents(self) -> list[Document]:
        """Documents so far, in a new list."""
        return [document for batch in self._batches for document in batch.documents]

    @property
    def n_tokens(self) -> int:
        """Tokens so far."""
        return sum(len(batch.encoded.centroids) for batch in self._batches)

    def write(self, folder: Path, name: str) -> list[Path]:
        """Write the segment's files, without arrays if there are no tokens; returns them."""
        arrays_path, documents_path = folder / f"{name}.safetensors", folder / f"{name}.sqlite"
        documents = self.documents()
        write_documents(documents_path, documents)
        if not self.n_tokens:
            return [documents_path]
        arrays, widths = segment_arrays(self._batches)
        sizes = {"n_documents": len(documents), "n_tokens": self.n_tokens}
        write_arrays(arrays_path, arrays, sizes | widths)
        return [arrays_path, documents_path]


def _memory_needed(batch: Batch) -> int:
    """Bytes of a batch that waits for its segment, and of its share in writing it."""
    coded = sum(array.nbytes for array in batch.encoded if array is not None)
    texts = sum(len(document.text) for document in batch.documents)
    tokens = SORTING_BYTES * len(batch.encoded.centroids)
    return coded + tokens + texts + DOCUMENT_BYTES * len(batch.documents)


def segment_arrays(
    batches: Sequence[Batch],
) -> tuple[dict[str, Array | Streamed], dict[str, int]]:
    """The arrays of a segment, codes in pieces, and the widths of the packed ones.

    The codes, by far the largest, are brought into the order of their lists while they are
    written: there is never a second copy of all of them.
    """
    coded = [batch.encoded for batch in batches if len(batch.encoded.centroids)]
    centroids = np.concatenate([tokens.centroids for tokens in coded])
    token_counts = np.concatenate([np.asarray(b.token_counts, np.int64) for b in batches])
    positions, list_sizes = kernels.counting_sort(centroids, int(centroids.max()) + 1)
    packed_positions, position_bits = kernels.pack(positions)
    owners = np.repeat(np.arange(len(token_counts), dtype=np.uint64), token_counts)
    ordinals, ordinal_bits = kernels.pack(_placed([owners], positions))
    arrays = list_arrays(list_sizes, token_counts, ordinals, packed_positions)
    arrays["codes"] = _placed_while_written([tokens.codes for tokens in coded], positions)
    gains = [tokens.gains for tokens in coded if tokens.gains is not None]
    lengths = [tokens.lengths for tokens in coded if tokens.lengths is not None]
    arrays |= {
        name: _placed(parts, positions)
        for name, parts in (("gains", gains), ("lengths", lengths))
        if parts
    }
    return arrays, {"ordinal_bits": ordinal_bits, "position_bits": position_bits}


def list_arrays(
    list_sizes: NDArray[np.integer],
    token_counts: NDArray[np.integer],
    ordinals: NDArray[np.uint8] | Streamed,
    positions: NDArray[np.uint8] | Streamed,
) -> dict[str, Array | Streamed]:
    """The arrays that say which tokens stand in which list, and of which document they are.

    Args:
        list_sizes: Tokens of each centroid.
        token_counts: Tokens of each document.
        ordinals: Packed: of the documents, list by list.
        positions: Packed: where in the lists each token stands, document by document.
    """
    list_centroids = np.flatnonzero(list_sizes)
    return {
        "list_centroids": list_centroids.astype(np.uint32),
        "list_offsets": offsets(list_sizes[list_centroids]),
        "document_offsets": offsets(token_counts),
        "ordinals": ordinals,
        "positions": positions,
    }


def _placed(
    parts: Sequence[Array], places: NDArray[np.uint64], begin: int = 0, end: int | None = None
) -> Array:
    """Rows `begin` to `end` of the array that has row i of the joined parts at `places[i]`."""
    end = len(places) if end is None else end
    placed = np.empty((end - begin, *parts[0].shape[1:]), parts[0].dtype)
    start = 0
    for part in parts:
        into = places[start : start + len(part)]
        start += len(part)
        if end - begin == len(places):
            placed[into] = part
        else:
            here = (into >= begin) & (into < end)
            placed[into[here] - np.uint64(begin)] = part[here]
    return placed


def _placed_while_written(parts: Sequence[Array], places: NDArray[np.uint64]) -> Streamed:
    width = parts[0].shape[1]
    rows = max(PIECE_BYTES // width, 1)

    def pieces() -> Iterator[Array]:
        for begin in range(0, len(places), rows):
            yield _placed(parts, places, begin, min(begin + rows, len(places)))

    return Streamed((len(places), width), parts[0].dtype, pieces)


def offsets(sizes: NDArray[np.integer]) -> NDArray[np.uint64]:
    """(n + 1,): where each of some stretches begins, and where the last ends."""
    ends = np.zeros(len(sizes) + 1, np.uint64)
    np.cumsum(sizes, out=ends[1:], dtype=np.uint64)
    return ends


class Segment:
    """A segment with tokens, mapped.

    Attributes:
        path: Of its arrays.
        first_ordinal: The ordinal of its first document in the whole index.
        n_documents: Deleted ones included.
        n_tokens: Tokens of all of them.
        list_centroids: (n_lists,) uint32, ascending.
        list_sizes: (n_lists,) int64, tokens in each list.
        token_counts: (n_documents,) int64.
        native: The same arrays in the native module.
        bytes: Sizes of the arrays, by name.
        arrays: The arrays of the format, by name.
    """

    def __init__(self, path: Path, codec: Codec, first_ordinal: int, n_documents: int) -> None:
        self.path = path
        self.first_ordinal = first_ordinal
        self.n_documents = n_documents
        self._codec = codec
        file = read_arrays(path)
        arrays = {
            name: file.array(name, *ARRAYS[name])
            for name in ARRAYS
            if name not in OPTIONAL or name in file.arrays
        }
        try:
            with kernels.damage_reported():
                self.native = kernels.Segment(
                    codec.native,
                    str(path),
                    first_ordinal,
                    ordinal_bits=file.number("ordinal_bits"),
                    position_bits=file.number("position_bits"),
                    **arrays,
                )
        except (TypeError, ValueError) as error:
            raise CorruptIndexError(f"{path}: damaged: {error}") from None
        if len(arrays["document_offsets"]) != n_documents + 1:
            raise CorruptIndexError(
                f"{path}: damaged: {len(arrays['document_offsets']) - 1} documents, "
                f"the manifest has {n_documents}"
            )
        self.arrays = arrays
        self._widths = {name: file.number(name) for name in ("ordinal_bits", "position_bits")}
        self.n_tokens = len(arrays["codes"])
        self.bytes = {name: array.nbytes for name, array in arrays.items()}
        self.list_centroids = arrays["list_centroids"]
        self.list_sizes = np.diff(arrays["list_offsets"]).astype(np.int64)
        self.token_counts = np.diff(arrays["document_offsets"]).astype(np.int64)

    def owners(self, begin: int = 0, end: int | None = None) -> NDArray[np.uint64]:
        """(n_tokens,): the document of each token, in the order of the lists; or some of them.

        Raises:
            CorruptIndexError: One is not a document of the segment.
        """
        return self._unpacked("ordinals", "ordinal_bits", begin, end, self.n_documents)

    def positions(self, begin: int = 0, end: int | None = None) -> NDArray[np.uint64]:
        """(n_tokens,): the place in the lists of each token, document by document; or some.

        Raises:
            CorruptIndexError: One is not a place in the lists.
        """
        return self._unpacked("positions", "position_bits", begin, end, self.n_tokens)

    def _unpacked(
        self, name: str, width: str, begin: int, end: int | None, limit: int
    ) -> NDArray[np.uint64]:
        values = kernels.unpack(self.arrays[name], self.n_tokens, self._widths[width], begin, end)
        if len(values) and values.max() >= limit:
            raise CorruptIndexError(f"{self.path}: damaged: one of its {name} is not below {limit}")
        return values

    def decompress(self, ordinal: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
        """The tokens of a document (ordinal within the segment): (n, dim), and their centroids."""
        with kernels.damage_reported():
            rotated, centroids = self.native.decode_document(self._codec.native, ordinal)
        return self._codec.rotated_back(rotated), centroids
