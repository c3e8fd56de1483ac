"""JSON lines: one object to a line, as BEIR, Anserini and most exports write them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from colxtr.corpora.records import TEXT_NAMES, Found, first_name, record_to_document
from colxtr.corpora.sources import Source
from colxtr.corpora.streams import UnsuitableError
from colxtr.errors import CorpusError


def json_objects(
    lines: Iterable[tuple[int, str]], name: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Parse numbered lines; blank ones are passed over.

    Raises:
        CorpusError: A line is not a JSON object.
    """
    for number, line in lines:
        if line.strip():
            yield number, _object(line, f"{name}, line {number}")


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line, parse_constant=_no_constant)
    except RecursionError:
        raise CorpusError(f"{where}: JSON nested too deeply") from None
    except json.JSONDecodeError as error:
        what = f"{error.msg} at character {error.pos + 1}"
        raise CorpusError(f"{where}: not valid JSON: {what}{_remedy(line)}") from None
    except ValueError as error:  # a number of thousands of digits, NaN
        raise CorpusError(f"{where}: not valid JSON: {error}{_remedy(line)}") from None
    if not isinstance(value, dict):
        raise CorpusError(f"{where}: a JSON {type(value).__name__}, not an object{_remedy(line)}")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _remedy(line: str) -> str:
    if line.lstrip().startswith("["):
        return "; write one object to a line, for example: jq -c '.[]' file.json > file.jsonl"
    return "; one object to a line is expected"


def read_jsonl(lines: Iterable[tuple[int, str]], source: Source) -> Iterator[Found]:
    """Read the documents of JSON lines; one without an id is called `path#line`."""
    first = True
    for number, record in json_objects(lines, source.name):
        if first and first_name(TEXT_NAMES, record) is None:
            raise UnsuitableError(
                f"{source.name}, line {number}: no text; the fields are "
                f"{', '.join(record) or 'none'}, and the text is looked for in "
                f"{', '.join(TEXT_NAMES)}",
                "without a text field",
            )
        first = False
        where = f"{source.name}, line {number}"
        yield Found(record_to_document(record, where, f"{source.id}#{number}"), f"line {number}")
