"""Runs in the format of TREC, which every evaluation tool reads.

    query_id Q0 doc_id rank score tag

Knows nothing of the index: anything with an id and a score is a line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, TextIO

from colxtr.errors import InputError


class Scored(Protocol):
    """What a run needs of a hit."""

    @property
    def id(self) -> str:
        """The id of the document."""

    @property
    def score(self) -> float:
        """Its score; higher is better."""


Runs = Mapping[str, Iterable[Scored]] | Iterable[tuple[str, Iterable[Scored]]]


def check_target(path: str | Path) -> None:
    """See that a run can be written here, before a long search.

    Raises:
        InputError: It cannot.
    """
    given, path = path, Path(path).resolve()
    if path.is_dir():
        raise InputError(f"{given} is a folder; name a file")
    if not path.parent.is_dir():
        raise InputError(f"{given} cannot be written: there is no folder {path.parent}; make it")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{given} cannot be written: no permission; choose another place")


def write_run(path: str | Path, runs: Runs, *, tag: str = "colxtr") -> int:
    """Write a run; the file appears whole or not at all (a pipe gets line after line).

    Args:
        path: The file; an existing one is replaced.
        runs: The hits of each query id, best first.
        tag: The name of the run, the last column.

    Returns:
        The number of lines written.

    Raises:
        InputError: An id (or the tag) is empty or has white space, which the format cannot hold.
        OSError: The file cannot be written.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # a pipe or a device
        with path.open("w", encoding="utf-8", newline="\n") as file:
            return print_run(file, runs, tag=tag)
    path = path.resolve()  # what a link names is written, the link stays
    partial = path.with_name(f"{path.name}.partial-{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            count = print_run(file, runs, tag=tag)
        partial.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # not the partial's name
    finally:
        partial.unlink(missing_ok=True)
    return count


def print_run(file: TextIO, runs: Runs, *, tag: str = "colxtr") -> int:
    """Write the lines of a run to an open file; else as `write_run`."""
    _check(tag, "tag")
    count = 0
    for query_id, hits in runs.items() if isinstance(runs, Mapping) else runs:
        _check(query_id, "query id")
        for rank, hit in enumerate(hits, start=1):
            _check(hit.id, "document id")
            file.write(f"{query_id} Q0 {hit.id} {rank} {hit.score:.9g} {tag}\n")
            count += 1
    return count


def _check(name: str, what: str) -> None:
    if not name or len(name.split()) != 1 or name != name.strip():
        raise InputError(
            f"the {what} {name!r} cannot stand in a TREC run, whose columns are separated by "
            "white space; rename it, or write JSON instead"
        )
