"""Stanford ColBERT's files.

    triples               [qid, pid+, pid-, ...] or [qid, [pid+, score], [pid-, score], ...]
    distillation scores   [qid, [[score, pid], ...]]   (the score stands first)
    queries.tsv, collection.tsv   id<TAB>text; a document's id is its line, counted from 0

One JSON array to a line. Triples have the relevant document first; lists of distillation scores
have no such order, and the best-scored document is taken to be the relevant one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from colxtr.errors import CorpusError
from colxtr.training.sets import NWayTuple, TrainingSet
from colxtr.training.tuple_files.lines import as_score, json_values, written
from colxtr.training.tuple_files.own import checked_tuple


def read_stanford(path: Path) -> Iterator[tuple[str, NWayTuple]]:
    """Read triples or distillation scores, each with its place; a line shows which it is.

    Raises:
        CorpusError: A line is neither; names file and line.
    """
    for number, value in json_values(path):
        where = f"{path}, line {number}"
        yield where, as_example(value, where)


def as_example(value: Any, where: str) -> NWayTuple:
    """Make a tuple of one line's array.

    Raises:
        CorpusError: It is none.
    """
    if not isinstance(value, list) or len(value) < 2:
        raise CorpusError(f"{where}: {_shown(value)}; expected [qid, [pid, score], ...]")
    query_id, *rest = value
    if len(rest) == 1 and isinstance(rest[0], list) and all(isinstance(x, list) for x in rest[0]):
        return _distilled(query_id, rest[0], where)
    if all(isinstance(each, list) for each in rest):
        ids, scores = _columns(rest, where)
        return checked_tuple(query_id, ids, scores, where)
    if any(isinstance(each, list) for each in rest):
        raise CorpusError(f"{where}: documents with and without scores in one line")
    return checked_tuple(query_id, rest, None, where)


def write_triples(path: Path, tuples: Iterator[NWayTuple], ids: Numbers) -> None:
    """Write triples, with scores where the tuples have them."""
    with written(path) as file:
        for t in tuples:
            query, documents = ids.queries[t.query_id], [ids.documents[i] for i in t.document_ids]
            scored = (
                documents
                if t.scores is None
                else [[pid, score] for pid, score in zip(documents, t.scores, strict=True)]
            )
            file.write(json.dumps([query, *scored]) + "\n")


def write_distillation_scores(path: str | Path, training_set: TrainingSet) -> None:
    """Write `[qid, [[score, pid], ...]]`, numbered as `write_stanford` numbers them.

    Raises:
        CorpusError: A tuple has no scores.
    """
    ids = Numbers(training_set)
    with written(Path(path)) as file:
        for t in training_set.tuples:
            if t.scores is None:
                raise CorpusError(f"the tuple of query {t.query_id!r} has no scores to write")
            scored = [[s, ids.documents[i]] for s, i in zip(t.scores, t.document_ids, strict=True)]
            file.write(json.dumps([ids.queries[t.query_id], scored]) + "\n")


def write_stanford(folder: str | Path, training_set: TrainingSet) -> None:
    """Write triples.jsonl, queries.tsv, collection.tsv, and qrels.tsv.

    Stanford's documents are called by the number of their line, from 0: ids of another kind are
    numbered, and document_ids.txt and query_ids.txt keep the old ones, line by line.

    Raises:
        StorageError: A file cannot be written.
    """
    folder, ids = Path(folder), Numbers(training_set)
    write_triples(folder / "triples.jsonl", iter(training_set.tuples), ids)
    _write_texts(folder / "queries.tsv", training_set.queries, ids.queries)
    _write_texts(folder / "collection.tsv", training_set.documents, ids.documents)
    with written(folder / "qrels.tsv") as file:
        for query_id, relevant in training_set.positives.items():
            for each in sorted(relevant):
                file.write(f"{ids.queries[query_id]}\t0\t{ids.documents[each]}\t1\n")
    _write_ids(folder / "document_ids.txt", ids.documents)
    _write_ids(folder / "query_ids.txt", ids.queries)


class Numbers:
    """The numbers that Stanford's files call queries and documents by, in their order."""

    def __init__(self, training_set: TrainingSet) -> None:
        self.queries = {each: number for number, each in enumerate(training_set.queries)}
        self.documents = {each: number for number, each in enumerate(training_set.documents)}


def _distilled(query_id: object, pairs: list[Any], where: str) -> NWayTuple:
    swapped = [each[::-1] for each in pairs]  # [pid, score], as triples have them
    ids, scores = _columns(swapped, where)
    order = sorted(range(len(ids)), key=lambda i: -as_score(scores[i], where))
    return checked_tuple(query_id, [ids[i] for i in order], [scores[i] for i in order], where)


def _columns(pairs: list[Any], where: str) -> tuple[list[Any], list[Any]]:
    for pair in pairs:
        if len(pair) != 2:
            raise CorpusError(f"{where}: {_shown(pair)}; a document and its score are expected")
    return [pid for pid, _ in pairs], [score for _, score in pairs]


def _write_texts(path: Path, texts: Mapping[str, str], numbers: Mapping[str, int]) -> None:
    with written(path) as file:
        for identifier, text in texts.items():
            file.write(f"{numbers[identifier]}\t{' '.join(text.split())}\n")


def _write_ids(path: Path, numbers: Mapping[str, int]) -> None:
    with written(path) as file:
        file.writelines(f"{each}\n" for each in numbers)


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
