"""The libraries that training stands on: imported where they are used, named where they lack."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from colxtr import libraries

_TALKATIVE = ("sentence_transformers", "transformers", "accelerate", "datasets")


def imported(name: str, purpose: str) -> Any:
    """Import a module of the extra `train`; else as `colxtr.libraries.imported`."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # or it warns when a process forks
    return libraries.imported(name, purpose, "train")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep these libraries from printing bars and notes while the block runs; errors still come."""
    bars = imported("transformers.utils.logging", "loading a model")
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    had_bars = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if had_bars:
            bars.enable_progress_bar()
