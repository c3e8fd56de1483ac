"""What is done to committed segments: delete documents, merge, train the codec anew.

Each of these commits one new generation, or nothing. Knows nothing of search.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from colxtr.build import BuildSettings, EncodeDocuments, IndexBuilder
from colxtr.clustering import number_of_centroids
from colxtr.progress import SILENT, Meter
from colxtr.storage.generation import Generation, OpenSegment
from colxtr.storage.manifest import Manifest, commit, undone_on_error
from colxtr.storage.merging import live_documents, merge, size, worth_merging
from colxtr.storage.segment import SORTING_BYTES
from colxtr.storage.tombstones import with_deletions
from colxtr.waiting import Item

OUTGROWN = 2  # times as many centroids are due as there are: four times the tokens


def delete(generation: Generation, doc_ids: Sequence[str]) -> Manifest | None:
    """Commit tombstones for some documents; None if none of them is in the index."""
    gone = generation.without(doc_ids)
    if not gone:
        return None
    with undone_on_error(generation.folder):
        manifest, paths = with_deletions(generation.folder, generation.manifest, gone)
        return commit(generation.folder, manifest, paths)


def merge_small(generation: Generation) -> Manifest | None:
    """Commit the merge of small segments that have become many; None if there is nothing to do."""
    chosen = worth_merging(generation.segments)
    return None if chosen is None else _merge(generation, [chosen])


def compact(generation: Generation, most_bytes: int, meter: Meter = SILENT) -> Manifest | None:
    """Commit as few segments as memory allows, without deleted documents; None if they are so.

    Args:
        generation: In force.
        most_bytes: That a merge may take.
        meter: Counts documents.
    """
    most_tokens = most_bytes // SORTING_BYTES
    runs = [
        run
        for run in _runs(generation.segments, most_tokens)
        if run.stop - run.start > 1 or len(generation.segments[run.start].deleted)
    ]
    return _merge(generation, runs, meter) if runs else None


def _runs(segments: Sequence[OpenSegment], most_tokens: int) -> list[slice]:
    """Neighbours that have at most so many tokens together, or one that has more."""
    starts = [0] if segments else []
    total = 0
    for i, segment in enumerate(segments):
        total += size(segment)
        if total > most_tokens and i > starts[-1]:
            starts.append(i)
            total = size(segment)
    return [slice(a, b) for a, b in pairwise([*starts, len(segments)])]


def _merge(generation: Generation, runs: Sequence[slice], meter: Meter = SILENT) -> Manifest:
    """Commit a generation in which each run is one segment, or none if nothing in it lives."""
    with undone_on_error(generation.folder):
        manifest, paths = _merged(generation, runs, meter)
        return commit(generation.folder, manifest, paths)


def _merged(
    generation: Generation, runs: Sequence[slice], meter: Meter
) -> tuple[Manifest, list[Path]]:
    manifest = generation.manifest
    n_centroids = generation.codec.n_centroids if generation.codec else 0
    entries = list(manifest.segments)
    paths = []
    for run in reversed(runs):  # so that the places of earlier ones stay
        segments = [segment for segment in generation.segments[run] if segment.live.any()]
        merged = []
        if segments:
            name = f"segment-{manifest.next_number}"
            manifest = replace(manifest, next_number=manifest.next_number + 1)
            entry, written = merge(generation.folder, name, segments, n_centroids)
            merged = [entry]
            paths += written
            meter(entry.n_documents)
        entries[run] = merged
    return replace(manifest, segments=tuple(entries)), paths


def has_outgrown(generation: Generation, n_tokens: int) -> bool:
    """Whether many more centroids are due than there are."""
    codec, settings = generation.codec, generation.manifest.settings
    if codec is None or settings.n_centroids is not None:
        return False
    return number_of_centroids(n_tokens) >= OUTGROWN * codec.n_centroids


def rebuild(
    generation: Generation,
    encode: EncodeDocuments | None,
    settings: BuildSettings,
    meter: Meter = SILENT,
) -> Manifest:
    """Commit a generation with a codec trained anew on all that is in the index.

    Args:
        generation: In force.
        encode: Makes the embeddings anew from the texts; None to take those that the codes stand
            for, which costs the precision of a second coding.
        settings: Bounds.
        meter: Counts documents.
    """
    before = generation.manifest
    n_added = before.n_added - before.n_documents()  # they are counted again
    manifest = replace(before, codec=None, segments=(), files={}, n_added=n_added)
    builder = IndexBuilder(
        generation.folder,
        manifest,
        None,
        encode,
        settings=settings,
        meter=meter,
        at_once=True,
    )
    items = _items(generation, decode=encode is None)
    with undone_on_error(generation.folder):
        builder.add(items, before.n_documents())
        builder.finish()
    return builder.manifest


def _items(generation: Generation, *, decode: bool) -> Iterator[Item]:
    for segment in generation.segments:
        ordinals = segment.live.nonzero()[0].tolist()
        for ordinal, document in zip(ordinals, live_documents([segment]), strict=True):
            embeddings = None
            if decode:
                embeddings = segment.embeddings(ordinal, generation.manifest.settings.dim)
            yield Item(document, embeddings)
