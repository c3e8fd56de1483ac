"""One field of all documents of a segment, as small integers that conditions are held against.

The different values are numbered in their order: missing, nothing to compare, null, false, true,
numbers, strings. So every condition is a few intervals of these codes, exact for numbers of any
size. Knows nothing of JSON and of how the values were found.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from sys import getsizeof
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from colxtr.conditions import Exists, FieldCondition, Scalar, StartsWith, Within

MISSING, NOTHING, NULL, FALSE, TRUE, FIRST = range(6)  # codes; numbers and strings follow

_MOST_COMPARED = 4  # intervals; a table of all codes is faster for more
_STRIDE = 16  # strings between those kept as Python's own, which are found faster

Mask: TypeAlias = NDArray[np.bool_]
Interval: TypeAlias = tuple[int, int]  # codes from the first up to, without, the second


@dataclass(frozen=True)
class Column:
    """One field of all documents.

    Attributes:
        values: The numbers and strings that occur.
        codes: The code of each document's first value: (n_documents,), the narrowest unsigned type.
        more: Those of the further elements of lists.
        more_rows: The documents these belong to, ascending, uint32.
    """

    values: Values
    codes: NDArray[Any]
    more: NDArray[Any]
    more_rows: NDArray[np.uint32]

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        arrays = self.codes.nbytes + self.more.nbytes + self.more_rows.nbytes
        return arrays + self.values.nbytes

    def select(self, condition: FieldCondition) -> Mask:
        """The documents that fulfil a condition on this field: (n_documents,)."""
        intervals = _joined(self.values.intervals(condition))
        mask = self._within(self.codes, intervals)
        if len(self.more):
            mask[self.more_rows[np.flatnonzero(self._within(self.more, intervals))]] = True
        return mask

    def _within(self, codes: NDArray[Any], intervals: Sequence[Interval]) -> Mask:
        if len(intervals) > _MOST_COMPARED:
            table = np.zeros(self.values.end, np.bool_)
            for start, end in intervals:
                table[start:end] = True
            return np.take(table, codes)
        mask: Mask = np.zeros(len(codes), np.bool_)
        for start, end in intervals:
            mask |= codes == start if end == start + 1 else (codes >= start) & (codes < end)
        return mask


def _joined(intervals: Iterable[Interval]) -> list[Interval]:
    """The same codes in as few intervals as possible, ascending."""
    joined: list[Interval] = []
    for start, end in sorted(interval for interval in intervals if interval[0] < interval[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


class Values:
    """The different numbers and strings of a field, ascending, and so their codes."""

    def __init__(self, numbers: list[int | float], texts: list[str]) -> None:
        self._numbers = _compact(numbers)
        self._texts = Texts(texts)
        self._first_text = FIRST + len(numbers)
        self.end = self._first_text + len(texts)
        size = getattr(self._numbers, "itemsize", 64)  # of integers too large for an array: about
        self.nbytes = size * len(numbers) + self._texts.nbytes

    def intervals(self, condition: FieldCondition) -> Iterator[Interval]:
        """The codes that fulfil a condition."""
        if isinstance(condition, Exists):
            yield NOTHING, self.end
        elif isinstance(condition, StartsWith):
            first, end = self._texts.starting_with(_utf8(condition.prefix))
            yield self._first_text + first, self._first_text + end
        elif isinstance(condition, Within):
            yield self._range(condition)
        else:
            yield from map(self._equal, condition.values)
            yield MISSING, MISSING + any(value is None for value in condition.values)

    def _equal(self, value: Scalar) -> Interval:
        if isinstance(value, str):
            text = _utf8(value)
            i = self._texts.position(text, after=False)
            is_there = i < len(self._texts) and self._texts[i] == text
            return self._first_text + i, self._first_text + i + is_there
        if value is None:
            return NULL, NULL + 1
        if isinstance(value, bool):
            return (TRUE, TRUE + 1) if value else (FALSE, FALSE + 1)
        return self._code(value, after=False), self._code(value, after=True)

    def _range(self, condition: Within) -> Interval:
        is_text = isinstance(condition.bounds[0][1], str)
        start, end = (self._first_text, self.end) if is_text else (FIRST, self._first_text)
        for name, bound in condition.bounds:
            code = self._code(bound, after=name in {"$gt", "$lte"})
            if name in {"$gt", "$gte"}:
                start = max(start, code)
            else:
                end = min(end, code)
        return start, end

    def _code(self, value: int | float | str, *, after: bool) -> int:
        """Of the first number or string that is not less than a value, or that is greater."""
        if isinstance(value, str):
            return self._first_text + self._texts.position(_utf8(value), after)
        return FIRST + (bisect_right if after else bisect_left)(self._numbers, value)


class Texts:
    """Many strings end to end in UTF-8, in which bytes sort as code points do."""

    def __init__(self, texts: list[str]) -> None:
        encoded = [_utf8(text) for text in texts]
        self._bytes = b"".join(encoded)
        self._ends = array("Q", accumulate(map(len, encoded), initial=0))
        self._landmarks = encoded[_STRIDE - 1 :: _STRIDE]  # where to look closer
        landmarks = sum(map(getsizeof, self._landmarks)) + 8 * len(self._landmarks)
        self.nbytes = len(self._bytes) + 8 * len(self._ends) + landmarks

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, i: int) -> bytes:
        return self._bytes[self._ends[i] : self._ends[i + 1]]

    def position(self, text: bytes, after: bool) -> int:
        """Of the first string that is not less than a text, or that is greater."""
        bisect = bisect_right if after else bisect_left
        near = bisect(self._landmarks, text) * _STRIDE
        return bisect(self, text, near, min(near + _STRIDE, len(self)))

    def starting_with(self, prefix: bytes) -> Interval:
        """Where the strings with a prefix stand."""
        first = self.position(prefix, after=False)
        return first, bisect_right(self, prefix, first, key=lambda text: text[: len(prefix)])


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # JSON may carry half of a pair


def _compact(numbers: list[int | float]) -> Sequence[int | float]:
    """The same numbers in an array if it can hold them exactly."""
    for kind, convert in (("q", int), ("d", float)):
        try:
            packed = array(kind, map(convert, numbers))
        except OverflowError:  # too large, or infinite
            continue
        if all(map(_is_equal, packed, numbers)):
            return packed
    return numbers


def _is_equal(a: float, b: float) -> bool:
    return a == b
