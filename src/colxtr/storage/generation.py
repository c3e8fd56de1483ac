"""An open generation of an index: its codec, segments and document stores, all read-only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from colxtr.codec import Codec
from colxtr.documents import Document, may_be_id
from colxtr.errors import CorruptIndexError
from colxtr.filters import Filter
from colxtr.storage.documents import DocumentStore
from colxtr.storage.files import check_blocks
from colxtr.storage.manifest import (
    Manifest,
    SegmentEntry,
    newest_generation,
    read_manifest,
)
from colxtr.storage.segment import Segment, read_codec
from colxtr.storage.tombstones import Ordinals, read_tombstones

# Of all files: up to here all are compared with their checksums when an index is opened (25 ms), of
# larger ones the codec, tombstones and what search relies on. `verify` compares everything.
CHECKED_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class OpenSegment:
    """One segment.

    Attributes:
        entry: Of the manifest.
        first_ordinal: The ordinal of its first document in the whole index.
        tokens: Its inverted lists; None if none of its documents has a token.
        documents: Ids and texts.
        deleted: Ordinals, within the segment, of the documents that no longer count.
    """

    entry: SegmentEntry
    first_ordinal: int
    tokens: Segment | None
    documents: DocumentStore
    deleted: Ordinals

    @property
    def n_documents(self) -> int:
        """How many it has, deleted ones included."""
        return self.entry.n_documents

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """(n_documents,): whether each still counts."""
        live = np.ones(self.n_documents, np.bool_)
        live[self.deleted] = False
        return live

    def embeddings(self, local: int, dim: int) -> NDArray[np.float32]:
        """(n_tokens, dim): what the codes of a document stand for."""
        if self.tokens is None:
            return np.empty((0, dim), np.float32)
        return self.tokens.decompress(local)[0]


class Place(NamedTuple):
    """Where a document lies: its segment, and its ordinal within the segment."""

    segment: OpenSegment
    local: int

    @property
    def ordinal(self) -> int:
        """In the whole index."""
        return self.segment.first_ordinal + self.local


@dataclass(frozen=True)
class Generation:
    """Everything a reader needs of one generation.

    Attributes:
        folder: Of the index.
        manifest: What belongs to it.
        codec: None before the first token.
        segments: In the order of their ordinals.
    """

    folder: Path
    manifest: Manifest
    codec: Codec | None = None
    segments: tuple[OpenSegment, ...] = ()

    @classmethod
    def newest(cls, folder: Path) -> Generation:
        """Open the newest generation, whatever a writer commits meanwhile.

        Raises:
            IndexNotFoundError, IndexVersionError, CorruptIndexError: As `read_manifest` and `open`
                have them.
        """
        return _newest(folder, lambda manifest: cls.open(folder, manifest))

    def newest_after(self) -> Generation:
        """The newest generation, sharing what it has in common with this one; maybe this one.

        Raises:
            IndexNotFoundError, IndexVersionError, CorruptIndexError: As `newest` has them.
        """
        return _newest(self.folder, self.following)

    @classmethod
    def open(cls, folder: Path, manifest: Manifest) -> Generation:
        """Open all files of a generation.

        Raises:
            CorruptIndexError: One is damaged, as far as that must be known before searching.
        """
        return cls(folder, replace(manifest, files={})).following(manifest)  # they share nothing

    def following(self, manifest: Manifest) -> Generation:
        """Another generation of the same index; what it has in common with this one is shared."""
        if sum(file.bytes for file in manifest.files.values()) <= CHECKED_BYTES:
            for name, file in manifest.files.items():
                if not self._shares(manifest, name):
                    check_blocks(self.folder / name, file.block_crc32)
        codec = self.codec if self._shares(manifest, f"{manifest.codec}.safetensors") else None
        codec = codec or _open_codec(self.folder, manifest)
        known = {
            segment.entry.name: segment
            for segment in self.segments
            if self._shares(manifest, f"{segment.entry.name}.sqlite")
        }
        segments: list[OpenSegment] = []
        first = 0
        with ExitStack() as opened:
            for entry in manifest.segments:
                shared = known.get(entry.name)
                store = shared.documents if shared else None
                if store is None:
                    path = self.folder / f"{entry.name}.sqlite"
                    store = DocumentStore(path, entry.n_documents)
                    opened.callback(store.close)
                tokens = shared.tokens if shared and shared.first_ordinal == first else None
                if tokens is None and entry.n_tokens:
                    assert codec is not None  # the manifest was checked
                    path = self.folder / f"{entry.name}.safetensors"
                    tokens = Segment(path, codec, first, entry.n_documents)
                deleted = _open_tombstones(self.folder, manifest, entry)
                segments.append(OpenSegment(entry, first, tokens, store, deleted))
                first += entry.n_documents
            opened.pop_all()
        return Generation(self.folder, manifest, codec, tuple(segments))

    def _shares(self, manifest: Manifest, name: str) -> bool:
        """Whether a file is in both generations (an index may have been made anew meanwhile)."""
        entry = self.manifest.files.get(name)
        return entry is not None and entry == manifest.files.get(name)

    @property
    def n_ordinals(self) -> int:
        """One more than the largest ordinal."""
        return sum(segment.n_documents for segment in self.segments)

    def with_tokens(self) -> list[Segment]:
        """The segments that can be searched."""
        return [segment.tokens for segment in self.segments if segment.tokens is not None]

    def live(self) -> NDArray[np.bool_] | None:
        """(n_ordinals,): which documents count; None if all do."""
        if not any(len(segment.deleted) for segment in self.segments):
            return None
        return np.concatenate([segment.live for segment in self.segments])

    def selected(self, filter: Filter) -> NDArray[np.bool_]:  # noqa: A002 (as search calls it)
        """(n_ordinals,): which documents a filter lets through, deleted ones among them."""
        return np.concatenate([segment.documents.select(filter) for segment in self.segments])

    def find(self, doc_id: str) -> Place | None:
        """Where the document of this id lies; None if it is not in the index."""
        return self.places([doc_id]).get(doc_id)

    def document(self, doc_id: str) -> Document | None:
        """The document of this id; None if it is not in the index."""
        place = self.find(doc_id)
        if place is None:
            return None
        (document,) = self.documents([place.ordinal])
        if document.id != doc_id:  # the database looks ids up in pages of their own
            path = self.folder / f"{place.segment.entry.name}.sqlite"
            raise CorruptIndexError(f"{path}: damaged: {doc_id!r} leads to {document.id!r}")
        return document

    def places(self, doc_ids: Sequence[str]) -> dict[str, Place]:
        """Where those of some documents lie that are in the index."""
        found = {}
        doc_ids = list(filter(may_be_id, doc_ids))
        for segment in self.segments:
            for doc_id, local in segment.documents.ordinals(doc_ids).items():
                if not 0 <= local < segment.n_documents:
                    path = self.folder / f"{segment.entry.name}.sqlite"
                    raise CorruptIndexError(f"{path}: damaged: an ordinal beyond the documents")
                if segment.live[local]:
                    found[doc_id] = Place(segment, local)
        return found

    def without(self, doc_ids: Sequence[str]) -> dict[str, Ordinals]:
        """All deleted documents of the segments that would lose one of these, by their names."""
        gone: dict[str, list[int]] = {}
        segments = {segment.entry.name: segment for segment in self.segments}
        for place in self.places(doc_ids).values():
            gone.setdefault(place.segment.entry.name, []).append(place.local)
        return {
            name: np.union1d(segments[name].deleted, np.array(ordinals, np.uint32))
            for name, ordinals in gone.items()
        }

    def documents(self, ordinals: Sequence[int], *, ids_only: bool = False) -> list[Document]:
        """Some documents, in the order asked for; with `ids_only` all but the id is empty."""
        found: dict[int, Document] = {}
        for segment in self.segments:
            first = segment.first_ordinal
            local = [o - first for o in ordinals if first <= o < first + segment.n_documents]
            if ids_only:
                ids = segment.documents.ids(local)
                found |= {first + i: Document(doc_id, "") for i, doc_id in ids.items()}
            else:
                documents = segment.documents.documents(local)
                found |= {first + i: document for i, document in documents.items()}
        return [found[ordinal] for ordinal in ordinals]

    def close(self) -> None:
        """Close the document stores; the mapped arrays go with the last reference."""
        for segment in self.segments:
            segment.documents.close()


def _newest(folder: Path, opened: Callable[[Manifest], Generation]) -> Generation:
    """The newest generation, whatever a writer commits while it is opened."""
    while True:
        number = newest_generation(folder)
        try:
            return opened(read_manifest(folder))
        except CorruptIndexError:
            if newest_generation(folder) == number:
                raise
        # Files were missing because a commit had replaced them.


def _open_tombstones(folder: Path, manifest: Manifest, entry: SegmentEntry) -> Ordinals:
    if entry.deletes is not None:
        path = folder / f"{entry.deletes}.safetensors"
        check_blocks(path, manifest.files[path.name].block_crc32)
    return read_tombstones(folder, entry)


def _open_codec(folder: Path, manifest: Manifest) -> Codec | None:
    if manifest.codec is None:
        return None
    path = folder / f"{manifest.codec}.safetensors"
    check_blocks(path, manifest.files[path.name].block_crc32)
    codec = read_codec(path)
    settings = manifest.settings
    if (codec.dim, codec.n_bits) != (settings.dim, settings.n_bits):
        raise CorruptIndexError(f"{path}: damaged: not a codec of these settings")
    return codec
