"""Keeps bars and reports of transformers from standard error while models are loaded and saved.

Its report of missing weights too: `weights.check_loaded` asks more strictly.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_bars() -> Iterator[None]:
    """Show no bars and only errors inside; as before outside."""
    from transformers.utils import logging as their_logging  # noqa: PLC0415

    logging: Any = their_logging  # the library has no types here
    was_on = logging.is_progress_bar_enabled()
    level = logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if was_on:
            logging.enable_progress_bar()
