"""The metadata of a segment's documents, field by field, for filters to be held against.

`select` computes what `Filter.matches` defines, over columns (`column.py`) that are read when a
filter first asks for their fields. Knows nothing of the file that the metadata comes from.
"""

from __future__ import annotations

import json
import threading
from array import array
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, count
from typing import Any, NoReturn

import numpy as np

from colxtr.column import FALSE, FIRST, MISSING, NOTHING, NULL, TRUE, Column, Mask, Values
from colxtr.conditions import And, Condition, Not, Or, find
from colxtr.filters import Filter

MEMORY_LIMIT = 256 << 20

_COMMON = frozenset({str, int, float})


class Columns:
    """The columns that filters have asked for. Safe to use from several threads.

    A column takes 1 byte per document if there are up to 250 different values, 2 up to 65,530, else
    4; for the second and every further element of a list 4 more; and for each different value 8
    bytes if it is a number, about 12 and its UTF-8 if it is a string. While it is read, 4 bytes per
    document and a dictionary of the different values stand beside it.
    """

    def __init__(
        self,
        n_documents: int,
        read: Callable[[], Iterable[str]],
        *,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        """Nothing is read yet.

        Args:
            n_documents: How many documents there are.
            read: Gives the metadata of all of them, JSON objects in the order of the ordinals. It
                is called again whenever a filter asks for a field that is not in memory.
            memory_limit: In bytes. Beyond it the columns used longest ago are forgotten, but never
                those of the filter at hand.
        """
        self._n_documents = n_documents
        self._read = read
        self._memory_limit = memory_limit
        self._kept: OrderedDict[str, Column] = OrderedDict()
        self._lock = threading.Lock()  # of what is kept
        self._reading = threading.Lock()  # so that two do not read the same

    @property
    def nbytes(self) -> int:
        """Bytes that the columns in memory take."""
        with self._lock:
            return sum(column.nbytes for column in self._kept.values())

    def select(self, filter: Filter) -> Mask:  # noqa: A002 (as search calls it)
        """Which documents match: (n_documents,), equal to `Filter.matches` of each.

        Raises:
            ValueError: What `read` gave is not a JSON object for every document; the message names
                the document's ordinal and the place in its metadata.
        """
        return _select(filter.condition, self._columns(filter.fields), self._n_documents)

    def _columns(self, fields: Sequence[str]) -> dict[str, Column]:
        kept = self._in_memory(fields)
        if len(kept) == len(fields):
            return kept
        with self._reading:
            kept = self._in_memory(fields)
            missing = [field for field in fields if field not in kept]
            if missing:
                kept |= _read_columns(missing, self._read(), self._n_documents)
                self._keep(kept)
        return kept

    def _in_memory(self, fields: Sequence[str]) -> dict[str, Column]:
        with self._lock:
            kept = {field: self._kept[field] for field in fields if field in self._kept}
            for field in kept:
                self._kept.move_to_end(field)
            return kept

    def _keep(self, columns: Mapping[str, Column]) -> None:
        with self._lock:
            for field, column in columns.items():
                self._kept[field] = column
                self._kept.move_to_end(field)
            total = sum(column.nbytes for column in self._kept.values())
            while total > self._memory_limit and len(self._kept) > len(columns):
                total -= self._kept.popitem(last=False)[1].nbytes


def _select(condition: Condition, columns: Mapping[str, Column], n_documents: int) -> Mask:
    if isinstance(condition, Not):
        inner = _select(condition.condition, columns, n_documents)
        return np.logical_not(inner, out=inner)
    if not isinstance(condition, And | Or):
        return columns[condition.field].select(condition)
    every = isinstance(condition, And)
    mask = np.full(n_documents, every)
    for part in condition.conditions:
        (np.logical_and if every else np.logical_or)(
            mask, _select(part, columns, n_documents), out=mask
        )
        if not mask.any() if every else mask.all():
            break
    return mask


def _read_columns(
    fields: Sequence[str], texts: Iterable[str], n_documents: int
) -> dict[str, Column]:
    collectors = [_Collector(field) for field in fields]
    n = 0
    for metadata in _parsed(texts):
        for collector in collectors:
            collector.add(n, metadata)
        n += 1
    if n != n_documents:
        raise ValueError(f"there is metadata of {n:,} documents for {n_documents:,}")
    return {collector.field: collector.column() for collector in collectors}


def _parsed(texts: Iterable[str]) -> Iterator[dict[str, Any]]:
    decode = json.JSONDecoder(parse_constant=_no_constant).decode
    for i, text in enumerate(texts):
        try:
            metadata = decode(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"the metadata of document {i} is not JSON: {error}") from None
        if not isinstance(metadata, dict):
            raise ValueError(f"the metadata of document {i} is no JSON object: {text[:60]!r}")
        yield metadata


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


class _Collector:
    """Gathers one field, document by document, and sorts its values at the end."""

    def __init__(self, field: str) -> None:
        self.field = field
        self._parts = field.split(".")
        self._starts = list(accumulate(self._parts, "{}.{}".format))  # keys it may begin with
        self._seen: defaultdict[int | float | str, int] = defaultdict(count(FIRST).__next__)
        self._codes = array("I")  # in the order in which values were met
        self._more = array("I")
        self._more_rows = array("I")

    def add(self, row: int, metadata: dict[str, Any]) -> None:
        if metadata.keys().isdisjoint(self._starts):
            self._codes.append(MISSING)
            return
        value: Any = metadata[self.field] if len(self._starts) == 1 else None
        if type(value) in _COMMON:
            self._codes.append(self._seen[value])
            return
        found = find(metadata, self._parts)
        codes = [self._code(value) for value in found.values]
        codes = codes or [NOTHING if found.exists else MISSING]
        self._codes.append(codes[0])
        self._more.extend(codes[1:])
        self._more_rows.extend([row] * (len(codes) - 1))

    def _code(self, value: Any) -> int:
        if type(value) in _COMMON:
            return self._seen[value]
        if value is None:
            return NULL
        if isinstance(value, bool):
            return TRUE if value else FALSE
        return NOTHING  # an object

    def column(self) -> Column:
        numbers = sorted(value for value in self._seen if not isinstance(value, str))
        texts = sorted(value for value in self._seen if isinstance(value, str))
        codes = np.arange(FIRST + len(self._seen), dtype=np.uint32)
        for code, value in enumerate(chain(numbers, texts), FIRST):
            codes[self._seen[value]] = code
        codes = codes.astype(np.min_scalar_type(len(codes) - 1))
        return Column(
            values=Values(numbers, texts),
            codes=codes[np.array(self._codes, np.uint32)],
            more=codes[np.array(self._more, np.uint32)],
            more_rows=np.array(self._more_rows, np.uint32),
        )
