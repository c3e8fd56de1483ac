"""What the commands of training share: naming collections, printing results, hints."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from colxtr.cli.guard import end

if TYPE_CHECKING:
    from colxtr.training.tuple_files import Collection


def collections_of(given: list[str] | None, split: str) -> list[Collection]:
    """What a person named as PATH or NAME=PATH."""
    from colxtr.training.tuple_files import Collection  # noqa: PLC0415

    return [Collection.parse(each, split=split) for each in given or []]


def print_result(report: Any, as_json: bool, *lines: str) -> None:
    """Print a report: a dataclass as JSON, or lines for people."""
    if as_json:
        from dataclasses import asdict  # noqa: PLC0415

        sys.stdout.write(json.dumps(asdict(report)) + "\n")
        return
    sys.stdout.write("".join(f"{line}\n" for line in lines))


@contextmanager
def with_hint(hint: str) -> Iterator[None]:
    """Say after Ctrl-C how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        end(f"interrupted; {hint}", code=130)
