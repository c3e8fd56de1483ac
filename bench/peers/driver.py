"""One engine in a process of its own: requests come as JSON lines, answers go back so.

    {"do": "build", "corpus": FOLDER, "index": PATH, "options": {...}}
    {"do": "open", "corpus": FOLDER, "index": PATH, "threads": 1}
    {"do": "search", "settings": {...}, "n_queries": 100}
    {"do": "batch", "settings": {...}, "n_queries": 100}

Every answer has `seconds` and `cpu_seconds` of the work itself; one that failed has `error` alone.
What libraries print goes to standard error. Runs in the engine's virtual environment, so it imports
NumPy and nothing else; knows nothing of other engines.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from bench.peers.layout import TOP, Corpus, read_queries

WARM_UP = 10  # queries before the clock counts
Answer = dict[str, Any]


class Engine(ABC):
    """What a driver does for its engine. Documents are known by their ordinals."""

    @abstractmethod
    def build(self, corpus: Corpus, index: Path, options: dict[str, Any]) -> None:
        """Build an index on the disk; `index` is a file or folder that is not there yet."""

    @abstractmethod
    def open(self, index: Path, threads: int) -> None:
        """Open an index for the searches that follow."""

    def prepare(self, query: NDArray[np.float32]) -> Any:
        """Make a query what the engine takes. Not timed."""
        return query

    @abstractmethod
    def search(self, query: Any, k: int, settings: dict[str, Any]) -> Any:
        """Search with one query. Timed."""

    @abstractmethod
    def ordinals(self, result: Any) -> Sequence[int]:
        """The documents of what `search` returned, best first. Not timed."""

    @abstractmethod
    def search_all(self, queries: list[Any], k: int, settings: dict[str, Any]) -> None:
        """Search with all queries as fast as the engine can with the threads it was opened with."""


def serve(engine: Engine) -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    session = Session(engine)
    for line in sys.stdin:
        _answer(answers, session, json.loads(line))


def _answer(answers: TextIO, session: Session, request: dict[str, Any]) -> None:
    work = getattr(session, request.pop("do"))
    try:
        answer = work(**request)
    except Exception as error:  # noqa: BLE001 - whatever an engine raises is its result
        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {error}"[:300]}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


class Session:
    """The requests, for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._queries: list[Any] = []

    def build(self, corpus: str, index: str, options: dict[str, Any]) -> Answer:
        """Build an index; `bytes` is its size on the disk."""
        opened = Corpus.open(Path(corpus))
        _, answer = _timed(lambda: self._engine.build(opened, Path(index), options))
        return answer | {"bytes": size_on_disk(Path(index))}

    def open(self, corpus: str, index: str, threads: int) -> Answer:
        """Open an index and run one query; `first_ms` is that query's time."""
        _, answer = _timed(lambda: self._engine.open(Path(index), threads))
        self._queries = [self._engine.prepare(query) for query in read_queries(Path(corpus))]
        _, first = _timed(lambda: self._engine.search(self._queries[0], TOP, {}))
        return answer | {"first_ms": 1000 * first["seconds"]}

    def search(self, settings: dict[str, Any], n_queries: int) -> Answer:
        """Search with one query after the other; `ms` and `ids` of each."""
        queries = self._queries[:n_queries]
        k, settings = _split(settings)
        for query in queries[:WARM_UP]:
            self._engine.search(query, k, settings)
        gc.collect()
        times, ids = [], []
        cpu = time.process_time()
        for query in queries:
            start = time.perf_counter()
            result = self._engine.search(query, k, settings)
            times.append(time.perf_counter() - start)
            ids.append([int(i) for i in self._engine.ordinals(result)])
        return {
            "seconds": sum(times),
            "cpu_seconds": time.process_time() - cpu,
            "ms": [round(1000 * t, 4) for t in times],
            "ids": ids,
        }

    def batch(self, settings: dict[str, Any], n_queries: int) -> Answer:
        """Search with all queries at once."""
        queries = self._queries[:n_queries]
        k, settings = _split(settings)
        return _timed(lambda: self._engine.search_all(queries, k, settings))[1]


def _split(settings: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """How many documents are asked for, and what the engine is given beside."""
    return settings.get("k", TOP), {n: value for n, value in settings.items() if n != "k"}


def _timed(work: Callable[[], object]) -> tuple[object, Answer]:
    start, cpu = time.perf_counter(), cpu_seconds()
    result = work()
    seconds = time.perf_counter() - start
    return result, {"seconds": seconds, "cpu_seconds": cpu_seconds() - cpu}


def cpu_seconds() -> float:
    """Of this process and the children it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
