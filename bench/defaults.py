"""What the defaults find of exhaustive search, and how long they take, on real corpora.

    python -m bench.defaults CORPUS [CORPUS ...] [--qualities 0.5,0.75] [--k 10]

A corpus is a folder that `bench.peers.corpora` made; the index of its embeddings (2 bits) is
CORPUS/index, made if it is missing. For each quality one JSON line: the share of the k best
documents by exhaustive search over the same decompressed tokens, and the median processor time of a
query on one thread, embeddings given.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.peers.layout import Corpus
from colxtr import Index

ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path, nargs="+", metavar="CORPUS")
    parser.add_argument("--qualities", default="0.5", help="which, with commas")
    parser.add_argument("--k", type=int, default=10, help="documents asked for")
    arguments = parser.parse_args()
    for folder in arguments.corpora:
        corpus = Corpus.open(folder)
        with indexed(corpus) as index:
            exact = [found(index, query, arguments.k, method="exact") for query in corpus.queries]
            for quality in map(float, arguments.qualities.split(",")):
                line = measure(index, corpus.queries, exact, arguments.k, quality)
                print(json.dumps({"corpus": folder.name, **line}), flush=True)


def indexed(corpus: Corpus) -> Index:
    """The index of a corpus, open."""
    path = corpus.folder / "index"
    if not path.is_dir():
        with Index.create(path, dim=corpus.vectors.shape[1]) as index:
            documents = (corpus.vectors[a:b] for a, b in pairwise(corpus.starts.tolist()))
            ids = map(str, range(len(corpus.doclens)))
            index.add_embeddings(ids, documents, total=len(corpus.doclens), progress=True)
    return Index.open(path)


def measure(
    index: Index,
    queries: list[NDArray[np.float32]],
    exact: list[set[str]],
    k: int,
    quality: float,
) -> dict[str, object]:
    """One line."""
    shares, times = [], []
    for query, best in zip(queries, exact, strict=True):
        rounds = []
        for _ in range(ROUNDS):
            start = time.thread_time()
            hits = found(index, query, k, quality=quality)
            rounds.append(time.thread_time() - start)
        shares.append(len(hits & best) / len(best))
        times.append(min(rounds))
    info = index.info()
    return {
        "documents": info.n_documents,
        "tokens": info.n_tokens,
        "k": k,
        "quality": quality,
        "recall": round(statistics.mean(shares), 4),
        "p50_ms": round(1000 * statistics.median(times), 2),
    }


def found(index: Index, query: NDArray[np.float32], k: int, **settings: object) -> set[str]:
    hits = index.search_embeddings(query, k, load_text=False, threads=1, **settings)
    return {hit.id for hit in hits}


if __name__ == "__main__":
    main()
