"""Which reader a file wants, by the end of its name."""

from __future__ import annotations

import enum

from colxtr.corpora.sources import Source


class Kind(enum.Enum):
    """The kinds of files that have a reader of their own."""

    TEXT = enum.auto()  # prose, code, markup, and any name that says nothing
    JSONL = enum.auto()
    TSV = enum.auto()
    CSV = enum.auto()
    PARQUET = enum.auto()
    STREAM = enum.auto()  # JSON lines or plain lines, as the first character tells


_BY_SUFFIX = {
    ".jsonl": Kind.JSONL,
    ".ndjson": Kind.JSONL,
    ".tsv": Kind.TSV,
    ".csv": Kind.CSV,
    ".parquet": Kind.PARQUET,
}


def kind_of(source: Source) -> Kind:
    """The kind of a source.

    A pipe is read like standard input. `.json` is JSON lines when it was named, and source code
    inside a folder, where it mostly is settings.
    """
    if source.path is None or (source.named and not source.path.is_file()):
        return Kind.STREAM
    if source.suffix == ".json" and source.named:
        return Kind.JSONL
    return _BY_SUFFIX.get(source.suffix, Kind.TEXT)
