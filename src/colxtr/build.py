"""From documents, or their embeddings, to segments: streaming, in bounded memory.

Documents are read ahead, as many as there is room for; from a random sample of them the codec is
trained, and from then on every batch is encoded, coded and forgotten. Whenever the codes in memory
reach a bound, they become a segment, and a new generation is committed. Knows nothing of search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from colxtr.clustering import number_of_centroids
from colxtr.codec import Codec, EncodedTokens
from colxtr.cpus import available_cpus, in_order
from colxtr.documents import Document
from colxtr.errors import InputError
from colxtr.memory import as_text
from colxtr.progress import SILENT, Meter
from colxtr.storage.manifest import (
    Manifest,
    SegmentEntry,
    commit,
    undone_on_error,
)
from colxtr.storage.segment import Batch, SegmentBuilder, write_codec
from colxtr.storage.tombstones import Ordinals, with_deletions
from colxtr.waiting import Item, Room, Waiting

Embeddings = NDArray[np.float32]
NO_TOKENS = EncodedTokens(np.empty(0, np.uint32), np.empty((0, 0), np.uint8))
EncodeDocuments = Callable[[Sequence[Document]], Sequence[Embeddings]]


@dataclass(frozen=True)
class BuildSettings:
    """Bounds of a build. Those in bytes follow from a `memory_limit`, with `within`.

    Attributes:
        room: For texts and given embeddings from which the codec's sample is drawn.
        sample_bytes: Of the sample, in half precision.
        sample_tokens_per_centroid: Wanted, if the bytes allow.
        centroid_bytes: That training may take beside the sample; None for what it needs.
        segment_bytes: Of codes and texts in memory, after which a segment is written.
        batch_documents: Encoded or coded together, at most.
        batch_bytes: Of texts encoded together, roughly.
        batch_tokens: Coded together by one thread, roughly.
        coders: Threads that code, at most.
    """

    room: Room = field(default_factory=Room)
    sample_bytes: int = 400_000_000
    sample_tokens_per_centroid: int = 32
    centroid_bytes: int | None = None
    segment_bytes: int = 256 << 20
    batch_documents: int = 256
    batch_bytes: int = 512 << 10
    batch_tokens: int = 16_384
    coders: int = 16

    @classmethod
    def within(cls, limit: int | None, dim: int, *, encodes: bool) -> BuildSettings:
        """Bounds with which a build stays below `limit` bytes, all of the process counted.

        Texts make smaller segments than the limit allows: what takes long to encode is stored
        soon. The model is taken to be about as large as the built-in one.

        Args:
            limit: None for `DEFAULT_LIMIT`, which large numbers of centroids may then exceed.
            dim: Of the embeddings.
            encodes: Whether texts will be encoded, rather than embeddings given.

        Raises:
            InputError: The limit is too small.
        """
        reserved = ENCODER_BYTES if encodes else PROCESS_BYTES
        bounds = cls()
        coder = 6 * 4 * dim * bounds.batch_tokens
        least = reserved + max(LEAST_FREE_BYTES, 4 * coder)
        if limit is not None and limit < least:
            raise InputError(
                f"memory_limit is {as_text(limit)}; a build of embeddings of {dim} dimensions"
                f"{' from texts' if encodes else ''} needs at least {as_text(least)}"
            )
        free = max(DEFAULT_LIMIT if limit is None else limit, least) - reserved
        coders = max(min(free // 4 // coder, bounds.coders), 1)
        return replace(
            bounds,
            room=replace(
                bounds.room,
                memory_bytes=min(bounds.room.memory_bytes, free // 8) if encodes else free // 8,
                file_bytes=bounds.room.file_bytes if encodes else EMBEDDINGS_FILE_BYTES,
            ),
            sample_bytes=free // 4 if encodes else 3 * free // 10,
            centroid_bytes=None if limit is None else 3 * free // 10,
            segment_bytes=min(free - free // 3, bounds.segment_bytes if encodes else free),
            coders=coders,
        )


EMBEDDINGS_FILE_BYTES = 8 << 30  # of given embeddings that wait: 31 million tokens of 128 dims
DEFAULT_LIMIT = 1_500_000_000
PROCESS_BYTES = 150_000_000  # of Python and the libraries
ENCODER_BYTES = 550_000_000  # of these with the built-in model at work
LEAST_FREE_BYTES = 100_000_000
CENTROID_COPIES = 5  # centroids, their sums, groups; in single precision, while they are trained


class Prepared(NamedTuple):
    """Documents with all their embeddings, and the codec for them.

    Attributes:
        documents: Whole.
        embeddings: Theirs, of any floating type.
        codec: None if no document has a token.
    """

    documents: Sequence[Document]
    embeddings: Sequence[NDArray[np.floating]]
    codec: Codec | None

    def coded(self) -> Batch:
        """Their codes."""
        encoded = NO_TOKENS
        if self.codec is not None:
            rows = np.concatenate(self.embeddings).astype(np.float32, copy=False)
            encoded = self.codec.encode(rows, threads=1)
        return Batch(self.documents, [len(each) for each in self.embeddings], encoded)


class IndexBuilder:
    """Adds a stream of documents to an index folder.

    Attributes:
        manifest: The generation last committed.
        codec: None until the first documents have been seen.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        codec: Codec | None,
        encode: EncodeDocuments | None,
        *,
        settings: BuildSettings | None = None,
        meter: Meter = SILENT,
        committed: Callable[[Manifest, Sequence[Document]], None] = lambda m, d: None,
        superseded: Callable[[Sequence[str]], Mapping[str, Ordinals]] = lambda ids: {},
        at_once: bool = False,
    ) -> None:
        """Prepare.

        Args:
            folder: Of the index, locked for writing.
            manifest: In force.
            codec: The manifest's, or None.
            encode: Makes token embeddings of documents; None if all items have theirs.
            settings: Bounds.
            meter: Counts the documents that are encoded.
            committed: Called after each commit with the new manifest and the documents in it that
                are new.
            superseded: Told the ids of documents that are about to be committed, it says which
                older ones they replace: as `with_deletions` has it.
            at_once: Commit nothing before `finish`.
        """
        self.folder, self.manifest, self.codec = folder, manifest, codec
        self._encode, self._settings = encode or _encode_none, settings or BuildSettings()
        self._meter, self._committed = meter, committed
        self._superseded, self._at_once = superseded, at_once
        self._builder = SegmentBuilder()
        self._written: list[Path] = []  # files that wait for their commit

    def add(self, items: Iterable[Item], total: int | None) -> None:
        """Add all items; what is complete stays even if the stream, or the caller, breaks off.

        Args:
            items: Checked: ids are new, embeddings fit.
            total: How many items there are, if known: the number of centroids follows from it.
        """
        stream = iter(items)
        with Waiting(self.folder, self.manifest.settings.dim, self._settings.room) as waiting:
            try:
                if self.codec is None:
                    stream = self._train(stream, total, waiting)
                coders = min(available_cpus(), self._settings.coders)
                with closing(in_order(Prepared.coded, self._prepared(stream), coders)) as coded:
                    for batch in coded:
                        self._builder.add(batch)
                        if self._builder.n_bytes >= self._settings.segment_bytes:
                            self.flush()
            finally:
                self.flush()

    def flush(self) -> None:
        """Commit what is in memory."""
        if not self._builder:
            return
        documents = self._builder.documents()
        with undone_on_error(self.folder):
            manifest = self._commit(documents)
        following = SegmentBuilder()
        # No call stands between these two, so no interruption can: a document is in either.
        self.manifest, self._builder = manifest, following
        if not self._at_once:
            self._committed(manifest, documents)

    def finish(self) -> None:
        """Commit what was held back."""
        self.manifest = commit(self.folder, self.manifest, self._written)

    def _commit(self, documents: Sequence[Document]) -> Manifest:
        superseded = self._superseded([document.id for document in documents])
        manifest, paths = with_deletions(self.folder, self.manifest, superseded)
        self.manifest = replace(self.manifest, next_number=manifest.next_number)
        name = f"segment-{self._number()}"
        entry = SegmentEntry(name, len(documents), self._builder.n_tokens)
        paths += self._builder.write(self.folder, name)
        codec = manifest.codec
        if codec is None and self.codec is not None:
            codec = f"codec-{self._number()}"
            paths.append(self.folder / f"{codec}.safetensors")
            write_codec(paths[-1], self.codec)
        manifest = replace(
            manifest,
            codec=codec,
            segments=(*manifest.segments, entry),
            next_number=self.manifest.next_number,
            n_added=manifest.n_added + len(documents),
        )
        if self._at_once:
            self._written += paths
            return manifest
        return commit(self.folder, manifest, paths)

    def _number(self) -> int:
        """A number for a file, never given again: a commit may stand though it seemed to fail."""
        number = self.manifest.next_number
        self.manifest = replace(self.manifest, next_number=number + 1)
        return number

    def _prepared(self, stream: Iterable[Item]) -> Iterator[Prepared]:
        """The items with their embeddings, as many together as one thread codes at a time."""
        for batch in _batches(stream, self._settings):
            embeddings = self._embeddings(batch)
            self._meter(sum(not item.counted for item in batch))
            if self.codec is None and any(map(len, embeddings)):  # what was read ahead was empty
                self._train_on(np.concatenate(embeddings), sum(map(len, embeddings)))
            if self.codec is not None:
                self.codec.prepare()
            for some in _portions(embeddings, self._settings.batch_tokens):
                documents = [item.document for item in batch[some]]
                yield Prepared(documents, embeddings[some], self.codec)

    def _embeddings(self, batch: Sequence[Item]) -> list[NDArray[np.floating]]:
        """Embeddings of all items of a batch: given, or made."""
        missing = [item.document for item in batch if item.embeddings is None]
        made = iter(self._encode(missing) if missing else ())
        return [next(made) if i.embeddings is None else i.embeddings for i in batch]

    def _train(self, stream: Iterator[Item], total: int | None, waiting: Waiting) -> Iterator[Item]:
        """Train the codec on the head of the stream; returns the stream, head included.

        If a stream of embeddings breaks off already, its head is kept nevertheless.
        """
        ended = False
        try:
            with self._meter.part("Reading ahead", total, "documents") as advance:
                ended = waiting.fill(stream, advance)
        except Exception as error:
            if self._encode is not _encode_none:
                raise
            stream = _broken(error)
        if ended:
            total = len(waiting)
        elif total is None:
            total = 4 * len(waiting)  # a guess, for want of a better one
        self._train_on_some(waiting, total)
        return chain(waiting.released(), stream)

    def _train_on_some(self, waiting: Waiting, total: int) -> None:
        """Train on enough documents drawn from those that wait; they keep the embeddings made."""
        bounds = self._settings
        most = bounds.sample_bytes // (2 * self.manifest.settings.dim)
        order = np.random.default_rng(self.manifest.settings.seed).permutation(len(waiting))
        sampled: list[NDArray[np.float16]] = []
        n_tokens = 0
        drawn = iter(order.tolist())
        while batch := list(islice(drawn, bounds.batch_documents)):
            items = [waiting[i] for i in batch]
            for i, item, rows in zip(batch, items, self._embeddings(items), strict=True):
                sampled.append(rows.astype(np.float16, copy=False))
                n_tokens += len(rows)
                if item.embeddings is None:
                    waiting[i] = replace(item, embeddings=sampled[-1], counted=True)
                    self._meter(1)
            n_centroids = self._n_centroids(n_tokens * total // len(sampled))
            if n_tokens >= min(most, n_centroids * bounds.sample_tokens_per_centroid):
                break
        if n_tokens:
            estimate = n_tokens * total // len(sampled)
            sample = np.concatenate(sampled)
            sampled.clear()
            self._train_on(sample, estimate)

    def _n_centroids(self, n_tokens: int) -> int:
        return self.manifest.settings.n_centroids or number_of_centroids(n_tokens)

    def _train_on(self, sample: NDArray[np.floating], n_tokens: int) -> None:
        settings = self.manifest.settings
        n_centroids = self._n_centroids(n_tokens)
        self._check_memory(min(n_centroids, len(sample)), settings.dim)
        self.codec = Codec.train(
            sample,
            n_bits=settings.n_bits,
            n_centroids=n_centroids,
            seed=settings.seed,
            meter=self._meter,
        )

    def _check_memory(self, n_centroids: int, dim: int) -> None:
        needed, most = CENTROID_COPIES * 4 * n_centroids * dim, self._settings.centroid_bytes
        if most is not None and needed > most:
            raise InputError(
                f"training {n_centroids:,} centroids takes {as_text(needed)}, and memory_limit "
                f"leaves {as_text(most)} for it; raise it by {as_text(4 * (needed - most))}, or "
                "set n_centroids"
            )


def _encode_none(documents: Sequence[Document]) -> Sequence[Embeddings]:
    raise TypeError(f"{len(documents)} documents came without embeddings, and no encoder")


def _broken(error: Exception) -> Iterator[Item]:
    """What is left of a stream that broke off."""
    raise error
    yield


def _batches(stream: Iterable[Item], settings: BuildSettings) -> Iterator[list[Item]]:
    """Consecutive items: texts to be encoded, or tokens given, up to a bound.

    An error of the stream comes after the items before it.
    """
    batch: list[Item] = []
    size = tokens = 0
    try:
        for item in stream:
            batch.append(item)
            if item.embeddings is None:
                size += len(item.document.text)
            else:
                tokens += len(item.embeddings)
            if (
                len(batch) >= settings.batch_documents
                or size >= settings.batch_bytes
                or tokens >= settings.batch_tokens
            ):
                yield batch
                batch, size, tokens = [], 0, 0
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _portions(arrays: Sequence[NDArray[np.floating]], most_rows: int) -> Iterator[slice]:
    """Slices of consecutive arrays that hold `most_rows` rows or a little more together."""
    start = rows = 0
    for i, array in enumerate(arrays):
        rows += len(array)
        if rows >= most_rows or i == len(arrays) - 1:
            yield slice(start, i + 1)
            start, rows = i + 1, 0
