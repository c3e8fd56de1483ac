"""The index: a folder of documents that can be searched; many read it, one writes.

The public face of all the rooms before. What it is asked, a snapshot of one generation answers
(`snapshot.py`); what is changed, its writer changes (`writing.py`). Both look to one head, which
stands at the generation in force (`head.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from colxtr import index_encoder
from colxtr.build import BuildSettings, Embeddings
from colxtr.codec import check_dim, check_n_bits
from colxtr.cpus import available_cpus
from colxtr.documents import Document
from colxtr.errors import InputError, ReadOnlyError
from colxtr.filters import parse_filter
from colxtr.head import Head
from colxtr.hits import Explanation, Hit
from colxtr.incoming import Existing, items_of_embeddings, items_of_texts, total_of
from colxtr.info import IndexInfo, measure
from colxtr.memory import as_bytes
from colxtr.progress import progress_bar
from colxtr.search import SearchOptions, SearchSettings
from colxtr.snapshot import FilterLike, Snapshot
from colxtr.storage.generation import Generation
from colxtr.storage.manifest import Settings
from colxtr.storage.verification import Verification, n_blocks, verify
from colxtr.waiting import Item
from colxtr.writing import AddSettings, Writer

if TYPE_CHECKING:
    from colxtr.encoder import Encoder


class Index:
    """An open index. Made by `Index.create` and `Index.open`; a context manager.

    Searching is safe from several threads at once. Writing is for one thread of one process.
    """

    def __init__(self, head: Head, writer: Writer | None, encoder: Encoder | None) -> None:
        """Not for callers: see `Index.create` and `Index.open`."""
        self._head, self._writer, self._encoder = head, writer, encoder
        self._closed = False

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        encoder: Encoder | str | Path | None = None,
        dim: int | None = None,
        n_bits: int = 2,
        n_centroids: int | None = None,
        windows: bool = True,
        seed: int = 0,
        overwrite: bool = False,
        memory_limit: int | str | None = None,
    ) -> Self:
        """Make an empty index and open it for writing.

        An index that it replaces is gone as soon as documents are committed or the new one is
        closed. If an exception leaves the `with` block before, the old one stays.

        Args:
            path: A folder that does not exist yet, is empty, or holds an index without documents.
            encoder: Encodes documents and queries: an `Encoder`, or what `Encoder.load` takes.
                Without it and without `dim`, the built-in model.
            dim: Length of the embeddings, for an index that gets embeddings only.
            n_bits: Bits per dimension: 1, 2, 4, 8, or 16 for half precision without compression.
            n_centroids: Default: 16 * sqrt(tokens).
            windows: Encode texts beyond the encoder's limit whole, in overlapping windows; False
                cuts them.
            seed: Of everything random: the same documents give the same index.
            overwrite: Replace an index that is at `path`.
            memory_limit: For `add` and `add_embeddings`, where they are not given their own.

        Raises:
            IndexExistsError: Something is at `path` already.
            InputError: `dim`, `n_bits` or `memory_limit` is impossible, or both `encoder` and `dim`
                are given.
            ModelError: The encoder cannot be loaded.
        """
        check_n_bits(n_bits)
        limit = None if memory_limit is None else as_bytes(memory_limit)
        if n_centroids is not None and n_centroids < 1:
            raise InputError(f"n_centroids is {n_centroids}; at least 1 is possible")
        loaded = index_encoder.load_encoder(encoder) if dim is None else None
        if dim is None:
            assert loaded is not None
            dim = loaded.dim
        elif encoder is not None:
            raise InputError("pass an encoder or dim, not both")
        check_dim(dim)
        BuildSettings.within(limit, dim, encodes=loaded is not None)  # or an error before there is
        settings = Settings(dim, n_bits, n_centroids, seed, windows)  # an index
        entry = index_encoder.entry_of(loaded)
        writer = Writer.create(Path(path), settings, entry, overwrite=overwrite)
        writer.memory_limit = limit
        return cls(writer.head, writer, loaded)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        read_only: bool = True,
        encoder: Encoder | str | Path | None = None,
    ) -> Self:
        """Open an index as it is now; what a writer commits later is seen after `refresh`.

        Args:
            path: Its folder.
            read_only: False to add documents; one process at a time can.
            encoder: Default: the one that the index was made with, loaded when a text must be
                encoded. Pass it here if it has moved.

        Raises:
            IndexNotFoundError: There is no index at `path`.
            IndexVersionError: It was written in another version of the format.
            CorruptIndexError: A file is missing or damaged.
            IndexLockedError: `read_only` is false and another process is writing.
        """
        folder = Path(path)
        writer = None if read_only else Writer.open(folder)
        index = cls(writer.head if writer else Head(Generation.newest(folder)), writer, None)
        try:
            if encoder is not None:
                loaded = index_encoder.load_encoder(encoder)
                index._encoder = index_encoder.checked(index._generation, loaded)
            return index
        except BaseException:
            index.close()
            raise

    def close(self) -> None:
        """Close all files and let the next writer in. May be called twice."""
        self._closed = True
        (self._writer or self._head).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None and self._writer is not None:
            self._writer.uncommitted = False
        self.close()

    # -- what is in it ----------------------------------------------------------------------------

    def __len__(self) -> int:
        """The number of documents."""
        self._check_open()
        return self._generation.manifest.n_documents()

    def __contains__(self, doc_id: object) -> bool:
        self._check_open()
        return isinstance(doc_id, str) and self._generation.find(doc_id) is not None

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self)} documents"
        return f"<colxtr.Index {self._path} ({state})>"

    def get(self, doc_id: str) -> Document | None:
        """The document of this id; None if it is not in the index."""
        self._check_open()
        return self._generation.document(doc_id)

    def info(self) -> IndexInfo:
        """Counts and sizes."""
        self._check_open()
        return measure(self._generation)

    def verify(self, *, progress: bool = False) -> Verification:
        """Check every byte of the newest generation, and that its parts agree.

        Returns:
            What was found: false, with a line for each damage in `problems`, if anything is wrong.
        """
        self._check_open()
        with progress_bar("Verifying", n_blocks(self._path), "blocks", progress) as meter:
            return verify(self._path, meter)

    @property
    def encoder(self) -> Encoder:
        """The encoder of texts, loaded when it is first needed.

        Raises:
            InputError: The index was made for embeddings.
            ModelError: It cannot be loaded, or is another one than the index was made with.
        """
        if self._encoder is None:
            self._encoder = index_encoder.encoder_of(self._generation)
        return self._encoder

    # -- adding -----------------------------------------------------------------------------------

    def add(
        self,
        documents: Iterable[str | Mapping[str, Any] | Document],
        *,
        total: int | None = None,
        progress: bool = False,
        skip_existing: bool = False,
        memory_limit: int | str | None = None,
    ) -> int:
        """Encode documents and add them.

        Works on streams of any length in bounded memory, and commits every so often: if the
        stream or the process breaks off, what was committed stays, and after an exception (or
        Ctrl-C) all that was coded is committed too.

        Args:
            documents: Strings, mappings with "text" and optionally "id", "title" and "metadata",
                or `Document`s. A document without an id gets its position in the index.
            total: How many there are, if the iterable does not say itself: for the number of
                centroids and the progress bar.
            progress: Show a progress bar.
            skip_existing: Leave out documents whose id the index already holds.
            memory_limit: What the process may take while it adds: bytes, or "1.5GB" or "900MB".
                Default: the one given to `create`, else 1.5 GB or a little more. The sample that
                the codec is trained on, and the size of the segments, follow from it. What torch
                takes, if it is used (COLXTR_DEVICE), comes on top.

        Returns:
            The number of documents added.

        Raises:
            DuplicateIdError: An id is already in the index, or twice among the documents.
            DocumentError: A document without usable id, text or metadata.
            ReadOnlyError: The index was opened for reading.
            InputError: `memory_limit` is not an amount, or too small.
        """
        existing: Existing = "skip" if skip_existing else "refuse"
        settings = AddSettings(existing, total_of(documents, total), progress, memory_limit)
        return self._writable().add(self._items_of_texts(documents), self._encode, settings)

    def update(
        self,
        documents: Iterable[str | Mapping[str, Any] | Document],
        *,
        total: int | None = None,
        progress: bool = False,
        memory_limit: int | str | None = None,
    ) -> int:
        """Add documents in place of those that have their ids; new ids are added.

        Works as `add` does. Each commit puts the new documents in and takes the old ones out at
        once: a reader sees one or the other.

        Returns:
            The number of documents written.

        Raises:
            DuplicateIdError: An id is twice among the documents.
            DocumentError, ReadOnlyError, InputError: As `add` has it.
        """
        settings = AddSettings("replace", total_of(documents, total), progress, memory_limit)
        return self._writable().add(self._items_of_texts(documents), self._encode, settings)

    def add_embeddings(
        self,
        ids: Iterable[str | Mapping[str, Any] | Document],
        embeddings: Iterable[NDArray[np.floating]],
        *,
        total: int | None = None,
        progress: bool = False,
        skip_existing: bool = False,
        memory_limit: int | str | None = None,
    ) -> int:
        """Add documents whose token embeddings are given.

        Works as `add` does. To the first documents of an index the codec is fitted, and for it to
        suit all of them up to 8 GiB of embeddings in half precision (31 million of 128 dimensions),
        or half of what the disk has free, wait in a file without a name in the index's folder
        until the stream ends. Ctrl-C loses what waits; what another error of the stream leaves is
        added.

        Args:
            ids: Ids, or whole documents if texts and metadata are to be stored too.
            embeddings: As many arrays, (n_tokens, dim).
            total: As `add` has it.
            progress: Show a progress bar.
            skip_existing: As `add` has it.
            memory_limit: As `add` has it; what the caller holds comes on top.

        Returns:
            The number of documents added.

        Raises:
            EmbeddingError: An array of another shape, with NaN or infinity, or a zero embedding;
                or more ids than arrays, or fewer.
            DuplicateIdError, DocumentError, ReadOnlyError: As `add` has it.
        """
        existing: Existing = "skip" if skip_existing else "refuse"
        settings = AddSettings(existing, total_of(ids, total), progress, memory_limit)
        return self._writable().add(self._items_of_embeddings(ids, embeddings), None, settings)

    def update_embeddings(
        self,
        ids: Iterable[str | Mapping[str, Any] | Document],
        embeddings: Iterable[NDArray[np.floating]],
        *,
        total: int | None = None,
        progress: bool = False,
        memory_limit: int | str | None = None,
    ) -> int:
        """`update` for documents whose token embeddings are given, as `add_embeddings` has them."""
        settings = AddSettings("replace", total_of(ids, total), progress, memory_limit)
        return self._writable().add(self._items_of_embeddings(ids, embeddings), None, settings)

    # -- deleting and tidying up ------------------------------------------------------------------

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents; ids that are not in the index are passed over.

        They are gone from all searches at once; the space comes back when their segment is merged
        (`optimize`, or after enough small additions).

        Returns:
            The number of documents deleted.

        Raises:
            ReadOnlyError: The index was opened for reading.
            InputError: `ids` is one string, or one of them is no string.
        """
        return self._writable().delete(ids)

    def optimize(
        self,
        *,
        retrain: bool | None = None,
        reencode: bool = False,
        progress: bool = False,
        memory_limit: int | str | None = None,
    ) -> None:
        """Merge all segments into one, and drop deleted documents.

        If the collection has outgrown its centroids (four times the tokens or more since they were
        trained), the codec is trained anew on all documents. Readers keep what they have open
        until they `refresh`.

        Args:
            retrain: True or False to train the codec anew, or not, in any case.
            reencode: Train and code from the texts, encoded once more, rather than from what the
                codes stand for: slow, but nothing is lost to coding twice. Implies `retrain`.
            progress: Show a progress bar.
            memory_limit: As `add` has it; merging alone takes little.

        Raises:
            ReadOnlyError: The index was opened for reading.
            InputError: `reencode` in an index of embeddings, or an impossible `memory_limit`.
        """
        writer = self._writable()
        if reencode:
            self.encoder  # noqa: B018 - or an error
        writer.optimize(
            self._encode if reencode else None,
            retrain=retrain,
            progress=progress,
            memory_limit=memory_limit,
        )

    def refresh(self) -> bool:
        """Go to the newest generation that a writer has committed; True if there was a newer one.

        What both generations have in common stays open and mapped, the rest is let go of. Searches
        that are running in other threads end on the old one.
        """
        self._check_open()
        return self._head.refresh()

    # -- searching --------------------------------------------------------------------------------

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        filter: FilterLike | None = None,  # noqa: A002 (as other databases name it)
        load_text: bool = True,
        threads: int | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Hit]:
        """The k best documents for a question.

        Args:
            query: The question. Without any token (an empty text) it finds nothing.
            k: How many, at least 1; fewer come back if fewer are found.
            filter: Which documents may be found, by their metadata, as {"year": {"$gte": 2020}}
                (docs/filters.md). The k best of these come back, however few they are.
            load_text: False leaves texts, titles and metadata out of the hits: faster for large k.
            threads: For this question; None for all processors, up to 4. The hits do not depend
                on it.
            **options: The fields of `SearchSettings`, which says what their defaults are and what
                is clamped: `method` ("colxtr", "xtr", "colbertv2", "colbert" or "exact"),
                `quality` (0 to 1), `n_probe`, `k_prime`, `rerank`, `n_candidates`.

        Returns:
            Hits, the best first; equal scores in the order in which they were added.
        """
        settings = SearchSettings(**options)
        (embeddings,) = self.encoder.encode_queries([query])
        return self._snapshot().search(
            embeddings, k, settings, filter, load_text=load_text, threads=threads
        )

    def search_many(
        self,
        queries: Iterable[str],
        k: int = 10,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        load_text: bool = True,
        threads: int | None = None,
        progress: bool = False,
        **options: Unpack[SearchOptions],
    ) -> list[list[Hit]]:
        """Hits for several questions, in their order, whatever the number of threads.

        Args:
            queries: The questions.
            k: As `search` has it, and so have `filter`, `load_text` and `options`.
            filter: See `search`.
            load_text: See `search`.
            threads: Questions searched at the same time; None for all processors.
            progress: Show progress bars.
            **options: As `search` has them.
        """
        settings = SearchSettings(**options)
        parsed = None if filter is None else parse_filter(filter)
        encoded = self.encoder.encode_queries(queries, progress=progress)
        with (
            progress_bar("Searching", len(encoded), "queries", enabled=progress) as advance,
            ThreadPoolExecutor(threads or available_cpus()) as pool,
        ):
            results = []
            for hits in pool.map(
                lambda e: self._snapshot().search(
                    e, k, settings, parsed, load_text=load_text, threads=1
                ),
                encoded,
            ):
                results.append(hits)
                advance(1)
        return results

    def search_embeddings(
        self,
        query_embeddings: NDArray[np.floating],
        k: int = 10,
        *,
        filter: FilterLike | None = None,  # noqa: A002 (as other databases name it)
        load_text: bool = True,
        threads: int | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Hit]:
        """As `search`, for a query given as token embeddings, (n_tokens, dim)."""
        settings = SearchSettings(**options)
        return self._snapshot().search(
            query_embeddings, k, settings, filter, load_text=load_text, threads=threads
        )

    def explain(
        self,
        query: str,
        doc_id: str,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        **options: Unpack[SearchOptions],
    ) -> Explanation:
        """Why a document has the score that `search` with the same parameters gives it.

        With methods that re-rank, the document is taken to be among those that are.

        Raises:
            InputError: The id is not in the index, or the filter does not let it through, or the
                query or the document has no token.
        """
        settings = SearchSettings(**options)
        return self._snapshot().explain_text(self.encoder, query, doc_id, settings, filter)

    def explain_embeddings(
        self,
        query_embeddings: NDArray[np.floating],
        doc_id: str,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        **options: Unpack[SearchOptions],
    ) -> Explanation:
        """The same for a query given as token embeddings, (n_tokens, dim)."""
        settings = SearchSettings(**options)
        return self._snapshot().explain(query_embeddings, doc_id, settings, filter)

    # -- inside -----------------------------------------------------------------------------------

    @property
    def _path(self) -> Path:
        return self._head.folder

    @property
    def _generation(self) -> Generation:
        return self._head.generation

    def _snapshot(self) -> Snapshot:
        self._check_open()
        return self._head.snapshot  # another thread may `refresh` meanwhile

    def _check_open(self) -> None:
        if self._closed:
            raise InputError(f"{self._path}: the index was closed; open it again")

    def _writable(self) -> Writer:
        self._check_open()
        if self._writer is None:
            raise ReadOnlyError(
                f"{self._path}: opened for reading; use Index.open(path, read_only=False)"
            )
        return self._writer.ready()

    def _encode(self, documents: Sequence[Document]) -> list[Embeddings]:
        return index_encoder.encode(self.encoder, documents, self._generation.manifest.settings)

    def _items_of_texts(
        self, documents: Iterable[str | Mapping[str, Any] | Document]
    ) -> Iterator[Item]:
        items = items_of_texts(documents, self._generation.manifest.n_added)
        self.encoder  # noqa: B018 - an error here is better than one after reading ahead
        return items

    def _items_of_embeddings(
        self,
        ids: Iterable[str | Mapping[str, Any] | Document],
        embeddings: Iterable[NDArray[np.floating]],
    ) -> Iterator[Item]:
        manifest = self._generation.manifest
        return items_of_embeddings(ids, embeddings, manifest.n_added, manifest.settings.dim)
