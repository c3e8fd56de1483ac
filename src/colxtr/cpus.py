"""How many processors this process may use. Knows nothing of what they are used for."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")  # "max 100000", or microseconds per period


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
