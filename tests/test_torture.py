"""The proofs of `torture/` in short, and that they would notice what they look for."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from random import Random

import pytest

import colxtr
from colxtr.errors import StorageError
from torture import damage, faults, full_disk, fuzz, guarded, kills, made, power, readers
from torture.disk import Step, Watcher, watched
from torture.tally import Tally


@pytest.fixture(autouse=True)
def _training_once(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the processes that are started
    with made.training_once():
        yield


def test_faults() -> None:
    faults.run(40, seed=1).check()


def test_kills() -> None:
    kills.run(6, seed=1).check()


def test_power_loss() -> None:
    power.run(150, seed=1).check()


def test_flipped_bytes() -> None:
    damage.run_flips(150, seed=1).check()


def test_exchanged_files() -> None:
    damage.run_exchanges(4, seed=1).check()


def test_a_full_disk() -> None:
    full_disk.run(3, seed=1).check()


def test_a_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_disk, "_mounted", lambda folder: False)
    tally = full_disk.run(3, seed=1)
    tally.check()
    assert tally.outcomes["DiskFullError"] == 3


def test_readers() -> None:
    readers.run(12, seed=1).check()


def test_hostile_inputs() -> None:
    fuzz.run(1_100, seed=1).check()


# -- they would notice ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["add", "delete", "optimize", "first documents"])
def test_what_is_recorded_is_all_that_reaches_the_disk(name: str, tmp_path: Path) -> None:
    files = power.replayed(*power.record(name, tmp_path))
    there = {path.name: path.read_bytes() for path in (tmp_path / "index").iterdir()}
    del there["LOCK"]
    assert files == there


@pytest.mark.parametrize("forgotten", ["sync", "sync_folder"])
def test_power_loss_finds_what_was_not_forced_to_the_disk(forgotten: str, tmp_path: Path) -> None:
    disk, recorder = power.record("add", tmp_path)
    recorder.moments = [m for m in recorder.moments if m.step.kind != forgotten]
    tally = Tally("careless")
    power._try_states("add", disk, recorder, 200, Random(0), tmp_path / "lost", tally)
    assert tally.n_problems


def test_faults_find_what_is_left_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    case = faults.Case("add", tmp_path)
    monkeypatch.setattr("colxtr.storage.manifest.remove_unnamed", lambda folder, manifest: None)
    with pytest.raises(AssertionError, match="left over"):
        faults.try_one(case, 8, "broken")


def test_faults_find_a_commit_in_two_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if a manifest were written where it is read."""

    def carelessly(path: Path, content: bytes) -> None:
        path.write_bytes(content)

    case = faults.Case("add", tmp_path)
    monkeypatch.setattr("colxtr.storage.manifest.write_atomically", carelessly)
    found = []
    for n in range(case.n_steps):
        try:
            faults.try_one(case, n, "interrupted before")
        except Exception as error:  # noqa: BLE001 - any is a finding
            found.append(error)
    assert found


class Careless:
    """A class of cases of which most go wrong."""

    def __init__(self, folder: Path, seed: int) -> None:
        pass

    def try_one(self, case: int) -> list[str]:
        if case == 1:
            raise ValueError("no error of ours")
        if case == 2:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGSEGV)
        if case == 3:
            bytearray(guarded.MEMORY + (64 << 20))
        return ["fine"]


def test_a_process_that_dies_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    tally = guarded.run("careless", "test_torture:Careless", range(5), 0)
    assert tally.outcomes["fine"] == 2
    assert [problem.split(" (")[0] for problem in tally.problems] == [
        "case 1: ValueError: no error of ours",
        "case 2: died of SIGSEGV",
        "case 3: MemoryError: ",
    ]


# -- what a commit costs ----------------------------------------------------------------------


class Counter(Watcher):
    def __init__(self) -> None:
        self.kinds: list[str] = []

    def after(self, step: Step) -> None:
        self.kinds.append(step.kind)


@pytest.mark.parametrize(
    ("name", "most"),
    [("add", 5), ("delete", 5), ("update", 9), ("optimize", 5), ("optimize, retrained", 6)],
)
def test_a_commit_forces_little_to_the_disk(name: str, most: int, tmp_path: Path) -> None:
    """Each file, the folder, the manifest, the folder again."""
    operation = made.OPERATIONS[name]
    assert operation.prepare is not None
    operation.prepare(tmp_path / "index")
    counter = Counter()
    with watched(tmp_path / "index", counter), made.begin(name, tmp_path / "index") as index:
        operation.run(index)
    assert sum(kind.startswith("sync") for kind in counter.kinds) <= most


def test_an_error_while_reading_is_no_damage(tmp_path: Path) -> None:
    """Removing what is left over may fail; the next commit tries again."""

    class Unremovable(Watcher):
        def before(self, step: Step, file: object = None) -> None:
            if step.kind == "unlink":
                raise OSError(errno.EACCES, "Permission denied")

    made.base(tmp_path / "index")
    with colxtr.Index.open(tmp_path / "index", read_only=False) as index:
        with watched(tmp_path / "index", Unremovable()):
            index.delete(["d2"])
        assert made.leftovers(tmp_path / "index")
        index.delete(["d3"])
        assert not made.leftovers(tmp_path / "index")
        assert len(index) == 10


def test_a_lost_folder_is_an_error(tmp_path: Path) -> None:
    made.base(tmp_path / "index")
    with colxtr.Index.open(tmp_path / "index", read_only=False) as index:
        shutil.move(tmp_path / "index", tmp_path / "elsewhere")
        with pytest.raises(StorageError, match="moved, deleted or replaced"):
            index.delete(["d2"])
