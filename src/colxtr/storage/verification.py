"""`verify`: every byte of an index against its checksums, and its structures against each other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from colxtr.errors import ColxtrError, CorruptIndexError
from colxtr.progress import SILENT, Meter
from colxtr.storage.documents import DocumentStore
from colxtr.storage.files import BLOCK_BYTES, check_length, damaged_blocks
from colxtr.storage.generation import Generation, OpenSegment
from colxtr.storage.manifest import Manifest, read_manifest
from colxtr.storage.segment import Segment

READ_DOCUMENTS = 1_000  # at a time


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes:
        generation: That was checked; None if its manifest cannot be read.
        n_files: Files of it.
        n_bytes: Of all of them.
        problems: A line for each damage, with file and, where known, offset; empty if all is well.
    """

    generation: int | None
    n_files: int
    n_bytes: int
    problems: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether all is well."""
        return not self.problems


def verify(folder: Path, meter: Meter = SILENT) -> Verification:
    """Check the newest generation of an index; nothing is changed.

    Args:
        folder: Of the index.
        meter: Counts blocks of 1 MiB.

    Raises:
        IndexNotFoundError: The folder is not an index.
        IndexVersionError: It was written in another version of the format.
    """
    try:
        manifest = read_manifest(folder, lengths=False)
    except CorruptIndexError as error:
        return Verification(None, 0, 0, (str(error),))
    problems = list(_damaged_files(folder, manifest, meter))
    if not problems:
        problems = list(_contradictions(folder, manifest))
    n_bytes = sum(entry.bytes for entry in manifest.files.values())
    return Verification(manifest.generation, len(manifest.files), n_bytes, tuple(problems))


def n_blocks(folder: Path) -> int | None:
    """How many blocks `verify` will read; None if the manifest is damaged."""
    try:
        manifest = read_manifest(folder, lengths=False)
    except CorruptIndexError:
        return None
    return sum(len(entry.block_crc32) for entry in manifest.files.values())


def _damaged_files(folder: Path, manifest: Manifest, meter: Meter) -> Iterator[str]:
    for name, entry in manifest.files.items():
        path = folder / name
        try:
            check_length(path, entry.bytes)
            yield from damaged_blocks(path, entry.block_crc32)
        except CorruptIndexError as error:
            yield str(error)
        meter(-(-entry.bytes // BLOCK_BYTES))


def _contradictions(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Files that are as they were written, but do not fit together: a writer's fault, or malice."""
    try:
        generation = Generation.open(folder, manifest)
    except ColxtrError as error:
        yield str(error)
        return
    with closing(generation):
        for segment in generation.segments:
            name = segment.entry.name
            yield from _reported(partial(_check_documents, folder, segment))
            if segment.tokens is not None:
                yield from _reported(partial(_check_tokens, segment.tokens))
                if segment.tokens.n_tokens != segment.entry.n_tokens:
                    yield (
                        f"{segment.tokens.path}: {segment.tokens.n_tokens} tokens, the manifest "
                        f"has {segment.entry.n_tokens} for {name}"
                    )
        yield from _reported(partial(_check_ids, generation))


def _reported(check: Callable[[], None]) -> Iterator[str]:
    try:
        check()
    except ColxtrError as error:
        yield str(error)


def _check_tokens(segment: Segment) -> None:
    """`positions` is a permutation; document, list and place agree."""
    owners, positions = segment.owners(), segment.positions()
    seen = np.zeros(segment.n_tokens, np.bool_)
    seen[positions] = True
    if not seen.all():
        raise CorruptIndexError(f"{segment.path}: damaged: positions are no permutation")
    documents = np.repeat(np.arange(segment.n_documents, dtype=np.uint64), segment.token_counts)
    if not np.array_equal(owners[positions], documents):
        raise CorruptIndexError(f"{segment.path}: damaged: ordinals and positions do not agree")
    places = np.empty(segment.n_tokens, np.int64)
    places[positions] = np.arange(segment.n_tokens)
    lists = np.repeat(np.arange(len(segment.list_sizes)), segment.list_sizes)
    if ((np.diff(places) <= 0) & (np.diff(lists) == 0)).any():
        raise CorruptIndexError(f"{segment.path}: damaged: a list does not ascend by document")


def _check_documents(folder: Path, segment: OpenSegment) -> None:
    """The database is sound, and has the documents 0 .. n - 1 with their checksums."""
    path = folder / f"{segment.entry.name}.sqlite"
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            (count,) = connection.execute("SELECT count(*) FROM documents").fetchone()
    except (sqlite3.DatabaseError, UnicodeError) as error:
        raise CorruptIndexError(f"{path}: damaged: {error}") from None
    if said != "ok":
        raise CorruptIndexError(f"{path}: damaged: {said}")
    if count != segment.n_documents:
        raise CorruptIndexError(
            f"{path}: damaged: {count} documents, the manifest has {segment.n_documents}"
        )
    for some in _ranges(segment.n_documents):
        segment.documents.documents(some)


def _check_ids(generation: Generation) -> None:
    """An id is in at most one live document."""
    for i, segment in enumerate(generation.segments):
        others = generation.segments[:i]
        for ids in _live_ids(segment.documents, segment):
            for other in others:
                for doc_id, local in other.documents.ordinals(ids).items():
                    if other.live[local]:
                        raise CorruptIndexError(
                            f"{generation.folder}: damaged: {doc_id!r} is in {other.entry.name} "
                            f"and in {segment.entry.name}"
                        )


def _live_ids(store: DocumentStore, segment: OpenSegment) -> Iterator[list[str]]:
    for some in _ranges(segment.n_documents):
        ids = store.ids(some)
        yield [ids[local] for local in some if segment.live[local]]


def _ranges(n: int) -> Iterator[Sequence[int]]:
    for start in range(0, n, READ_DOCUMENTS):
        yield range(start, min(start + READ_DOCUMENTS, n))
