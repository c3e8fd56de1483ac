"""Progress of long work, on standard error. Knows nothing of the work.

Nothing is shown for work that ends within two seconds, and nothing is imported for it.
On a terminal there is one live line (drawn by rich): done, rate, time left. Elsewhere (a log, a
pipe) there is one plain line every ten seconds. Standard output is never touched.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SHOW_AFTER = 2.0  # seconds
_DRAW_EVERY = 0.1  # seconds, on a terminal
_LINE_EVERY = 10.0  # seconds, elsewhere

Advance = Callable[[int], None]


@contextmanager
def progress_bar(
    description: str, total: int | None, unit: str = "documents", enabled: bool = True
) -> Iterator[Advance]:
    """Show how far some work has come.

    Args:
        description: What is being done, as "Encoding".
        total: How many units there are; None where nobody knows.
        unit: What is counted.
        enabled: False shows nothing.

    Yields:
        A function to call with the number of units just done. It costs well below a microsecond
        between two drawings, starts no thread, and is to be called from one thread.

    Example:
        with progress_bar("Encoding", total=1000) as advance:
            advance(1)
    """
    if not enabled:
        yield _ignore
        return
    meter = _Meter(description, total, unit)
    try:
        yield meter.advance
    finally:
        meter.close()


def _ignore(count: int) -> None:
    """Take a count and do nothing with it."""


class _Meter:
    """Counts, and now and then draws."""

    def __init__(self, description: str, total: int | None, unit: str) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._done = 0
        self._start = time.monotonic()
        self._next = self._start + _SHOW_AFTER
        self._live: tuple[Progress, TaskID] | None = None

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now < self._next:
            return
        if sys.stderr.isatty():
            self._draw()
            self._next = now + _DRAW_EVERY
        else:
            sys.stderr.write(self._line(now - self._start))
            sys.stderr.flush()
            self._next = now + _LINE_EVERY

    def close(self) -> None:
        if self._live:
            self._draw()
            self._live[0].stop()

    def _draw(self) -> None:
        if self._live is None:
            self._live = _start_live(self._description, self._total, self._unit)
        progress, task = self._live
        rate = self._done / max(time.monotonic() - self._start, 1e-9)
        progress.update(task, completed=self._done, rate=f"{rate:,.0f}")
        progress.refresh()

    def _line(self, seconds: float) -> str:
        rate = self._done / max(seconds, 1e-9)
        of_total = "" if self._total is None else f" of {self._total:,}"
        line = f"{self._description}: {self._done:,}{of_total} {self._unit}, {rate:,.0f}/s"
        if self._total is not None and self._done:
            line += f", {max(0, self._total - self._done) / rate:,.0f} s left"
        return line + "\n"


def _start_live(description: str, total: int | None, unit: str) -> tuple[Progress, TaskID]:
    from rich.console import Console  # noqa: PLC0415 - only for work that lasts
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit}, {{task.fields[rate]}}/s,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    progress.start()
    return progress, progress.add_task(description, total=total, rate="?")
