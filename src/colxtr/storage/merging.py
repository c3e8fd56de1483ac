"""Segments become one segment without their deleted documents, codes unchanged.

A merged segment is what would have been written if its documents had been added at once: the same
bytes, in bounded memory beside some integers per token.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from colxtr import kernels
from colxtr.documents import Document
from colxtr.storage.arrays import Streamed, write_arrays
from colxtr.storage.documents import write_documents
from colxtr.storage.generation import OpenSegment
from colxtr.storage.manifest import SegmentEntry
from colxtr.storage.segment import PIECE_BYTES, Array, Segment, list_arrays

READ_DOCUMENTS = 256  # at a time

MERGE_WIDTH = 8  # segments of a level that are merged
LEVELS = tuple(
    (1 << 14) * MERGE_WIDTH**i for i in range(3)
)  # tokens: a segment's level is how many
# of these it reaches; one that reaches the last, a million, waits for `optimize`
DOCUMENT_TOKENS = 16  # that a document without tokens counts for


def size(segment: OpenSegment) -> int:
    """Tokens that still count, roughly, and something for each document."""
    share = segment.live.mean() if segment.n_documents else 0
    return round(share * (segment.entry.n_tokens + DOCUMENT_TOKENS * segment.n_documents))


def worth_merging(segments: Sequence[OpenSegment]) -> slice | None:
    """Neighbouring segments that should become one now; None if there are none.

    As soon as `MERGE_WIDTH` segments of a level have only smaller ones between them, they are
    merged: a document is copied a few times per level, and the segments stay few.
    """
    levels = [bisect_right(LEVELS, size(segment)) for segment in segments]
    for level in range(len(LEVELS)):
        start = 0
        for end in range(len(levels) + 1):
            if end < len(levels) and levels[end] <= level:
                continue
            if levels[start:end].count(level) >= MERGE_WIDTH:
                return slice(start, end)
            start = end + 1
    return None


def merge(
    folder: Path, name: str, segments: Sequence[OpenSegment], n_centroids: int
) -> tuple[SegmentEntry, list[Path]]:
    """Write the segment `name` of the live documents of some others.

    Args:
        folder: Of the index.
        name: Not in use.
        segments: With a live document, in the order of their ordinals.
        n_centroids: Of their codec.

    Returns:
        The new segment, and its files.

    Raises:
        CorruptIndexError: One of them is damaged.
    """
    documents = folder / f"{name}.sqlite"
    write_documents(documents, live_documents(segments))
    n_documents = sum(int(segment.live.sum()) for segment in segments)
    sources = _sources(segments)
    n_tokens = sum(len(source.kept) for source in sources)
    entry = SegmentEntry(name, n_documents, n_tokens)
    if not n_tokens:
        return entry, [documents]
    arrays, widths = _arrays(sources, _token_counts(segments), n_centroids)
    path = folder / f"{name}.safetensors"
    write_arrays(path, arrays, {"n_documents": n_documents, "n_tokens": n_tokens} | widths)
    return entry, [path, documents]


def live_documents(segments: Sequence[OpenSegment]) -> Iterator[Document]:
    """The documents that count, in the order of their ordinals."""
    for segment in segments:
        ordinals = np.flatnonzero(segment.live).tolist()
        for start in range(0, len(ordinals), READ_DOCUMENTS):
            some = ordinals[start : start + READ_DOCUMENTS]
            found = segment.documents.documents(some)
            yield from (found[ordinal] for ordinal in some)


class _Source:
    """The live tokens of one segment.

    Attributes:
        segment: Its arrays.
        kept: (n_kept,) places in its lists, ascending.
        owners: (n_kept,) the documents they belong to, within the merged segment.
        centroids: (n_kept,) theirs.
        places: (n_kept,) places in its lists, document by document.
    """

    def __init__(self, segment: Segment, live: NDArray[np.bool_], first: int) -> None:
        self.segment = segment
        owners = segment.owners()
        keep = live[owners]
        self.kept = np.flatnonzero(keep)
        self.owners = (np.cumsum(live, dtype=np.uint64) - np.uint64(1))[owners[keep]]
        self.owners += np.uint64(first)
        self.centroids = np.repeat(segment.list_centroids, segment.list_sizes)[keep]
        self.places = segment.positions()[np.repeat(live, segment.token_counts)]


def _sources(segments: Sequence[OpenSegment]) -> list[_Source]:
    sources = []
    first = 0
    for segment in segments:
        if segment.tokens is not None:
            sources.append(_Source(segment.tokens, segment.live, first))
        first += int(segment.live.sum())
    return sources


def _token_counts(segments: Sequence[OpenSegment]) -> NDArray[np.int64]:
    """(n_documents,) tokens of each live document."""
    return np.concatenate(
        [
            np.zeros(int(s.live.sum()), np.int64)
            if s.tokens is None
            else s.tokens.token_counts[s.live]
            for s in segments
        ]
    )


def _arrays(
    sources: Sequence[_Source], token_counts: NDArray[np.int64], n_centroids: int
) -> tuple[dict[str, Array | Streamed], dict[str, int]]:
    centroids = np.concatenate([source.centroids for source in sources])
    # Within a centroid the segments follow each other, and in each its list: documents ascend.
    into, list_sizes = kernels.counting_sort(centroids, n_centroids)
    come_from = np.empty(len(into), np.uint64)
    come_from[into] = np.arange(len(into), dtype=np.uint64)
    owners = np.concatenate([source.owners for source in sources])
    ordinals, ordinal_bits = kernels.pack(owners[come_from])
    positions, position_bits = kernels.pack(_positions(sources, into))
    arrays = list_arrays(list_sizes, token_counts, ordinals, positions)
    for name in ("codes", "gains", "lengths"):
        if name in sources[0].segment.arrays:
            arrays[name] = _gathered(sources, name, come_from)
    return arrays, {"ordinal_bits": ordinal_bits, "position_bits": position_bits}


def _positions(sources: Sequence[_Source], into: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Places in the merged lists, document by document; `into`: those of the sources' tokens."""
    parts = []
    first = 0
    for source in sources:
        merged = np.empty(source.segment.n_tokens, np.uint64)
        merged[source.kept] = into[first : first + len(source.kept)]
        first += len(source.kept)
        parts.append(merged[source.places])
    return np.concatenate(parts)


def _gathered(sources: Sequence[_Source], name: str, come_from: NDArray[np.uint64]) -> Streamed:
    """An array of the merged segment: row i is that of the sources' token `come_from[i]`."""
    first = sources[0].segment.arrays[name]
    rows = max(PIECE_BYTES // (first.nbytes // max(len(first), 1) or 1), 1)

    def pieces() -> Iterator[Array]:
        for begin in range(0, len(come_from), rows):
            wanted = come_from[begin : begin + rows]
            piece = np.empty((len(wanted), *first.shape[1:]), first.dtype)
            start = 0
            for source in sources:
                end = start + len(source.kept)
                here = (wanted >= start) & (wanted < end)
                tokens = source.kept[wanted[here] - np.uint64(start)]
                piece[here] = source.segment.arrays[name][tokens]
                start = end
            yield piece

    return Streamed((len(come_from), *first.shape[1:]), first.dtype, pieces)
