"""Filters: what a caller writes about metadata becomes conditions, checked from end to end.

The dialect is MongoDB's, as far as vector databases have taken it over: docs/filters.md. What the
conditions mean is in `conditions.py`. Knows nothing of documents and of how they are stored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from colxtr.conditions import (
    COMPARISONS,
    Bound,
    Condition,
    Exists,
    OneOf,
    Scalar,
    StartsWith,
    Within,
    all_of,
    any_of,
    negated,
)
from colxtr.errors import InputError

MAX_DEPTH = 32  # filters within one another; also the parts of a field's name
MAX_CONDITIONS = 10_000  # conditions and values of lists together
MAX_FIELDS = 64  # each is a column of a segment in memory while it is compared

_SCALAR = "a string, a number, true, false or null"
_MAX_BITS = 14_284  # 4,300 digits: as many as Python reads from JSON

_BOUND = "a number or a string"
_EXAMPLE = 'an object such as {"year": {"$gte": 2020}, "lang": "en"}'
_LIST = (list, tuple, set, frozenset)
_LISTS = '; for any of several values write {"$in": [...]}, for all of them {"$all": [...]}'
_HINTS = {
    "$regex": '; the beginning of a string is found with {"$prefix": "..."}',
    "$contains": '; a list is found by any of its elements: {"tags": "x"}',
    "$elemMatch": '; all bounds of a range hold for one element: {"$gte": 5, "$lt": 9}',
}


@dataclass(frozen=True)
class Filter:
    """A checked filter; `parse_filter` makes it. Equal if the keys are.

    Attributes:
        key: The filter as text, in one way for all ways of writing it that differ only in order,
            repetition or grouping; itself a filter. For caches.
        condition: What must hold.
        fields: The names of the fields it asks about, sorted.
    """

    key: str
    condition: Condition = field(compare=False, repr=False)
    fields: tuple[str, ...] = field(compare=False, repr=False)

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with such metadata is among those the filter lets through."""
        return self.condition.matches(metadata)


def parse_filter(filter: Mapping[str, Any] | Filter) -> Filter:  # noqa: A002 (as search calls it)
    """Check a filter, for example `{"year": {"$gte": 2020}, "lang": "en"}`.

    Args:
        filter: A JSON object in the dialect of docs/filters.md; one already checked is returned as
            it is. {} lets every document through.

    Raises:
        InputError: An operator that does not exist, an operand of the wrong type, a number that is
            not finite, or more than 32 filters within one another, 10,000 conditions and values or
            64 fields. The message says where.
    """
    if isinstance(filter, Filter):
        return filter
    parser = _Parser()
    condition = parser.filter(filter, "filter", 1)
    return Filter(condition.key, condition, tuple(sorted(parser.fields)))


def parse_filter_text(text: str) -> Filter:
    """`parse_filter` of JSON, as typed on a command line.

    Raises:
        InputError: As `parse_filter`, and for text that is not JSON or gives a key twice.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
        return parse_filter(value)
    except InputError:
        raise
    except json.JSONDecodeError as error:
        raise InputError(
            f"the filter {_shown(text)} is not JSON: {error.msg}, at character {error.pos + 1}; "
            f"write {_EXAMPLE}"
        ) from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise InputError(f"the filter {_shown(text)} cannot be read: {error}") from None
    except RecursionError:
        raise InputError(f"the filter {_shown(text)} is nested deeper than {MAX_DEPTH}") from None


def _no_constant(name: str) -> NoReturn:
    raise InputError(f"the filter contains {name}; only finite numbers are possible")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"the filter contains {_shown(twice)} twice in one object; "
            'write {"$and": [{...}, {...}]} if both are to hold'
        )
    return result


def _shown(value: object) -> str:
    """A value in a message: short, on one line."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else f"{value[:60]}...")
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int) and value.bit_length() > 256:
        return "a very large integer"
    if isinstance(value, int | float):
        return repr(value)
    return f"a {type(value).__name__}"


class _Parser:
    """One filter being checked; `where` is always the way to what is looked at."""

    def __init__(self) -> None:
        self.fields: set[str] = set()
        self._n_conditions = 0

    def filter(self, value: object, where: str, depth: int) -> Condition:
        """An object of fields and of "$and", "$or", "$nor", "$not"."""
        if not isinstance(value, Mapping):
            raise InputError(f"{where} is {_shown(value)}; {_EXAMPLE} is possible")
        _check_depth(where, depth)
        return all_of(self._entry(k, v, f"{where}[{_shown(k)}]", depth) for k, v in value.items())

    def _entry(self, key: object, value: object, where: str, depth: int) -> Condition:
        if not isinstance(key, str):
            raise InputError(f"{where} is no field; the names of fields are strings")
        if key == "$not":
            return negated(self.filter(value, where, depth + 1))
        if key in {"$and", "$or", "$nor"}:
            items = self._list(value, where, "at least one filter")
            parts = [self.filter(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(items)]
            if key == "$and":
                return all_of(parts)
            return any_of(parts) if key == "$or" else negated(any_of(parts))
        if key.startswith("$"):
            if key in COMPARISONS or key in _OPERATORS:
                example = f'{{"name of the field": {{"{key}": ...}}}}'
                raise InputError(f"{where} stands where a field should; write {example}")
            raise _unknown(key, where, ["$and", "$or", "$nor", "$not", "names of fields"])
        return self._field(str.__str__(key), value, where, depth)

    def _field(self, name: str, value: object, where: str, depth: int) -> Condition:
        if name.count(".") >= MAX_DEPTH:
            n_parts = name.count(".") + 1
            raise InputError(f"{where} has {n_parts:,} parts; {MAX_DEPTH} are possible")
        self.fields.add(name)
        if len(self.fields) > MAX_FIELDS:
            raise InputError(f"{where} is one field more than the {MAX_FIELDS} that are possible")
        if isinstance(value, Mapping):
            return self._operators(name, value, where, depth)
        return OneOf(name, (self._scalar(value, where),))

    def _operators(
        self, name: str, operators: Mapping[object, object], where: str, depth: int
    ) -> Condition:
        _check_depth(where, depth)
        if not operators:
            raise InputError(f'{where} is empty; write {{"$exists": true}} for any value')
        conditions = []
        bounds = {key: value for key, value in operators.items() if key in COMPARISONS}
        if bounds:
            conditions.append(self._range(name, bounds, where))
        for key, value in operators.items():
            there = f"{where}[{_shown(key)}]"
            if key in bounds:
                continue
            if key == "$not":
                conditions.append(self._not(name, value, there, depth))
            elif isinstance(key, str) and key in _OPERATORS:
                conditions.append(_OPERATORS[key](self, name, value, there))
            else:
                raise _unknown(key, there, ["$not", *COMPARISONS, *_OPERATORS])
        return all_of(conditions)

    def _not(self, name: str, value: object, where: str, depth: int) -> Condition:
        if not isinstance(value, Mapping):
            error = f"{where} is {_shown(value)}; an object of operators is possible, or $ne"
            raise InputError(error)
        return negated(self._operators(name, value, where, depth + 1))

    def _range(self, name: str, bounds: Mapping[Any, object], where: str) -> Condition:
        pairs: list[tuple[str, Bound]] = []
        for key, value in bounds.items():
            there = f"{where}[{_shown(key)}]"
            bound = self._scalar(value, there, _BOUND)
            if bound is None or isinstance(bound, bool):
                raise InputError(f"{there} is {_shown(value)}; {_BOUND} is possible")
            pairs.append((str.__str__(key), bound))
        if len({isinstance(bound, str) for _, bound in pairs}) == 2:
            raise InputError(
                f"{where} has bounds of a number and of a string; all bounds of a range are "
                "numbers, or all are strings"
            )
        return Within(name, tuple(pairs))

    def _equal(self, name: str, value: object, where: str) -> Condition:
        return OneOf(name, (self._scalar(value, where),))

    def _one_of(self, name: str, value: object, where: str) -> Condition:
        return OneOf(name, self._scalars(self._list(value, where), where))

    def _each_of(self, name: str, value: object, where: str) -> Condition:
        values = self._list(value, where, "at least one value")
        return all_of(OneOf(name, (value,)) for value in self._scalars(values, where))

    def _prefix(self, name: str, value: object, where: str) -> Condition:
        self._count(where)
        if not isinstance(value, str):
            raise InputError(f"{where} is {_shown(value)}; a string is possible")
        return StartsWith(name, str.__str__(value))

    def _exists(self, name: str, value: object, where: str) -> Condition:
        self._count(where)
        if not isinstance(value, bool):
            raise InputError(f"{where} is {_shown(value)}; true or false is possible")
        return Exists(name) if value else negated(Exists(name))

    def _list(self, value: object, where: str, least: str | None = None) -> list[object]:
        if not isinstance(value, _LIST):
            raise InputError(f"{where} is {_shown(value)}; a list is possible")
        if least and not value:
            raise InputError(f"{where} is an empty list; it needs {least}")
        return list(value)

    def _scalars(self, values: list[object], where: str) -> tuple[Scalar, ...]:
        return tuple(self._scalar(value, f"{where}[{i}]") for i, value in enumerate(values))

    def _scalar(self, value: object, where: str, possible: str = _SCALAR) -> Scalar:
        """A value to compare with, as Python's own type; numbers that are whole as integers."""
        self._count(where)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, float) and math.isfinite(value):
            return int(value) if value.is_integer() else float(value)
        if isinstance(value, int):
            if value.bit_length() > _MAX_BITS:
                raise InputError(f"{where} is an integer of more than 4,300 digits")
            return int(value)
        hint = _LISTS if isinstance(value, _LIST) and possible is _SCALAR else ""
        raise InputError(f"{where} is {_shown(value)}; {possible} is possible{hint}")

    def _count(self, where: str) -> None:
        self._n_conditions += 1
        if self._n_conditions > MAX_CONDITIONS:
            raise InputError(
                f"{where} is one more than the {MAX_CONDITIONS:,} conditions and values that are "
                "possible; give the documents a field of its own for what they share"
            )


_OPERATORS: dict[str, Callable[[_Parser, str, object, str], Condition]] = {
    "$eq": _Parser._equal,
    "$ne": lambda *arguments: negated(_Parser._equal(*arguments)),
    "$in": _Parser._one_of,
    "$nin": lambda *arguments: negated(_Parser._one_of(*arguments)),
    "$all": _Parser._each_of,
    "$exists": _Parser._exists,
    "$prefix": _Parser._prefix,
}


def _check_depth(where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InputError(f"{where} is nested {depth} deep; {MAX_DEPTH} are possible")


def _unknown(key: object, where: str, possible: list[str]) -> InputError:
    hint = _HINTS.get(str(key), "")
    if not str(key).startswith("$"):
        hint = '; a field within a field is written with a dot: "author.name"'
    return InputError(f"{where} is no operator; {', '.join(possible)} are possible{hint}")
