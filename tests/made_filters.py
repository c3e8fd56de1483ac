"""Random metadata and filters, and an oracle that knows docs/filters.md and nothing else.

The oracle reads the filter as it was written. It is recursive where colxtr's definition is not,
compares numbers as fractions and strings as lists of code points.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

NAMES = ["a", "b", "c"]
FIELDS = ["a", "b", "c", "a.b", "b.c", "a.b.c", "c.c", "a.", "", "a.0", "z"]
KEYS = ["a", "b", "c", "a.b", "b.c", "", "0", "$a"]
NUMBERS: list[int | float] = [
    *(0, -0.0, 1, 1.0, -1, 2, 0.5, 7, 5e-324, 1e308, -1e308, 300, 10**400, -(10**400)),
    *(2**53, float(2**53), 2**53 + 1, 2**63 - 1, 2**63, float(2**63), -(2**63), -(2**63) - 1),
]
TEXTS = [
    *("", "a", "ab", "abc", "b", "B", "0", "1", "true", "null", "é", "e\u0301", "\0", "\uffff"),
    *("\U0001f600", "\U0001f601", "\ud83d", "\ud83dx", "\ue000", "a" * 300),
]
SCALARS = [None, True, False, *NUMBERS, *TEXTS]


def oracle(condition: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether a document matches, by the words of docs/filters.md."""
    return all(_entry(key, value, document) for key, value in condition.items())


def _entry(key: str, value: Any, document: dict[str, Any]) -> bool:
    if key == "$and":
        return all(oracle(part, document) for part in value)
    if key == "$or":
        return any(oracle(part, document) for part in value)
    if key == "$nor":
        return not any(oracle(part, document) for part in value)
    if key == "$not":
        return not oracle(value, document)
    places = list(_places(document, key))
    values = [leaf for place in places for leaf in _leaves(place)]
    if not isinstance(value, dict):
        value = {"$eq": value}
    return _operators(value, values, bool(places))


def _places(node: Any, name: str) -> Iterator[Any]:
    """What stands under a name, in all ways of reading its dots."""
    if isinstance(node, list):
        for item in node:
            yield from _places(item, name)
    elif isinstance(node, dict):
        for key, inner in node.items():
            if key == name:
                yield inner
            elif name.startswith(key + "."):
                yield from _places(inner, name[len(key) + 1 :])


def _leaves(place: Any) -> Iterator[Any]:
    if isinstance(place, list):
        for item in place:
            yield from _leaves(item)
    elif not isinstance(place, dict):
        yield place


def _operators(operators: dict[str, Any], values: list[Any], is_there: bool) -> bool:
    bounds = {o: v for o, v in operators.items() if o in {"$gt", "$gte", "$lt", "$lte"}}
    in_range = not bounds or any(
        all(_in_order(o, value, bound) for o, bound in bounds.items()) for value in values
    )
    others = operators.keys() - bounds.keys()
    return in_range and all(_holds(o, operators[o], values, is_there) for o in others)


def _holds(name: str, operand: Any, values: list[Any], is_there: bool) -> bool:
    def equals(wanted: Any) -> bool:
        if wanted is None and not is_there:
            return True
        return any(_comparable(value) == _comparable(wanted) for value in values)

    if name == "$exists":
        return is_there is operand
    if name == "$prefix":
        points = _comparable(operand)[1]
        strings = [_comparable(value)[1] for value in values if isinstance(value, str)]
        return any(string[: len(points)] == points for string in strings)
    if name == "$not":
        return not _operators(operand, values, is_there)
    return {
        "$eq": lambda: equals(operand),
        "$ne": lambda: not equals(operand),
        "$in": lambda: any(map(equals, operand)),
        "$nin": lambda: not any(map(equals, operand)),
        "$all": lambda: all(map(equals, operand)),
    }[name]()


def _in_order(name: str, value: Any, bound: Any) -> bool:
    (kind, left), (other_kind, right) = _comparable(value), _comparable(bound)
    if kind != other_kind:
        return False
    signs = {"$gt": [1], "$gte": [0, 1], "$lt": [-1], "$lte": [-1, 0]}[name]
    return (left > right) - (left < right) in signs


def _comparable(value: Any) -> tuple[str, Any]:
    if value is None:
        return "null", 0
    if value is True or value is False:
        return "boolean", str(value)
    if isinstance(value, str):
        return "string", [ord(character) for character in value]
    return "number", Fraction(value)


def metadata() -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects with few keys, so that filters meet them."""
    values = st.recursive(
        _scalars(),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
        ),
        max_leaves=8,
    )
    return st.dictionaries(st.sampled_from(KEYS), values, max_size=4)


def _scalars() -> st.SearchStrategy[Any]:
    return (
        st.sampled_from(SCALARS)
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5)
    )


def filters() -> st.SearchStrategy[dict[str, Any]]:
    """Filters of all operators, valid."""
    return st.integers(0).map(lambda seed: Maker(random.Random(seed)).filter())


class Maker:
    """Random metadata and filters that share a few values, so that they meet."""

    def __init__(self, rng: random.Random, n_values: int = 6) -> None:
        self._rng = rng
        self._scalars = rng.sample(SCALARS, n_values)
        self._numbers = [v for v in self._scalars if _comparable(v)[0] == "number"] or [3]
        self._texts = [v for v in self._scalars if isinstance(v, str)] or ["ab"]

    def metadata(self) -> dict[str, Any]:
        """A JSON object."""
        return self._object(3, self._rng.randrange(7))

    def _object(self, depth: int, n_keys: int) -> dict[str, Any]:
        rng = self._rng
        keys = KEYS if rng.random() < 0.3 else NAMES
        return {rng.choice(keys): self._value(depth - 1) for _ in range(n_keys)}

    def _value(self, depth: int) -> Any:
        kind = self._rng.random()
        if depth and kind < 0.25:
            return [self._value(depth - 1) for _ in range(self._rng.randrange(4))]
        if depth and kind < 0.5:
            return self._object(depth, self._rng.randrange(4))
        return self._rng.choice(self._scalars)

    def filter(self, depth: int = 3) -> dict[str, Any]:
        """A valid filter of up to so many levels."""
        return dict(self._entry(depth) for _ in range(self._rng.choice([1, 1, 1, 1, 2, 0])))

    def _entry(self, depth: int) -> tuple[str, Any]:
        rng = self._rng
        if not depth or rng.random() < 0.6:
            field = rng.choice(NAMES if rng.random() < 0.75 else FIELDS)
            plain = rng.random() < 0.2
            return field, rng.choice(self._scalars) if plain else self._operators(depth)
        name = rng.choice(["$and", "$or", "$nor", "$not"])
        if name == "$not":
            return name, self.filter(depth - 1)
        return name, [self.filter(depth - 1) for _ in range(rng.randrange(1, 4))]

    def _operators(self, depth: int) -> dict[str, Any]:
        rng = self._rng
        bounds: list[Any] = rng.choice([self._numbers, self._texts])  # of one kind in one range
        makers: dict[str, Callable[[], Any]] = {
            **dict.fromkeys(("$eq", "$ne"), lambda: rng.choice(self._scalars)),
            **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), lambda: rng.choice(bounds)),
            **dict.fromkeys(
                ("$in", "$nin"), lambda: rng.choices(self._scalars, k=rng.randrange(6))
            ),
            "$all": lambda: rng.choices(self._scalars, k=rng.randrange(1, 3)),
            "$exists": lambda: rng.random() < 0.5,
            "$prefix": lambda: rng.choice(self._texts)[: rng.randrange(3)],
            "$not": lambda: self._operators(depth - 1),
        }
        names = [name for name in makers if depth or name != "$not"]
        return {name: makers[name]() for name in rng.sample(names, rng.choice([1, 1, 1, 2, 3]))}
