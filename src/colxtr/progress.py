"""Progress of long work, on standard error. Knows nothing of the work.

Nothing is shown for work that ends within two seconds, and nothing is imported for it.
On a terminal there is one live line (drawn by rich): done, rate, time left. Elsewhere (a log, a
pipe) there is one plain line every ten seconds. Standard output is never touched.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SHOW_AFTER = 2.0  # seconds
_DRAW_EVERY = 0.1  # seconds, on a terminal
_LINE_EVERY = 10.0  # seconds, elsewhere
_WIDTH_WITHOUT_BAR = 68  # of "Training (6 rounds)  999999/999999 tokens, 99,999/s, 0:00:00 left"


class Meter:
    """Counts units of work as they are done, and now and then draws. Call it with a number.

    It costs well below a microsecond between two drawings, starts no thread, and is to be called
    from one thread.
    """

    def __init__(
        self, description: str, total: int | None, unit: str, screen: _Screen | None
    ) -> None:
        """Not for callers: see `progress_bar` and `part`."""
        self._description, self._total, self._unit = description, total, unit
        self._screen = screen
        self._done = 0
        self._start = time.monotonic()
        self._next = self._start + _SHOW_AFTER
        self._task: TaskID | None = None

    def __call__(self, count: int) -> None:
        """Note that `count` more units are done."""
        self._done += count
        if self._screen is None or (now := time.monotonic()) < self._next:
            return
        if _redraws():
            self._draw(self._screen)
            self._next = now + _DRAW_EVERY
        else:
            sys.stderr.write(self._line(now - self._start))
            sys.stderr.flush()
            self._next = now + _LINE_EVERY

    def skip(self, count: int) -> None:
        """Note that `count` units need not be done: neither progress nor rate know them."""
        if self._total is not None:
            self._total = max(self._done, self._total - count)

    @contextmanager
    def part(self, description: str, total: int | None, unit: str) -> Iterator[Meter]:
        """Show a piece of the work, in other units, in a line of its own while it lasts."""
        part = Meter(description, total, unit, self._screen)
        yield part
        part.complete()
        part.finish()

    def complete(self) -> None:
        """Note that all is done; the total may have been an estimate."""
        self._total = self._done

    def finish(self) -> None:
        """Draw the last state, if anything was drawn."""
        if self._screen is not None and self._task is not None:
            self._draw(self._screen)

    @property
    def _of(self) -> int | None:
        """The total; it may have been an estimate, and too low."""
        return None if self._total is None else max(self._total, self._done)

    def _draw(self, screen: _Screen) -> None:
        if self._task is None:
            self._task = screen.progress.add_task(
                self._description, total=self._total, unit=self._unit, rate="?"
            )
        rate = self._done / max(time.monotonic() - self._start, 1e-9)
        screen.progress.update(
            self._task, completed=self._done, total=self._of, rate=f"{rate:,.0f}"
        )
        screen.progress.refresh()

    def _line(self, seconds: float) -> str:
        rate = self._done / max(seconds, 1e-9)
        of_total = "" if self._of is None else f" of {self._of:,}"
        line = f"{self._description}: {self._done:,}{of_total} {self._unit}, {rate:,.0f}/s"
        if self._total is not None and self._done:
            line += f", {max(0, self._total - self._done) / rate:,.0f} s left"
        return line + "\n"


def _redraws() -> bool:
    """Whether standard error is a terminal that can draw over what it has drawn."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


SILENT = Meter("", None, "", None)


@contextmanager
def progress_bar(
    description: str, total: int | None, unit: str = "documents", enabled: bool = True
) -> Iterator[Meter]:
    """Show how far some work has come.

    Args:
        description: What is being done, as "Encoding".
        total: How many units there are; None where nobody knows.
        unit: What is counted.
        enabled: False shows nothing.

    Yields:
        A meter to call with the number of units just done.

    Example:
        with progress_bar("Encoding", total=1000) as advance:
            advance(1)
    """
    if not enabled:
        yield SILENT
        return
    screen = _Screen()
    meter = Meter(description, total, unit, screen)
    try:
        yield meter
        meter.complete()
    finally:
        meter.finish()
        screen.close()


class _Screen:
    """The live lines of a terminal, there from the first drawing on."""

    _live: Progress | None = None

    @property
    def progress(self) -> Progress:
        if self._live is None:
            self._live = _start_live()
        return self._live

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()


def _start_live() -> Progress:
    from rich.console import Console  # noqa: PLC0415 - only for work that lasts
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns: list[ProgressColumn] = [
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    ]
    if console.width >= _WIDTH_WITHOUT_BAR:
        columns.insert(1, TextColumn("{task.fields[unit]}, {task.fields[rate]}/s,"))
        bar = BarColumn(min(40, console.width - _WIDTH_WITHOUT_BAR + 1))
        columns = [TextColumn("{task.description}"), bar, *columns]
    progress = Progress(
        *columns,
        console=console,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    progress.start()
    return progress
