"""Which files stand behind the names a person gives: files, folders, standard input.

Knows nothing of what is in the files, but for the BEIR layout, which a folder shows by a name.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from colxtr.errors import CorpusError

STDIN = "-"
_BEIR_NAMES = ("corpus.jsonl", "corpus.jsonl.gz")


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read.

    Attributes:
        path: The file; None for standard input.
        name: What messages call it.
        id: What the ids of its documents begin with: the path as it was given, or the path from
            the name of the folder that was given, with forward slashes.
        named: Whether the caller named this very file, rather than a folder that holds it.
    """

    path: Path | None
    name: str
    id: str
    named: bool

    @property
    def suffix(self) -> str:
        """The last suffix in lower case, not counting ".gz"."""
        if self.path is None:
            return ""
        name = self.path.name.lower().removesuffix(".gz")
        return Path(name).suffix


@dataclass(slots=True)
class ReadReport:
    """What a reading has come to so far; filled while the documents are drawn.

    Attributes:
        files: Files that gave documents.
        documents: Documents given.
        skipped: How many files and folders inside the given folders were passed over, by reason.
    """

    files: int = 0
    documents: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def skipped_text(self) -> str:
        """For people: `"3 hidden, 1 not text"`; empty if nothing was skipped."""
        return ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.skipped.items()))


def find_sources(given: Iterable[str | Path], report: ReadReport) -> Iterator[Source]:
    """Find the files behind the names, folders in sorted order and all the way down.

    Inside a folder hidden names, links and special files are skipped and counted: what a link
    names is either in the folder as well, or was not asked for. A folder with `corpus.jsonl` or
    `corpus.jsonl.gz` is a BEIR folder, and only that file of it is read.

    Raises:
        CorpusError: A name does not exist or cannot be read, or "-" comes twice.
    """
    names = [str(name) for name in given]
    if names.count(STDIN) > 1:
        raise CorpusError('"-" (standard input) is named twice; it can be read only once')
    for name in names:
        if name == STDIN:
            yield Source(None, "standard input", "stdin", named=True)
            continue
        path = Path(name)
        if stat.S_ISDIR(_mode(path)):
            yield from _walk(path, report)
        else:
            yield Source(path, str(path), _as_id(path), named=True)


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (OSError, ValueError) as error:
        raise unreadable(str(path), error) from None


def _walk(root: Path, report: ReadReport) -> Iterator[Source]:
    folders_and_files = [root]
    while folders_and_files:
        path = folders_and_files.pop()
        if path == root or path.is_dir():
            folders_and_files += reversed(_entries(path, report))
        else:
            yield Source(path, str(path), _as_id(path.relative_to(root.parent)), named=False)


def _entries(folder: Path, report: ReadReport) -> list[Path]:
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable(str(folder), error) from None
    files = {entry.name: entry for entry in entries if not entry.is_dir()}
    beir = next((files[name] for name in _BEIR_NAMES if name in files), None)
    if beir is not None:
        entries = [beir]
    return [Path(entry.path) for entry in entries if _wanted(entry, report)]


def _wanted(entry: os.DirEntry[str], report: ReadReport) -> bool:
    if entry.name.startswith("."):
        reason = "hidden"
    elif entry.is_symlink():
        reason = "symbolic links"
    elif not (entry.is_file() or entry.is_dir()):
        reason = "special files"
    else:
        return True
    report.skipped[reason] += 1
    return False


def _as_id(path: Path) -> str:
    return os.fsencode(path.as_posix()).decode(errors="replace")


def unreadable(name: str, error: OSError | ValueError) -> CorpusError:
    """The error to raise for a file that the system does not let us read."""
    if isinstance(error, FileNotFoundError):
        return CorpusError(f"{name} does not exist; check the path")
    if isinstance(error, PermissionError):
        return CorpusError(f"{name} may not be read (permission denied); change its permissions")
    reason = getattr(error, "strerror", None) or error
    return CorpusError(f"{name} cannot be read: {reason}")
