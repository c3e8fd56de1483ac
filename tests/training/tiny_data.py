"""A collection of random letters, in which a query shares some with its document."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path

from colxtr.training.sets import NWayTuple, TrainingSet


def tiny_set(n: int = 24, *, ways: int = 3, scored: bool = False, seed: int = 0) -> TrainingSet:
    """`n` queries, each with its document and others that are negatives."""
    generator = random.Random(seed)
    texts = [" ".join(generator.choices(string.ascii_letters, k=5 + i % 9)) for i in range(n)]
    names = [f"d{i}" for i in range(n)]
    tuples = [
        NWayTuple(
            f"q{i}",
            tuple(names[(i + j) % n] for j in range(ways)),
            tuple(float(ways - j) for j in range(ways)) if scored else None,
        )
        for i in range(n)
    ]
    return TrainingSet(
        {f"q{i}": " ".join(text.split()[:3]) for i, text in enumerate(texts)},
        dict(zip(names, texts, strict=True)),
        tuples,
        {f"q{i}": frozenset({f"d{i}"}) for i in range(n)},
    )


def write_beir(folder: Path, given: TrainingSet, split: str = "train") -> Path:
    """The texts and judgements of a set as a BEIR folder."""
    (folder / "qrels").mkdir(parents=True)
    _lines(folder / "corpus.jsonl", given.documents)
    _lines(folder / "queries.jsonl", given.queries)
    rows = [f"{query}\t{each}\t1\n" for query, ids in given.positives.items() for each in ids]
    (folder / "qrels" / f"{split}.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "".join(rows), encoding="utf-8"
    )
    return folder


def _lines(path: Path, texts: object) -> None:
    records = [{"_id": name, "title": "", "text": text} for name, text in dict(texts).items()]  # type: ignore[call-overload]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
