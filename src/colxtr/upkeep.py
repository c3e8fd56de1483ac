"""What is done to committed segments: delete documents, merge, train the codec anew.

Each of these commits one new generation, or nothing. Knows nothing of search.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from colxtr.build import BuildSettings, EncodeDocuments, IndexBuilder
from colxtr.clustering import number_of_centroids
from colxtr.progress import SILENT, Meter
from colxtr.storage.generation import Generation
from colxtr.storage.manifest import Manifest, commit, undone_on_error
from colxtr.storage.merging import live_documents, merge, worth_merging
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
    return None if chosen is None else _merge(generation, chosen)


def compact(generation: Generation, meter: Meter = SILENT) -> Manifest | None:
    """Commit one segment without deleted documents; None if there is one already, or nothing.

    Args:
        generation: In force.
        meter: Counts documents.
    """
    segments = generation.segments
    if len(segments) > 1 or any(len(segment.deleted) for segment in segments):
        return _merge(generation, slice(len(segments)), meter)
    return None


def _merge(generation: Generation, chosen: slice, meter: Meter = SILENT) -> Manifest:
    """Commit a generation in which some segments are one, or none if nothing in them lives."""
    with undone_on_error(generation.folder):
        manifest, paths = _merged(generation, chosen, meter)
        return commit(generation.folder, manifest, paths)


def _merged(generation: Generation, chosen: slice, meter: Meter) -> tuple[Manifest, list[Path]]:
    manifest = generation.manifest
    n_centroids = generation.codec.n_centroids if generation.codec else 0
    entries, merged = list(manifest.segments), []
    paths: list[Path] = []
    segments = [segment for segment in generation.segments[chosen] if segment.live.any()]
    if segments:
        name = f"segment-{manifest.next_number}"
        manifest = replace(manifest, next_number=manifest.next_number + 1)
        entry, paths = merge(generation.folder, name, segments, n_centroids)
        merged = [entry]
        meter(entry.n_documents)
    entries[chosen] = merged
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
