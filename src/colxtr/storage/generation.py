"""An open generation of an index: its codec, segments and document stores, all read-only."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from colxtr.codec import Codec
from colxtr.documents import Document
from colxtr.errors import CorruptIndexError
from colxtr.storage.documents import DocumentStore
from colxtr.storage.files import check_blocks
from colxtr.storage.manifest import Manifest, newest_generation, read_manifest
from colxtr.storage.segment import Segment, read_codec


class OpenSegment(NamedTuple):
    """One segment.

    Attributes:
        first_ordinal: The ordinal of its first document in the whole index.
        n_documents: How many it has.
        tokens: Its inverted lists; None if none of its documents has a token.
        documents: Ids and texts.
    """

    first_ordinal: int
    n_documents: int
    tokens: Segment | None
    documents: DocumentStore


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
        number = newest_generation(folder)
        try:
            return cls.open(folder, read_manifest(folder))
        except CorruptIndexError:
            if newest_generation(folder) == number:
                raise
        return cls.newest(folder)  # files were missing because a commit had replaced them

    @classmethod
    def open(cls, folder: Path, manifest: Manifest) -> Generation:
        """Open all files of a generation.

        Raises:
            CorruptIndexError: One is damaged, as far as that must be known before searching.
        """
        return cls(folder, manifest).following(manifest)

    def following(self, manifest: Manifest) -> Generation:
        """A generation that adds segments to this one; what is open already is shared."""
        codec = self.codec
        if codec is None and manifest.codec is not None:
            path = self.folder / f"{manifest.codec}.safetensors"
            check_blocks(path, manifest.files[path.name].block_crc32)
            codec = read_codec(path)
            settings = manifest.settings
            if (codec.dim, codec.n_bits) != (settings.dim, settings.n_bits):
                raise CorruptIndexError(f"{path}: damaged: not a codec of these settings")
        segments = list(self.segments)
        first = self.n_ordinals
        with ExitStack() as opened:
            for entry in manifest.segments[len(segments) :]:
                tokens = None
                if entry.n_tokens:
                    assert codec is not None  # the manifest was checked
                    path = self.folder / f"{entry.name}.safetensors"
                    tokens = Segment(path, codec, first, entry.n_documents)
                store = DocumentStore(self.folder / f"{entry.name}.sqlite")
                opened.callback(store.close)
                segments.append(OpenSegment(first, entry.n_documents, tokens, store))
                first += entry.n_documents
            opened.pop_all()
        return Generation(self.folder, manifest, codec, tuple(segments))

    @property
    def n_ordinals(self) -> int:
        """One more than the largest ordinal."""
        return sum(segment.n_documents for segment in self.segments)

    def with_tokens(self) -> list[Segment]:
        """The segments that can be searched."""
        return [segment.tokens for segment in self.segments if segment.tokens is not None]

    def find(self, doc_id: str) -> Place | None:
        """Where the document of this id lies; None if it is not in the index."""
        for segment in self.segments:
            local = segment.documents.ordinal(doc_id)
            if local is not None:
                return Place(segment, local)
        return None

    def stored(self, doc_ids: Sequence[str]) -> set[str]:
        """Those of the ids that are in the index."""
        found: set[str] = set()
        for segment in self.segments:
            found |= segment.documents.stored(doc_ids)
        return found

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
