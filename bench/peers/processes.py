"""An engine's process, from the outside: requests and answers, its threads, its memory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from bench.peers.engines import Variant
from bench.provenance import ROOT

SAMPLE_EVERY = 0.05  # seconds between two looks at the memory
_POOLS = ("OMP", "OPENBLAS", "MKL", "RAYON")


class EngineFailedError(Exception):
    """The engine raised, or its process ended; the message is the engine's."""


class EngineProcess:
    """A driver in its engine's virtual environment. A context manager.

    Args:
        variant: Which engine.
        environments: The folder of virtual environments.
        log: What the engine prints goes here.
        threads: How many threads its pools get.
    """

    def __init__(self, variant: Variant, environments: Path, log: Path, threads: int) -> None:
        python = environments / variant.environment / "bin" / "python"
        if not python.is_file():
            raise SystemExit(f"no {python}; run: python -m bench.peers.setup --into {environments}")
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log: IO[bytes] = log.open("ab")
        self._process = subprocess.Popen(
            [python, "-m", f"bench.peers.run_{variant.driver}"],
            cwd=ROOT,
            env=os.environ | {f"{pool}_NUM_THREADS": str(threads) for pool in _POOLS},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._log_path = log

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()
        self._log.close()

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer, which gets `peak_mb`.

        Raises:
            EngineFailedError: The engine raised, or its process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with MemoryWatch(self._process.pid) as memory:
            self._process.stdin.write(json.dumps({"do": do} | request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            raise EngineFailedError(f"its process ended with code {code}; see {self._log_path}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise EngineFailedError(answer["error"])
        return answer | {"peak_mb": memory.peak_mb}


class MemoryWatch:
    """The most memory of its own that a process had while the context was open, in MB.

    Pages of mapped files are not counted: the system takes them back when it needs them. 0 where
    there is no /proc.
    """

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0.0
        self._status = Path(f"/proc/{pid}/status")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak_mb = max(self.peak_mb, self._now())
            if self._ended.wait(SAMPLE_EVERY):
                return

    def _now(self) -> float:
        try:
            found = re.search(r"^RssAnon:\s+(\d+) kB", self._status.read_text("utf-8"), re.M)
        except OSError:
            return 0.0
        return int(found[1]) / 1024 if found else 0.0
