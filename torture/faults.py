"""A fault at every step by which an operation reaches the disk.

Afterwards the index is that before the operation, or after one of its commits, in every answer; the
writer goes on; and when it has committed again no file is left over.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import IO

import colxtr
from colxtr.errors import DiskFullError, StorageError
from torture import made
from torture.disk import Step, Watcher, watched
from torture.tally import Tally

FAULTS = ("full", "full from then on", "broken", "interrupted before", "interrupted after")


class Faulty(Watcher):
    """Lets the fault happen at step `n`.

    Attributes:
        n_steps: Steps so far.
        where: The step that failed.
    """

    def __init__(self, n: int, fault: str) -> None:
        self._n, self._fault = n, fault
        self.n_steps = 0
        self.where: Step | None = None

    def before(self, step: Step, file: IO[bytes] | None = None) -> None:
        """Fail, perhaps; half of what is written is."""
        self.n_steps += 1
        takes_space = step.kind in {"create", "write", "sql", "sync", "mkdir"}
        goes_on = self._fault == "full from then on" and takes_space
        if self.n_steps - 1 != self._n and not (goes_on and self.where):
            return
        self.where = self.where or step
        if self._fault == "interrupted after":
            return
        if file is not None:
            file.write(step.content[: len(step.content) // 2])
        if self._fault == "interrupted before":
            raise KeyboardInterrupt
        number = errno.EIO if self._fault == "broken" else errno.ENOSPC
        raise OSError(number, os.strerror(number), str(step.path))

    def after(self, step: Step) -> None:
        """Ctrl-C, perhaps."""
        if self._fault == "interrupted after" and self.n_steps - 1 == self._n:
            raise KeyboardInterrupt


class Case:
    """An operation, and what an index answers before and after each of its commits."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self._folder = name, folder
        self.operation = made.OPERATIONS[name]
        self.before = folder / "before"
        if self.operation.prepare is not None:
            self.operation.prepare(self.before)
        self.allowed = {made.digest_at(self.before)} if self.before.exists() else set()
        watcher = Faulty(-1, "")
        path = self.copy()
        with (
            made.at_each_commit(lambda path: self.allowed.add(made.digest_at(path.parent))),
            watched(path, watcher),
            made.begin(name, path) as index,
        ):
            self.operation.run(index)
        self.n_steps = watcher.n_steps
        self.final = made.digest_at(path)
        self.allowed.add(self.final)

    def copy(self) -> Path:
        """A fresh index to do it to."""
        path = self._folder / "index"
        shutil.rmtree(path, ignore_errors=True)
        if self.before.exists():
            shutil.copytree(self.before, path)
        return path


def try_one(case: Case, n: int, fault: str) -> str:
    """Let an operation fail at step `n`; returns what became of it.

    Raises:
        AssertionError: It was not as it must be.
    """
    path = case.copy()
    faulty = Faulty(n, fault)
    index: colxtr.Index | None = None
    outcome = "done in spite of it"
    try:
        with watched(path, faulty):
            index = made.begin(case.name, path)
            case.operation.run(index)
    except KeyboardInterrupt:
        assert fault.startswith("interrupted"), f"a KeyboardInterrupt for {fault!r}"
        outcome = "interrupted"
    except StorageError as error:
        outcome = type(error).__name__
        assert isinstance(error, DiskFullError) == fault.startswith("full"), repr(error)
        assert str(path) in str(error), f"the message names no file: {error}"
    if faulty.where is None:
        if index is not None:
            index.close()
        return "not reached"
    if index is None:
        _check_without_writer(case, path)
    else:
        with index:
            _check_with_writer(case, path, index)
    _check_end(case, path)
    return outcome


def _check_without_writer(case: Case, path: Path) -> None:
    """There was no index, or one that was to be replaced."""
    if case.before.exists():
        assert made.digest_at(path) in case.allowed, "another index"
    with made.begin(case.name, path) as index:  # the lock is free
        case.operation.run(index)


def _check_with_writer(case: Case, path: Path, index: colxtr.Index) -> None:
    found = made.digest_at(path)
    assert found in case.allowed, "readers see what was never committed"
    assert index._writer is not None
    if (
        not index._writer.uncommitted
    ):  # an index that will replace another one is not on the disk yet
        assert made.digest(index) == found, "the writer sees another index than readers"
    if made.digest(index) != case.final:
        case.operation.run(index)
    assert made.digest(index) == case.final, "doing it again leads elsewhere"
    index.close()


def _check_end(case: Case, path: Path) -> None:
    assert made.digest_at(path) == case.final, "another index in the end"
    with colxtr.Index.open(path, read_only=False) as index:
        index.add_embeddings(*made.given({"one more": 5}))
        found = index.verify()
    assert found, f"damage: {found.problems}"
    left = made.leftovers(path)
    assert not left, f"left over: {sorted(left)}"


@contextmanager
def _temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="colxtr-") as folder:
        yield Path(folder)


def run(one_in: int, seed: int) -> Tally:
    """Try all faults at all steps of all operations, or a random one in `one_in` of these."""
    tally = Tally("faults")
    random = Random(seed)
    for name in made.OPERATIONS:
        with _temporary() as folder, made.small_segments(), made.training_once():
            case = Case(name, folder)
            for n in range(case.n_steps):
                for fault in FAULTS:
                    if random.randrange(one_in):
                        continue
                    try:
                        tally.count(try_one(case, n, fault))
                    except Exception as error:  # noqa: BLE001 - any is a finding
                        tally.problem(f"{name}, step {n}, {fault}: {type(error).__name__}: {error}")
    return tally
