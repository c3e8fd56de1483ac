"""Tombstones: which documents of a segment are deleted (docs/index-format.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from colxtr.errors import CorruptIndexError
from colxtr.storage.arrays import read_arrays, write_arrays
from colxtr.storage.manifest import Manifest, SegmentEntry

Ordinals = NDArray[np.uint32]  # ascending, within a segment
NONE_DELETED: Ordinals = np.empty(0, np.uint32)


def read_tombstones(folder: Path, entry: SegmentEntry) -> Ordinals:
    """The deleted documents of a segment.

    Raises:
        CorruptIndexError: The file is damaged, or contradicts the manifest.
    """
    if entry.deletes is None:
        return NONE_DELETED
    path = folder / f"{entry.deletes}.safetensors"
    deleted = read_arrays(path).array("ordinals", np.uint32, 1)
    if len(deleted) != entry.n_deleted:
        raise CorruptIndexError(
            f"{path}: damaged: {len(deleted)} ordinals, the manifest has {entry.n_deleted}"
        )
    ascending = bool((deleted[1:] > deleted[:-1]).all())
    if len(deleted) and not (ascending and deleted[-1] < entry.n_documents):
        raise CorruptIndexError(f"{path}: damaged: not ascending ordinals of this segment")
    return deleted


def with_deletions(
    folder: Path, manifest: Manifest, deleted: Mapping[str, Ordinals]
) -> tuple[Manifest, list[Path]]:
    """Write tombstones; a segment without any document left is dropped.

    Args:
        folder: Of the index.
        manifest: In force, or to be committed.
        deleted: All deleted documents (earlier ones too) of the segments that lose some, by the
            segment's name.

    Returns:
        The manifest to commit, and the files that are new.
    """
    paths = []
    segments: list[SegmentEntry] = []
    number = manifest.next_number
    for entry in manifest.segments:
        ordinals = deleted.get(entry.name)
        if ordinals is None:
            segments.append(entry)
        elif len(ordinals) < entry.n_documents:
            name = f"{entry.name}-deletes-{number}"
            number += 1
            paths.append(folder / f"{name}.safetensors")
            write_arrays(paths[-1], {"ordinals": ordinals}, {"segment": entry.name})
            segments.append(replace(entry, deletes=name, n_deleted=len(ordinals)))
    return replace(manifest, segments=tuple(segments), next_number=number), paths
