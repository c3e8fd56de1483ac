"""What the codec changes, step by step: ColBERTv2's residual compression against ours.

    python -m bench.codecs data/scifact --cache results/embeddings [--bits 1 2] [--split test]

Exact MaxSim over the decompressed tokens of a judged collection, the same centroids for all: what
residuals alone lose. Printed: nDCG@10, and the share of the 10 best by float32 that is found.
Embeddings are made once, below `--cache`, as `colxtr compare` makes them.

ColBERTv2 (Santhanam et al. 2022, section 3.3) rounds each value of a residual to one of 2**b
medians of equally frequent buckets, one table for all dimensions, and gives the sum with the
centroid length 1 again. ColXTR's index is this one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from colxtr import Encoder, evaluate
from colxtr.clustering import number_of_centroids, unit_length
from colxtr.codec import Codec
from colxtr.evaluation.embedded import (
    EmbeddedCollection,
    Floats,
    Part,
    embed,
    embed_queries,
)
from colxtr.evaluation.exhaustive import exact_run
from colxtr.evaluation.judged import JudgedCollection
from colxtr.evaluation.run_files import Run
from colxtr.evaluation.tables import Column, Value, render
from colxtr.reference import Code, decode

Decompress = Callable[[Floats, Code], Floats]  # tokens to what an index would keep of them

SAMPLE = 262_144  # tokens that codecs are trained on
MEASURE = "nDCG@10"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, help="a BEIR folder with judgements")
    parser.add_argument("--cache", type=Path, required=True, help="folder of token embeddings")
    parser.add_argument("--bits", type=int, nargs="+", default=[1, 2], choices=(1, 2, 4))
    parser.add_argument("--split", default="test", help="whose judgements")
    parser.add_argument("--queries", type=int, help="draw so many")
    parser.add_argument("--model", help="folder or hub id of the model")
    arguments = parser.parse_args()
    collection = JudgedCollection.read(
        arguments.corpus, split=arguments.split, queries=arguments.queries
    )
    encoder = Encoder.load(arguments.model)
    embedded, _ = embed(collection, encoder, arguments.cache, progress=True)
    asked = embed_queries(collection.queries, encoder, embedded.folder)
    queries = dict(zip(asked.ids, asked.arrays(), strict=True))
    ids = collection.doc_ids
    truth = exact_run(embedded, ids, queries, 10)
    rows: list[list[Value]] = [["-", "float32", quality(truth, collection), 1.0]]
    sample = drawn(embedded)
    n_centroids = number_of_centroids(int(embedded.counts().sum()))
    for n_bits in arguments.bits:
        codec = Codec.train(sample, n_bits=n_bits, n_centroids=n_centroids)
        codes = [Code(*codec.encode(part.tokens)) for part in embedded.parts()]
        for name, decompress in variants(codec, sample).items():
            kept = Decompressed(embedded.folder, codes=codes, decompress=decompress)
            found = exact_run(kept, ids, queries, 10)
            rows.append([n_bits, name, quality(found, collection), recall(found, truth)])
            sys.stderr.write(f"{n_bits} bits, {name}: done\n")
    columns = [Column("bits"), Column("residuals"), Column(MEASURE, 4), Column("recall@10", 3)]
    print(render(columns, rows, "markdown"))


@dataclass(frozen=True)
class Decompressed(EmbeddedCollection):
    """A collection as it comes back from a codec.

    Attributes:
        codes: Of each part.
        decompress: What becomes of a part.
    """

    codes: Sequence[Code] = field(kw_only=True)
    decompress: Decompress = field(kw_only=True)

    def parts(self) -> Iterator[Part]:
        """All of it, a part in memory at a time."""
        for part, code in zip(super().parts(), self.codes, strict=True):
            yield Part(part.counts, self.decompress(part.tokens, code))


def drawn(embedded: EmbeddedCollection) -> Floats:
    """Some tokens, drawn evenly from all parts."""
    n_tokens = int(embedded.counts().sum())
    share = min(1.0, SAMPLE / n_tokens)
    rng = np.random.default_rng(0)
    return np.concatenate(
        [p.tokens[rng.random(len(p.tokens)) < share] for p in embedded.parts()], dtype=np.float32
    )


def variants(codec: Codec, sample: Floats) -> dict[str, Decompress]:
    """From ColBERTv2's residuals to ours, one change at a time."""

    def nearest(code: Code) -> Floats:
        return codec.centroids[code.centroids]

    residuals = sample - nearest(Code(*codec.encode(sample)))
    scales = residuals.std(axis=0)
    one_table = Buckets.of(residuals, 2**codec.n_bits)
    scaled = Buckets.of(residuals / scales, 2**codec.n_bits)

    def buckets(tokens: Floats, code: Code) -> Floats:
        base = nearest(code)
        return base + one_table.rounded(tokens - base)

    def per_dimension(tokens: Floats, code: Code) -> Floats:
        base = nearest(code)
        return base + scales * scaled.rounded((tokens - base) / scales)

    def ours(_: Floats, code: Code) -> Floats:
        wide = Code(*(None if part is None else part.astype(np.int64) for part in code))
        return decode(wide, codec.arrays).astype(np.float32)

    return {
        "none: centroids alone": lambda _, code: nearest(code),
        "buckets, one table": buckets,
        "ColBERTv2: and unit length": lambda *token: unit_length(buckets(*token)),
        "and a scale for each dimension": lambda *token: unit_length(per_dimension(*token)),
        "ours: rotated, trellis, gain": ours,
    }


@dataclass(frozen=True)
class Buckets:
    """A table of values for all dimensions.

    Attributes:
        bounds: Between the buckets.
        values: Of the buckets.
    """

    bounds: Floats
    values: Floats

    @classmethod
    def of(cls, values: Floats, count: int) -> Buckets:
        """`count` buckets that are equally frequent in a sample, each as its median."""
        return cls(
            np.quantile(values, np.arange(1, count) / count).astype(np.float32),
            np.quantile(values, (np.arange(count) + 0.5) / count).astype(np.float32),
        )

    def rounded(self, values: Floats) -> Floats:
        """Each value as its bucket's."""
        found: Floats = self.values[np.searchsorted(self.bounds, values)]
        return found


def quality(run: Run, collection: JudgedCollection) -> float:
    return evaluate(run, collection.qrels, MEASURE)[MEASURE]


def recall(found: Run, truth: Run) -> float:
    """Mean share of the truth's documents that were found."""
    return float(np.mean([len(set(found[q]) & set(best)) / len(best) for q, best in truth.items()]))


if __name__ == "__main__":
    main()
