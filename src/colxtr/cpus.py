"""How many processors this process may use, what they are, and work spread over them.

Knows no work itself.
"""

from __future__ import annotations

import os
import platform
import re
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")

_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")  # "max 100000", or microseconds per period
_CPU_INFO = Path("/proc/cpuinfo")  # Linux only
_X86 = ("x86_64", "amd64", "i386", "i686", "x86")


def available_cpus() -> int:
    """Count the processors open to this process: its affinity, cut by the container's quota.

    `os.cpu_count()` is the machine's count; in a container limited to 2 of 64 processors it
    starts 64 threads that take turns.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(count, _container_quota() or count))


def _container_quota() -> int | None:
    """Whole processors that the control group grants, rounded up; None without a limit."""
    try:
        quota, period = _CGROUP_LIMIT.read_text(encoding="ascii").split()
        return None if quota == "max" else -(-int(quota) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def adds_byte_products_exactly() -> bool:
    """Whether products of unsigned and signed bytes are added up in 32 bits.

    x86 before VNNI adds them up in pairs of 16 bits, which saturate; other architectures never do.
    False also where nobody tells (x86 without /proc/cpuinfo).
    """
    if platform.machine().lower() not in _X86:
        return True
    try:
        return re.search(r"\bavx(512)?_vnni\b", _CPU_INFO.read_text(encoding="ascii")) is not None
    except (OSError, ValueError):
        return False


def in_order(
    work: Callable[[Piece], Result], pieces: Iterable[Piece], threads: int
) -> Generator[Result, None, None]:
    """Do `work`, which releases the GIL, on pieces in parallel; results in the order of the pieces.

    No more than `threads` + 1 pieces are under way at a time. What `pieces` raises comes after the
    results of the pieces before it.
    """
    if threads <= 1:
        yield from map(work, pieces)
        return
    broken: BaseException | None = None
    remaining = iter(pieces)
    running: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        while broken is None:
            try:
                running.append(pool.submit(work, next(remaining)))
            except StopIteration:
                break
            except BaseException as error:  # noqa: BLE001 - raised below
                broken = error
            if len(running) > threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    if broken is not None:
        raise broken
