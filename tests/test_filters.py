"""Filters: what is accepted, what it means document by document, and what is refused."""

from __future__ import annotations

import enum
import json
import re
import sys
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colxtr.errors import InputError
from colxtr.filters import Filter, parse_filter, parse_filter_text
from conftest import ROOT
from made_filters import filters, metadata, oracle


def examples() -> list[tuple[dict[str, Any], dict[str, Any], bool]]:
    """The rows of the table of examples in docs/filters.md."""
    page = (ROOT / "docs" / "filters.md").read_text().split("## Examples")[1].split("##")[0]
    rows = [row.strip("|").split("|") for row in page.strip().splitlines()[2:]]
    cells = [[list(map(json.loads, re.findall("`(.+?)`", cell))) for cell in row] for row in rows]
    return [
        (document, condition, expected)
        for [document], matching, others in cells
        for conditions, expected in ((matching, True), (others, False))
        for condition in conditions
    ]


@pytest.mark.parametrize(("document", "condition", "expected"), examples())
def test_documented_examples(
    document: dict[str, Any], condition: dict[str, Any], expected: bool
) -> None:
    assert parse_filter(condition).matches(document) is expected
    assert parse_filter({"$not": condition}).matches(document) is not expected
    assert oracle(condition, document) is expected


def test_the_table_of_examples_is_read() -> None:
    assert len(examples()) > 25


@pytest.mark.parametrize(
    ("condition", "document", "expected"),
    [
        ({}, {}, True),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, True),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, False),
        ({"$and": [{}, {"a": 1}]}, {"a": 1}, True),
        ({"$nor": [{"a": 1}, {"b": 1}]}, {"a": 2}, True),
        ({"$nor": [{"a": 1}, {"b": 1}]}, {"b": 1}, False),
        ({"a": {"$in": []}}, {}, False),
        ({"a": {"$nin": []}}, {}, True),
        ({"a": {"$in": [None, 5]}}, {}, True),
        ({"a": {"$all": [None]}}, {"a": []}, False),
        ({"a": {"$gte": "b", "$lt": "c"}}, {"a": ["a", "z", "bz"]}, True),
        ({"a": {"$gt": 1, "$gte": 2, "$lte": 2}}, {"a": 2}, True),
        ({"a": {"$gt": 3, "$lt": 2}}, {"a": [1, 4]}, False),
        ({"a": {"$not": {"$gte": 1, "$lt": 5}}}, {"a": [0, 7]}, True),
        ({"a": {"$not": {"$not": {"$eq": 1}}}}, {"a": 1}, True),
        ({"a": [[1]][0][0]}, {"a": [[[1]]]}, True),
        ({"a.b.c": 1}, {"a": [[{"b": [{"c": [0, 1]}]}]]}, True),
        ({"a.b": {"$exists": True}}, {"a": []}, False),
        ({"a.b": {"$exists": True}}, {"a": [{}, {"b": None}]}, True),
        ({"a": {"$exists": True}}, {"a": {}}, True),
        ({"a": {"$exists": False}}, {"b": 1}, True),
        ({"a.b": 2}, {"a.b": 2, "a": {"b": 1}}, True),
        ({"a.b.c": 2}, {"a.b": {"c": 2}}, True),
        ({"": 1}, {"": 1}, True),
        ({".": 1}, {"": {"": 1}}, True),
        ({"a": {"$prefix": ""}}, {"a": [1, ""]}, True),
        ({"a": {"$prefix": ""}}, {"a": 1}, False),
        ({"a": {"$lt": "\U0001f600"}}, {"a": "\uffff"}, True),  # UTF-16 would say no
        ({"a": 0}, {"a": -0.0}, True),
        ({"a": 2**53 + 1}, {"a": float(2**53)}, False),
        ({"a": {"$lt": 10**400}}, {"a": 1e308}, True),
        ({"a": {"$lt": False + 1}}, {"a": False}, False),
    ],
)
def test_meaning(condition: dict[str, Any], document: dict[str, Any], expected: bool) -> None:
    assert parse_filter(condition).matches(document) is expected
    assert oracle(condition, document) is expected


@given(filters(), st.lists(metadata(), max_size=5))
def test_matches_equals_the_oracle(
    condition: dict[str, Any], documents: list[dict[str, Any]]
) -> None:
    checked = parse_filter(condition)
    for document in documents:
        assert checked.matches(document) is oracle(condition, document)


@given(filters(), st.lists(metadata(), max_size=5))
def test_the_key_is_the_filter_in_one_form(
    condition: dict[str, Any], documents: list[dict[str, Any]]
) -> None:
    checked = parse_filter(condition)
    again = parse_filter_text(checked.key)
    assert again == checked
    assert again.fields == checked.fields
    assert [again.matches(d) for d in documents] == [checked.matches(d) for d in documents]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 1, "b": 2}, {"$and": [{"b": 2.0}, {"$and": [{"a": 1}]}, {"b": 2}]}),
        ({"a": -0.0}, {"a": {"$eq": 0}}),
        ({"a": {"$in": [2, 1, 2.0]}}, {"a": {"$in": (1, 2)}}),
        ({"a": {"$ne": 1}}, {"a": {"$not": {"$eq": 1}}}),
        ({"$nor": [{"a": 1}, {"a": 2}]}, {"$not": {"$or": [{"a": 2}, {"a": 1}]}}),
        ({"a": {"$lt": 2, "$gt": 1}}, {"a": {"$gt": 1, "$lt": 2}}),
        ({"$not": {"$nor": [{"a": 1}]}}, {"a": 1}),
        ({}, {"$and": [{}, {}]}),
    ],
)
def test_equal_keys(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert parse_filter(one) == parse_filter(other)
    assert len({parse_filter(one), parse_filter(other)}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": True}, {"a": 1}),
        ({"a": None}, {"a": {"$exists": False}}),
        ({"a": "1"}, {"a": 1}),
        ({"a": {"$gt": 1, "$lt": 2}}, {"$and": [{"a": {"$gt": 1}}, {"a": {"$lt": 2}}]}),
        ({"a": 1, "b": 1}, {"$or": [{"a": 1}, {"b": 1}]}),
        ({"a": 2**53}, {"a": 2**53 + 1}),
        ({"a": "\ud83d\ude00"}, {"a": "\ud83d\ude01"}),
    ],
)
def test_different_keys(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert parse_filter(one) != parse_filter(other)


def test_values_are_taken_as_pythons_own() -> None:
    class Lang(str, enum.Enum):  # noqa: UP042 (whose str() is not its value)
        EN = "en"

    class Level(enum.IntEnum):
        HIGH = 3

    condition = parse_filter({"lang": Lang.EN, "level": Level.HIGH, "tag": {"$in": {"x"}}})
    assert condition == parse_filter({"lang": "en", "level": 3, "tag": "x"})
    assert condition.fields == ("lang", "level", "tag")
    assert parse_filter(condition) is condition


def nested(depth: int) -> dict[str, Any]:
    condition: dict[str, Any] = {"a": 1}
    for _ in range(depth - 1):
        condition = {"$or": [condition]}
    return condition


def test_limits_are_reached() -> None:
    assert parse_filter(nested(32)).matches({"a": 1})
    assert parse_filter({"a": {"$in": list(range(10_000))}}).matches({"a": 9_999})
    assert len(parse_filter({f"f{i}": 1 for i in range(64)}).fields) == 64
    assert parse_filter({"a": 10**4299}).key == f'{{"a": {{"$in": [1{"0" * 4299}]}}}}'
    name = ".".join("x" * 32)
    assert parse_filter({name: None}).matches({})


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (5, r"^filter is 5; an object such as \{.*\} is possible$"),
        ([{"a": 1}], "^filter is a list; an object such as"),
        ("{}", "^filter is '{}'; an object"),
        ({1: 2}, r"^filter\[1\] is no field; the names of fields are strings$"),
        (
            {"a": [1]},
            r"^filter\['a'\] is a list; .* or null is possible; for any .*in.*, for all",
        ),
        ({"a": date(2024, 1, 1)}, r"^filter\['a'\] is a date; a string, a number, true, false or"),
        ({"a": float("nan")}, r"^filter\['a'\] is nan; a string, a number"),
        ({"a": {"$lt": float("inf")}}, r"^filter\['a'\]\['\$lt'\] is inf; a number or a string is"),
        ({"a": {"$lt": True}}, r"^filter\['a'\]\['\$lt'\] is true; a number or a string is"),
        ({"a": {"$lt": None}}, r"^filter\['a'\]\['\$lt'\] is null; a number or a string is"),
        (
            {"a": {"$lt": [1]}},
            r"^filter\['a'\]\['\$lt'\] is a list; a number or a string is possible$",
        ),
        ({"a": {"$gt": 1, "$lt": "b"}}, r"^filter\['a'\] has bounds of a number and of a string"),
        ({"a": {}}, r"^filter\['a'\] is empty; write \{\"\$exists\": true\} for any value$"),
        (
            {"a": {"$like": 1}},
            r"^filter\['a'\]\['\$like'\] is no operator; \$not, \$gt, .* possible$",
        ),
        ({"a": {"$regex": "x"}}, r"'\$regex'\] is no operator; .*\{\"\$prefix\": \"...\"\}$"),
        ({"a": {"$contains": "x"}}, r"any of its elements"),
        ({"a": {"$elemMatch": {}}}, r"hold for one element"),
        ({"a": {"b": 1}}, r"^filter\['a'\]\['b'\] is no operator; .*with a dot: \"author.name\"$"),
        ({"a": {1: 1}}, r"^filter\['a'\]\[1\] is no operator"),
        (
            {"$where": 1},
            r"^filter\['\$where'\] is no operator; \$and, \$or, \$nor, \$not, names of",
        ),
        (
            {"$gt": 1},
            r"^filter\['\$gt'\] stands where a field should; write .*\{\"\$gt\": ...\}\}$",
        ),
        ({"$and": []}, r"^filter\['\$and'\] is an empty list; it needs at least one filter$"),
        ({"$or": {"a": 1}}, r"^filter\['\$or'\] is a dict; a list is possible$"),
        ({"$or": [{"a": 1}, 7]}, r"^filter\['\$or'\]\[1\] is 7; an object such as"),
        ({"$not": [{}]}, r"^filter\['\$not'\] is a list; an object"),
        ({"a": {"$not": 5}}, r"^filter\['a'\]\['\$not'\] is 5; an object of operators is possible"),
        ({"a": {"$not": {}}}, r"^filter\['a'\]\['\$not'\] is empty"),
        ({"a": {"$in": "xyz"}}, r"^filter\['a'\]\['\$in'\] is 'xyz'; a list is possible$"),
        ({"a": {"$in": [1, [2]]}}, r"^filter\['a'\]\['\$in'\]\[1\] is a list; a string"),
        ({"a": {"$eq": {"b": 1}}}, r"^filter\['a'\]\['\$eq'\] is a dict; a string"),
        ({"a": {"$all": []}}, r"'\$all'\] is an empty list; it needs at least one value$"),
        ({"a": {"$prefix": 1}}, r"'\$prefix'\] is 1; a string is possible$"),
        ({"a": {"$exists": 1}}, r"'\$exists'\] is 1; true or false is possible$"),
        ({"a": 10**5000}, r"^filter\['a'\] is an integer of more than 4,300 digits$"),
        ({"a": {"$prefix": 10**5000}}, r"is a very large integer; a string is possible$"),
        ({"x" * 99: [1]}, r"^filter\['x{60}\.\.\.'\] is a list"),
        (nested(33), r"^filter(\['\$or'\]\[0\]){32} is nested 33 deep; 32 are possible$"),
        ({".".join("x" * 33): 1}, r"has 33 parts; 32 are possible$"),
        ({f"f{i}": 1 for i in range(65)}, r"^filter\['f64'\] is one field more than the 64 that"),
        (
            {"a": {"$in": list(range(10_001))}},
            r"^filter\['a'\]\['\$in'\]\[10000\] is one more than the 10,000 conditions and values",
        ),
        ({"$or": [{"a": {"$exists": True}}] * 10_001}, r"one more than the 10,000 conditions"),
        ({"$or": [{"a": {"$prefix": ""}}] * 10_001}, r"one more than the 10,000 conditions"),
    ],
)
def test_refused(condition: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_filter(condition)


def test_a_filter_within_itself_ends_at_the_limit() -> None:
    condition: dict[str, Any] = {}
    condition["$and"] = [condition]
    with pytest.raises(InputError, match="nested 33 deep"):
        parse_filter(condition)
    operators: dict[str, Any] = {}
    operators["$not"] = operators
    with pytest.raises(InputError, match="nested 33 deep"):
        parse_filter({"a": operators})


def test_text() -> None:
    condition = parse_filter_text('{"year": {"$gte": 2020}, "lang": "en"}')
    assert isinstance(condition, Filter)
    assert condition.fields == ("lang", "year")
    assert condition.matches({"year": 2020, "lang": "en"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"^the filter '' is not JSON: Expecting value, at character 1; write an object such"),
        ("{year: 2020}", r"^the filter '\{year: 2020\}' is not JSON: .*, at character 2; write"),
        ('{"a": 1} x', "is not JSON: Extra data, at character 10;"),
        ("lang=en", "is not JSON"),
        ("7", "^filter is 7; an object"),
        ('{"a": NaN}', "^the filter contains NaN; only finite numbers are possible$"),
        ('{"a": -Infinity}', "^the filter contains -Infinity"),
        ('{"a": 1e999}', r"^filter\['a'\] is inf"),
        ('{"a": 1, "a": 2}', "^the filter contains 'a' twice in one object; write"),
        ('{"a": ' + "9" * 5000 + "}", "^the filter .* cannot be read: Exceeds the limit"),
        ('{"$gt": ' * 3, "is not JSON"),
        ('{"a": {"$gt": true}}', r"^filter\['a'\]\['\$gt'\] is true"),
    ],
)
def test_refused_text(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_filter_text(text)


def test_text_nested_without_end() -> None:
    with pytest.raises(InputError, match=r"nested|is not JSON"):
        parse_filter_text('{"$not":' * 200_000)
    with pytest.raises(
        InputError, match=r"^the filter '\[{60}\.\.\.' is nested deeper than 32|is a list"
    ):
        parse_filter_text("[" * 100_000 + "]" * 100_000)


@given(st.text())
def test_any_text_gives_a_filter_or_an_error(text: str) -> None:
    try:
        assert isinstance(parse_filter_text(text), Filter)
    except InputError as error:
        assert "filter" in str(error)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["$and", "$or", "$not", "$gt", "$in", "$exists", "a", "$x"]),
            inner,
            max_size=3,
        )
    ),
)


@given(anything)
def test_any_object_gives_a_filter_or_an_error(value: Any) -> None:
    try:
        assert isinstance(parse_filter(value), Filter)
    except InputError as error:
        assert str(error).startswith("filter")


def test_metadata_may_be_nested_very_deep() -> None:
    deep: Any = 1
    for _ in range(sys.getrecursionlimit() * 2):
        deep = [deep]
    assert parse_filter({"a": 1}).matches({"a": deep})
