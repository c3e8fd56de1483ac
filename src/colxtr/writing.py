"""Changing an index: begin one, add and delete documents, tidy up. One process at a time.

Each change ends at a newly committed generation, or, if it fails, at the newest that was. Knows
nothing of search, and of encoders only that they make embeddings of documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from colxtr import upkeep
from colxtr.build import BuildSettings, EncodeDocuments, IndexBuilder
from colxtr.documents import Document
from colxtr.errors import ColxtrError, IndexExistsError, InputError, StorageError
from colxtr.head import Head
from colxtr.incoming import Existing, IdCheck
from colxtr.memory import as_bytes
from colxtr.progress import Meter, progress_bar
from colxtr.storage.files import make_folder, named_errors
from colxtr.storage.generation import Generation
from colxtr.storage.lock import WriteLock
from colxtr.storage.manifest import (
    EncoderEntry,
    Manifest,
    Settings,
    commit,
    existing_generation,
    is_index_file,
    newest_generation,
    read_manifest,
    successor,
)
from colxtr.waiting import Item


@dataclass(frozen=True)
class AddSettings:
    """How documents are added.

    Attributes:
        existing: What becomes of a document whose id the index holds.
        total: How many there are, if known.
        progress: Show a progress bar.
        memory_limit: As `Index.add` has it.
    """

    existing: Existing
    total: int | None = None
    progress: bool = False
    memory_limit: int | str | None = None


class Writer:
    """The one who may change an index, from `create` or `open` to `close`.

    Attributes:
        head: Where the index stands; follows every commit.
        memory_limit: Of each change that is not given its own, in bytes; None for the default.
        uncommitted: Whether the empty index that replaces another is still to be committed.
    """

    def __init__(self, head: Head, lock: WriteLock) -> None:
        """Not for callers: see `create` and `open`."""
        self.head = head
        self.memory_limit: int | None = None
        self.uncommitted = False
        self._lock = lock

    @classmethod
    def create(
        cls, folder: Path, settings: Settings, encoder: EncoderEntry | None, *, overwrite: bool
    ) -> Self:
        """Begin an index, empty; one that it replaces stays until the first commit or `close`.

        Raises:
            IndexExistsError: Something is there, and `overwrite` is false or it is no index.
            IndexLockedError: Another process is writing there.
        """
        _check_free(folder, overwrite=overwrite)
        with named_errors(folder):
            make_folder(folder)
        lock = WriteLock(folder)
        try:
            _check_free(folder, overwrite=overwrite)  # again: another process may have been faster
            manifest = successor(folder, settings, encoder)
            replaces = manifest.generation > 0
            if not replaces:
                manifest = commit(folder, manifest, ())
            writer = cls(Head(Generation.open(folder, manifest)), lock)
            writer.uncommitted = replaces
            return writer
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open an index for changes.

        Raises:
            IndexNotFoundError, IndexVersionError, CorruptIndexError: As `Generation.newest` has
                them.
            IndexLockedError: Another process is writing.
        """
        existing_generation(folder)  # before the lock: no LOCK file where there is no index
        lock = WriteLock(folder)
        try:
            return cls(Head(Generation.newest(folder)), lock)
        except BaseException:
            lock.release()
            raise

    def close(self) -> None:
        """Commit what is left to commit and let the next writer in. May be called twice."""
        try:
            if self.uncommitted:
                commit(self.head.folder, self.head.generation.manifest, ())
        finally:
            self.uncommitted = False
            self.head.close()
            self._lock.release()

    def ready(self) -> Self:
        """This writer, once its folder is known to be there and its head to be the newest.

        Raises:
            StorageError: The folder was moved or deleted.
        """
        self._lock.check()
        self.head.catch_up()
        return self

    def add(
        self, items: Iterator[Item], encode: EncodeDocuments | None, settings: AddSettings
    ) -> int:
        """Add items; what is complete stays even if the stream, or the caller, breaks off.

        Args:
            items: Checked documents, with embeddings if there is no `encode`.
            encode: Makes embeddings of documents.
            settings: How.

        Returns:
            The number of documents written.
        """
        bounds = self._bounds(settings.memory_limit, encodes=encode is not None)
        before = self.head.generation.manifest.n_added
        with progress_bar("Indexing", settings.total, enabled=settings.progress) as meter:
            ids = IdCheck(self.head, settings.existing, meter)
            builder = self._builder(ids, encode, bounds, meter)
            with self._followed_on_error():
                builder.add(ids.new(items), settings.total)
                self.head.follow(upkeep.merge_small(self.head.generation))
        return self.head.generation.manifest.n_added - before

    def _builder(
        self, ids: IdCheck, encode: EncodeDocuments | None, bounds: BuildSettings, meter: Meter
    ) -> IndexBuilder:
        head = self.head

        def committed(manifest: Manifest, documents: Sequence[Document]) -> None:
            head.follow(manifest)
            self.uncommitted = False
            ids.committed(documents)

        return IndexBuilder(
            head.folder,
            head.generation.manifest,
            head.generation.codec,
            encode,
            settings=bounds,
            meter=meter,
            committed=committed,
            superseded=ids.superseded,
        )

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents: see `Index.delete`."""
        if isinstance(ids, str):
            raise InputError(f"delete takes an iterable of ids, not one string; pass [{ids!r}]")
        ids = list(dict.fromkeys(ids))
        for doc_id in ids:
            if not isinstance(doc_id, str):
                raise InputError(f"the id {doc_id!r} is a {type(doc_id).__name__}, not a string")
        before = self.head.generation.manifest.n_documents()
        with self._followed_on_error():
            self.head.follow(upkeep.delete(self.head.generation, ids))
        return before - self.head.generation.manifest.n_documents()

    def optimize(
        self,
        encode: EncodeDocuments | None,
        *,
        retrain: bool | None,
        progress: bool,
        memory_limit: int | str | None,
    ) -> None:
        """Merge, and train anew if asked or due: see `Index.optimize`.

        Args:
            encode: Makes embeddings anew from the texts; None for those that the codes stand for.
            retrain: As `Index.optimize` has it, and so are `progress` and `memory_limit`.
            progress: Show a progress bar.
            memory_limit: See `Index.add`.
        """
        head = self.head
        bounds = self._bounds(memory_limit, encodes=encode is not None)
        if retrain is None:
            collection = head.snapshot.collection
            retrain = upkeep.has_outgrown(head.generation, collection.n_tokens if collection else 0)
        n_documents = head.generation.manifest.n_documents()
        with (
            progress_bar("Optimizing", n_documents, enabled=progress) as meter,
            self._followed_on_error(),
        ):
            if encode is not None or retrain:
                head.follow(upkeep.rebuild(head.generation, encode, bounds, meter))
            head.follow(upkeep.compact(head.generation, meter))

    def _bounds(self, memory_limit: int | str | None, *, encodes: bool) -> BuildSettings:
        limit = self.memory_limit if memory_limit is None else as_bytes(memory_limit)
        dim = self.head.generation.manifest.settings.dim
        return BuildSettings.within(limit, dim, encodes=encodes)

    @contextmanager
    def _followed_on_error(self) -> Iterator[None]:
        """Whatever happens, go on from the newest generation on the disk."""
        try:
            yield
        except BaseException:
            with suppress(ColxtrError):
                self.head.catch_up()
            raise


def _check_free(folder: Path, *, overwrite: bool) -> None:
    if newest_generation(folder) is not None:
        if not overwrite and not _is_empty(folder):
            raise IndexExistsError(
                f"{folder}: an index is already here; add to it (--resume, or Index.open with "
                "read_only=False), or replace it (--overwrite, overwrite=True)"
            )
    elif folder.exists() and (
        not folder.is_dir() or any(not is_index_file(path.name) for path in folder.iterdir())
    ):
        raise IndexExistsError(f"{folder}: exists and is not an index; choose another path")


def _is_empty(folder: Path) -> bool:
    try:
        return not read_manifest(folder).segments
    except StorageError:
        return False
