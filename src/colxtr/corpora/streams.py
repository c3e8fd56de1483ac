"""Bytes of a source, unzipped where needed, and its lines. Knows nothing of documents."""

from __future__ import annotations

import codecs
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from colxtr.corpora.sources import Source, unreadable
from colxtr.errors import CorpusError

MAX_LINE_BYTES = 64_000_000
_GZIP = b"\x1f\x8b"


class UnsuitableError(CorpusError):
    """A file that holds no documents at all: an error where it was named, else skipped.

    Raised before the first document of the file only.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason  # what is counted under `ReadReport.skipped`


@contextmanager
def reading(source: Source) -> Iterator[BinaryIO]:
    """Open a source, look through gzip, and turn what the system reports into a `CorpusError`."""
    try:
        with _open(source) as raw:
            yield _unzipped(raw)
    except EOFError:
        raise CorpusError(
            f"{source.name} is a truncated gzip file; copy or download it again"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise CorpusError(
            f"{source.name} is a damaged gzip file ({error}); copy or download it again"
        ) from None
    except OSError as error:
        raise unreadable(source.name, error) from None


def _open(source: Source) -> BinaryIO:
    if source.path is not None:
        return source.path.open("rb")
    if sys.stdin is None:
        raise CorpusError("there is no standard input; name a file")
    return open(sys.stdin.fileno(), "rb", closefd=False)


def _unzipped(raw: BinaryIO) -> BinaryIO:
    buffered = cast(io.BufferedReader, raw)
    if buffered.peek(2)[:2] == _GZIP:
        return cast(BinaryIO, gzip.GzipFile(fileobj=buffered))
    return raw


def read_lines(stream: BinaryIO, name: str) -> Iterator[tuple[int, str]]:
    """Draw numbered lines (from 1), decoded, with their line ends, one in memory at a time.

    Raises:
        CorpusError: A line is not UTF-8, or longer than 64 MB.
    """
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise CorpusError(
                f"{name}, line {number}: longer than {MAX_LINE_BYTES // 10**6} MB; "
                "split the document, one to a line"
            )
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        yield number, decoded(line, name, number)


def decoded(data: bytes, name: str, line: int = 1) -> str:
    """Decode UTF-8.

    Args:
        data: The bytes.
        name: Where they come from.
        line: Number of their first line.

    Raises:
        CorpusError: They are not UTF-8; names the line.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        encoding = "utf-16" if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "latin1"
        raise CorpusError(
            f"{name}, line {line}: not UTF-8 (byte 0x{data[error.start]:02x}); "
            f"convert it, for example: iconv -f {encoding} -t utf-8"
        ) from None
