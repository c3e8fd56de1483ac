"""Token embeddings that behave like those of text, in any number, deterministic by seed.

    python -m bench.synthetic OUT --tokens 8000000 --dim 128

Writes to the folder OUT:

    vectors.npy   (tokens, dim) float16, length 1, document after document; may be mapped
    doclens.npy   (documents,) int64, tokens of each
    queries.npy   (queries, 32, dim) float32, length 1: of the subject of one document each
    targets.npy   (queries,) int64, that document

A token is a word in its context: the word's direction (Zipf's law; some words belong to subjects,
many are repeated), the document's direction, one that drifts along the text, and noise. Subjects
are the leaves of a tree, and a document's direction is the sum of those of the nodes above it: so
documents are alike in any degree, and scores fall with the logarithm of the rank, as those of text
do. All directions are stronger in some dimensions than in others, as `SPREAD` says. The strengths
are chosen so that what `bench/likeness.py` measures is about what it measures of joined real
collections with the built-in model.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from colxtr.clustering import unit_length
from colxtr.cpus import available_cpus, in_order

Rows = NDArray[np.float32]
Integers = NDArray[np.int64]

N_WORDS = 30_000
N_STEMS = 3_000  # words of one stem are alike
OWN = 0.4  # strength of what sets a word apart from its stem
COMMON = 0.15  # strength of what all words share: embeddings do not average to zero
GENERAL = 50  # the most frequent words belong to no subject
BRANCHES, LEVELS = 8, 6  # of the tree of subjects; its root is no level
N_DIRECTIONS = 4_096  # of nodes
FINER = 0.95  # strength of a level to that of the level above it
DOCUMENT_OWN = 0.2  # strength of what sets a document apart from its subject
SUBJECT_WORDS = 50  # words that belong to a node
SUBJECT_SHARE = 0.5  # of the tokens are words of one of the document's nodes
REPEATED = 0.4  # of the tokens are words that stood in the document before
SHORTEST, LONGEST = 80, 200  # documents, in tokens
DRIFT = 12  # tokens after which the local context is another
SPREAD = -0.17  # standard deviation along the i-th direction: i ** SPREAD
DOCUMENT, LOCAL, NOISE = 0.9, 0.15, 0.15  # strengths beside the word's 1
CONTEXTUAL = 0.9  # words differ by e to the power of it in how much of their document they take
QUERY_TOKENS = 32
QUERY_SUBJECT_SHARE = 0.9  # of a query's tokens are words of its nodes
QUERY_COPIED = 0.15  # of a query's tokens are of the target's text
QUERY_NOISE = 0.4
READ_DOCUMENTS = 100  # at a time
CHUNK_DOCUMENTS = 500  # made at a time by one thread, with a random generator of its own


class Texts(NamedTuple):
    """What is drawn of documents before their tokens.

    Attributes:
        lengths: (n_documents,) tokens of each.
        subjects: (n_documents,) leaves of the tree.
    """

    lengths: Integers
    subjects: Integers

    @classmethod
    def draw(cls, n_tokens: int, seed: int) -> Texts:
        """Documents of `n_tokens` tokens together."""
        random = np.random.default_rng([seed, 1 << 32])
        lengths = random.integers(SHORTEST, LONGEST + 1, n_tokens // SHORTEST + 1)
        ends = np.cumsum(lengths)
        n = int(np.searchsorted(ends, n_tokens)) + 1
        lengths = lengths[:n]
        lengths[-1] -= ends[n - 1] - n_tokens
        return cls(lengths, random.integers(0, BRANCHES**LEVELS, n))


@dataclass(frozen=True)
class World:
    """What all documents share.

    Attributes:
        words: (N_WORDS, dim) directions, the most frequent word first.
        contextual: (N_WORDS, 1) how much of their document they take on.
        directions: (N_DIRECTIONS, dim) of the nodes of the tree.
        basis: (dim, dim) turns independent values into directions with `SPREAD`.
    """

    words: Rows
    contextual: Rows
    directions: Rows
    basis: Rows

    @classmethod
    def make(cls, dim: int, seed: int) -> World:
        """Draw a world."""
        random = np.random.default_rng(seed)
        rotation = np.linalg.qr(random.standard_normal((dim, dim)))[0]
        scales = np.arange(1, dim + 1) ** SPREAD
        basis = (scales / np.sqrt(np.square(scales).sum()))[:, None] * rotation
        basis = basis.astype(np.float32)  # rows of normal values @ basis have about length 1
        common = unit_length(_directions(random, 1, basis))
        stems = unit_length(_directions(random, N_STEMS, basis) + COMMON * common)
        own = OWN * _directions(random, N_WORDS, basis)
        words = unit_length(stems[random.integers(0, N_STEMS, N_WORDS)] + own)
        contextual = np.exp(CONTEXTUAL * random.standard_normal((N_WORDS, 1), np.float32))
        return cls(words, contextual, unit_length(_directions(random, N_DIRECTIONS, basis)), basis)

    def tokens(
        self, random: np.random.Generator, texts: Texts, subject_share: float = SUBJECT_SHARE
    ) -> Rows:
        """The tokens of some documents, one after the other."""
        lengths = texts.lengths
        n = int(lengths.sum())
        owners = np.repeat(np.arange(len(lengths)), lengths)
        level = random.integers(1, LEVELS + 1, n)
        node = _node(texts.subjects[owners], level)
        word = np.where(
            random.random(n) < subject_share,
            GENERAL + _hash(level, node, _zipf(random, n, SUBJECT_WORDS)) % (N_WORDS - GENERAL),
            _zipf(random, n, N_WORDS),
        )
        start = (np.cumsum(lengths) - lengths)[owners]
        earlier = start + (random.random(n) * (np.arange(n) - start)).astype(np.int64)
        word = np.where(random.random(n) < REPEATED, word[earlier], word)
        rows = DOCUMENT * self._documents(random, texts.subjects)[owners]
        rows *= self.contextual[word]
        rows += self.words[word]
        rows += LOCAL * _directions(random, n // DRIFT + 1, self.basis)[np.arange(n) // DRIFT]
        rows += NOISE * _directions(random, n, self.basis)
        return unit_length(rows)

    def _documents(self, random: np.random.Generator, subjects: Integers) -> Rows:
        """(n_documents, dim): the direction of each, of about length 1."""
        levels = np.arange(1, LEVELS + 1)
        strengths = FINER**levels
        strengths *= np.sqrt((1 - DOCUMENT_OWN**2) / np.square(strengths).sum())
        rows = DOCUMENT_OWN * _directions(random, len(subjects), self.basis)
        for level, strength in zip(levels, strengths, strict=True):
            of_nodes = _hash(level, _node(subjects, level)) % N_DIRECTIONS
            rows += np.float32(strength) * self.directions[of_nodes]
        return rows


def write(out: Path, n_tokens: int, dim: int = 128, n_queries: int = 200, seed: int = 0) -> None:
    """Make a collection of `n_tokens` tokens in the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    world = World.make(dim, seed)
    texts = Texts.draw(n_tokens, seed)
    np.save(out / "doclens.npy", texts.lengths)
    shape = (n_tokens, dim)
    vectors = np.lib.format.open_memmap(out / "vectors.npy", "w+", np.float16, shape)
    end = 0
    for rows, _ in chunks_of(world, texts, seed):
        start, end = end, end + len(rows)
        vectors[start:end] = rows
    vectors.flush()
    targets = query_targets(texts, n_queries, seed)
    np.save(out / "queries.npy", queries_of(world, texts, targets, seed))
    np.save(out / "targets.npy", targets)


def chunks_of(world: World, texts: Texts, seed: int) -> Iterator[tuple[Rows, Integers]]:
    """All tokens, some documents at a time: (tokens of the chunk, dim), and the lengths."""
    make = partial(chunk, world, texts, seed)
    return in_order(make, range(n_chunks(texts)), available_cpus())


def n_chunks(texts: Texts) -> int:
    """How many chunks these documents are made in."""
    return -(-len(texts.lengths) // CHUNK_DOCUMENTS)


def chunk(world: World, texts: Texts, seed: int, number: int) -> tuple[Rows, Integers]:
    """One of them: (tokens of the chunk, dim), and the lengths of its documents."""
    which = slice(number * CHUNK_DOCUMENTS, (number + 1) * CHUNK_DOCUMENTS)
    some = Texts(texts.lengths[which], texts.subjects[which])
    return world.tokens(np.random.default_rng([seed, number]), some), some.lengths


def query_targets(texts: Texts, n: int, seed: int) -> Integers:
    """(n,) documents to ask for."""
    return np.random.default_rng([seed, 2 << 32]).integers(0, len(texts.lengths), n)


def queries_of(world: World, texts: Texts, targets: Integers, seed: int) -> Rows:
    """(n, QUERY_TOKENS, dim): of the subjects of the targets, with some noisy tokens of them."""
    random = np.random.default_rng([seed, 3 << 32])
    asked = Texts(np.full(len(targets), QUERY_TOKENS), texts.subjects[targets])
    queries = world.tokens(random, asked, QUERY_SUBJECT_SHARE)
    queries = queries.reshape(len(targets), QUERY_TOKENS, -1)
    for number, target in enumerate(targets.tolist()):
        rows, lengths = chunk(world, texts, seed, target // CHUNK_DOCUMENTS)
        end = np.cumsum(lengths)[target % CHUNK_DOCUMENTS]
        tokens = rows[end - texts.lengths[target] : end]
        copied = np.flatnonzero(random.random(QUERY_TOKENS) < QUERY_COPIED)
        queries[number, copied] = tokens[random.integers(0, len(tokens), len(copied))]
        queries[number] += QUERY_NOISE * _directions(random, QUERY_TOKENS, world.basis)
        queries[number] = unit_length(queries[number])
    return queries


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


def _directions(random: np.random.Generator, n: int, basis: Rows) -> Rows:
    return random.standard_normal((n, len(basis)), dtype=np.float32) @ basis


def _zipf(random: np.random.Generator, n: int, n_kinds: int) -> Integers:
    """Numbers below `n_kinds`; r has a probability of about 1 / (r + 10)."""
    uniform = random.random(n)
    return (10 * (1 + n_kinds / 10) ** uniform - 10).astype(np.int64)


def _node(subjects: Integers, level: Integers) -> Integers:
    """The nodes of some levels above leaves, numbered within their levels."""
    return subjects // BRANCHES ** (LEVELS - level)


def _hash(*parts: Integers) -> Integers:
    """Integers of at least 0 that look like chance; the same of the same parts (splitmix64)."""
    value = np.zeros(1, np.uint64)  # arrays wrap round without a warning
    for part in parts:
        value = (value ^ np.asarray(part, np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        value ^= value >> np.uint64(31)
    return (value >> np.uint64(1)).astype(np.int64)


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
