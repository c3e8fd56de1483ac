"""The ids, titles, texts and metadata of a segment's documents, in a SQLite file."""

from __future__ import annotations

import errno
import json
import sqlite3
import threading
import weakref
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colxtr.columns import Columns
from colxtr.documents import Document
from colxtr.errors import CorruptIndexError, StorageError
from colxtr.filters import Filter
from colxtr.storage.files import named_errors, sync_file

SCHEMA = """
CREATE TABLE documents (
    ordinal  INTEGER PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE,
    title    TEXT NOT NULL,
    text     TEXT NOT NULL,
    metadata TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT
"""
READ_ROWS = 4_096  # of metadata, at a time
MOST_VARIABLES = 500  # SQLite's lowest default limit is 999


def write_documents(path: Path, documents: Iterable[Document]) -> None:
    """Write a new file and force it to the disk."""
    rows = (
        (*row, row_checksum(row))
        for row in (
            (i, d.id, d.title, d.text, json.dumps(dict(d.metadata)))
            for i, d in enumerate(documents)
        )
    )
    with named_errors(path):
        path.unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                # No journal: the file counts only once a manifest names it.
                connection.execute("PRAGMA journal_mode = OFF")
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("BEGIN")
                connection.execute(SCHEMA)
                connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)", rows)
                connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from error
        sync_file(path)


def row_checksum(row: Sequence[object]) -> int:
    """CRC-32 of a row's ordinal, id, title, text and metadata, as a JSON array in UTF-8."""
    return zlib.crc32(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode())


class DocumentStore:
    """Reads the documents of one segment. Safe to use from several threads."""

    def __init__(self, path: Path, n_documents: int) -> None:
        self._path, self._n_documents = path, n_documents
        self._lock = threading.Lock()
        self._columns = Columns(n_documents, self._metadata)
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        try:
            self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
        except sqlite3.OperationalError as error:
            raise StorageError(f"{path}: cannot be read: {error}; check its permissions") from None
        self._close = weakref.finalize(self, self._connection.close)  # or sqlite3 warns
        try:
            self._check_count()
        except BaseException:
            self._close()
            raise

    def _check_count(self) -> None:
        """What else is as long as there are documents may not depend on a manifest's word."""
        ((last,),) = self._select("SELECT coalesce(max(ordinal), -1) FROM documents", ())
        if last != self._n_documents - 1:
            raise CorruptIndexError(
                f"{self._path}: damaged: {last + 1} documents, the manifest has {self._n_documents}"
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    def ordinals(self, identifiers: Sequence[str]) -> dict[str, int]:
        """The ordinals, within the segment, of those of some ids that are here."""
        found: dict[str, int] = {}
        for start in range(0, len(identifiers), MOST_VARIABLES):
            some = identifiers[start : start + MOST_VARIABLES]
            marks = ", ".join("?" * len(some))
            found |= self._select(f"SELECT id, ordinal FROM documents WHERE id IN ({marks})", some)
        return found

    def select(self, filter: Filter) -> NDArray[np.bool_]:  # noqa: A002 (as search calls it)
        """(n_documents,): which documents a filter lets through."""
        try:
            return self._columns.select(filter)
        except ValueError as error:
            raise CorruptIndexError(f"{self._path}: damaged metadata: {error}") from None

    def _metadata(self) -> Iterator[str]:
        """The metadata of all documents as JSON, in the order of their ordinals."""
        for start in range(0, self._n_documents, READ_ROWS):
            rows = self._select(
                "SELECT metadata FROM documents WHERE ordinal >= ? AND ordinal < ? "
                "ORDER BY ordinal",
                (start, start + READ_ROWS),
            )
            yield from (metadata for (metadata,) in rows)

    def ids(self, ordinals: Sequence[int]) -> dict[int, str]:
        """The ids of some documents."""
        found = dict(self._rows("id", ordinals))
        if not all(isinstance(doc_id, str) for doc_id in found.values()):
            raise CorruptIndexError(f"{self._path}: damaged: an id that is no text")
        return found

    def documents(self, ordinals: Sequence[int]) -> dict[int, Document]:
        """Some documents whole."""
        found = {}
        for *row, checksum in self._rows("id, title, text, metadata, checksum", ordinals):
            if not all(isinstance(text, str) for text in row[1:]) or row_checksum(row) != checksum:
                raise CorruptIndexError(f"{self._path}: damaged: the row of document {row[0]}")
            ordinal, identifier, title, text, metadata = row
            try:
                parsed = json.loads(metadata)
            except (ValueError, RecursionError) as error:
                raise CorruptIndexError(f"{self._path}: damaged metadata: {error}") from None
            if not isinstance(parsed, dict):
                raise CorruptIndexError(f"{self._path}: damaged metadata: {metadata[:60]!r}")
            found[ordinal] = Document(identifier, text, title, parsed)
        return found

    def _rows(self, columns: str, ordinals: Sequence[int]) -> list[tuple[Any, ...]]:
        rows = []
        for start in range(0, len(ordinals), MOST_VARIABLES):
            some = ordinals[start : start + MOST_VARIABLES]
            marks = ", ".join("?" * len(some))
            rows += self._select(
                f"SELECT ordinal, {columns} FROM documents WHERE ordinal IN ({marks})", some
            )
        if len(rows) != len(set(ordinals)):
            raise CorruptIndexError(f"{self._path}: damaged: documents are missing from it")
        return rows

    def _select(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.ProgrammingError:
                raise StorageError(f"{self._path}: closed while it was searched") from None
            except (sqlite3.DatabaseError, UnicodeError) as error:
                raise CorruptIndexError(f"{self._path}: damaged: {error}") from None
