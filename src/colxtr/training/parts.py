"""Long work cut into parts that are kept: after an interruption the same call goes on.

The results of `tuples.jsonl` grow in `tuples.jsonl.parts/`, a file for each part, until all are
there and become the file. A part counts once its file has its name; so nothing is lost but the part
that was being made, whatever stopped the process. Knows nothing of the work.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from colxtr.errors import CorpusError
from colxtr.progress import progress_bar
from colxtr.storage.files import named_errors, write_atomically
from colxtr.training.tuple_files.lines import written

T = TypeVar("T")
Work = Callable[[Sequence[T]], tuple[Iterable[str], Mapping[str, int]]]


def in_parts(
    output: Path,
    items: Sequence[T],
    work: Work[T],
    *,
    key: Mapping[str, object],
    size: int,
    description: str,
    unit: str = "queries",
    progress: bool = False,
) -> Counter[str]:
    """Turn items into the lines of a file, part by part.

    Args:
        output: The file; an existing one is replaced when all parts are there.
        items: What the work is done on, always in the same order.
        work: Makes lines (with their ends) and counts of some of the items.
        key: All that decides about the result, as JSON: parts made under another key are thrown
            away, and standard error says which entry changed.
        size: Items of a part.
        description: For the progress bar.
        unit: What items are.
        progress: Show a progress bar.

    Returns:
        The sums of the counts.

    Raises:
        StorageError: A file cannot be written.
    """
    folder = output.with_name(f"{output.name}.parts")
    _begin(folder, key)
    total: Counter[str] = Counter()
    paths = []
    with progress_bar(description, len(items), unit, progress) as advance:
        for start in range(0, len(items), size):
            some = items[start : start + size]
            path = folder / f"{start:09}.jsonl"
            if path.is_file():
                advance.skip(len(some))
            else:
                _write(path, *work(some))
                advance(len(some))
            total.update(_counts(path))
            paths.append(path)
    with written(output) as file:
        for path in paths:
            with path.open(encoding="utf-8", newline="\n") as part:
                next(part)  # the counts
                shutil.copyfileobj(part, file)
    shutil.rmtree(folder)
    return total


def changed(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """The names of the entries that differ."""
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


def _begin(folder: Path, key: Mapping[str, object]) -> None:
    """See that the folder is there and what it holds was made under this key."""
    path = folder / "key.json"
    content = json.loads(json.dumps(key))  # as it will be read
    if path.is_file():
        old = _read_json(path)
        if old == content:
            return
        what = ", ".join(changed(old, content))
        sys.stderr.write(f"{folder}: begun with other settings ({what}); beginning again\n")
    with named_errors(folder):
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    write_atomically(path, json.dumps(content, indent=1).encode())


def _write(path: Path, lines: Iterable[str], counts: Mapping[str, int]) -> None:
    """Counts in the first line, results in the others."""
    body = "".join(lines)  # first: they may fill the counts
    with written(path) as file:
        file.write(json.dumps(dict(counts)) + "\n" + body)


def _counts(path: Path) -> dict[str, int]:
    with path.open(encoding="utf-8") as file:
        try:
            counts: dict[str, int] = json.loads(file.readline())
        except ValueError:
            raise CorpusError(f"{path} is damaged; delete it and run the command again") from None
    return counts


def _read_json(path: Path) -> dict[str, object]:
    try:
        value: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise CorpusError(f"{path} is damaged; delete {path.parent} and begin again") from None
    return value
