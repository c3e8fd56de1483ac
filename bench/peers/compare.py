"""All engines on the same embeddings: each builds once, then they search in turn, round by round.

    python -m bench.peers.compare --data FOLDER --environments FOLDER --corpora scifact,joined

`FOLDER/<corpus>` has the files of `layout.py`. An index that is there is kept (with what its build
cost, in `indexes/<engine>/build.json`); delete its folder to build it again. The results go to
`FOLDER/results.json` after every step, for `report.py`.

An engine is a process with one thread, then with two. In every round each engine runs all its
settings, and each round starts with another engine, so that what else the machine does hits all of
them alike. A process that fails is noted, and the others go on.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers.engines import VARIANTS, Settings, Variant
from bench.peers.layout import Corpus
from bench.peers.measures import mean_recall
from bench.peers.processes import EngineFailedError, EngineProcess
from bench.provenance import commit, describe_machine, today

Results = dict[str, Any]


def main() -> None:
    names = [variant.name for variant in VARIANTS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of corpora")
    parser.add_argument("--environments", type=Path, required=True, help="as `setup.py` made it")
    parser.add_argument("--corpora", default="scifact", help="which, with commas")
    parser.add_argument("--engine", action="append", choices=names, help="only these; repeatable")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", default="1,2", help="how many, with commas")
    parser.add_argument("--queries", type=int, default=100, help="the first so many")
    parser.add_argument("--no-exact", action="store_true", help="no exhaustive searches")
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("--output", type=Path, help="default: results.json in the data folder")
    arguments = parser.parse_args()
    variants = [v for v in VARIANTS if not arguments.engine or v.name in arguments.engine]
    if arguments.no_exact:
        variants = [
            replace(v, sweep=[s for s in v.sweep if s.get("method") != "exact"]) for v in variants
        ]
    comparison = Comparison(
        arguments.data,
        arguments.environments,
        arguments.output or arguments.data / "results.json",
    )
    for corpus in arguments.corpora.split(","):
        built = [variant for variant in variants if comparison.build(corpus, variant)]
        if not arguments.build_only:
            threads = [int(count) for count in arguments.threads.split(",")]
            comparison.search(corpus, built, arguments.rounds, threads, arguments.queries)


class Comparison:
    """Builds and searches, and the results so far.

    Args:
        data: The folder of corpora.
        environments: The folder of virtual environments.
        output: Where the results go; what is there already is replaced.
    """

    def __init__(self, data: Path, environments: Path, output: Path) -> None:
        self._data, self._environments, self._output = data, environments, output
        self.results: Results = {
            "date": today(),
            "command": "python -m bench.peers.compare " + _without_places(sys.argv[1:]),
            "machine": describe_machine(),
            "versions": {},
            "corpora": {},
            "builds": [],
            "searches": [],
        }

    def build(self, corpus: str, variant: Variant) -> bool:
        """Build an index, if it is not there; return whether there is one."""
        self.results["versions"][variant.name] = version(variant, self._environments)
        record = self._build_record(corpus, variant)
        self.results["builds"].append(record)
        self._save()
        return "error" not in record

    def _build_record(self, corpus: str, variant: Variant) -> Results:
        folder = self._folder(corpus, variant)
        note = folder / "build.json"
        if note.is_file():
            known: Results = json.loads(note.read_text("utf-8"))
            return known
        shutil.rmtree(folder, ignore_errors=True)  # of a build that was interrupted
        folder.mkdir(parents=True)
        record: Results = {"corpus": corpus, "engine": variant.name, "options": variant.options}
        record["version"] = self.results["versions"][variant.name]
        _say(f"{corpus}: {variant.name} builds")
        try:
            with self._process(corpus, variant, threads=1) as process:
                record |= process.ask(
                    "build",
                    corpus=str(self._data / corpus),
                    index=str(folder / "index"),
                    options=variant.options,
                )
        except EngineFailedError as error:
            _say(f"{corpus}: {variant.name} failed: {error}")
            return record | {"error": str(error)}
        note.write_text(json.dumps(record) + "\n", encoding="utf-8")
        return record

    def search(
        self,
        corpus: str,
        variants: Sequence[Variant],
        n_rounds: int,
        thread_counts: Sequence[int],
        n_queries: int,
    ) -> None:
        """Search with all engines in turn."""
        opened = Corpus.open(self._data / corpus)
        n_queries = min(n_queries, len(opened.queries))
        self.results["corpora"][corpus] = describe_corpus(opened, n_queries)
        truth = np.load(opened.folder / "truth.npz")["ids"][:n_queries]
        for round_number in range(n_rounds):
            for threads in thread_counts:
                for variant in rotated(variants, round_number):
                    _say(f"{corpus}: round {round_number + 1}, {threads} threads: {variant.name}")
                    place = {"corpus": corpus, "engine": variant.name, "threads": threads}
                    place["round"] = round_number
                    for record in self._sweep(corpus, variant, threads, n_queries):
                        if ids := record.pop("ids", None):
                            record["recall@10"] = mean_recall(ids, truth, 10)
                            record["recall@100"] = mean_recall(ids, truth, 100)
                        self.results["searches"].append(place | record)
                    self._save()

    def _sweep(
        self, corpus: str, variant: Variant, threads: int, n_queries: int
    ) -> Iterator[Results]:
        """What each of an engine's settings gives, in one process."""
        place = {"corpus": str(self._data / corpus)}
        index = str(self._folder(corpus, variant) / "index")
        settings: Settings = {}
        try:
            with self._process(corpus, variant, threads) as process:
                opened = process.ask("open", index=index, threads=threads, **place)
                for settings in variant.sweep:
                    answer = process.ask("search", settings=settings, n_queries=n_queries)
                    record = {"settings": settings, "ids": answer["ids"]} | _summary(answer)
                    if not settings:  # the defaults
                        batch = process.ask("batch", settings=settings, n_queries=n_queries)
                        record["batch_queries_per_second"] = n_queries / batch["seconds"]
                        record["open_seconds"] = opened["seconds"]
                        record["first_ms"] = opened["first_ms"]
                    yield record
        except EngineFailedError as error:
            _say(f"{corpus}: {variant.name} failed: {error}")
            yield {"settings": settings, "error": str(error)}

    def _process(self, corpus: str, variant: Variant, threads: int) -> EngineProcess:
        log = self._data / "logs" / f"{corpus} {variant.name}.log"
        return EngineProcess(variant, self._environments, log, threads)

    def _folder(self, corpus: str, variant: Variant) -> Path:
        return self._data / corpus / "indexes" / re.sub(r"\W+", "-", variant.name)

    def _save(self) -> None:
        temporary = self._output.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.results, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self._output)


def _summary(answer: Results) -> Results:
    return {
        "p50_ms": statistics.median(answer["ms"]),
        "p95_ms": float(np.quantile(answer["ms"], 0.95)),
        "cpu_ms": 1000 * answer["cpu_seconds"] / len(answer["ms"]),
        "peak_mb": answer["peak_mb"],
        "load": os.getloadavg()[0],
    }


def rotated(variants: Sequence[Variant], round_number: int) -> list[Variant]:
    """The engines in the order of a round: each starts one later than the round before."""
    start = round_number % max(1, len(variants))
    return [*variants[start:], *variants[:start]]


def describe_corpus(corpus: Corpus, n_queries: int) -> Results:
    lengths = [len(query) for query in corpus.queries[:n_queries]]
    return {
        "documents": len(corpus.doclens),
        "tokens": corpus.n_tokens,
        "dim": corpus.queries[0].shape[1],
        "queries": n_queries,
        "tokens_per_query": statistics.mean(lengths),
    }


def _without_places(arguments: Sequence[str]) -> str:
    """A command line that says nothing of this machine's folders."""
    places = {"--data": "DATA", "--environments": "ENVIRONMENTS", "--output": "RESULTS"}
    before = ["", *arguments]
    return shlex.join(places.get(b, a) for b, a in zip(before, arguments, strict=False))


def version(variant: Variant, environments: Path) -> str:
    """The version of the package in its environment; for colxtr with the checkout's commit."""
    package = {"xtr_warp": "xtr-warp-rs"}.get(variant.driver, variant.driver.replace("_", "-"))
    program = f"import importlib.metadata as m; print(m.version('{package}'))"
    python = environments / variant.environment / "bin" / "python"
    if not python.is_file():
        raise SystemExit(f"no {python}; run: python -m bench.peers.setup --into {environments}")
    found = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True)
    ours = commit() if variant.driver == "colxtr" else ""
    return found.stdout.strip() + (f" ({ours})" if ours else "")


def _say(text: str) -> None:
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", flush=True)


if __name__ == "__main__":
    main()
