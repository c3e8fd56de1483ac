"""Work in a process of its own, so that its memory and its time are its own.

`python -m colxtr.evaluation.processes` reads one task, as JSON, does it and prints the result; it
ends when whoever started it does. Knows no work: `work.TASKS` names it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from colxtr import errors
from colxtr.errors import ColxtrError

_FAILED = 3
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def in_own_process(
    task: str, arguments: Mapping[str, object], *, one_thread: bool = False
) -> dict[str, Any]:
    """Do a task of `work.TASKS` in a new process.

    Args:
        task: Its name.
        arguments: Its keyword arguments, as JSON can hold them.
        one_thread: Keep the libraries for matrices to one thread.

    Raises:
        ColxtrError: What the task raised; or the process ended otherwise (killed, say, for want of
            memory).
    """
    environment = os.environ | (_ONE_THREAD if one_thread else {})
    with subprocess.Popen(
        [sys.executable, "-m", "colxtr.evaluation.processes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # Its standard input stays open while we live: its end tells that we are gone.
            with suppress(BrokenPipeError):  # it died before it read: its exit code says so
                process.stdin.write(json.dumps({"task": task, **arguments}).encode() + b"\n")
                process.stdin.flush()
            output = process.stdout.read()
            with suppress(BrokenPipeError):
                process.stdin.close()
            code = process.wait()
        except BaseException:
            process.kill()
            raise
    return _result(task, output, code)


def _result(task: str, output: bytes, code: int) -> dict[str, Any]:
    if code not in (0, _FAILED) or not output:
        raise ColxtrError(
            f"the process of the task {task!r} ended with {code} (below 0: the signal that killed "
            "it; -9 is often for want of memory); the same command goes on"
        )
    result: dict[str, Any] = json.loads(output)
    if code == _FAILED:
        raise getattr(errors, result["error"])(result["message"])
    return result


def main() -> int:
    """Do the task that standard input names."""
    try:
        from colxtr.evaluation.work import TASKS  # noqa: PLC0415 - takes a while: Ctrl-C may come

        arguments = json.loads(sys.stdin.readline())
        threading.Thread(target=_end_with_parent, daemon=True).start()
        result = TASKS[arguments.pop("task")](**arguments)
    except KeyboardInterrupt:
        return 130
    except ColxtrError as error:
        sys.stdout.write(json.dumps({"error": type(error).__name__, "message": str(error)}))
        return _FAILED
    sys.stdout.write(json.dumps(result))
    return 0


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
