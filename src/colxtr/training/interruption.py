"""Ctrl-C and SIGTERM while training: the step under way is finished and saved first.

Knows nothing of training.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether somebody asked to stop."""

    wanted = False

    def _ask(self, _: int, __: FrameType | None) -> None:
        if self.wanted:  # a second time: at once
            raise KeyboardInterrupt
        self.wanted = True


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Note signals instead of being stopped by them; the second one stops.

    Only in the main thread, the only one that gets signals.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {each: signal.signal(each, interruption._ask) for each in _SIGNALS}
    try:
        yield interruption
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
