"""Power loss at every moment of real commits.

What operations wrote, forced to the disk, renamed and removed is recorded. At a moment of it, what
was not forced to the disk may be there, or not, or in part, in any order: such folders are made up
and opened. They must be the generation whose commit had returned, or the one in progress.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import IO, NamedTuple

import colxtr
from colxtr.errors import IndexNotFoundError
from torture import life, made
from torture.disk import Step, Watcher, watched
from torture.tally import Tally

SECTORS = (512, 4096)


class Moment(NamedTuple):
    """A step that was done, and what a reader was to see by then.

    Attributes:
        step: With the file's whole content, if it forces a file to the disk.
        committed: Generation of the last commit that had returned.
    """

    step: Step
    committed: int


class Recorder(Watcher):
    """Keeps every step.

    Attributes:
        moments: So far.
        committed: See `Moment`.
        answers: Digests, by generation.
    """

    def __init__(self) -> None:
        self.moments: list[Moment] = []
        self.committed = 0
        self.answers: dict[int, str] = {}

    def before(self, step: Step, file: IO[bytes] | None = None) -> None:
        """SQLite writes as it likes; all of it is there when it is to be forced to the disk."""
        if step.kind == "sync" and step.path.suffix == ".sqlite":
            written = Step("write", step.path, None, step.path.read_bytes())
            self.moments.append(Moment(written, self.committed))

    def after(self, step: Step) -> None:
        """Keep it."""
        self.moments.append(Moment(step, self.committed))

    def commit(self, manifest: Path) -> None:
        """A commit has returned."""
        self.committed = int(manifest.stem.split("-")[1])
        self.answers[self.committed] = made.digest_at(manifest.parent)


@dataclass(eq=False)
class _File:
    content: bytes = b""  # all that was written
    safe: bytes = b""  # forced to the disk


@dataclass
class Disk:
    """A folder as it is seen, and as much of it as a power loss cannot take away.

    Attributes:
        seen: Files by name.
        safe: Those whose names were forced to the disk.
        pending: What happened to names since.
    """

    seen: dict[str, _File] = field(default_factory=dict)
    safe: dict[str, _File] = field(default_factory=dict)
    pending: list[tuple[str, str | None, _File | None]] = field(default_factory=list)

    def do(self, step: Step) -> None:
        """What a step changes."""
        name = step.path.name
        if step.kind == "create":
            self.seen[name] = _File()
            self.pending.append((name, None, self.seen[name]))
        elif step.kind == "write":
            self.seen[name].content += step.content
        elif step.kind == "sync":
            self.seen[name].safe = self.seen[name].content
        elif step.kind == "rename":
            assert step.target is not None
            self.seen[step.target.name] = file = self.seen.pop(name)
            self.pending.append((step.target.name, name, file))
        elif step.kind == "unlink":
            del self.seen[name]
            self.pending.append((name, None, None))
        elif step.kind == "sync_folder":
            self.safe, self.pending = dict(self.seen), []

    def after_power_loss(self, random: Random) -> dict[str, bytes]:
        """Files by name, as one may find them."""
        names = dict(self.safe)
        way = random.choice(["none", "all", "the first", "any", "any"])
        n = random.randrange(len(self.pending) + 1)
        for i, (name, old, file) in enumerate(self.pending):
            if way == "none" or (way == "the first" and i >= n):
                continue
            if way == "any" and random.random() < 0.5:
                continue
            if old is not None:
                names.pop(old, None)
            if file is None:
                names.pop(name, None)
            else:
                names[name] = file
        return {name: _torn(file, random) for name, file in names.items()}


def _torn(file: _File, random: Random) -> bytes:
    """What is left of a file: all that was forced to the disk, and any part of the rest."""
    if file.content == file.safe:
        return file.content
    way = random.choice(["nothing", "all", "cut", "sectors", "length only"])
    if way == "nothing":
        return file.safe
    if way == "all":
        return file.content
    if way == "length only":
        return file.safe + bytes(len(file.content) - len(file.safe))
    sector = random.choice(SECTORS)
    starts = range(0, len(file.content), sector)
    if way == "cut":
        return file.content[: max(random.choice(starts), len(file.safe))]
    left = bytearray(file.content)
    for start in starts:
        if random.random() < 0.5:
            end = min(start + sector, len(left))
            left[start:end] = file.safe[start:end].ljust(end - start, b"\0")
    return bytes(left)


def _some_life(index: colxtr.Index) -> None:
    for number in range(20):
        life.operation(1, number)(index)


OPERATIONS = made.OPERATIONS | {"some life": made.Operation(made.base, _some_life)}


def record(name: str, folder: Path) -> tuple[Disk, Recorder]:
    """Do an operation; returns the disk before it, and all that happened."""
    operation = OPERATIONS[name]
    path = folder / "index"
    recorder, disk = Recorder(), Disk()
    if operation.prepare is not None:
        operation.prepare(path)
        recorder.commit(next(path.glob("manifest-*.json")))
        disk.seen = {
            each.name: _File(each.read_bytes(), each.read_bytes())
            for each in path.iterdir()
            if each.name != "LOCK"
        }
        disk.safe = dict(disk.seen)
    with (
        made.at_each_commit(recorder.commit),
        watched(path, recorder),
        made.begin(name, path) as index,
    ):
        operation.run(index)
    return disk, recorder


def replayed(disk: Disk, recorder: Recorder) -> dict[str, bytes]:
    """The folder in the end, if nothing is lost."""
    for moment in recorder.moments:
        disk.do(moment.step)
    return {name: file.content for name, file in disk.seen.items()}


def _check(files: dict[str, bytes], committed: int, answers: dict[int, str], path: Path) -> str:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    allowed = {n: answer for n, answer in answers.items() if n in (committed, committed + 1)}
    try:
        with colxtr.Index.open(path) as index:
            generation = index.info().generation
            found = made.digest(index)
            verification = index.verify()
    except IndexNotFoundError:
        assert not committed, "no index, though a commit had returned"
        return "no index yet"
    assert allowed.get(generation) == found, f"generation {generation} or its answers"
    assert verification, f"damage: {verification.problems}"
    return "committed" if generation == committed else "in progress"


def _check_goes_on(path: Path) -> None:
    with colxtr.Index.open(path, read_only=False) as index:
        index.update_embeddings(*made.given({"d0": 3}))
        assert index.verify()
    left = made.leftovers(path)
    assert not left, f"left over: {sorted(left)}"


def run(states: int, seed: int) -> Tally:
    """Try about so many different folders, spread over all operations."""
    tally = Tally("power loss")
    random = Random(seed)
    left = states
    for i, name in enumerate(OPERATIONS):
        share = -(-left // (len(OPERATIONS) - i))  # where little can be lost, few are found
        with (
            tempfile.TemporaryDirectory(prefix="colxtr-") as temporary,
            made.small_segments(),
            made.training_once(),
        ):
            disk, recorder = record(name, Path(temporary))
            path = Path(temporary) / "lost"
            left -= _try_states(name, disk, recorder, share, random, path, tally)
    return tally


def _try_states(  # noqa: PLR0917
    name: str,
    disk: Disk,
    recorder: Recorder,
    states: int,
    random: Random,
    path: Path,
    tally: Tally,
) -> int:
    """Try about so many different folders; returns how many there were."""
    moments = recorder.moments
    tried: set[int] = set()
    for i, moment in enumerate(moments):
        disk.do(moment.step)
        for _ in range(-(-16 * states // len(moments))):  # many moments have nothing to lose
            files = disk.after_power_loss(random)
            state = hash((moment.committed, *sorted(files.items())))
            if state in tried or len(tried) >= states * (i + 1) / len(moments) + 1:
                continue
            tried.add(state)
            try:
                tally.count(_check(files, moment.committed, recorder.answers, path))
                if len(tried) % 8 == 0 and any(path.glob("manifest-*.json")):
                    _check_goes_on(path)
            except Exception as error:  # noqa: BLE001 - any is a finding
                tally.problem(f"{name}, after step {i}, {moment.step.kind}: {error!r}")
    return len(tried)
