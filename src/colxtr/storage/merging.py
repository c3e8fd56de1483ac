"""Segments become one segment without their deleted documents, codes unchanged.

A merged segment is what would have been written if its documents had been added at once: the same
bytes, in bounded memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from colxtr.documents import Document
from colxtr.storage.arrays import write_arrays
from colxtr.storage.documents import write_documents
from colxtr.storage.generation import OpenSegment
from colxtr.storage.manifest import SegmentEntry
from colxtr.storage.merged_arrays import Merged, Source

READ_DOCUMENTS = 256  # at a time

MERGE_WIDTH = 8  # segments of a level that are merged
# Tokens: a segment's level is how many of these it reaches. One that reaches the last, four
# thousand million, waits for `optimize`.
LEVELS = tuple((1 << 14) * MERGE_WIDTH**i for i in range(7))
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
    n_tokens = sum(source.n_tokens for source in sources)
    entry = SegmentEntry(name, n_documents, n_tokens)
    if not n_tokens:
        return entry, [documents]
    arrays, widths = Merged(sources, n_centroids).arrays(_token_counts(segments))
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


def _sources(segments: Sequence[OpenSegment]) -> list[Source]:
    """Those of segments that have a live token."""
    sources = []
    first = 0
    for segment in segments:
        if segment.tokens is not None and segment.tokens.token_counts[segment.live].any():
            sources.append(Source(segment.tokens, segment.live, first))
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
