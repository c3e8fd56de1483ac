"""Tab-separated and comma-separated tables.

TSV is what retrieval collections use: no quoting, `id<TAB>text` or `id<TAB>text<TAB>title`, or
a header that names the columns. CSV always has a header and is quoted as spreadsheets do it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from colxtr.corpora.records import (
    ID_NAMES,
    TEXT_NAMES,
    TITLE_NAMES,
    Found,
    first_name,
    record_to_document,
)
from colxtr.corpora.sources import Source
from colxtr.corpora.streams import MAX_LINE_BYTES, UnsuitableError
from colxtr.errors import CorpusError

Lines = Iterable[tuple[int, str]]
_KNOWN_NAMES = frozenset((*ID_NAMES, *TEXT_NAMES, *TITLE_NAMES))
_TSV_COLUMNS = ("id", "text", "title")
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?")  # "007" and "1e5" stay strings


def read_tsv(lines: Lines, source: Source) -> Iterator[Found]:
    """Read `id<TAB>text[<TAB>title]`, or the columns a header names.

    Raises:
        CorpusError: A line has too few or too many fields.
    """
    numbered = ((number, line.rstrip("\r\n").split("\t")) for number, line in lines)
    filled = ((number, row) for number, row in numbered if row != [""])
    first = next(filled, None)
    if first is None:
        return
    columns = _header(first[1])
    if columns and first_name(ID_NAMES, columns) is None:
        columns = None  # a document whose text is "text", not a header
    if columns is None and not 2 <= len(first[1]) <= 3:
        raise UnsuitableError(
            f"{source.name}, line {first[0]}: {len(first[1])} fields; expected id<TAB>text, "
            "id<TAB>text<TAB>title, or a header that names the columns (id, text, title)",
            "without a text column",
        )
    rows = filled if columns else chain([first], filled)
    for number, row in rows:
        values = [_unquoted(value) for value in row] if columns else row
        yield _found(values, columns or _TSV_COLUMNS, number, source, bool(columns))


def read_csv(lines: Lines, source: Source) -> Iterator[Found]:
    """Read a table whose first row names the columns; fields between quotes may hold line ends.

    Raises:
        CorpusError: There is no text column, a quote is not closed, or a row has more fields
            than there are columns.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
    texts = (line for _, line in lines)
    first = next(texts, None)
    if first is None:
        return
    semicolons = ";" in first and "," not in first  # what spreadsheets write in half of Europe
    reader = csv.reader(chain([first], texts), delimiter=";" if semicolons else ",", strict=True)
    rows = _csv_rows(reader, source)
    columns = _header(next(rows)[1])
    if columns is None:
        raise UnsuitableError(
            f"{source.name}, line 1: no text column in the header {first.strip()[:200]!r}; "
            f"name one of the columns {', '.join(TEXT_NAMES)}",
            "without a text column",
        )
    for number, row in rows:
        if row:
            yield _found(row, columns, number, source, typed=True)


def _csv_rows(reader: Iterator[list[str]], source: Source) -> Iterator[tuple[int, list[str]]]:
    """Rows with the numbers of the lines they begin in."""
    number = 1
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise CorpusError(
                f"{source.name}, row that begins in line {number}: not valid CSV: {error}; "
                'check its quotes (a quote inside a quoted field is written "")'
            ) from None
        if row is None:
            return
        yield number, row
        number = getattr(reader, "line_num", 0) + 1


def _header(row: Sequence[str]) -> tuple[str, ...] | None:
    """The names of the columns, if the row names a text column, else None."""
    names = [_unquoted(name).strip() for name in row]
    names = [name.lower() if name.lower() in _KNOWN_NAMES else name for name in names]
    has_text = any(name in names for name in TEXT_NAMES)
    return tuple(names) if has_text else None


def _found(
    row: Sequence[str], columns: Sequence[str], number: int, source: Source, typed: bool
) -> Found:
    where = f"{source.name}, line {number}"
    if len(row) > len(columns) or len(row) < 2 <= len(columns):
        raise CorpusError(
            f"{where}: {len(row)} fields, but the columns are {', '.join(columns)}; "
            "check the separators of this line"
        )
    record = {
        name: value if not typed or name in _KNOWN_NAMES else _typed(value)
        for name, value in zip(columns, row, strict=False)
        if value or name in TEXT_NAMES
    }
    return Found(record_to_document(record, where, f"{source.id}#{number}"), f"line {number}")


def _typed(value: str) -> str | int | float:
    """Numbers as numbers, so that filters can compare them; anything else as it stands."""
    if not _NUMBER.fullmatch(value):
        return value
    return float(value) if "." in value else int(value)


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        inner = value[1:-1].replace('""', "\0")
        if '"' not in inner:
            return inner.replace("\0", '"')
    return value
