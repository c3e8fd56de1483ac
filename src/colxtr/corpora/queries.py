"""Queries to search with, from a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from colxtr.corpora.jsonl import json_objects
from colxtr.corpora.records import ID_NAMES, first_name
from colxtr.corpora.sources import STDIN, Source
from colxtr.corpora.streams import read_lines, reading
from colxtr.errors import CorpusError

_ID_NAMES = (*ID_NAMES, "qid", "query_id", "query-id")
_TEXT_NAMES = ("text", "query", "question", "title")
_BEIR_NAMES = ("queries.jsonl", "queries.jsonl.gz")

Numbered = Iterable[tuple[int, str]]


def read_queries(path: str | Path) -> list[tuple[str, str]]:
    r"""Read queries: JSON lines, `id<TAB>text`, or a query to a line; the content decides.

    Args:
        path: A file (gzipped or not), a BEIR folder with `queries.jsonl[.gz]`, or "-" for
            standard input. JSON objects have _id (or id, qid) and text (or query). Plain lines
            are numbered: their ids are "1", "2", ... of the line. A TSV header is passed over.

    Returns:
        Pairs of query id and text, in the order of the file.

    Raises:
        CorpusError: The file is missing, unreadable or without queries, a line is broken or has
            no text, or an id comes twice; names file and line.
    """
    source = _source(path)
    queries: dict[str, str] = {}
    with reading(source) as stream:
        for number, identifier, text in _queries(read_lines(stream, source.name), source.name):
            if not text.strip():
                raise CorpusError(f"{source.name}, line {number}: query {identifier!r} is empty")
            if identifier in queries:
                raise CorpusError(
                    f"{source.name}, line {number}: query id {identifier!r} comes a second time"
                )
            queries[identifier] = text
    if not queries:
        raise CorpusError(f"{source.name} is empty: it holds no queries")
    return list(queries.items())


def _source(given: str | Path) -> Source:
    if str(given) == STDIN:
        return Source(None, "standard input", "stdin", named=True)
    path = Path(given)
    if path.is_dir():
        path = next((path / name for name in _BEIR_NAMES if (path / name).is_file()), path)
        if path.is_dir():
            raise CorpusError(f"{path} is a folder without {' or '.join(_BEIR_NAMES)}")
    return Source(path, str(path), path.as_posix(), named=True)


def _queries(lines: Numbered, name: str) -> Iterator[tuple[int, str, str]]:
    filled = ((number, line.strip("\r\n")) for number, line in lines if line.strip())
    first = next(filled, None)
    if first is None:
        return
    queries = chain([first], filled)
    if first[1].lstrip().startswith("{"):
        yield from _from_json(queries, name)
    elif "\t" in first[1]:
        yield from _from_tsv(queries, name)
    else:
        yield from ((number, str(number), line.strip()) for number, line in queries)


def _from_json(lines: Numbered, name: str) -> Iterator[tuple[int, str, str]]:
    for number, record in json_objects(lines, name):
        where = f"{name}, line {number}"
        id_name, text_name = first_name(_ID_NAMES, record), first_name(_TEXT_NAMES, record)
        if text_name is None:
            raise CorpusError(
                f"{where}: no text; the fields are {', '.join(record) or 'none'}, and the "
                f"query is looked for in {', '.join(_TEXT_NAMES)}"
            )
        identifier = number if id_name is None else record[id_name]
        text = record[text_name]
        if not isinstance(text, str) or not isinstance(identifier, str | int):
            raise CorpusError(f"{where}: id and text must be strings")
        yield number, str(identifier), text


def _from_tsv(lines: Numbered, name: str) -> Iterator[tuple[int, str, str]]:
    for ordinal, (number, line) in enumerate(lines):
        fields = line.split("\t")
        if ordinal == 0 and fields[0].lower() in _ID_NAMES and fields[1].lower() in _TEXT_NAMES:
            continue
        if len(fields) != 2:
            raise CorpusError(f"{name}, line {number}: {len(fields)} fields; expected id<TAB>text")
        yield number, fields[0].strip(), fields[1].strip()
