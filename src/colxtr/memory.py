"""Amounts of memory as people write them, and how a process keeps its own. Knows no work itself."""

from __future__ import annotations

import ctypes
import re
import sys

from colxtr.errors import InputError

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_... of malloc.h
_LARGEST_INT = 2**31 - 1
_LARGEST_OLD = 2**25  # that glibc before 2.35 takes


def as_bytes(amount: int | str) -> int:
    """Bytes of an amount: a number, or text as "1.5GB", "900 MB" or "2GiB".

    Raises:
        InputError: It is neither, or not positive.
    """
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)", str(amount).strip(), re.I | re.A)
    unit = UNITS.get(found[2].upper()) if found else None
    n_bytes = int(float(found[1]) * unit) if found and unit else 0
    if n_bytes <= 0:
        raise InputError(
            f"the amount of memory {str(amount)!r} is not understood; write it as 1.5GB or 900MB"
        )
    return n_bytes


def as_text(n_bytes: int) -> str:
    """An amount for messages: "1.5 GB", "900 MB"."""
    return f"{n_bytes / 1e9:.3g} GB" if n_bytes >= 10**9 else f"{-(-n_bytes // 10**6)} MB"


def keep_freed_memory() -> None:
    """Let this process keep large blocks that it frees for those that it needs next.

    glibc gives each back to the system, which clears every page of the next one: a quarter of a
    training step's time on a processor. For programs, not libraries: it is the whole process's
    memory. Other C libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc; musl has none
        if not mallopt(_MMAP_THRESHOLD, _LARGEST_INT):
            mallopt(_MMAP_THRESHOLD, _LARGEST_OLD)
        mallopt(_TRIM_THRESHOLD, _LARGEST_INT)
