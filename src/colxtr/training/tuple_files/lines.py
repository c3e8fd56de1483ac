"""Lines of files in and out: numbered JSON values, files that appear whole or not at all.

Knows nothing of what the values mean.
"""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO

from colxtr.corpora.sources import Source
from colxtr.corpora.streams import read_lines, reading
from colxtr.errors import CorpusError
from colxtr.storage.files import named_errors, sync_file, sync_folder


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file (gzipped or not) that are not blank, with their numbers from 1.

    Raises:
        CorpusError: The file is missing, damaged, or not UTF-8; names file and line.
    """
    with reading(Source(path, str(path), path.as_posix(), named=True)) as stream:
        for number, line in read_lines(stream, str(path)):
            if line.strip():
                yield number, line


def json_values(path: Path) -> Iterator[tuple[int, Any]]:
    """The JSON values of a file, one to a line, with their line numbers.

    Raises:
        CorpusError: A line is not JSON; names file and line.
    """
    for number, line in numbered_lines(path):
        try:
            yield number, json.loads(line, parse_constant=_no_constant)
        except RecursionError:
            raise CorpusError(f"{path}, line {number}: JSON nested too deeply") from None
        except ValueError as error:
            raise CorpusError(
                f"{path}, line {number}: not valid JSON: {error}; one value to a line is expected"
            ) from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def as_id(value: object, what: str, where: str) -> str:
    """An id as a string; whole numbers are ids too (Stanford's are).

    Raises:
        CorpusError: It is something else, or empty; `where` is file and line.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value:
        return value
    raise CorpusError(f"{where}: the {what} is {value!r}; a string or a whole number is expected")


def as_score(value: object, where: str) -> float:
    """A finite number.

    Raises:
        CorpusError: It is something else; `where` is file and line.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise CorpusError(f"{where}: the score {value!r} is not a finite number")


@contextmanager
def written(path: Path) -> Iterator[TextIO]:
    """Write a text file that is there as a whole or not at all; gzipped if its name ends in .gz.

    Raises:
        StorageError: It cannot be written.
    """
    temporary = path.with_name(f"{path.name}.partial")
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as raw, _text(raw, zipped=path.suffix == ".gz") as file:
                yield file
            sync_file(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


@contextmanager
def _text(raw: io.BufferedWriter, *, zipped: bool) -> Iterator[TextIO]:
    if not zipped:
        plain = io.TextIOWrapper(raw, encoding="utf-8", newline="\n")
        yield plain
        plain.flush()
        plain.detach()  # the file is the caller's to close
        return
    with (
        gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as inner,  # the same content, the same bytes
        io.TextIOWrapper(inner, encoding="utf-8", newline="\n") as file,
    ):
        yield file
