"""BEIR folders: corpus.jsonl[.gz], queries.jsonl[.gz], qrels/<split>.tsv.

Also as Parquet tables below `corpus/` and `queries/`, as the hub keeps them. Stanford's names
(collection.tsv, queries[.<split>].tsv, qrels[.<split>].tsv) are read the same way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from colxtr.corpora import read_documents, read_queries
from colxtr.errors import CorpusError
from colxtr.training.sets import TrainingSet
from colxtr.training.tuple_files.judgements import read_judgements, write_judgements
from colxtr.training.tuple_files.lines import written
from colxtr.training.tuple_files.tables import read_texts

_CORPUS = ("corpus.jsonl", "corpus.jsonl.gz", "collection.tsv", "collection.tsv.gz", "corpus")
_QUERIES = (
    "queries.{split}.tsv",
    "queries.{split}.jsonl",
    "queries.jsonl",
    "queries.jsonl.gz",
    "queries.tsv",
    "queries",
)
_QRELS = ("qrels/{split}.tsv", "qrels.{split}.tsv", "qrels.{split}.small.tsv", "qrels.tsv")


def corpus_of(folder: Path) -> Path | None:
    """The documents of a folder: a file, or a folder of Parquet tables; None if it has none."""
    return _first(folder, _CORPUS)


def read_corpus(path: Path) -> Iterator[tuple[str, str]]:
    """Draw ids and texts, the title before the text and a space between them.

    Raises:
        CorpusError: A file is damaged; names file and line.
    """
    if path.is_dir():
        yield from read_texts(path, ("document_id", "_id", "id", "docid", "pid"))
        return
    for document in read_documents(path):
        yield document.id, f"{document.title} {document.text}" if document.title else document.text


def read_queries_of(folder: Path, split: str) -> dict[str, str]:
    """The queries of a folder, by id; those of other splits may be among them.

    Raises:
        CorpusError: There is no such file, or it is damaged.
    """
    path = _first(folder, _QUERIES, split)
    if path is None:
        raise CorpusError(f"{folder} has no queries; looked for {_names(_QUERIES, split)}")
    if path.is_dir():
        return dict(read_texts(path, ("query_id", "_id", "id", "qid")))
    return dict(read_queries(path))


def read_positives(folder: Path, split: str) -> dict[str, frozenset[str]]:
    """The relevant documents of each query of a split.

    Raises:
        CorpusError: There is no such split, or its file is damaged.
    """
    path = _first(folder, _QRELS, split)
    if path is None:
        there = sorted(each.stem for each in folder.glob("qrels/*.tsv"))
        raise CorpusError(
            f"{folder} has no judgements of the split {split!r} "
            f"({'its splits: ' + ', '.join(there) if there else 'it has none at all'}); "
            f"looked for {_names(_QRELS, split)}"
        )
    return read_judgements(path)


def input_files(folder: Path, split: str) -> list[Path]:
    """The files that say what a split of this folder is."""
    found = [_first(folder, names, split) for names in (_CORPUS, _QUERIES, _QRELS)]
    files: list[Path] = []
    for path in found:
        if path is not None:
            files += sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    return files


def write_beir(folder: str | Path, training_set: TrainingSet, split: str = "train") -> None:
    """Write queries, documents and judgements; the tuples have no place in this layout.

    Raises:
        StorageError: A file cannot be written.
    """
    folder = Path(folder)
    _write_jsonl(folder / "corpus.jsonl", training_set.documents, title=True)
    _write_jsonl(folder / "queries.jsonl", training_set.queries, title=False)
    write_judgements(folder / "qrels" / f"{split}.tsv", training_set.positives)


def _write_jsonl(path: Path, texts: Mapping[str, str], *, title: bool) -> None:
    with written(path) as file:
        for identifier, text in texts.items():
            record = {"_id": identifier, **({"title": ""} if title else {}), "text": text}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def _first(folder: Path, names: tuple[str, ...], split: str = "") -> Path | None:
    paths = (folder / name.format(split=split) for name in names)
    return next((path for path in paths if path.exists()), None)


def _names(names: tuple[str, ...], split: str) -> str:
    return ", ".join(name.format(split=split) for name in names)
