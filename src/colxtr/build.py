"""From documents, or their embeddings, to segments: streaming, in bounded memory.

The first documents are read ahead, up to a bound; from a random sample of them the codec is
trained, and from then on every batch is encoded, coded and forgotten. Whenever the codes in memory
reach a bound, they become a segment, and a new generation is committed. Knows nothing of search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from colxtr.clustering import number_of_centroids
from colxtr.codec import Codec, EncodedTokens
from colxtr.documents import Document
from colxtr.errors import ColxtrError
from colxtr.progress import SILENT, Meter
from colxtr.storage.manifest import (
    Manifest,
    SegmentEntry,
    commit,
    read_manifest,
    remove_unnamed,
)
from colxtr.storage.segment import Batch, SegmentBuilder, write_codec

Embeddings = NDArray[np.float32]
NO_TOKENS = EncodedTokens(np.empty(0, np.uint32), np.empty((0, 0), np.uint8))
EncodeDocuments = Callable[[Sequence[Document]], Sequence[Embeddings]]


@dataclass(frozen=True, slots=True)
class Item:
    """A document on its way in.

    Attributes:
        document: Checked; its id is new.
        embeddings: (n_tokens, dim); None if the text is still to be encoded.
        counted: Whether the progress bar has seen it.
    """

    document: Document
    embeddings: Embeddings | None = None
    counted: bool = False

    def weight(self) -> int:
        """Bytes that it holds in memory, roughly."""
        given = 0 if self.embeddings is None else self.embeddings.nbytes
        return len(self.document.text) + given


@dataclass(frozen=True)
class BuildSettings:
    """Bounds of a build, in bytes and documents.

    Attributes:
        read_ahead_bytes: Of texts and given embeddings from which the codec's sample is drawn.
        sample_bytes: Of the sample, in half precision. A quarter of a million tokens of 128
            dimensions are 64 MiB.
        sample_tokens_per_centroid: Wanted, if the bytes allow.
        segment_bytes: Of codes in memory, after which a segment is written.
        batch_documents: Encoded together, at most.
        batch_bytes: Of texts encoded together, roughly.
    """

    read_ahead_bytes: int = 64 << 20
    sample_bytes: int = 128 << 20
    sample_tokens_per_centroid: int = 32
    segment_bytes: int = 128 << 20
    batch_documents: int = 256
    batch_bytes: int = 512 << 10


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
        encode: EncodeDocuments,
        *,
        settings: BuildSettings | None = None,
        meter: Meter = SILENT,
        committed: Callable[[Manifest, Sequence[Document]], None] = lambda m, d: None,
    ) -> None:
        """Prepare.

        Args:
            folder: Of the index, locked for writing.
            manifest: In force.
            codec: The manifest's, or None.
            encode: Makes token embeddings of documents.
            settings: Bounds.
            meter: Counts the documents that are encoded.
            committed: Called after each commit with the new manifest and the documents in it that
                are new.
        """
        self.folder, self.manifest, self.codec = folder, manifest, codec
        self._encode, self._settings = encode, settings or BuildSettings()
        self._meter, self._committed = meter, committed
        self._builder = SegmentBuilder()

    def add(self, items: Iterable[Item], total: int | None) -> None:
        """Add all items; what is complete stays even if the stream, or the caller, breaks off.

        Args:
            items: Checked: ids are new, embeddings fit.
            total: How many items there are, if known: the number of centroids follows from it.
        """
        stream = iter(items)
        try:
            if self.codec is None:
                stream = self._train(stream, total)
            for batch in _batches(stream, self._settings):
                self._add_batch(batch)
                if self._builder.n_bytes >= self._settings.segment_bytes:
                    self.flush()
        finally:
            self.flush()

    def flush(self) -> None:
        """Commit what is in memory."""
        if not self._builder:
            return
        try:
            manifest = self._commit()
        except BaseException:
            with suppress(ColxtrError, OSError):  # make room, unless it came after the commit
                remove_unnamed(self.folder, read_manifest(self.folder))
            raise
        documents, following = self._builder.documents, SegmentBuilder()
        # No call stands between these two, so no interruption can: a document is in either.
        self.manifest, self._builder = manifest, following
        self._committed(manifest, documents)

    def _commit(self) -> Manifest:
        name = f"segment-{self._number()}"
        entry = SegmentEntry(name, len(self._builder.documents), self._builder.n_tokens)
        paths = self._builder.write(self.folder, name)
        codec = self.manifest.codec
        if codec is None and self.codec is not None:
            codec = f"codec-{self._number()}"
            paths.append(self.folder / f"{codec}.safetensors")
            write_codec(paths[-1], self.codec)
        segments = (*self.manifest.segments, entry)
        return commit(self.folder, replace(self.manifest, codec=codec, segments=segments), paths)

    def _number(self) -> int:
        """A number for a file, never given again: a commit may stand though it seemed to fail."""
        number = self.manifest.next_number
        self.manifest = replace(self.manifest, next_number=number + 1)
        return number

    def _add_batch(self, batch: Sequence[Item]) -> None:
        embeddings = self._embeddings(batch)
        rows = np.concatenate(embeddings).astype(np.float32, copy=False)
        if self.codec is None and len(rows):  # all that was read ahead was empty
            self._train_on(rows, len(rows))
        documents = [item.document for item in batch]
        encoded = NO_TOKENS if self.codec is None else self.codec.encode(rows)
        self._builder.add(Batch(documents, [len(each) for each in embeddings], encoded))

    def _embeddings(self, batch: Sequence[Item]) -> list[Embeddings]:
        """Embeddings of all items of a batch: given, or made."""
        missing = [item.document for item in batch if item.embeddings is None]
        made = iter(self._encode(missing) if missing else ())
        embeddings = [next(made) if i.embeddings is None else i.embeddings for i in batch]
        self._meter(sum(not item.counted for item in batch))
        return embeddings

    def _train(self, stream: Iterator[Item], total: int | None) -> Iterator[Item]:
        """Train the codec on the head of the stream; returns the stream, head included."""
        head, ended = _read_ahead(stream, self._settings.read_ahead_bytes)
        if total is None:
            total = len(head) if ended else 4 * len(head)  # a guess, for want of a better one
        sampled = self._sample(head, total)
        if sum(len(rows) for rows in sampled.values()):
            sample = np.concatenate(list(sampled.values()))
            self._train_on(sample, len(sample) * total // len(sampled))
        for i, rows in sampled.items():
            given = head[i].embeddings
            head[i] = Item(head[i].document, rows if given is None else given, counted=True)
        return chain(head, stream)

    def _sample(self, head: Sequence[Item], total: int) -> dict[int, Embeddings]:
        """Embeddings, in half precision, of enough documents drawn from the head; by position."""
        bounds = self._settings
        most = bounds.sample_bytes // (2 * self.manifest.settings.dim)
        order = np.random.default_rng(self.manifest.settings.seed).permutation(len(head))
        sampled: dict[int, Embeddings] = {}
        n_tokens = 0
        drawn = iter(order.tolist())
        while batch := list(islice(drawn, bounds.batch_documents)):
            for i, rows in zip(batch, self._embeddings([head[i] for i in batch]), strict=True):
                sampled[i] = rows.astype(np.float16)
                n_tokens += len(rows)
            n_centroids = self._n_centroids(n_tokens * total // len(sampled))
            if n_tokens >= min(most, n_centroids * bounds.sample_tokens_per_centroid):
                break
        return sampled

    def _n_centroids(self, n_tokens: int) -> int:
        return self.manifest.settings.n_centroids or number_of_centroids(n_tokens)

    def _train_on(self, sample: NDArray[np.floating], n_tokens: int) -> None:
        settings = self.manifest.settings
        self.codec = Codec.train(
            sample,
            n_bits=settings.n_bits,
            n_centroids=self._n_centroids(n_tokens),
            seed=settings.seed,
            meter=self._meter,
        )


def _read_ahead(stream: Iterator[Item], most_bytes: int) -> tuple[list[Item], bool]:
    """The head of a stream, and whether the stream ended with it."""
    head = []
    size = 0
    for item in stream:
        head.append(item)
        size += item.weight()
        if size >= most_bytes:
            return head, False
    return head, True


def _batches(stream: Iterable[Item], settings: BuildSettings) -> Iterator[list[Item]]:
    """Consecutive items, bounded in number and size."""
    batch: list[Item] = []
    size = 0
    for item in stream:
        batch.append(item)
        size += item.weight()
        if len(batch) >= settings.batch_documents or size >= settings.batch_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
