"""Files, folders and streams become documents; a file becomes queries.

    sources.py   which files stand behind a name
    streams.py   their bytes (through gzip) and lines
    jsonl.py, tables.py, parquet.py, texts.py (html.py)   one reader per kind of file
    records.py   a JSON object or a row becomes a document
    counting.py  about how many documents there will be
    queries.py   queries to search with

Documents are drawn one at a time: memory does not grow with the collection, but for 16 bytes or
so per id. An error stops the reading and names file and line; what came before it stays valid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from colxtr.corpora.counting import count_documents
from colxtr.corpora.ids import IdSet
from colxtr.corpora.jsonl import read_jsonl
from colxtr.corpora.kinds import Kind, kind_of
from colxtr.corpora.parquet import read_parquet
from colxtr.corpora.queries import read_queries
from colxtr.corpora.records import Found
from colxtr.corpora.sources import ReadReport, Source, find_sources
from colxtr.corpora.streams import UnsuitableError, read_lines, reading
from colxtr.corpora.tables import read_csv, read_tsv
from colxtr.corpora.texts import read_text
from colxtr.documents import Document, as_document
from colxtr.errors import CorpusError, DocumentError
from colxtr.passages import DEFAULT_SETTINGS, PassageSettings

__all__ = ["ReadReport", "count_documents", "read_documents", "read_queries"]


def read_documents(
    sources: Sequence[str | Path] | str | Path,
    *,
    passages: PassageSettings = DEFAULT_SETTINGS,
    report: ReadReport | None = None,
) -> Iterator[Document]:
    r"""Read documents from files, folders and standard input, one at a time.

    | source | documents |
    |---|---|
    | .jsonl, .ndjson, .json | an object to a line: id, text, title; the rest is metadata |
    | .tsv | id<TAB>text[<TAB>title], unquoted, or with a header |
    | .csv | with a header that names a text column; other columns are metadata |
    | .parquet | columns as the fields of JSON lines (needs `colxtr[parquet]`) |
    | .html | the text of the page in passages; the title is its `<title>` |
    | any other text file | passages of it; the title of source code is its path |
    | a folder | all of it in sorted order; a BEIR folder gives its corpus |
    | "-" | JSON lines if the first character is "{", else every line is a document |

    Everything may be gzipped. Passages are called `path#1`, `path#2`, ...; records without an
    id `path#line`, and those of standard input `stdin#line`. The path of a file in a
    folder begins with the folder's own name, so that `docs/ src/` may hold equal names.

    Args:
        sources: One or more names.
        passages: How files of text are cut; records are never cut.
        report: Filled along the way with what was read and what was skipped.

    Yields:
        The documents; ids are unique within the input.

    Raises:
        CorpusError: A source is missing, unreadable, damaged or without documents, a record is
            broken or has no text, or an id comes twice; names file and line.
        MissingDependencyError: A Parquet file was met and pyarrow is not installed.
    """
    if isinstance(sources, str | Path):
        sources = [sources]
    report = ReadReport() if report is None else report
    ids = IdSet()
    for source in find_sources(sources, report):
        for found in _documents(source, passages, report):
            yield _checked(found, source, ids, report)
    if report.documents == 0:
        skipped = report.skipped_text()
        raise CorpusError(
            f"{', '.join(map(str, sources)) or 'no source was named, so that there'}: "
            f"no documents found{f' (skipped: {skipped})' if skipped else ''}"
        )


def _documents(source: Source, settings: PassageSettings, report: ReadReport) -> Iterator[Found]:
    """The documents of one file; a file inside a folder may have none, a named one may not."""
    empty = True
    try:
        for found in _read(source, settings):
            report.files += empty
            empty = False
            yield found
    except UnsuitableError as error:
        if source.named:
            raise
        report.skipped[error.reason] += 1
        return
    if empty and source.named:
        raise CorpusError(f"{source.name} is empty: it holds no documents")
    if empty:
        report.skipped["empty"] += 1


def _read(source: Source, settings: PassageSettings) -> Iterator[Found]:
    kind = kind_of(source)
    if kind is Kind.PARQUET:
        yield from read_parquet(source)
        return
    with reading(source) as stream:
        if kind is Kind.TEXT:
            yield from read_text(stream, source, settings)
        elif kind is Kind.STREAM:
            yield from _read_stream(stream, source)
        else:
            reader = {Kind.JSONL: read_jsonl, Kind.TSV: read_tsv, Kind.CSV: read_csv}[kind]
            yield from reader(read_lines(stream, source.name), source)


def _read_stream(stream: BinaryIO, source: Source) -> Iterator[Found]:
    filled = ((n, line) for n, line in read_lines(stream, source.name) if line.strip())
    first = next(filled, None)
    if first is None:
        return
    lines = chain([first], filled)
    if first[1].lstrip().startswith("{"):
        yield from read_jsonl(lines, source)
        return
    for number, line in lines:
        yield Found(Document(f"{source.id}#{number}", line.strip()), f"line {number}")


def _checked(found: Found, source: Source, ids: IdSet, report: ReadReport) -> Document:
    where = f"{source.name}, {found.place}"
    try:
        document = as_document(found.document, report.documents)
    except DocumentError as error:
        raise CorpusError(f"{where}: {error}") from None
    if not ids.add(document.id):
        raise CorpusError(
            f"{where}: the id {document.id!r} comes a second time; ids must be unique in an "
            "index (the same file named twice? folders with equal names?)"
        )
    report.documents += 1
    return document
