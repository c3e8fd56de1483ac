"""SIGKILL at random moments of a random life.

The index that is found must be one that a twin, to which the same was done without a kill, had
after the same commit: the last one that the journal knows as finished, or a later one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import colxtr
from colxtr.storage.manifest import newest_generation
from torture import life, made
from torture.tally import Tally

LONGEST = 0.6  # seconds that a process lives after it has opened the index


def run(kills: int, seed: int) -> Tally:
    """Kill so often."""
    tally = Tally("kills")
    random = Random(seed)
    with tempfile.TemporaryDirectory(prefix="colxtr-") as temporary, made.training_once():
        folder, twin = Path(temporary) / "index", Path(temporary) / "twin"
        made.base(folder)
        first = 0
        for kill in range(kills):
            shutil.rmtree(twin, ignore_errors=True)
            shutil.copytree(folder, twin)
            journal = Path(temporary) / f"journal-{kill}"
            _live_and_die(folder, seed, first, journal, random.uniform(0, LONGEST))
            try:
                first += _check(folder, twin, seed, first, journal, tally)
            except Exception as error:  # noqa: BLE001 - any is a finding
                tally.problem(f"kill {kill}: {type(error).__name__}: {error}")
                shutil.rmtree(folder)
                made.base(folder)
            journal.unlink()
            tally.count("kills")
    return tally


def _live_and_die(folder: Path, seed: int, first: int, journal: Path, seconds: float) -> None:
    command = [sys.executable, "-m", "torture.life", *map(str, (folder, seed, first, journal))]
    with subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        while not journal.exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, f"ended by itself: {process.returncode}"


def _check(  # noqa: PLR0917
    folder: Path, twin: Path, seed: int, first: int, journal: Path, tally: Tally
) -> int:
    """Compare with the twin; returns how many operations were finished."""
    finished = [line.split() for line in journal.read_text().splitlines()[1:]]
    start = newest_generation(twin)
    last = int(finished[-1][1]) if finished else start
    found = newest_generation(folder)
    assert start is not None
    assert found is not None
    assert last is not None
    assert found >= last, f"generation {found}, though {last} was finished"
    answers = _answers(twin, seed, first, len(finished) + 1)
    assert found in answers, f"generation {found} was never committed"
    assert made.digest_at(folder) == answers[found], f"generation {found} answers otherwise"
    tally.count("in the middle of an operation" if found > last else "at the last finished commit")
    tally.count("operations finished", len(finished))
    with colxtr.Index.open(folder, read_only=False) as index:  # the lock is free
        verification = index.verify()
        assert verification, f"damage: {verification.problems}"
        index.update_embeddings(*made.given({"d0": found}))
    left = made.leftovers(folder)
    assert not left, f"left over: {sorted(left)}"
    return len(finished)


def _answers(twin: Path, seed: int, first: int, n: int) -> dict[int, str]:
    """What an index answers at each generation of its next `n` operations."""
    answers = {newest_generation(twin) or 0: made.digest_at(twin)}

    def note(manifest: Path) -> None:
        answers[int(manifest.stem.split("-")[1])] = made.digest_at(manifest.parent)

    with (
        made.at_each_commit(note),
        made.small_segments(),
        colxtr.Index.open(twin, read_only=False) as index,
    ):
        for number in range(first, first + n):
            life.operation(seed, number)(index)
    return answers
