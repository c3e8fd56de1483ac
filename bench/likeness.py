"""How a corpus of token embeddings lies in its space: synthetic ones are to lie as real ones do.

    python -m bench.likeness CORPUS [CORPUS ...] [--queries 60]

A corpus is a folder with the files of `bench/peers/layout.py`. One JSON line each:

    spectrum          share of the second moment in the first 1, 8, 32, 64 directions
    alike_within      mean cosine of two tokens of one document, and ...
    alike_across      ... of two tokens of any documents
    nearest_within    mean cosine of a token with the nearest other one of its document
    to_centroid       mean cosine with the nearest of 16 sqrt(n) centroids, n tokens, and ...
    to_centroid_low   ... what a twentieth of the tokens does not reach
    score             MaxSim of the tenth document, per query token; a median over queries, as are
    below_tenth       how far below it the documents of some ranks lie
    deviation         standard deviation of MaxSim over all documents, per query token; a mean

The first six are of up to a million tokens, of documents chosen by chance.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.exact import exact_scores
from bench.peers.layout import Corpus
from colxtr.clustering import nearest_of, number_of_centroids, spherical_kmeans, unit_length

SAMPLE = 1_000_000  # tokens
RANKS = 1, 2, 3, 5, 10, 20, 40, 100, 300, 1_000, 3_000
SEED = 0

Rows = NDArray[np.float32]
Line = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", type=Path, nargs="+", metavar="CORPUS")
    parser.add_argument("--queries", type=int, default=60, help="so many, from all of them")
    arguments = parser.parse_args()
    for folder in arguments.corpora:
        corpus = Corpus.open(folder)
        step = max(1, len(corpus.queries) // arguments.queries)
        queries = corpus.queries[::step][: arguments.queries]
        line = {"corpus": folder.name, "tokens": len(corpus.vectors)}
        print(json.dumps(line | of_tokens(corpus) | of_scores(corpus, queries)), flush=True)


def of_tokens(corpus: Corpus) -> Line:
    """What tokens alone say."""
    documents = sampled(corpus)
    tokens = np.concatenate(documents)
    moment = np.linalg.eigvalsh(tokens.T @ tokens)[::-1]
    shares = np.cumsum(moment) / moment.sum()
    mean = tokens.mean(axis=0)
    several = [document for document in documents if len(document) > 1]
    centroids = spherical_kmeans(tokens, number_of_centroids(len(tokens)), seed=SEED)
    nearest = nearest_of(centroids)(tokens)
    cosines = np.einsum("ij,ij->i", tokens, centroids[nearest])
    return {
        "spectrum": [_short(shares[n - 1]) for n in (1, 8, 32, 64) if n <= len(shares)],
        "alike_within": _short(np.mean([_alike(document) for document in several])),
        "alike_across": _short(mean @ mean),
        "nearest_within": _short(np.mean([_nearest(document) for document in several])),
        "to_centroid": _short(cosines.mean()),
        "to_centroid_low": _short(np.quantile(cosines, 0.05)),
    }


def sampled(corpus: Corpus) -> list[Rows]:
    """The tokens of documents chosen by chance, at least one, set to length 1."""
    order = np.random.default_rng(SEED).permutation(len(corpus.doclens))
    count = int(np.searchsorted(np.cumsum(corpus.doclens[order]), SAMPLE, side="right"))
    starts = corpus.starts
    chosen = np.sort(order[: max(1, count)]).tolist()
    return [unit_length(corpus.vectors[starts[d] : starts[d + 1]]) for d in chosen]


def _alike(tokens: Rows) -> float:
    """Mean cosine of two tokens."""
    total = tokens.sum(axis=0)
    return float(total @ total - len(tokens)) / (len(tokens) * (len(tokens) - 1))


def _nearest(tokens: Rows) -> float:
    """Mean cosine of a token with the nearest other one."""
    cosines = tokens @ tokens.T
    np.fill_diagonal(cosines, -1)
    return float(cosines.max(axis=1).mean())


def of_scores(corpus: Corpus, queries: Sequence[Rows]) -> Line:
    """How the documents' scores lie."""
    pairs = [(corpus.vectors, corpus.doclens)]
    scores = exact_scores(queries, pairs, len(corpus.doclens), len(corpus.vectors))
    scores /= np.array([np.linalg.norm(query, axis=1).sum() for query in queries])[:, None]
    deviation = scores.std(axis=1).mean()
    scores = -np.sort(-scores, axis=1)
    tenth = scores[:, min(9, scores.shape[1] - 1)]
    below = {rank: tenth - scores[:, rank - 1] for rank in RANKS if rank <= scores.shape[1]}
    return {
        "score": _short(np.median(tenth)),
        "below_tenth": {rank: _short(np.median(distance)) for rank, distance in below.items()},
        "deviation": _short(deviation),
    }


def _short(value: float | np.floating) -> float:
    return round(float(value), 3)


if __name__ == "__main__":
    main()
