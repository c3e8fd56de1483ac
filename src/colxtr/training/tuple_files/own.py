"""Our own tuples: one JSON object to a line.

    {"query_id": "q1", "document_ids": ["relevant", "negative", ...], "scores": [9.1, 2.5, ...]}

The relevant document stands first; `scores` is left out before a teacher has given any.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from colxtr.errors import CorpusError
from colxtr.training.sets import NWayTuple
from colxtr.training.tuple_files.lines import as_id, as_score, json_values, written

_KEYS = frozenset({"query_id", "document_ids", "scores"})


def read_own(path: Path) -> Iterator[tuple[str, NWayTuple]]:
    """Read tuples, each with the place where it stands, for messages.

    Raises:
        CorpusError: A line is no tuple; names file and line.
    """
    for number, value in json_values(path):
        where = f"{path}, line {number}"
        yield where, as_tuple(value, where)


def as_tuple(value: Any, where: str) -> NWayTuple:
    """Make a tuple of a record.

    Raises:
        CorpusError: A key is missing or unknown, or a value has the wrong type.
    """
    if not isinstance(value, Mapping):
        raise CorpusError(f"{where}: a JSON {type(value).__name__}; an object is expected")
    if unknown := sorted(set(value) - _KEYS):
        raise CorpusError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(_KEYS)}")
    if missing := sorted(_KEYS - {"scores"} - set(value)):
        raise CorpusError(f"{where}: the key {missing[0]!r} is missing")
    scores = value.get("scores")
    return checked_tuple(value["query_id"], value["document_ids"], scores, where)


def checked_tuple(query_id: object, document_ids: object, scores: object, where: str) -> NWayTuple:
    """Make a tuple of what a file holds; ids that come often are kept once.

    Raises:
        CorpusError: An id or a score is none, there are no documents, one comes twice, or there
            are not as many scores as documents.
    """
    if not isinstance(document_ids, list) or not document_ids:
        raise CorpusError(f"{where}: the documents are {document_ids!r}; a list of ids is expected")
    ids = tuple(sys.intern(as_id(each, "document id", where)) for each in document_ids)
    if len(set(ids)) < len(ids):
        twice = next(each for i, each in enumerate(ids) if each in ids[:i])
        raise CorpusError(f"{where}: document {twice!r} comes twice; each may stand there once")
    if scores is not None:
        if not isinstance(scores, list) or len(scores) != len(ids):
            n = len(scores) if isinstance(scores, list) else repr(scores)
            raise CorpusError(f"{where}: {n} scores for {len(ids)} documents; give one for each")
        scores = tuple(as_score(each, where) for each in scores)
    return NWayTuple(as_id(query_id, "query id", where), ids, scores)


def tuple_line(example: NWayTuple) -> str:
    """One line of the file, with its end."""
    record: dict[str, Any] = {
        "query_id": example.query_id,
        "document_ids": list(example.document_ids),
    }
    if example.scores is not None:
        record["scores"] = [round(score, 6) for score in example.scores]
    return json.dumps(record, ensure_ascii=False) + "\n"


def write_own(path: str | Path, tuples: Iterable[NWayTuple]) -> int:
    """Write tuples; the file appears whole or not at all. Returns how many there were.

    Raises:
        StorageError: The file cannot be written.
    """
    count = 0
    with written(Path(path)) as file:
        for example in tuples:
            file.write(tuple_line(example))
            count += 1
    return count
