"""Keeps the progress bars of transformers from standard error while models are loaded and saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_bars() -> Iterator[None]:
    """Show no bars inside; as before outside."""
    from transformers.utils import logging as their_logging  # noqa: PLC0415

    logging: Any = their_logging  # the library has no types here
    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()
