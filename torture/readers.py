"""Reader processes that follow a writer.

Each reader refreshes and asks, again and again: no error, generations never go back, and the
answers are those that the writer had at that generation. How long its searches take is measured
before the writer begins, and while it works.

    python -m torture.readers FOLDER FILE     is a reader, until FOLDER/../stop is there
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import numpy as np

import colxtr
from torture import life, made
from torture.tally import Tally

READERS = 4
PAUSE = 0.02  # seconds between a reader's rounds
IDLE = 2.0  # seconds of reading without a writer
SEARCHES = 5  # timed ones of a round


def read(folder: Path, into: Path) -> None:
    """Follow the writer until told to stop; then write what was seen."""
    stop = folder.parent / "stop"
    rounds: list[tuple[float, int, str, list[float]]] = []
    query = made.embeddings(7, 16)
    with colxtr.Index.open(folder) as index:
        into.with_suffix(".begun").touch()
        while not stop.exists() or not rounds:
            index.refresh()
            generation = index.info().generation
            answers = made.digest(index)
            seconds = []
            for _ in range(SEARCHES):
                start = time.perf_counter()
                index.search_embeddings(query, threads=1)
                seconds.append(time.perf_counter() - start)
            rounds.append((time.time(), generation, answers, seconds))
            time.sleep(PAUSE)
    into.write_text(json.dumps(rounds))


def run(commits: int, seed: int) -> Tally:
    """Let 4 processes read while one commits so often."""
    tally = Tally("readers")
    with tempfile.TemporaryDirectory(prefix="colxtr-") as temporary, made.training_once():
        folder = Path(temporary) / "index"
        made.base(folder)
        processes = [_reader(folder, i) for i in range(READERS)]
        while len(list(folder.parent.glob("*.begun"))) < READERS:
            assert all(process.poll() is None for process in processes), "a reader ended"
            time.sleep(0.01)
        time.sleep(IDLE)
        began = time.time()
        answers = _write(folder, commits, seed)
        (folder.parent / "stop").touch()
        for process in processes:
            _, said = process.communicate()
            if process.returncode:
                tally.problem(f"a reader ended with {process.returncode}: {said[-300:]}")
        for path in sorted(folder.parent.glob("reader-*.json")):
            _check(json.loads(path.read_text()), answers, began, tally)
    tally.count("commits", len(answers))
    return tally


def _reader(folder: Path, i: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torture.readers", str(folder)]
    command.append(str(folder.parent / f"reader-{i}.json"))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def _write(folder: Path, commits: int, seed: int) -> dict[int, str]:
    """Live a random life; returns the answers at each generation."""
    answers: dict[int, str] = {}
    random = Random(seed)
    with colxtr.Index.open(folder, read_only=False) as index:
        answers[index.info().generation] = made.digest(index)

        def note(manifest: Path) -> None:
            answers[int(manifest.stem.split("-")[1])] = made.digest_at(folder)

        number = 0
        with made.at_each_commit(note):
            while len(answers) <= commits:
                life.operation(seed, number)(index)
                number += 1
                time.sleep(random.uniform(0, PAUSE))
    return answers


def _check(
    rounds: list[tuple[float, int, str, list[float]]],
    answers: dict[int, str],
    began: float,
    tally: Tally,
) -> None:
    tally.count("rounds of readers", len(rounds))
    generations = [generation for _, generation, _, _ in rounds]
    tally.count("generations seen by readers", len(set(generations)))
    if generations != sorted(generations):
        tally.problem("a reader went back to an older generation")
    for _, generation, digest, _ in rounds:
        if answers.get(generation) != digest:
            tally.problem(f"generation {generation} answers otherwise to a reader")
    for name, busy in (("idle", False), ("while one writes", True)):
        seconds = [s for when, _, _, each in rounds if (when > began) == busy for s in each]
        if seconds:
            tally.measured(f"p99 of a search {name}, ms", 1000 * float(np.percentile(seconds, 99)))


if __name__ == "__main__":
    read(Path(sys.argv[1]), Path(sys.argv[2]))
