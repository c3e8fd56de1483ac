"""How a command ends: errors as one message, interruptions and closed pipes without noise."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import typer

from colxtr.errors import ColxtrError

_INTERRUPTED = 130
_settings = {"tracebacks": False}


def show_tracebacks() -> None:
    """Let errors through with their tracebacks (`--debug`)."""
    _settings["tracebacks"] = True


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command its ends: 0, or 1 after an error, or 130 after Ctrl-C."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
            _flush()
        except BrokenPipeError:  # whoever read us has gone (| head)
            _forget_output()
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            if _settings["tracebacks"]:
                raise
            end("interrupted", code=_INTERRUPTED)
        except (ColxtrError, OSError, MemoryError) as error:
            if _settings["tracebacks"]:
                raise
            end(f"error: {_message(error)}", code=1)

    return run


def _flush() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _forget_output()
        raise


def _forget_output() -> None:
    """Send what is still to be printed nowhere, or Python would fail again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def end(message: str, code: int) -> None:
    """Print a message to standard error and end the command with an exit code."""
    sys.stderr.write(f"{message}\n")
    if code == _INTERRUPTED:  # a second Ctrl-C would only disturb the clearing up
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise typer.Exit(code)


def add_hint(error: BaseException, hint: str) -> None:
    """Add a line to what the user will read about an error."""
    error.add_note(hint)


def _message(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        text = "out of memory; close other programs, or work on fewer documents at a time"
    elif isinstance(error, OSError) and not isinstance(error, ColxtrError):
        named = f": {error.filename}" if error.filename else ""
        text = f"{error.strerror or error}{named}"
    else:
        text = str(error)
    return "\n".join([text, *getattr(error, "__notes__", [])])
