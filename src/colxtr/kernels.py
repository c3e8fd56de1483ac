"""The typed front of the native module, and its only importer.

Chooses the instruction set: the newest that the machine runs, unless the environment variable
COLXTR_INSTRUCTION_SET or `use_instruction_set` names another. Knows nothing of files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from colxtr import _native
from colxtr._native import (
    Candidates,
    Codec,
    Collection,
    Groups,
    Panels,
    Query,
    Segment,
    add_rows,
    counting_sort,
)
from colxtr.errors import CorruptIndexError, InputError

__all__ = [
    "Candidates",
    "Codec",
    "Collection",
    "Groups",
    "Panels",
    "Query",
    "Segment",
    "add_rows",
    "counting_sort",
    "damage_reported",
    "in_row_blocks",
    "instruction_set",
    "instruction_sets",
    "pack",
    "unpack",
    "use_instruction_set",
]

ROW_BLOCK = 4096  # rows of one piece of parallel work: large enough to hide the hand-over


def instruction_sets() -> list[str]:
    """The instruction sets that this machine runs, the slowest first."""
    return _native.instruction_sets()


def instruction_set() -> str:
    """The instruction set in use."""
    return _native.instruction_set()


def use_instruction_set(name: str) -> None:
    """Use this instruction set from now on, in all threads.

    Raises:
        InputError: This machine does not run it.
    """
    if not _native.use_instruction_set(name):
        raise InputError(
            f"this machine does not run the instruction set {name!r}; "
            f"it runs {', '.join(instruction_sets())}"
        )


if forced := os.environ.get("COLXTR_INSTRUCTION_SET"):
    use_instruction_set(forced)


def pack(values: NDArray[np.uint64], width: int | None = None) -> tuple[NDArray[np.uint8], int]:
    """Pack integers into so many bits, by default the fewest that hold the largest.

    Returns:
        The bytes, and the width.
    """
    if width is None:
        width = int(values.max()).bit_length() if len(values) else 0
    return _native.pack(values, width), width


def unpack(
    packed: NDArray[np.uint8], count: int, width: int, begin: int = 0, end: int | None = None
) -> NDArray[np.uint64]:
    """The inverse of `pack`: of `count` integers those from `begin` to `end`, by default all."""
    return _native.unpack(packed, count, width, begin, count if end is None else end)


def in_row_blocks(
    work: Callable[[NDArray[np.float32]], NDArray[np.uint32]],
    rows: NDArray[np.float32],
    threads: int,
) -> NDArray[np.uint32]:
    """Do `work`, which releases the GIL, on blocks of rows in parallel; results in order."""
    blocks = [rows[start : start + ROW_BLOCK] for start in range(0, len(rows), ROW_BLOCK)]
    if threads <= 1 or len(blocks) <= 1:
        results = [work(block) for block in blocks]
    else:
        with ThreadPoolExecutor(min(threads, len(blocks))) as pool:
            results = list(pool.map(work, blocks))
    return np.concatenate(results) if results else np.empty(0, np.uint32)


@contextmanager
def damage_reported() -> Iterator[None]:
    """Turn what the native module says of contradictory arrays into an error of ours."""
    try:
        yield
    except _native.CorruptError as error:
        raise CorruptIndexError(str(error)) from None
