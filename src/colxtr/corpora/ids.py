"""The ids met so far, in few bytes each."""

from __future__ import annotations

from array import array

_FREE = 0


class IdSet:
    """Strings met so far, as 64-bit hashes in an open table: 12 to 24 bytes for each.

    A set of strings would take 150 bytes each, more than a gigabyte for a large collection. Two
    different ids among 10 million are mistaken for one another with a probability of 3e-6.
    """

    def __init__(self) -> None:
        self._slots = array("q", bytes(8 * 1024))
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def add(self, identifier: str) -> bool:
        """Add an id; False if it was there before."""
        if self._used * 3 > len(self._slots) * 2:
            self._grow()
        added = _insert(self._slots, hash(identifier) or 1)
        self._used += added
        return added

    def _grow(self) -> None:
        larger = array("q", bytes(16 * len(self._slots)))
        for value in self._slots:
            if value != _FREE:
                _insert(larger, value)
        self._slots = larger


def _insert(slots: array[int], value: int) -> bool:
    mask = len(slots) - 1  # their number is a power of two
    position = value & mask
    while slots[position] != _FREE:
        if slots[position] == value:
            return False
        position = (position + 1) & mask
    slots[position] = value
    return True
