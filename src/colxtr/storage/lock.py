"""One writer at a time: an exclusive lock that the system releases when the process ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

from colxtr.errors import IndexLockedError
from colxtr.storage.files import named_errors

HOLDER_BYTES = 64  # room for the holder's name before the byte that Windows locks


class WriteLock:
    """Holds `LOCK` in an index folder from construction to `release`.

    Raises:
        IndexLockedError: Another writer holds it; the message names its process.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "LOCK"
        with named_errors(self._path):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        self._file: IO[bytes] = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            _lock(self._file)
        except OSError:
            holder = self._file.read(HOLDER_BYTES).decode(errors="replace").strip()
            self._file.close()
            raise IndexLockedError(
                f"{folder}: another process is writing to this index "
                f"({holder or 'unknown'}); wait for it to finish"
            ) from None
        try:
            with named_errors(self._path):
                self._file.seek(0)
                self._file.write(f"process {os.getpid()}".ljust(HOLDER_BYTES).encode())
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let the next writer in. May be called twice."""
        if not self._file.closed:
            self._file.truncate(0)
            self._file.close()


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        file.seek(HOLDER_BYTES)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
