"""Token embeddings that behave like those of text, in any number, deterministic by seed.

    python -m bench.synthetic OUT --tokens 8000000 --dim 128

Writes to the folder OUT:

    vectors.npy   (tokens, dim) float16, length 1, document after document; may be mapped
    doclens.npy   (documents,) int64, tokens of each
    queries.npy   (queries, 32, dim) float32, length 1: noisy tokens of one document each
    targets.npy   (queries,) int64, the document that each query was made of

A token is a word in its context: the word's direction (Zipf's law; some words belong to topics,
many are repeated), the document's topics, a direction that drifts along the text, and noise. All of
these are stronger in some directions than in others, as `SPREAD` says. The strengths are chosen so
that spectrum, likeness of a document's tokens, and cosine with the nearest of 16 * sqrt(tokens)
centroids are about those of SciFact with the built-in model.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from colxtr.cpus import available_cpus

Rows = NDArray[np.float32]

N_WORDS = 30_000
N_STEMS = 3_000  # words of one stem are alike
OWN = 0.5  # strength of what sets a word apart from its stem
N_TOPICS = 1_000
TOPIC_WORDS = 200  # words that belong to a topic
TOPIC_SHARE = 0.4  # of the tokens are words of the document's topics
REPEATED = 0.5  # of the tokens are words that stood in the document before
SHORTEST, LONGEST = 80, 200  # documents, in tokens
DRIFT = 12  # tokens after which the local context is another
SPREAD = -0.35  # standard deviation along the i-th direction: i ** SPREAD
TOPIC, LOCAL, NOISE = 0.65, 0.25, 0.25  # strengths beside the word's 1
QUERY_TOKENS = 32
QUERY_NOISE = 0.5
READ_DOCUMENTS = 100  # at a time
CHUNK_DOCUMENTS = 2_000  # made at a time by one thread, with a random generator of its own


@dataclass(frozen=True)
class World:
    """What all documents share.

    Attributes:
        words: (N_WORDS, dim) directions, the most frequent word first.
        topics: (N_TOPICS, dim) directions.
        topic_words: (N_TOPICS, TOPIC_WORDS) numbers of words.
        basis: (dim, dim) turns independent values into directions with `SPREAD`.
    """

    words: Rows
    topics: Rows
    topic_words: NDArray[np.int64]
    basis: Rows

    @classmethod
    def make(cls, dim: int, seed: int) -> World:
        """Draw a world."""
        random = np.random.default_rng(seed)
        rotation = np.linalg.qr(random.standard_normal((dim, dim)))[0]
        scales = np.arange(1, dim + 1) ** SPREAD
        basis = (scales / np.sqrt(np.square(scales).sum()))[:, None] * rotation
        basis = basis.astype(np.float32)  # rows of normal values @ basis have about length 1
        common = unit(_directions(random, 1, basis))  # embeddings do not average to zero
        stems = unit(_directions(random, N_STEMS, basis) + 0.25 * common)
        own = OWN * _directions(random, N_WORDS, basis)
        words = unit(stems[random.integers(0, N_STEMS, N_WORDS)] + own)
        topics = unit(_directions(random, N_TOPICS, basis))
        topic_words = random.integers(50, N_WORDS, (N_TOPICS, TOPIC_WORDS))
        return cls(words, topics, topic_words, basis)

    @property
    def dim(self) -> int:
        """Length of a direction."""
        return self.basis.shape[0]

    def tokens(self, random: np.random.Generator, lengths: NDArray[np.int64]) -> Rows:
        """The tokens of some documents, one after the other."""
        n = int(lengths.sum())
        owners = np.repeat(np.arange(len(lengths)), lengths)
        topics = random.integers(0, N_TOPICS, (len(lengths), 2))  # two topics a document
        topic = topics[owners, random.integers(0, 2, n)]
        word = np.where(
            random.random(n) < TOPIC_SHARE,
            self.topic_words[topic, _zipf(random, n, TOPIC_WORDS)],
            _zipf(random, n, N_WORDS),
        )
        start = (np.cumsum(lengths) - lengths)[owners]
        earlier = start + (random.random(n) * (np.arange(n) - start)).astype(np.int64)
        rows = self.words[np.where(random.random(n) < REPEATED, word[earlier], word)]
        rows += TOPIC * self.topics[topics].mean(axis=1)[owners]
        rows += LOCAL * _directions(random, n // DRIFT + 1, self.basis)[np.arange(n) // DRIFT]
        rows += NOISE * _directions(random, n, self.basis)
        return unit(rows)


def write(out: Path, n_tokens: int, dim: int = 128, n_queries: int = 200, seed: int = 0) -> None:
    """Make a collection of `n_tokens` tokens in the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    world = World.make(dim, seed)
    lengths = document_lengths(n_tokens, seed)
    np.save(out / "doclens.npy", lengths)
    shape = (n_tokens, dim)
    vectors = np.lib.format.open_memmap(out / "vectors.npy", "w+", np.float16, shape)
    end = 0
    for rows, _ in chunks_of(world, lengths, seed):
        start, end = end, end + len(rows)
        vectors[start:end] = rows
    vectors.flush()
    targets = query_targets(lengths, n_queries, seed)
    starts = np.cumsum(lengths) - lengths
    documents = [vectors[starts[d] : starts[d] + lengths[d]] for d in targets]
    queries = queries_of(world, documents, seed)
    np.save(out / "queries.npy", queries)
    np.save(out / "targets.npy", targets)


def chunks_of(
    world: World, lengths: NDArray[np.int64], seed: int
) -> Iterator[tuple[Rows, NDArray[np.int64]]]:
    """All tokens, some documents at a time: (tokens of the chunk, dim), and their lengths."""
    chunks = (lengths[i : i + CHUNK_DOCUMENTS] for i in range(0, len(lengths), CHUNK_DOCUMENTS))

    def make(number: int, some: NDArray[np.int64]) -> tuple[Rows, NDArray[np.int64]]:
        return world.tokens(np.random.default_rng([seed, number]), some), some

    with ThreadPoolExecutor(available_cpus()) as pool:
        ahead: deque[Future[tuple[Rows, NDArray[np.int64]]]] = deque()
        for number, some in enumerate(chunks):
            ahead.append(pool.submit(make, number, some))
            if len(ahead) > available_cpus():
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def read_documents(folder: Path) -> Iterator[NDArray[np.float16]]:
    """The token embeddings of each document of a written collection, read and not mapped."""
    lengths = np.load(folder / "doclens.npy")
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    dim = vectors.shape[1]
    with (folder / "vectors.npy").open("rb") as file:
        file.seek(vectors.offset)
        for first in range(0, len(lengths), READ_DOCUMENTS):
            some = lengths[first : first + READ_DOCUMENTS]
            rows = np.fromfile(file, np.float16, int(some.sum()) * dim).reshape(-1, dim)
            yield from np.split(rows, np.cumsum(some)[:-1])


def unit(rows: Rows) -> Rows:
    rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return rows


def _directions(random: np.random.Generator, n: int, basis: Rows) -> Rows:
    return random.standard_normal((n, len(basis)), dtype=np.float32) @ basis


def _zipf(random: np.random.Generator, n: int, n_kinds: int) -> NDArray[np.int64]:
    """Numbers below `n_kinds`; r has a probability of about 1 / (r + 10)."""
    uniform = random.random(n)
    return (10 * (1 + n_kinds / 10) ** uniform - 10).astype(np.int64)


def document_lengths(n_tokens: int, seed: int) -> NDArray[np.int64]:
    """(n_documents,) tokens of each document."""
    random = np.random.default_rng([seed, 1 << 32])
    lengths = random.integers(SHORTEST, LONGEST + 1, n_tokens // SHORTEST + 1)
    ends = np.cumsum(lengths)
    n = int(np.searchsorted(ends, n_tokens)) + 1
    lengths = lengths[:n]
    lengths[-1] -= ends[n - 1] - n_tokens
    return lengths


def query_targets(lengths: NDArray[np.int64], n: int, seed: int) -> NDArray[np.int64]:
    """(n,) documents to ask for."""
    return np.random.default_rng([seed, 2 << 32]).integers(0, len(lengths), n)


def queries_of(world: World, documents: Sequence[NDArray[np.floating]], seed: int) -> Rows:
    """(n, QUERY_TOKENS, dim): noisy tokens of each document."""
    random = np.random.default_rng([seed, 3 << 32])
    queries = np.empty((len(documents), QUERY_TOKENS, world.dim), np.float32)
    for query, tokens in zip(queries, documents, strict=True):
        chosen = np.sort(random.integers(0, len(tokens), QUERY_TOKENS))
        noise = QUERY_NOISE * _directions(random, QUERY_TOKENS, world.basis)
        query[:] = unit(tokens[chosen].astype(np.float32) + noise)
    return queries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokens", type=int, default=8_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.perf_counter()
    write(arguments.out, arguments.tokens, arguments.dim, arguments.queries, arguments.seed)
    print(f"{arguments.tokens:,} tokens in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
