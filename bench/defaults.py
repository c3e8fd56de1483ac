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
from pathlib import Path

from bench.peers.layout import Corpus
from bench.peers.run_colxtr import Colxtr
from bench.scaling import found, latency_and_recall
from colxtr import Index


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
                p50, recall = latency_and_recall(index, corpus.queries, exact, quality, arguments.k)
                line = {
                    "corpus": folder.name,
                    "documents": index.info().n_documents,
                    "tokens": index.info().n_tokens,
                    "k": arguments.k,
                    "quality": quality,
                    "recall": recall,
                    "p50_ms": p50,
                }
                print(json.dumps(line), flush=True)


def indexed(corpus: Corpus) -> Index:
    """The index of a corpus, open."""
    path = corpus.folder / "index"
    if not path.is_dir():
        Colxtr().build(corpus, path, {})
    return Index.open(path)


if __name__ == "__main__":
    main()
