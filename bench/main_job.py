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

import numpy as np
from rich.console import Console
from rich.table import Table

import colxtr
from colxtr.corpora import read_documents, read_queries
from colxtr.evaluation.compare import CompareSettings, compare
from colxtr.evaluation.results import CellResult

ROOT = Path(__file__).parent.parent


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
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for methods, bits in COMPARED:
            settings = CompareSettings(methods=methods, bits=bits, measures="nDCG@10 R@100")
            comparison = compare(folder, temporary, settings, progress=True)
            figures["tokens"] = comparison.collection["n_tokens"]
            for result in comparison.cells:
                figures |= _figures(result)
    return figures


# All of them at 2 bits, the default and the exact one at the others.
COMPARED = (
    (("float32", "exact", "colbert", "colbertv2", "xtr", "colxtr-no-rerank", "colxtr"), (2,)),
    (("exact", "colxtr"), (1, 4, 8, 16)),
)


def _figures(result: CellResult) -> dict[str, object]:
    if result.n_bits is None:
        return {f"exact, float32, {name}": v for name, v in result.evaluation.means.items()}
    name = f"{result.n_bits} bits, {result.cell.method}"
    return {
        f"{result.n_bits} bits, build from embeddings, s": result.figure("build_seconds"),
        f"{result.n_bits} bits, bytes per token": result.figure("bytes_per_token"),
        **{f"{name}, {measure}": value for measure, value in result.evaluation.means.items()},
        f"{name}, search p50, ms": result.latency(0.5),
    }


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
