"""Tables as text, Markdown, CSV and JSON. Knows nothing of what stands in them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Format = Literal["text", "markdown", "csv", "json"]
Value = str | int | float | None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its key in CSV and JSON, and its head.
        digits: Behind the point, for numbers that people read; None for integers and text.
    """

    name: str
    digits: int | None = None

    def shown(self, value: Value) -> str:
        """A value for people; "-" for one that there is not."""
        if value is None:
            return "-"
        if isinstance(value, str):
            return value
        return f"{value:,.{self.digits}f}" if self.digits is not None else f"{value:,}"


def render(columns: Sequence[Column], rows: Sequence[Sequence[Value]], form: str) -> str:
    """A table, with its line ends.

    Args:
        columns: What they are called, how numbers are rounded for people (CSV and JSON have all
            digits).
        rows: As many values each as there are columns.
        form: "text", "markdown", "csv" or "json".
    """
    return _FORMS[form](columns, rows)


def _text(columns: Sequence[Column], rows: Sequence[Sequence[Value]]) -> str:
    table = _cells(columns, rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    right = _numeric(columns, rows)
    lines = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in table
    ]
    return "".join(f"{line}\n" for line in lines)


def _markdown(columns: Sequence[Column], rows: Sequence[Sequence[Value]]) -> str:
    head, *body = _cells(columns, rows)
    rule = ["---:" if number else "---" for number in _numeric(columns, rows)]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in (head, *body)]
    lines = [escaped[0], rule, *escaped[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _csv(columns: Sequence[Column], rows: Sequence[Sequence[Value]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    writer.writerows(rows)
    return file.getvalue()


def _json(columns: Sequence[Column], rows: Sequence[Sequence[Value]]) -> str:
    names = [column.name for column in columns]
    records: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in rows]
    return json.dumps(records, ensure_ascii=False, indent=1) + "\n"


def _cells(columns: Sequence[Column], rows: Sequence[Sequence[Value]]) -> list[list[str]]:
    body = [[c.shown(value) for c, value in zip(columns, row, strict=True)] for row in rows]
    return [[column.name for column in columns], *body]


def _numeric(columns: Sequence[Column], rows: Sequence[Sequence[Value]]) -> list[bool]:
    """Which columns hold no text: they stand to the right."""
    return [not any(isinstance(row[i], str) for row in rows) for i in range(len(columns))]


_FORMS = {"text": _text, "markdown": _markdown, "csv": _csv, "json": _json}
FORMATS = tuple(_FORMS)
