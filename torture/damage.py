"""Every byte of an index flipped, every file cut, extended, removed or exchanged.

Each damage meets three readers. One with the complete check at opening, as small indexes have it:
an error that names the file, or equal answers. `verify`: it must report. One without that check, as
large indexes are opened: an error that names the file, or equal answers, or (where only the
checksums of a block would tell) other ones, which are counted by the part of the file.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import colxtr
from colxtr.errors import StorageError
from colxtr.storage import generation
from colxtr.storage.verification import verify
from torture import guarded, made
from torture.tally import Tally


class Damaged:
    """An index, and three readers of it."""

    flips = True  # otherwise a manifest may be a sound one that contradicts the other files

    def __init__(self, folder: Path, seed: int) -> None:
        self.seed = seed
        self.path = folder / "index"
        shutil.rmtree(self.path, ignore_errors=True)
        with made.training_once():
            _small(self.path, 700)
        self.files = sorted(p for p in self.path.iterdir() if p.name != "LOCK")
        self.expected = _answers(self.path)

    def met(self, path: Path, part: str, *, changed: bool = True) -> Iterator[str]:
        """What the three readers say of the damage that was done to a file.

        Raises:
            AssertionError: What they must not say.
        """
        yield "opened: " + self._reader(path)
        if changed:
            yield "verify: " + self._verify(path)
        with mock.patch.object(generation, "CHECKED_BYTES", 0):
            answer = self._reader(path, otherwise=True)
        yield f"unchecked: {answer}" + (f" ({part})" if answer == "other answers" else "")

    def _reader(self, path: Path, *, otherwise: bool = False) -> str:
        try:
            found = _answers(self.path)
        except StorageError as error:
            self._names(path, error)
            return "error"
        if found == self.expected:
            return "equal answers"
        assert otherwise, f"{path.name}: silently other answers"
        return "other answers"

    def _verify(self, path: Path) -> str:
        try:
            problems = "\n".join(verify(self.path).problems)
        except StorageError as error:
            self._names(path, error)
            return "error"
        assert problems, f"{path.name}: verify finds nothing"
        named = path.name if self.flips or path.suffix != ".json" else str(self.path)
        assert named in problems, f"{path.name}: verify says {problems}"
        return "reported"

    def _names(self, path: Path, error: StorageError) -> None:
        named = str(path if path.suffix != ".json" or self.flips else self.path)
        assert named in str(error), f"{path.name}: the error names another file: {error}"


def _small(path: Path, seed: int) -> None:
    with colxtr.Index.create(path, dim=made.DIM) as index:
        index.add_embeddings(*made.given(made.named(0, 12, seed)))
        index.delete(["d1", "d5"])


def _answers(path: Path) -> list[Any]:
    with colxtr.Index.open(path) as index:
        explained = [
            made.explained(index, f"d{i}") for i in (0, 2, 3) if len(made.tokens_of(700 + i))
        ]
        return [made.stored(index, 14), made.hits(index), explained]


class Flips(Damaged):
    """Case 2i: a random bit of byte i, counted through all files; 2i + 1: all its bits."""

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self._parts = [_parts(path) for path in self.files]
        self._sizes = [path.stat().st_size for path in self.files]

    def __len__(self) -> int:
        return 2 * sum(self._sizes)

    def try_one(self, case: int) -> list[str]:
        """Flip, ask, flip back."""
        offset, inverted = divmod(case, 2)
        number = 0
        while offset >= self._sizes[number]:
            offset -= self._sizes[number]
            number += 1
        path = self.files[number]
        change = 0xFF if inverted else 1 << Random(self.seed * 1_000_003 + case).randrange(8)
        with path.open("r+b", buffering=0) as file:
            byte = os.pread(file.fileno(), 1, offset)
            os.pwrite(file.fileno(), bytes([byte[0] ^ change]), offset)
            try:
                return list(self.met(path, self._parts[number](offset)))
            finally:
                os.pwrite(file.fileno(), byte, offset)


def _parts(path: Path) -> Callable[[int], str]:
    """Says in which part of a file a byte lies."""
    kind = path.suffix[1:]
    if kind != "safetensors":
        return lambda offset: kind
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__")
    places: dict[str, tuple[int, int]] = {
        name: entry["data_offsets"] for name, entry in header.items()
    }

    def part(offset: int) -> str:
        for name, (begin, end) in places.items():
            if begin <= offset - start < end:
                return name
        return "header"

    return part


CUTS = 20


class Exchanges(Damaged):
    """Files cut at 20 places, extended, removed, replaced by others."""

    flips = False

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self._strange = folder / "strange"
        shutil.rmtree(self._strange, ignore_errors=True)
        self._strange.mkdir()
        self._cases = [
            (path, change) for path in self.files for change in (*range(CUTS), *self._others(path))
        ]

    def __len__(self) -> int:
        return len(self._cases)

    def _others(self, path: Path) -> list[Any]:
        """Other contents of a file: of another index, of another generation, of another file."""
        other, older = self._strange / "other", self._strange / "older"
        if not other.exists():
            with made.training_once():
                _small(other, 800)
            with colxtr.Index.create(older, dim=made.DIM) as index, made.training_once():
                index.add_embeddings(*made.given(made.named(0, 12, 700)))
                shutil.copytree(older, self._strange / "first")
                index.delete(["d1"])
                shutil.copytree(older, self._strange / "second")
                index.delete(["d2", "d5"])
        foreign = [
            each
            for folder in sorted(self._strange.iterdir())
            for each in sorted(folder.iterdir())
            if each.suffix == path.suffix and each.name != "LOCK"
        ]
        own = [each for each in self.files if each != path]
        changes = ["longer by a byte", "longer by a page", "twice", "removed", "a folder", "a pipe"]
        return [*changes, *foreign, *own]

    def try_one(self, case: int) -> list[str]:
        """Change, ask, change back."""
        path, change = self._cases[case]
        content = path.read_bytes()
        path.unlink()
        changed = True
        try:
            if change == "a folder":
                path.mkdir()
            elif change == "a pipe":
                os.mkfifo(path)
            elif change != "removed":
                new = _changed(content, change)
                path.write_bytes(new)
                changed = new != content
            return list(self.met(path, path.suffix[1:], changed=changed))
        finally:
            if path.is_dir():
                path.rmdir()
            path.unlink(missing_ok=True)
            path.write_bytes(content)


def _changed(content: bytes, change: object) -> bytes:
    if isinstance(change, int):
        return content[: len(content) * change // CUTS]
    if isinstance(change, Path):
        return change.read_bytes()
    more = {"longer by a byte": b"\0", "longer by a page": bytes(4096), "twice": content}
    return content + more[str(change)]


def run_flips(one_in: int, seed: int) -> Tally:
    """All flips of all bytes, or one in so many."""
    return guarded.run("flipped bytes", "torture.damage:Flips", _chosen(Flips, one_in, seed), seed)


def run_exchanges(one_in: int, seed: int) -> Tally:
    """All changes of all files, or one in so many."""
    cases = _chosen(Exchanges, one_in, seed)
    return guarded.run("exchanged files", "torture.damage:Exchanges", cases, seed)


def _chosen(kind: type[Flips | Exchanges], one_in: int, seed: int) -> list[int]:
    with tempfile.TemporaryDirectory(prefix="colxtr-") as folder:
        n = len(kind(Path(folder), seed))
    return sorted(Random(seed).sample(range(n), -(-n // one_in)))
