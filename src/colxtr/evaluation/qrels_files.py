"""Judgements (qrels) from files of TREC and BEIR, BEIR folders and ids of ir_datasets.

Knows nothing of runs.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

from colxtr.corpora import read_queries
from colxtr.corpora.sources import Source
from colxtr.corpora.streams import read_lines, reading
from colxtr.errors import CorpusError, MissingDependencyError

Qrels = dict[str, dict[str, int]]  # query id -> document id -> grade; above 0 is relevant

_HEADERS = frozenset({"query-id", "query_id", "qid"})
_DATASET = re.compile(r"[a-z0-9][\w-]*(/[\w.-]+)*", re.ASCII)
_FILE_ENDS = (".tsv", ".txt", ".trec", ".qrels", ".qrel", ".gz", ".json", ".jsonl", ".csv")


def read_qrels(source: str | Path, *, split: str = "test") -> Qrels:
    """Read judgements.

    Args:
        source: A file: TREC's `query_id 0 doc_id grade`, or BEIR's `query-id<TAB>corpus-id<TAB>
            score`, with or without its header, gzipped or not; or a BEIR folder; or, where no such
            file exists, an id of ir_datasets as "beir/scifact/test".
        split: Of a BEIR folder: `qrels/<split>.tsv`.

    Returns:
        Grades by query id and document id.

    Raises:
        CorpusError: The file or the id does not exist, or a line is no judgement; names file and
            line.
        MissingDependencyError: `source` can only be an id, and ir_datasets is not installed.
    """
    if is_dataset_id(source):
        return _dataset_qrels(str(source))
    path = Path(source)
    if path.is_dir():
        path = _of_folder(path, split)
    qrels: Qrels = {}
    with reading(Source(path, str(path), path.as_posix(), named=True)) as stream:
        for number, line in read_lines(stream, str(path)):
            fields = _fields(line)
            if fields and not (number == 1 and fields[0].lower() in _HEADERS):
                _add(qrels, fields, f"{path}, line {number}")
    if not qrels:
        raise CorpusError(f"{path} is empty: it holds no judgements")
    return qrels


def read_judged_queries(source: str | Path) -> dict[str, str] | None:
    """The texts of the queries that stand beside judgements; None if there are none.

    Args:
        source: As `read_qrels` has it: of a BEIR folder, or of a file in its `qrels/`,
            `queries.jsonl[.gz]`; of an id, the data set's queries.
    """
    if is_dataset_id(source):
        dataset = _dataset(str(source))
        queries = dataset.queries_iter() if dataset.has_queries() else ()
        return {query.query_id: query.default_text() for query in queries} or None
    path = Path(source)
    folders = [path] if path.is_dir() else [path.parent, path.parent.parent]
    for folder in folders:
        if any((folder / name).is_file() for name in ("queries.jsonl", "queries.jsonl.gz")):
            return dict(read_queries(folder))
    return None


def is_dataset_id(source: str | Path) -> bool:
    """Whether a name can only be an id of ir_datasets: no such file exists, nor does it look so."""
    name = str(source)
    return (
        not Path(name).exists()
        and _DATASET.fullmatch(name) is not None
        and not name.endswith(_FILE_ENDS)
    )


def _of_folder(folder: Path, split: str) -> Path:
    path = folder / "qrels" / f"{split}.tsv"
    if path.is_file():
        return path
    there = sorted(each.stem for each in (folder / "qrels").glob("*.tsv"))
    if not there:
        raise CorpusError(f"{folder}: no BEIR folder with judgements: there is no qrels/*.tsv")
    raise CorpusError(f"{path} does not exist; {folder} has the splits {', '.join(there)}")


def _fields(line: str) -> list[str]:
    if "\t" in line:
        return [field.strip() for field in line.strip("\r\n").split("\t")]
    return line.split()


def _add(qrels: Qrels, fields: list[str], where: str) -> None:
    if len(fields) == 4:  # TREC's: the second column is not used
        fields = [fields[0], *fields[2:]]
    if len(fields) != 3 or not all(fields):
        raise CorpusError(
            f"{where}: {len(fields)} columns; expected query id, document id and grade separated "
            "by tabs (BEIR), or query_id 0 doc_id grade (TREC)"
        )
    query_id, doc_id, text = fields
    grades = qrels.setdefault(query_id, {})
    grade = _grade(text, where)
    if grades.setdefault(doc_id, grade) != grade:
        raise CorpusError(
            f"{where}: document {doc_id!r} is judged {grade} for query {query_id!r}, and "
            f"{grades[doc_id]} before"
        )


def _grade(text: str, where: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise CorpusError(f"{where}: the grade {text!r} is not a whole number") from None


def _dataset_qrels(name: str) -> Qrels:
    dataset = _dataset(name)
    if not dataset.has_qrels():
        raise CorpusError(f"the data set {name!r} of ir_datasets has no judgements; name a split")
    qrels: Qrels = {}
    for each in dataset.qrels_iter():
        qrels.setdefault(each.query_id, {})[each.doc_id] = int(each.relevance)
    return qrels


def _dataset(name: str) -> Any:
    try:
        library = importlib.import_module("ir_datasets")
    except ImportError:
        raise MissingDependencyError(
            f"there is no file {name}; as an id of ir_datasets it needs that package: "
            "pip install ir_datasets"
        ) from None
    try:
        return library.load(name)
    except KeyError:
        raise CorpusError(
            f"{name} is neither a file that exists nor an id that ir_datasets knows"
        ) from None
