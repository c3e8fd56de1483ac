"""The libraries that training stands on: imported where they are used, named where they lack.

And kept quiet where they would print what says nothing to a person.
"""

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
    """Keep these libraries from printing bars and notes while the block runs; errors still come.

    Their report of missing weights too: `checkpoints.weights.check_loaded` asks more strictly.
    """
    bars = libraries.imported("transformers.utils.logging", "loading a model", "train")
    had_bars = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        with only_errors(*_TALKATIVE):
            yield
    finally:
        if had_bars:
            bars.enable_progress_bar()


@contextmanager
def only_errors(*names: str) -> Iterator[None]:
    """Let some loggers pass on nothing below errors while the block runs; "root" is one too."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
