"""The index: a folder of documents that can be searched; many read it, one writes.

Puts the rooms together: documents and encoder on one side, segments and search on the other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from colxtr import upkeep
from colxtr.build import BuildSettings, IndexBuilder, Item
from colxtr.codec import check_dim, check_embeddings, check_n_bits
from colxtr.cpus import available_cpus
from colxtr.documents import Document, as_document
from colxtr.errors import (
    ColxtrError,
    DuplicateIdError,
    EmbeddingError,
    IndexExistsError,
    InputError,
    ModelError,
    ReadOnlyError,
    StorageError,
)
from colxtr.explanation import gather_evidence, match_text, match_tokens
from colxtr.filters import Filter, parse_filter
from colxtr.hits import Explanation, Hit
from colxtr.info import IndexInfo, measure
from colxtr.memory import as_bytes
from colxtr.progress import progress_bar
from colxtr.search import Collection, Ranking, Search, SearchOptions, SearchSettings
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
from colxtr.storage.tombstones import Ordinals
from colxtr.storage.verification import Verification, n_blocks, verify

if TYPE_CHECKING:
    from colxtr.encoder import Encoder

Embeddings = NDArray[np.float32]
FilterLike = Filter | Mapping[str, Any]
LOOKED_UP = 64  # documents whose ids are looked up in the segments together
KEPT_FILTERS = 32  # a bit for each document, and the ordinals of those that they let through
MOST_THREADS = 4  # of one question: more wait for each other longer than they work


@dataclass(frozen=True)
class Searched:
    """What was searched last, so that the next search finds it prepared.

    Attributes:
        generation: That it is of.
        collection: All of it; None if no document has a token.
        filtered: By the keys of the newest filters: what they let through.
    """

    generation: Generation | None
    collection: Collection | None
    filtered: OrderedDict[str, Collection] = field(default_factory=OrderedDict)


class Index:
    """An open index. Made by `Index.create` and `Index.open`; a context manager.

    Searching is safe from several threads at once. Writing is for one thread of one process.
    """

    def __init__(
        self, generation: Generation, encoder: Encoder | None, lock: WriteLock | None
    ) -> None:
        """Not for callers: see `Index.create` and `Index.open`."""
        self._path, self._generation = generation.folder, generation
        self._lock, self._encoder = lock, encoder
        self._searched = Searched(None, None)
        self._closed = False
        self._uncommitted = False  # whether the manifest in force is still to be written
        self._memory_limit: int | None = None

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        encoder: Encoder | str | Path | None = None,
        dim: int | None = None,
        n_bits: int = 2,
        n_centroids: int | None = None,
        windows: bool = False,
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
            windows: Encode texts beyond the encoder's limit in overlapping windows; by default
                they are cut.
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
        loaded = _loaded(encoder) if dim is None else None
        if dim is None:
            assert loaded is not None
            dim = loaded.dim
        elif encoder is not None:
            raise InputError("pass an encoder or dim, not both")
        check_dim(dim)
        BuildSettings.within(limit, dim, encodes=loaded is not None)  # or an error before there is
        folder = Path(path)  # an index
        _check_free(folder, overwrite=overwrite)
        with named_errors(folder):
            make_folder(folder)
        lock = WriteLock(folder)
        try:
            _check_free(folder, overwrite=overwrite)  # again: another process may have been faster
            manifest = successor(
                folder, Settings(dim, n_bits, n_centroids, seed, windows), _entry(loaded)
            )
            replaces = manifest.generation > 0
            if not replaces:
                manifest = commit(folder, manifest, ())
            index = cls(Generation.open(folder, manifest), loaded, lock)
            index._uncommitted = replaces
            index._memory_limit = limit
            return index
        except BaseException:
            lock.release()
            raise

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
        existing_generation(folder)  # before the lock: no LOCK file where there is no index
        lock = None if read_only else WriteLock(folder)
        try:
            loaded = None if encoder is None else _loaded(encoder)
            index = cls(Generation.newest(folder), None, lock)
            if loaded is not None:
                index._use(loaded)
            return index
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    def close(self) -> None:
        """Close all files and let the next writer in. May be called twice."""
        self._closed = True
        try:
            if self._uncommitted:
                commit(self._path, self._generation.manifest, ())
        finally:
            self._uncommitted = False
            self._generation.close()
            if self._lock is not None:
                self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._uncommitted = False
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
            entry = self._generation.manifest.encoder
            if entry is None:
                raise InputError(
                    f"{self._path}: made for embeddings, without an encoder; use "
                    "add_embeddings and search_embeddings"
                )
            self._use(_loaded(None if entry.source == "builtin" else entry.source))
        assert self._encoder is not None
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
        items = self._items_of_texts(documents)
        settings = self._bounds(memory_limit, encodes=True)
        total = _total(documents, total)
        return self._add(items, total, progress, settings, skip_existing=skip_existing)

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
        items = self._items_of_texts(documents)
        settings = self._bounds(memory_limit, encodes=True)
        return self._add(items, _total(documents, total), progress, settings, replaces=True)

    def _items_of_texts(
        self, documents: Iterable[str | Mapping[str, Any] | Document]
    ) -> Iterator[Item]:
        if isinstance(documents, str | Mapping):
            raise InputError(
                f"pass an iterable of documents, not one {type(documents).__name__}; "
                "put it into a list"
            )
        self.encoder  # noqa: B018 - an error here is better than one after reading ahead
        start = self._generation.manifest.n_added
        return (Item(as_document(each, start + i)) for i, each in enumerate(documents))

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
        items = self._items_of_embeddings(ids, embeddings)
        settings = self._bounds(memory_limit, encodes=False)
        total = _total(ids, total)
        return self._add(items, total, progress, settings, skip_existing=skip_existing)

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
        items = self._items_of_embeddings(ids, embeddings)
        settings = self._bounds(memory_limit, encodes=False)
        return self._add(items, _total(ids, total), progress, settings, replaces=True)

    def _items_of_embeddings(
        self,
        ids: Iterable[str | Mapping[str, Any] | Document],
        embeddings: Iterable[NDArray[np.floating]],
    ) -> Iterator[Item]:
        dim = self._settings.dim
        start = self._generation.manifest.n_added
        for i, (each, array) in enumerate(_pairs(ids, embeddings)):
            document = Document(each, "") if isinstance(each, str) else each
            document = as_document(document, start + i)
            yield Item(document, check_embeddings(array, dim, f"document {document.id!r}"))

    def _bounds(self, memory_limit: int | str | None, *, encodes: bool) -> BuildSettings:
        limit = self._memory_limit if memory_limit is None else as_bytes(memory_limit)
        return BuildSettings.within(limit, self._settings.dim, encodes=encodes)

    def _add(
        self,
        items: Iterator[Item],
        total: int | None,
        progress: bool,
        settings: BuildSettings,
        *,
        skip_existing: bool = False,
        replaces: bool = False,
    ) -> int:
        self._check_writable()
        self._catch_up()
        before = self._generation.manifest.n_added
        pending: set[str] = set()  # ids read but not committed: the others are in the segments
        stored: set[str] = set()  # those ids of the items looked up last that are in the segments

        def is_new(item: Item) -> bool:
            doc_id = item.document.id
            if doc_id in pending:
                raise DuplicateIdError(f"the id {doc_id!r} occurs twice among the documents")
            if doc_id not in stored:
                pending.add(doc_id)
                return True
            if not skip_existing:
                raise DuplicateIdError(
                    f"the id {doc_id!r} is already in {self._path}; "
                    "skip_existing=True leaves such documents out, update() replaces them"
                )
            meter.skip(1)
            return False

        def new_items() -> Iterator[Item]:
            for some in _in_blocks(items, LOOKED_UP):
                stored.clear()
                if not replaces:
                    stored.update(self._generation.places([item.document.id for item in some]))
                yield from filter(is_new, some)

        def committed(manifest: Manifest, documents: Sequence[Document]) -> None:
            self._follow(manifest)
            self._uncommitted = False
            ids = [document.id for document in documents]
            if not replaces:
                stored.update(ids)
            pending.difference_update(ids)

        with progress_bar("Indexing", total, enabled=progress) as meter:
            builder = IndexBuilder(
                self._path,
                self._generation.manifest,
                self._generation.codec,
                self._encode,
                settings=settings,
                meter=meter,
                committed=committed,
                superseded=self._generation_without if replaces else lambda ids: {},
            )
            with self._followed_on_error():
                builder.add(new_items(), total)
                self._follow(upkeep.merge_small(self._generation))
        return self._generation.manifest.n_added - before

    def _generation_without(self, doc_ids: Sequence[str]) -> dict[str, Ordinals]:
        return self._generation.without(doc_ids)

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
        if isinstance(ids, str):
            raise InputError(f"delete takes an iterable of ids, not one string; pass [{ids!r}]")
        ids = list(dict.fromkeys(ids))
        for doc_id in ids:
            if not isinstance(doc_id, str):
                raise InputError(f"the id {doc_id!r} is a {type(doc_id).__name__}, not a string")
        self._check_writable()
        self._catch_up()
        before = len(self)
        with self._followed_on_error():
            self._follow(upkeep.delete(self._generation, ids))
        return before - len(self)

    def optimize(
        self,
        *,
        retrain: bool | None = None,
        reencode: bool = False,
        progress: bool = False,
        memory_limit: int | str | None = None,
    ) -> None:
        """Merge all segments into as few as memory allows, and drop deleted documents.

        If the collection has outgrown its centroids (four times the tokens or more since they were
        trained), the codec is trained anew on all documents. Readers keep what they have open
        until they `refresh`.

        Args:
            retrain: True or False to train the codec anew, or not, in any case.
            reencode: Train and code from the texts, encoded once more, rather than from what the
                codes stand for: slow, but nothing is lost to coding twice. Implies `retrain`.
            progress: Show a progress bar.
            memory_limit: As `add` has it.

        Raises:
            ReadOnlyError: The index was opened for reading.
            InputError: `reencode` in an index of embeddings, or an impossible `memory_limit`.
        """
        self._check_writable()
        self._catch_up()
        settings = self._bounds(memory_limit, encodes=reencode)
        if reencode:
            self.encoder  # noqa: B018 - or an error
        if retrain is None:
            collection = self._collection(self._generation)
            n_tokens = collection.n_tokens if collection else 0
            retrain = upkeep.has_outgrown(self._generation, n_tokens)
        with (
            progress_bar("Optimizing", len(self), enabled=progress) as meter,
            self._followed_on_error(),
        ):
            if reencode or retrain:
                encode = self._encode if reencode else None
                self._follow(upkeep.rebuild(self._generation, encode, settings, meter))
            self._follow(upkeep.compact(self._generation, settings.segment_bytes, meter))

    def refresh(self) -> bool:
        """Go to the newest generation that a writer has committed; True if there was a newer one.

        What both generations have in common stays open and mapped. Searches that are running in
        other threads end on the old one.
        """
        self._check_open()
        before = self._generation
        if newest_generation(self._path) != before.manifest.generation:
            self._generation = before.newest_after()
        return self._generation is not before

    def _follow(self, manifest: Manifest | None) -> None:
        if manifest is not None:
            self._generation = self._generation.following(manifest)

    @contextmanager
    def _followed_on_error(self) -> Iterator[None]:
        """Whatever happens, go on from the newest generation on the disk."""
        try:
            yield
        except BaseException:
            with suppress(ColxtrError):
                self._catch_up()
            raise

    def _catch_up(self) -> None:
        """Open what is committed, if an interruption kept us from noting it."""
        if newest_generation(self._path) != self._generation.manifest.generation:
            self._follow(read_manifest(self._path))

    def _encode(self, documents: Sequence[Document]) -> list[Embeddings]:
        arrays = self.encoder.encode_documents(documents, windows=self._settings.windows)
        dim = self._settings.dim
        return [
            check_embeddings(array, dim, f"document {document.id!r}")
            for document, array in zip(documents, arrays, strict=True)
        ]

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
        return self._search(embeddings, k, settings, filter, load_text=load_text, threads=threads)

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
                lambda e: self._search(e, k, settings, parsed, load_text=load_text, threads=1),
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
        return self._search(
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
        (embeddings,) = self.encoder.encode_queries([query])
        return self._explain(embeddings, doc_id, settings, filter, query)

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
        return self._explain(query_embeddings, doc_id, settings, filter, None)

    def _search(
        self,
        embeddings: NDArray[np.floating],
        k: int,
        settings: SearchSettings,
        filter: FilterLike | None,  # noqa: A002
        *,
        load_text: bool,
        threads: int | None,
    ) -> list[Hit]:
        self._check_open()
        threads = min(available_cpus(), MOST_THREADS) if threads is None else threads
        if threads < 1:
            raise InputError(f"threads is {threads}; at least 1 is possible")
        if k < 1:
            raise InputError(f"k is {k}; at least 1 is possible")
        checked = check_embeddings(embeddings, self._settings.dim, "the query")
        generation = self._generation  # another thread may `refresh` meanwhile
        collection = self._collection(generation, filter)
        if collection is None or not collection.n_tokens or not len(checked):
            return []
        ranking = Search(collection, checked, settings, threads).rank(k)
        return _hits(generation, ranking, load_text=load_text)

    def _explain(
        self,
        embeddings: NDArray[np.floating],
        doc_id: str,
        settings: SearchSettings,
        filter: FilterLike | None,  # noqa: A002
        query: str | None,
    ) -> Explanation:
        self._check_open()
        checked = check_embeddings(embeddings, self._settings.dim, "the query")
        generation = self._generation
        place = generation.find(doc_id)
        if place is None:
            raise InputError(f"the id {doc_id!r} is not in {self._path}")
        collection, tokens = self._collection(generation, filter), place.segment.tokens
        if filter is not None and not generation.selected(parse_filter(filter))[place.ordinal]:
            raise InputError(f"the filter does not let the document {doc_id!r} through")
        if collection is None or tokens is None or not tokens.token_counts[place.local]:
            raise InputError(f"the document {doc_id!r} has no token: nothing to explain")
        if not len(checked):
            raise InputError("the query has no token: nothing to explain")
        score, evidence = gather_evidence(collection, checked, settings, tokens, place.local)
        if query is None:
            return Explanation(doc_id, score, settings.method, match_tokens(evidence))
        (document,) = generation.documents([place.ordinal])
        matches = match_text(
            evidence, self.encoder, query, document, windows=self._settings.windows
        )
        return Explanation(doc_id, score, settings.method, matches)

    # -- inside -----------------------------------------------------------------------------------

    @property
    def _settings(self) -> Settings:
        return self._generation.manifest.settings

    def _collection(
        self,
        generation: Generation,
        filter: FilterLike | None = None,  # noqa: A002 (the public name)
    ) -> Collection | None:
        """What can be searched; None if no document has a token."""
        searched = self._searched
        if searched.generation is not generation:
            collection = None
            segments = generation.with_tokens()
            if generation.codec is not None and segments:
                collection = Collection(generation.codec, segments, generation.live())
            self._searched = searched = Searched(generation, collection)
        if filter is None or searched.collection is None:
            return searched.collection
        parsed = parse_filter(filter)
        filtered = searched.filtered.get(parsed.key)
        if filtered is None:
            filtered = searched.collection.only(generation.selected(parsed))
            searched.filtered[parsed.key] = filtered
            while len(searched.filtered) > KEPT_FILTERS:
                searched.filtered.popitem(last=False)
        return filtered

    def _use(self, encoder: Encoder) -> None:
        """Take an encoder, if it is the one that the index was made with."""
        entry = self._generation.manifest.encoder
        if entry is not None and entry.fingerprint != encoder.fingerprint:
            raise ModelError(
                f"{self._path}: made with the encoder {entry.name!r} ({entry.source}), fingerprint "
                f"{entry.fingerprint}; {encoder.source!r} has {encoder.fingerprint}. Open the "
                "index with encoder= the one it was made with, or build it anew"
            )
        if encoder.dim != self._settings.dim:
            raise EmbeddingError(
                f"{self._path}: holds embeddings of {self._settings.dim} dimensions, "
                f"{encoder.source!r} makes {encoder.dim}"
            )
        self._encoder = encoder

    def _check_open(self) -> None:
        if self._closed:
            raise InputError(f"{self._path}: the index was closed; open it again")

    def _check_writable(self) -> None:
        self._check_open()
        if self._lock is None:
            raise ReadOnlyError(
                f"{self._path}: opened for reading; use Index.open(path, read_only=False)"
            )
        self._lock.check()


def _hits(generation: Generation, ranking: Ranking, *, load_text: bool) -> list[Hit]:
    documents = generation.documents(ranking.ordinals.tolist(), ids_only=not load_text)
    return [
        Hit(d.id, score, d.text, d.title, d.metadata)
        for d, score in zip(documents, ranking.scores.tolist(), strict=True)
    ]


def _loaded(encoder: Encoder | str | Path | None) -> Encoder:
    from colxtr.encoder import Encoder  # noqa: PLC0415 - not needed by indexes of embeddings

    return encoder if isinstance(encoder, Encoder) else Encoder.load(encoder)


def _entry(encoder: Encoder | None) -> EncoderEntry | None:
    if encoder is None:
        return None
    return EncoderEntry(encoder.source, encoder.name, encoder.fingerprint)


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


def _total(documents: object, total: int | None) -> int | None:
    if total is not None or not hasattr(documents, "__len__"):
        return total
    return len(documents)


def _in_blocks(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items; an error of `items` comes after the items before it."""
    block: list[Item] = []
    try:
        for item in items:
            block.append(item)
            if len(block) == size:
                yield block
                block = []
    except Exception:
        yield block
        raise
    yield block


def _pairs(
    ids: Iterable[Any], embeddings: Iterable[NDArray[np.floating]]
) -> Iterator[tuple[Any, NDArray[np.floating]]]:
    """Pairs, or an error if one side is longer."""
    others = iter(embeddings)
    missing = object()
    count = 0
    for each in ids:
        array = next(others, missing)
        if array is missing:
            raise EmbeddingError(f"there are embeddings for {count} documents, but more ids")
        count += 1
        yield each, array  # type: ignore[misc]
    if next(others, missing) is not missing:
        raise EmbeddingError(f"there are {count} ids, but more embeddings")
