"""What a filter says about one document: the definition, slow and plain.

`filters.py` makes these of what a caller writes, `columns.py` computes the same for all documents
of a segment at once. docs/filters.md tells it in words. Knows nothing of files.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

Scalar: TypeAlias = bool | int | float | str | None
Bound: TypeAlias = int | float | str

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


class Found(NamedTuple):
    """What a field holds in one document.

    Attributes:
        exists: Whether the document has the field, if only as null or an empty list.
        values: What is there; a list, however nested, stands for its elements.
    """

    exists: bool
    values: list[Any]


def find(metadata: Mapping[str, Any], field: Sequence[str]) -> Found:
    """Look for a field, given as the parts between its dots.

    A part is the key of an object; of a list on the way, all elements are looked into. Keys that
    have dots themselves are found too: "a.b" is both `{"a": {"b": 1}}` and `{"a.b": 1}`.
    """
    exists, values = False, []
    ahead: list[tuple[Any, int]] = [(metadata, 0)]  # not recursive: lists may be nested very deep
    while ahead:
        node, depth = ahead.pop()
        exists |= depth == len(field)
        if isinstance(node, list | tuple):
            ahead += ((item, depth) for item in node)
        elif depth == len(field):
            values.append(node)
        elif isinstance(node, Mapping):
            for end in range(depth + 1, len(field) + 1):
                key = ".".join(field[depth:end])
                if key in node:
                    ahead.append((node[key], end))
    return Found(exists, values)


def _kind(value: object) -> type | None:
    """What may be compared with each other: null, booleans, numbers, texts; None is neither."""
    if value is None or isinstance(value, bool):
        return type(value)
    if isinstance(value, int | float):
        return float
    return str if isinstance(value, str) else None


def _written(field: str, operation: str, operand: object) -> str:
    return json.dumps({field: {operation: operand}})


@dataclass(frozen=True, eq=False)
class OneOf:
    """A value of the field equals one of some; null also where the field is missing."""

    field: str
    values: tuple[Scalar, ...]

    @cached_property
    def key(self) -> str:
        """The condition in the dialect of filters, written in the one way."""
        texts = sorted({json.dumps(value) for value in self.values})
        return f'{{{json.dumps(self.field)}: {{"$in": [{", ".join(texts)}]}}}}'

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with such metadata is meant."""
        found = find(metadata, self.field.split("."))
        values = found.values if found.exists else [None]
        return any(_kind(v) is _kind(w) and v == w for v in values for w in self.values)


@dataclass(frozen=True, eq=False)
class Within:
    """One value of the field keeps all bounds: pairs of "$gt", "$gte", "$lt", "$lte" and value."""

    field: str
    bounds: tuple[tuple[str, Bound], ...]

    @cached_property
    def key(self) -> str:
        """The condition in the dialect of filters, written in the one way."""
        return json.dumps({self.field: dict(sorted(self.bounds))})

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with such metadata is meant."""
        return any(map(self._holds, find(metadata, self.field.split(".")).values))

    def _holds(self, value: object) -> bool:
        return all(_kind(value) is _kind(b) and COMPARISONS[o](value, b) for o, b in self.bounds)


@dataclass(frozen=True, eq=False)
class StartsWith:
    """A value of the field is a text that begins so."""

    field: str
    prefix: str

    @cached_property
    def key(self) -> str:
        """The condition in the dialect of filters, written in the one way."""
        return _written(self.field, "$prefix", self.prefix)

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with such metadata is meant."""
        values = find(metadata, self.field.split(".")).values
        return any(isinstance(value, str) and value.startswith(self.prefix) for value in values)


@dataclass(frozen=True, eq=False)
class Exists:
    """The document has the field, if only as null or an empty list."""

    field: str

    @cached_property
    def key(self) -> str:
        """The condition in the dialect of filters, written in the one way."""
        return _written(self.field, "$exists", True)

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with such metadata is meant."""
        return find(metadata, self.field.split(".")).exists


@dataclass(frozen=True, eq=False)
class Not:
    """The condition does not hold."""

    condition: Condition

    @cached_property
    def key(self) -> str:
        """The condition in the dialect of filters, written in the one way."""
        return f'{{"$not": {self.condition.key}}}'

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with such metadata is meant."""
        return not self.condition.matches(metadata)


@dataclass(frozen=True, eq=False)
class And:
    """All of the conditions hold; of none, always."""

    conditions: tuple[Condition, ...]

    @cached_property
    def key(self) -> str:
        """The condition in the dialect of filters, written in the one way."""
        return f'{{"$and": [{_keys(self.conditions)}]}}' if self.conditions else "{}"

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with such metadata is meant."""
        return all(condition.matches(metadata) for condition in self.conditions)


@dataclass(frozen=True, eq=False)
class Or:
    """At least one of the conditions holds."""

    conditions: tuple[Condition, ...]

    @cached_property
    def key(self) -> str:
        """The condition in the dialect of filters, written in the one way."""
        return f'{{"$or": [{_keys(self.conditions)}]}}'

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a document with such metadata is meant."""
        return any(condition.matches(metadata) for condition in self.conditions)


FieldCondition: TypeAlias = OneOf | Within | StartsWith | Exists
Condition: TypeAlias = FieldCondition | Not | And | Or


def all_of(conditions: Iterable[Condition]) -> Condition:
    """`And`, unless there is but one."""
    several = _merged(And, conditions)
    return several[0] if len(several) == 1 else And(several)


def any_of(conditions: Iterable[Condition]) -> Condition:
    """`Or`, unless there is but one."""
    several = _merged(Or, conditions)
    return several[0] if len(several) == 1 else Or(several)


def negated(condition: Condition) -> Condition:
    """`Not`, unless it would be the second."""
    return condition.condition if isinstance(condition, Not) else Not(condition)


def _merged(kind: type[And | Or], conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Each condition once, those of conditions of the same kind among them."""
    flat: dict[str, Condition] = {}
    for condition in conditions:
        parts = condition.conditions if isinstance(condition, kind) else (condition,)
        flat |= {part.key: part for part in parts}
    return tuple(flat.values())


def _keys(conditions: Iterable[Condition]) -> str:
    return ", ".join(sorted(condition.key for condition in conditions))
