"""Figures of the main job: quality, size, memory and time on SciFact with the built-in model.

    python bench/main_job.py [--data FOLDER] [--output results.json]

Each step that is measured for memory or time is a process of its own. Prints a table; nothing here
asserts anything.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import ir_measures
import numpy as np
from ir_measures import R, nDCG
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import colxtr
from colxtr.corpora import read_documents, read_queries

ROOT = Path(__file__).parent.parent
Embeddings = NDArray[np.float32]
Run = dict[str, dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("COLXTR_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of collections")
    parser.add_argument("--set", default="scifact", help="which of them")
    parser.add_argument("--output", type=Path, help="also write the figures here, as JSON")
    parser.add_argument("--step", help=argparse.SUPPRESS)  # what a process of our own does
    arguments = parser.parse_args()
    folder = arguments.data / arguments.set
    if arguments.step:
        print(json.dumps(STEPS[arguments.step](folder)))
        return
    figures: dict[str, object] = {}
    for name in STEPS:
        figures |= _in_own_process(name, arguments)
    _show(figures)
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=2) + "\n")


def _in_own_process(step: str, arguments: argparse.Namespace) -> dict[str, object]:
    command = [sys.executable, __file__, "--data", arguments.data, "--set", arguments.set]
    environment = os.environ | ({"OMP_NUM_THREADS": "1"} if step == "latency" else {})
    result = subprocess.run(
        [*map(str, command), "--step", step], check=True, stdout=subprocess.PIPE, env=environment
    )
    return json.loads(result.stdout)


def importing(folder: Path) -> dict[str, object]:
    """Seconds of `import colxtr`, the interpreter's start taken off; median of 7."""
    del folder

    def seconds(program: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        return time.perf_counter() - start

    pairs = [(seconds("import colxtr"), seconds("pass")) for _ in range(7)]
    return {"import colxtr, s": median(ours - bare for ours, bare in pairs)}


def memory(folder: Path) -> dict[str, object]:
    """Peak memory and time of the command that indexes, for a half and for all documents."""
    n_documents = sum(1 for _ in read_documents([folder]))
    figures: dict[str, object] = {"documents": n_documents}
    for share, limit in (("half", n_documents // 2), ("all", n_documents)):
        with tempfile.TemporaryDirectory() as temporary:
            command = ["index", folder, "--index", Path(temporary) / "i", "--limit", limit]
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "colxtr", *map(str, command)],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            figures[f"indexing {share}, s"] = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        figures[f"peak memory of indexing {share}, MB"] = peak
    return figures


def quality(folder: Path) -> dict[str, object]:
    """nDCG@10 and R@100 of exact MaxSim over floats, and of the methods at each bit width."""
    encoder = colxtr.Encoder.load()
    documents = list(read_documents([folder]))
    qrels = list(ir_measures.read_trec_qrels(_trec_qrels(folder / "qrels" / "test.tsv")))
    judged = {judgement.query_id for judgement in qrels}
    queries = [(i, text) for i, text in read_queries(folder) if i in judged]
    embeddings = encoder.encode_documents(documents, progress=True)
    encoded = encoder.encode_queries([text for _, text in queries])
    named = dict(zip((i for i, _ in queries), encoded, strict=True))
    ids = [document.id for document in documents]
    figures: dict[str, object] = {"tokens": sum(map(len, embeddings))}
    figures |= _measured("exact, float32", _exact(named, ids, embeddings), qrels)
    for n_bits in (1, 2, 4, 8, 16):
        with (
            tempfile.TemporaryDirectory() as temporary,
            colxtr.Index.create(f"{temporary}/i", dim=encoder.dim, n_bits=n_bits) as index,
        ):
            start = time.perf_counter()
            index.add_embeddings(ids, embeddings)
            figures[f"{n_bits} bits, build from embeddings, s"] = time.perf_counter() - start
            figures[f"{n_bits} bits, bytes per token"] = index.info().bytes_per_token
            for name in METHODS if n_bits == 2 else ("colxtr", "exact"):
                options = METHODS[name]
                run, milliseconds = _searched(index, named, options)
                figures |= _measured(f"{n_bits} bits, {name}", run, qrels)
                figures[f"{n_bits} bits, {name}, search p50, ms"] = milliseconds
    return figures


# All of them at 2 bits, the default and the exact one at the others.
METHODS: dict[str, dict[str, object]] = {
    "colxtr": {},
    "colxtr without re-ranking": {"rerank": 0},
    "xtr": {"method": "xtr"},
    "colbertv2": {"method": "colbertv2"},
    "colbert": {"method": "colbert"},
    "exact": {"method": "exact"},
}


def _searched(
    index: colxtr.Index, queries: dict[str, Embeddings], options: dict[str, object]
) -> tuple[Run, float]:
    run: Run = {}
    times = []
    for query_id, embeddings in queries.items():
        start = time.perf_counter()
        hits = index.search_embeddings(embeddings, 100, load_text=False, **options)
        times.append(time.perf_counter() - start)
        run[query_id] = {hit.id: hit.score for hit in hits}
    return run, 1000 * median(times)


def _exact(queries: dict[str, Embeddings], ids: list[str], documents: list[Embeddings]) -> Run:
    tokens = np.concatenate(documents)
    starts = np.concatenate([[0], np.cumsum([len(d) for d in documents])[:-1]])
    run = {}
    for query_id, query in queries.items():
        scores = np.maximum.reduceat(tokens @ query.T, starts, axis=0).mean(axis=1)
        best = np.argsort(-scores, kind="stable")[:100]
        run[query_id] = {ids[i]: float(scores[i]) for i in best}
    return run


def _measured(name: str, run: Run, qrels: list[ir_measures.Qrel]) -> dict[str, object]:
    values = ir_measures.calc_aggregate([nDCG @ 10, R @ 100], qrels, run)
    return {f"{name}, {measure}": value for measure, value in values.items()}


def _trec_qrels(path: Path) -> str:
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    return "\n".join(f"{query} 0 {document} {score}" for query, document, score in rows)


def latency(folder: Path) -> dict[str, object]:
    """Milliseconds of a question, encoding and search apart, on one thread."""
    encoder = colxtr.Encoder.load(threads=1)
    queries = [text for _, text in read_queries(folder)][:300]
    with tempfile.TemporaryDirectory() as temporary:
        with colxtr.Index.create(Path(temporary) / "i") as index:
            index.add(read_documents([folder]), progress=True)
        with colxtr.Index.open(Path(temporary) / "i", encoder=encoder) as index:
            both = _milliseconds(index.search, queries)
            encoding = _milliseconds(lambda text: encoder.encode_queries([text]), queries)
    return {
        "question, encoding and search, p50, ms": median(both),
        "question, encoding and search, p95, ms": float(np.quantile(both, 0.95)),
        "question, encoding alone, p50, ms": median(encoding),
    }


def _milliseconds(work: Callable[[str], object], queries: list[str]) -> list[float]:
    def timed() -> Iterator[float]:
        for text in queries:
            start = time.perf_counter()
            work(text)
            yield 1000 * (time.perf_counter() - start)

    for text in queries[:10]:
        work(text)  # warm
    return list(timed())


STEPS: dict[str, Callable[[Path], dict[str, object]]] = {
    "importing": importing,
    "memory": memory,
    "quality": quality,
    "latency": latency,
}


def _show(figures: dict[str, object]) -> None:
    table = Table("what", "figure")
    for name, value in figures.items():
        table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
