"""Every step by which an index reaches the disk, seen by a `Watcher`, which may forbid it.

The storage writes by `Path.open`, `replace`, `unlink` and `mkdir`, by `sqlite3`, and forces to the
disk by `files._sync`. That nothing goes another way is itself tested: what the `Recorder` saw,
played back, gives the folder byte for byte.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple
from unittest import mock

from colxtr.storage import files


class Step(NamedTuple):
    """One step.

    Attributes:
        kind: "create", "write", "sql", "sync", "sync_folder", "rename", "unlink" or "mkdir".
        path: Of the file or folder.
        target: New name of what is renamed.
        content: That is written.
    """

    kind: str
    path: Path
    target: Path | None = None
    content: bytes = b""


class Watcher:
    """Sees each step before and after it is done. An error raised before it keeps it undone."""

    def before(self, step: Step, file: IO[bytes] | None = None) -> None:
        """The step is next; `file` is open if the step is a write."""

    def after(self, step: Step) -> None:
        """It was done."""


@contextmanager
def watched(folder: Path, watcher: Watcher) -> Iterator[None]:
    """Let a watcher see the steps in a folder (and the making of it) while the block runs."""

    def ours(path: Path) -> bool:
        return path == folder or folder in path.parents

    @contextmanager
    def step(*arguments: Any, file: IO[bytes] | None = None) -> Iterator[None]:
        it = Step(*arguments)
        watcher.before(it, file)
        yield
        watcher.after(it)

    class File:
        def __init__(self, path: Path, raw: IO[bytes]) -> None:
            self._path, self._raw = path, raw

        def write(self, data: Any) -> int:
            with step("write", self._path, None, bytes(data), file=self._raw):
                return self._raw.write(data)

        def __enter__(self) -> File:
            return self

        def __exit__(self, *error: object) -> None:
            self._raw.close()

    path_open, path_replace, path_unlink = Path.open, Path.replace, Path.unlink
    path_mkdir, connect, sync = Path.mkdir, sqlite3.connect, files._sync

    def open_(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if "w" not in mode or not ours(path):
            return path_open(path, mode, *arguments, **options)
        with ExitStack() as opened:
            with step("create", path):
                raw = opened.enter_context(path_open(path, mode, buffering=0))
            opened.pop_all()
        return File(path, raw)

    def replace(path: Path, target: Path) -> Path:
        if not ours(path):
            return path_replace(path, target)
        with step("rename", path, Path(target)):
            return path_replace(path, target)

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if not ours(path) or not path.exists():
            return path_unlink(path, missing_ok)
        with step("unlink", path):
            return path_unlink(path, missing_ok)

    def mkdir(path: Path, *arguments: Any, **options: Any) -> None:
        if not ours(path) or path.exists():
            return path_mkdir(path, *arguments, **options)
        with step("mkdir", path):
            return path_mkdir(path, *arguments, **options)

    def connect_(path: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
        if options.get("uri") or not ours(Path(path)):
            return connect(path, *arguments, **options)  # type: ignore[no-any-return]
        with _as_sqlite_errors(), step("create", Path(path)):
            path_open(path, "wb").close()
        return connect(path, *arguments, factory=database(Path(path)), **options)

    def database(path: Path) -> type[sqlite3.Connection]:
        class Database(sqlite3.Connection):
            def execute(self, *arguments: Any) -> sqlite3.Cursor:
                with _as_sqlite_errors(), step("sql", path):
                    return super().execute(*arguments)

            def executemany(self, *arguments: Any) -> sqlite3.Cursor:
                with _as_sqlite_errors(), step("sql", path):
                    return super().executemany(*arguments)

        return Database

    def sync_(path: Path, flags: int) -> None:
        if not ours(path):
            return sync(path, flags)
        with step("sync_folder" if path.is_dir() else "sync", path):
            return sync(path, flags)

    with ExitStack() as stack:
        for place, name, ours_ in (
            (Path, "open", open_),
            (Path, "replace", replace),
            (Path, "unlink", unlink),
            (Path, "mkdir", mkdir),
            (sqlite3, "connect", connect_),
            (files, "_sync", sync_),
        ):
            stack.enter_context(mock.patch.object(place, name, ours_))
        yield


@contextmanager
def _as_sqlite_errors() -> Iterator[None]:
    """SQLite reports what the system does in its own words."""
    try:
        yield
    except OSError as error:
        full = error.errno == 28
        ours = sqlite3.OperationalError("database or disk is full" if full else "disk I/O error")
        ours.sqlite_errorcode = sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_IOERR
        raise ours from error
