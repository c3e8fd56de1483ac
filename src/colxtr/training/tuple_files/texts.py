"""Texts by id in a SQLite file: the documents of a collection that memory need not hold.

Knows nothing of where they come from.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from colxtr.errors import CorpusError
from colxtr.storage.files import named_errors, sync_file, sync_folder

_SCHEMA = "CREATE TABLE texts (id TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID"
_ABOUT = "CREATE TABLE about (key TEXT NOT NULL, count INTEGER NOT NULL) STRICT"


class TextStore(Mapping[str, str]):
    """Texts by id, read from a file one at a time. Safe for several threads and after a fork."""

    def __init__(self, path: Path) -> None:
        """Open a store that `write` made.

        Raises:
            CorpusError: There is none, or it is damaged.
        """
        self._path = path
        self._lock = threading.Lock()
        self._opened: tuple[int, sqlite3.Connection] | None = None
        about = self._one("SELECT key, count FROM about", ())
        self.key, self._count = about or ("", 0)

    @classmethod
    def write(cls, path: Path, texts: Iterable[tuple[str, str]], key: str = "") -> TextStore:
        """Write a store, whole or not at all, and open it.

        Args:
            path: The file; an existing one is replaced.
            texts: Ids and texts; no id may come twice.
            key: Anything that tells which texts these are (`reused` asks for it).
        """
        temporary = path.with_name(f"{path.name}.partial")
        with named_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
            try:
                _fill(temporary, texts, key)
                sync_file(temporary)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            sync_folder(path.parent)
        return cls(path)

    @classmethod
    def reused(cls, path: Path, key: str) -> TextStore | None:
        """The store at `path`, if there is one and it was written with this key."""
        store = cls(path) if path.is_file() else None
        return store if store is not None and store.key == key else None

    def close(self) -> None:
        """Close the file; it is opened again when a text is asked for."""
        with self._lock:
            if self._opened is not None and self._opened[0] == os.getpid():
                self._opened[1].close()
            self._opened = None

    def __getitem__(self, identifier: str) -> str:
        row = self._one("SELECT text FROM texts WHERE id = ?", (identifier,))
        if row is None:
            raise KeyError(identifier)
        return str(row[0])

    def __contains__(self, identifier: object) -> bool:
        return self._one("SELECT 1 FROM texts WHERE id = ?", (identifier,)) is not None

    def __iter__(self) -> Iterator[str]:
        last: str | None = ""
        while last is not None:  # a thousand at a time: others may ask in between
            with self._lock:
                rows = self._connection.execute(
                    "SELECT id FROM texts WHERE id > ? ORDER BY id LIMIT 1000", (last,)
                ).fetchall()
            yield from (identifier for (identifier,) in rows)
            last = rows[-1][0] if rows else None

    def __len__(self) -> int:
        return int(self._count)

    def __del__(self) -> None:
        if hasattr(self, "_lock"):
            self.close()

    def _one(self, query: str, values: tuple[object, ...]) -> tuple[str, int] | None:
        with self._lock:
            try:
                row: tuple[str, int] | None = self._connection.execute(query, values).fetchone()
            except sqlite3.DatabaseError as error:
                raise CorpusError(
                    f"{self._path} is no file of texts ({error}); delete it to have it written anew"
                ) from None
        return row

    @property
    def _connection(self) -> sqlite3.Connection:
        """A connection of this process: SQLite's must not cross a fork."""
        if self._opened is None or self._opened[0] != os.getpid():
            uri = f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"
            self._opened = (
                os.getpid(),
                sqlite3.connect(uri, uri=True, check_same_thread=False),
            )
        return self._opened[1]


def _fill(path: Path, texts: Iterable[tuple[str, str]], key: str) -> None:
    count = 0

    def counted() -> Iterator[tuple[str, str]]:
        nonlocal count
        for pair in texts:
            count += 1
            yield pair

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")  # renamed when whole, else thrown away
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.execute(_SCHEMA)
        connection.execute(_ABOUT)
        connection.executemany("INSERT INTO texts VALUES (?, ?)", counted())
        connection.execute("INSERT INTO about VALUES (?, ?)", (key, count))
        connection.execute("COMMIT")
