"""Many hostile cases in a process of their own, which may neither die, hang nor take much memory.

A case is a number: a class is made with a folder and a seed, and its `try_one(number)` returns
what happened, or raises for what must not. A process that dies is noted, and another one goes on
with the next case.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from torture.tally import Tally

MEMORY = 512 << 20  # that all cases together may take beyond what is there before the first
HANGS = 60  # seconds after which a case is given up
SLOW = 1.0  # of processor time: other work on the machine counts not


def run(name: str, made: str, cases: Sequence[int], seed: int) -> Tally:
    """Try cases of a class, "module:Class"; their numbers ascend."""
    tally = Tally(name)
    waiting = list(cases)
    with tempfile.TemporaryDirectory(prefix="colxtr-") as temporary:
        while waiting:
            done = _process(made, waiting, seed, Path(temporary), tally)
            waiting = waiting[done:]
    return tally


def _process(made: str, cases: list[int], seed: int, folder: Path, tally: Tally) -> int:
    """Let a process try cases until it ends; returns how many were tried."""
    todo = folder / "cases.json"
    todo.write_text(json.dumps(cases))
    command = [sys.executable, "-m", "torture.guarded", made, str(seed), str(folder), str(todo)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said = json.loads(line)
            if "worst" in said:
                tally.measured("most memory, MB", said["memory"])
                tally.measured("slowest, ms of processor time", said["worst"])
                continue
            done += 1
            for outcome in said["outcomes"]:
                tally.count(outcome)
            for problem in said["problems"]:
                tally.problem(f"case {said['case']}: {problem}")
    if process.returncode == 0:
        assert done == len(cases), f"{done} of {len(cases)} cases"
    elif process.returncode > 0:
        raise RuntimeError(f"the process for {made} ended with {process.returncode}")
    else:
        what = signal.Signals(-process.returncode).name
        tally.problem(f"case {cases[done]}: died of {'a hang' if what == 'SIGALRM' else what}")
        done += 1
    return done


def main(made: str, seed: int, folder: Path, todo: Path) -> None:
    """Try all cases."""
    module, _, name = made.partition(":")
    work: Any = getattr(import_module(module), name)(folder, seed)
    _limit_memory()
    worst = 0.0
    for case in json.loads(todo.read_text()):
        signal.alarm(HANGS)
        start = time.process_time()
        outcomes: list[str] = []
        problems: list[str] = []
        try:
            outcomes = list(work.try_one(case))
        except Exception as error:  # noqa: BLE001 - any is a finding
            frames = traceback.extract_tb(error.__traceback__)[-6:]
            way = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
            problems.append(f"{type(error).__name__}: {str(error)[:300]} ({way})")
        seconds = time.process_time() - start
        signal.alarm(0)
        worst = max(worst, seconds)
        if seconds > SLOW:
            outcomes.append(f"slower than 1 s: case {case}")
        print(json.dumps({"case": case, "outcomes": outcomes, "problems": problems}), flush=True)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10  # of the whole process
    print(json.dumps({"worst": round(1000 * worst), "memory": memory}), flush=True)


def _limit_memory() -> None:
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
