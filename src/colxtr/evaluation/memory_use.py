"""What memory this process takes, and took at most, as far as the system says."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int | None:
    """The most that was in memory at a time, mapped files included; None where nobody says."""
    return _status("VmHWM")


def own_bytes() -> int | None:
    """What is in memory now and is no mapped file; None where nobody says."""
    return _status("RssAnon")


def _status(name: str) -> int | None:
    """Linux counts for the program that runs; `getrusage` would count its parent's peak, too."""
    if not _STATUS.is_file():
        return None
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None
