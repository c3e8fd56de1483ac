"""What the defaults find of exhaustive search, and how long they take, on real corpora.

    python -m bench.defaults CORPUS [CORPUS ...] [--qualities 0.5,0.75] [--k 10]
        [--query-tokens 30,32 --collections FOLDER]

A corpus is a folder that `bench.peers.corpora` made; the index of its embeddings (2 bits) is
CORPUS/index, made if it is missing. For each quality one JSON line: the share of the k best
documents by exhaustive search over the same decompressed tokens, and the median processor time of a
query on one thread, embeddings given.

Real questions are short. With --query-tokens, others are asked: all that the corpus's collections
judge, in any split, and that are so long for the built-in model.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.peers.corpora import judged, tokenizer_of
from bench.peers.layout import Corpus
from bench.peers.run_colxtr import Colxtr
from bench.scaling import found, latency, recall
from colxtr import Encoder, Index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path, nargs="+", metavar="CORPUS")
    parser.add_argument("--qualities", default="0.5", help="which, with commas")
    parser.add_argument("--k", type=int, default=10, help="documents asked for")
    parser.add_argument("--query-tokens", help="ask only what is so long: LEAST,MOST")
    parser.add_argument("--collections", type=Path, help="of the corpora, for --query-tokens")
    arguments = parser.parse_args()
    if arguments.query_tokens and not arguments.collections:
        parser.error("--query-tokens needs --collections")
    for folder in arguments.corpora:
        corpus = Corpus.open(folder)
        queries = corpus.queries
        if arguments.query_tokens:
            least, most = map(int, arguments.query_tokens.split(","))
            queries = long_queries(corpus, arguments.collections, least, most)
        with indexed(corpus) as index:
            exact = [found(index, query, arguments.k, method="exact") for query in queries]
            for quality in map(float, arguments.qualities.split(",")):
                line = {
                    "corpus": folder.name,
                    "documents": index.info().n_documents,
                    "tokens": index.info().n_tokens,
                    "queries": len(queries),
                    "query_tokens": round(sum(map(len, queries)) / len(queries), 1),
                    "k": arguments.k,
                    "quality": quality,
                    "recall": recall(index, queries, exact, quality, arguments.k),
                    "p50_ms": latency(index, queries, quality, arguments.k),
                }
                print(json.dumps(line), flush=True)


def long_queries(
    corpus: Corpus, collections: Path, least: int, most: int
) -> list[NDArray[np.float32]]:
    """Embeddings of the judged queries of `least` to `most` tokens."""
    documents = json.loads((corpus.folder / "documents.json").read_text("utf-8"))
    names = sorted({name.partition("/")[0] for name in documents})
    texts = [
        text
        for name in names
        for split in ("test", "train")
        for _, text in judged(collections / name, split)
    ]
    texts = list(dict.fromkeys(texts))
    tokenized = tokenizer_of(None).queries(texts)
    chosen = [
        text
        for text, tokens in zip(texts, tokenized, strict=True)
        if least <= int(tokens.keep.sum()) <= most
    ]
    if not chosen:
        raise SystemExit(f"no query of {', '.join(names)} has {least} to {most} tokens")
    return Encoder.load().encode_queries(chosen)


def indexed(corpus: Corpus) -> Index:
    """The index of a corpus, open."""
    path = corpus.folder / "index"
    if not path.is_dir():
        Colxtr().build(corpus, path, {})
    return Index.open(path)


if __name__ == "__main__":
    main()
