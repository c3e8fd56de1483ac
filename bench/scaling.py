"""How time, space and recall grow with the collection: synthetic tokens, never all in memory.

    python -m bench.scaling FOLDER --tokens 1000000,8000000,100000000

Tokens are made while the index is built (`synthetic.py`), so that 100 million of them need no file
of 25 GB. An index that is there is used again. For each size: how long the build took and its peak
memory, bytes a token, and for some qualities the median latency of a query of 32 tokens (one
thread, embeddings given) and the share that it finds of the 10 best documents by exhaustive search
over the same decompressed tokens; with --truth, for which all tokens are made once more, of the 10
best by exact MaxSim over the float embeddings too. One JSON line each.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import synthetic
from bench.exact import exact_scores, top
from bench.provenance import commit, describe_machine, today
from colxtr import Index

QUALITIES = (0.0, 0.25, 0.5, 0.75)
ROUNDS = 3
DIM, SEED = 128, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the indexes")
    parser.add_argument("--tokens", default="1000000,8000000", help="sizes, with commas")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--exact", type=int, default=25, help="queries searched exactly too")
    parser.add_argument("--truth", action="store_true", help="and by exact MaxSim over floats")
    parser.add_argument("--build", type=int, help=argparse.SUPPRESS)  # in a process of its own
    arguments = parser.parse_args()
    if arguments.build:
        build(arguments.folder, arguments.build, arguments.queries)
        return
    for size in map(int, arguments.tokens.split(",")):
        path = arguments.folder / str(size)
        if not (path / "build.json").is_file():
            options = ["--build", str(size), "--queries", str(arguments.queries)]
            command = [sys.executable, "-m", "bench.scaling", str(path), *options]
            subprocess.run(command, check=True)
        if arguments.truth and len(read_truth(path)) < min(arguments.exact, arguments.queries):
            write_truth(path, size, arguments.exact)
        print(json.dumps(measure(path, arguments.exact)), flush=True)


def build(folder: Path, n_tokens: int, n_queries: int) -> None:
    """Write index, queries, and what they cost."""
    world = synthetic.World.make(DIM, SEED)
    texts = synthetic.Texts.draw(n_tokens, SEED)

    def documents() -> Iterator[NDArray[np.float32]]:
        for rows, lengths in synthetic.chunks_of(world, texts, SEED):
            yield from np.split(rows, np.cumsum(lengths)[:-1])

    started = time.perf_counter()
    with Index.create(folder / "index", dim=DIM, overwrite=True) as index:
        n = len(texts.lengths)
        index.add_embeddings(map(str, range(n)), documents(), total=n, progress=True)
    cost = {
        "build_s": time.perf_counter() - started,
        "build_cpu_s": time.process_time(),
        "build_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    targets = synthetic.query_targets(texts, n_queries, SEED)
    np.save(folder / "queries.npy", synthetic.queries_of(world, texts, targets, SEED))
    (folder / "build.json").write_text(json.dumps(cost), encoding="utf-8")


def write_truth(folder: Path, n_tokens: int, n_queries: int) -> None:
    """Write the best documents of the first queries by exact MaxSim, (n_queries, 10)."""
    texts = synthetic.Texts.draw(n_tokens, SEED)
    pairs = synthetic.chunks_of(synthetic.World.make(DIM, SEED), texts, SEED)
    queries = np.load(folder / "queries.npy")[:n_queries]
    scores = exact_scores(queries, pairs, len(texts.lengths), n_tokens)
    np.save(folder / "truth.npy", top(scores, 10)[0])


def read_truth(folder: Path) -> list[set[str]]:
    """The ids of these documents; of no query if they were not written."""
    path = folder / "truth.npy"
    return [set(map(str, best)) for best in np.load(path).tolist()] if path.is_file() else []


def measure(folder: Path, n_exact: int) -> dict[str, object]:
    """One line of the table."""
    queries = np.load(folder / "queries.npy")
    index = Index.open(folder / "index")
    info = index.info()
    result: dict[str, object] = {
        "date": today(),
        "machine": describe_machine(),
        "commit": commit(),
        "tokens": info.n_tokens,
        "centroids": info.n_centroids,
        "bytes_per_token": round(info.bytes_per_token, 2),
        **json.loads((folder / "build.json").read_text("utf-8")),
    }
    exact = [found(index, query, method="exact") for query in queries[:n_exact]]
    truth = read_truth(folder)
    for quality in QUALITIES:
        result[f"p50_ms_{quality}"] = latency(index, queries, quality)
        result[f"recall_{quality}"] = recall(index, queries, exact, quality)
        if truth:
            result[f"true_recall_{quality}"] = recall(index, queries, truth, quality)
    return result


def latency(
    index: Index, queries: Sequence[NDArray[np.float32]], quality: float, k: int = 10
) -> float:
    """Median milliseconds of a query."""
    times = [min(timed(index, query, quality, k) for _ in range(ROUNDS)) for query in queries]
    return round(1000 * statistics.median(times), 2)


def recall(
    index: Index,
    queries: Sequence[NDArray[np.float32]],
    best: Sequence[set[str]],
    quality: float,
    k: int = 10,
) -> float:
    """The share that is found of the best documents of the first queries, those that are given."""
    shares = [
        len(found(index, query, k, quality=quality) & of_query) / len(of_query)
        for query, of_query in zip(queries, best, strict=False)
    ]
    return round(statistics.mean(shares), 4)


def found(index: Index, query: NDArray[np.float32], k: int = 10, **settings: object) -> set[str]:
    hits = index.search_embeddings(query, k=k, load_text=False, threads=1, **settings)
    return {hit.id for hit in hits}


def timed(index: Index, query: NDArray[np.float32], quality: float, k: int = 10) -> float:
    """Seconds of processor time, which what else the machine does disturbs less."""
    start = time.thread_time()
    index.search_embeddings(query, k=k, load_text=False, threads=1, quality=quality)
    return time.thread_time() - start


if __name__ == "__main__":
    main()
