"""A disk that becomes full, at many sizes.

On a small tmpfs where the machine lets us mount one (root on Linux), else by a limit on the bytes
that are written (`Quota`). The operation ends with a `DiskFullError` or is done; the last commit is
served, the space is free again, and with more of it the same operation is done.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import colxtr
from colxtr.errors import DiskFullError
from torture import made
from torture.disk import Step, Watcher, watched
from torture.tally import Tally

DOCUMENTS = made.named(100, 2_400, 1_000)
ROOM = 8 << 20  # enough for all that is done here
SIZE_STEP = 12 << 10


class Quota(Watcher):
    """Lets so many bytes be written, and no more until `lifted`."""

    def __init__(self, left: int) -> None:
        self._left, self.lifted = left, False

    def before(self, step: Step, file: IO[bytes] | None = None) -> None:
        """Count what is about to be written; SQLite's file when it is forced to the disk."""
        size = len(step.content)
        if step.kind == "sync" and step.path.suffix == ".sqlite":
            size = step.path.stat().st_size
        self._left -= size
        if self._left >= 0 or self.lifted:
            return
        if file is not None:
            file.write(step.content[: max(len(step.content) + self._left, 0)])
        if size:
            self._left = 0
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """A folder on a tmpfs of its own; None where we may not mount one."""
    with tempfile.TemporaryDirectory(prefix="colxtr-") as folder:
        if not sys.platform.startswith("linux") or os.geteuid() or not _mounted(folder):
            yield None
            return
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def _mounted(folder: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "none", folder]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _resize(folder: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def _used(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def run(sizes: int, seed: int) -> Tally:
    """Try so many sizes, one after the other, beginning with one that `seed` says."""
    with small_disk() as disk, made.training_once():
        tally = Tally("full disk (tmpfs)" if disk else "full disk (bytes counted)")
        for i in range(sizes):
            spare = seed % 4096 + SIZE_STEP * i
            try:
                outcome = _on_tmpfs(disk, spare) if disk else _with_quota(spare)
                tally.count(outcome)
            except Exception as error:  # noqa: BLE001 - any is a finding
                tally.problem(f"{spare} bytes to spare: {type(error).__name__}: {error}")
    return tally


def _on_tmpfs(disk: Path, spare: int) -> str:
    path = disk / "index"
    shutil.rmtree(path, ignore_errors=True)
    made.base(path)
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    _resize(disk, ROOM - free + spare // 4096 * 4096)
    try:
        with colxtr.Index.open(path, read_only=False) as index:
            outcome = _until_full(index)
            _resize(disk, ROOM)
            return _then(index, outcome)
    finally:
        _resize(disk, ROOM)


def _with_quota(spare: int) -> str:
    with tempfile.TemporaryDirectory(prefix="colxtr-") as folder:
        path = Path(folder) / "index"
        made.base(path)
        quota = Quota(spare)
        with watched(path, quota), colxtr.Index.open(path, read_only=False) as index:
            outcome = _until_full(index)
            quota.lifted = True
            return _then(index, outcome)


def _until_full(index: colxtr.Index) -> str:
    """Add more than there is room for, perhaps."""
    before, used = made.digest_at(index._path), _used(index._path)
    try:
        index.update_embeddings(*made.given(DOCUMENTS))
    except DiskFullError:
        assert made.digest_at(index._path) == before, "another index than before"
        assert made.digest(index) == before, "the writer sees another one"
        assert _used(index._path) == used, "space was not given back"
        return "DiskFullError"
    return "done"


def _then(index: colxtr.Index, outcome: str) -> str:
    """With room enough the same is done."""
    if outcome != "done":
        index.update_embeddings(*made.given(DOCUMENTS))
    for doc_id in DOCUMENTS:
        assert doc_id in index, f"{doc_id} is not there"
    assert index.verify(), "damage"
    left = made.leftovers(index._path)
    assert not left, f"left over: {sorted(left)}"
    return outcome
