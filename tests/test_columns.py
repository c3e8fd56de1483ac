"""Columns select the documents that a filter's definition lets through, and little else."""

from __future__ import annotations

import json
import random
import threading
import tracemalloc
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colxtr.columns import Columns
from colxtr.filters import parse_filter
from made_filters import SCALARS, Maker, filters, metadata, oracle


def columns_of(documents: Iterable[dict[str, Any]], **options: Any) -> Columns:
    texts = [json.dumps(document) for document in documents]
    return Columns(len(texts), lambda: texts, **options)


def selected(documents: Iterable[dict[str, Any]], condition: dict[str, Any]) -> list[bool]:
    mask = columns_of(documents).select(parse_filter(condition))
    assert mask.dtype == np.bool_
    result: list[bool] = mask.tolist()
    return result


def as_stored(documents: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(document)) for document in documents]  # two halves become a pair


@given(st.lists(metadata(), max_size=12), st.lists(filters(), min_size=1, max_size=4))
def test_equal_to_the_definition(
    documents: list[dict[str, Any]], conditions: list[dict[str, Any]]
) -> None:
    columns = columns_of(documents)
    for condition in map(parse_filter, conditions):
        expected = [condition.matches(document) for document in as_stored(documents)]
        assert columns.select(condition).tolist() == expected


def test_ten_thousand_random_filters_equal_the_oracle() -> None:
    rng = random.Random(5)
    n_telling = 0
    for _ in range(100):
        made = Maker(rng)
        documents = as_stored(made.metadata() for _ in range(rng.randrange(1, 60)))
        columns = columns_of(documents, memory_limit=rng.choice([0, 2_000, 1 << 20]))
        for _ in range(100):
            condition = made.filter()
            expected = [oracle(condition, document) for document in documents]
            checked = parse_filter(condition)
            assert columns.select(checked).tolist() == expected, condition
            assert [checked.matches(document) for document in documents] == expected, condition
            n_telling += 0 < sum(expected) < len(expected)
    assert n_telling > 3_500  # neither all documents nor none


@pytest.mark.parametrize("n_values", [245, 250, 251, 252, 300, 65_530, 65_531, 65_540])
def test_codes_of_every_width(n_values: int) -> None:
    columns = columns_of({"n": i, "s": f"{i:06}"} for i in range(n_values))
    assert columns.select(parse_filter({"n": n_values - 1})).nonzero()[0].tolist() == [n_values - 1]
    for condition in ({"n": {"$lt": 240}}, {"s": {"$lt": "000240"}}):
        assert columns.select(parse_filter(condition)).nonzero()[0].tolist() == list(range(240))
    last = {"s": {"$gt": f"{n_values - 3:06}"}}
    assert columns.select(parse_filter(last)).sum() == 2
    prefix = columns.select(parse_filter({"s": {"$prefix": "0001"}}))
    assert prefix.nonzero()[0].tolist() == list(range(100, min(200, n_values)))
    some = {"n": {"$in": list(range(0, n_values, 20))[:5_000]}}
    assert columns.select(parse_filter(some)).nonzero()[0].tolist() == list(range(0, n_values, 20))


@pytest.mark.parametrize("n", [1, 31, 32, 33, 63, 64, 65])
def test_strings_between_landmarks(n: int) -> None:
    texts = [f"{i:02}" for i in range(1, 2 * n, 2)]
    documents = [{"t": text} for text in texts]
    columns = columns_of(documents)
    for i in range(2 * n + 1):
        for operator in ("$eq", "$lt", "$lte", "$gt", "$gte", "$prefix"):
            condition = {"t": {operator: f"{i:02}"}}
            expected = [oracle(condition, document) for document in documents]
            assert columns.select(parse_filter(condition)).tolist() == expected


@pytest.mark.parametrize(
    "numbers",
    [
        [1, 2, -(2**63), 2**63 - 1],
        [0.5, 2**53, float(2**53)],
        [0.5, 2**53 + 1],
        [2**63, 2**70],
        [10**400, -(10**400), 0.5, 2],
    ],
    ids=["int64", "float64", "mixed", "float64 large", "huge"],
)
def test_numbers_however_kept_compare_exactly(numbers: list[float]) -> None:
    bounds = [bound for number in numbers for bound in (number, *_neighbours(number))]
    for operator in ("$eq", "$lt", "$lte", "$gt", "$gte"):
        for bound in bounds:
            condition = {"n": {operator: bound}}
            documents = [{"n": number} for number in numbers]
            assert selected(documents, condition) == [oracle(condition, d) for d in documents]


def _neighbours(number: float) -> list[float]:
    if isinstance(number, int):
        return [number - 1, number + 1]
    return [float(np.nextafter(number, -np.inf)), float(np.nextafter(number, np.inf))]


def test_no_documents() -> None:
    assert selected([], {"a": {"$ne": 1}}) == []


def test_empty_filter_reads_nothing() -> None:
    def read() -> Iterable[str]:
        raise AssertionError

    columns = Columns(3, read)
    assert columns.select(parse_filter({})).tolist() == [True] * 3
    assert columns.select(parse_filter({"$not": {}})).tolist() == [False] * 3


def test_fields_are_read_once_and_together() -> None:
    n_reads = 0

    def read() -> Iterable[str]:
        nonlocal n_reads
        n_reads += 1
        yield '{"a": 1, "b": 2}'

    columns = Columns(1, read)
    for condition in ({"a": 1, "b": 2}, {"b": 2}, {"a": 3}):
        columns.select(parse_filter(condition))
    assert n_reads == 1
    columns.select(parse_filter({"a": 1, "c": 2}))
    assert n_reads == 2


def test_what_was_used_longest_ago_is_forgotten() -> None:
    documents = [{f"f{i}": 1 for i in range(5)}] * 1_000
    columns = columns_of(documents, memory_limit=3_200)
    for i in range(5):
        columns.select(parse_filter({f"f{i}": 1}))
        assert columns.nbytes <= 3_200
    assert columns.nbytes > 3_000
    assert list(columns._kept) == ["f2", "f3", "f4"]
    columns.select(parse_filter({"f2": 1}))
    columns.select(parse_filter({"f0": 1}))
    assert list(columns._kept) == ["f4", "f2", "f0"]
    all_five = parse_filter({f"f{i}": 1 for i in range(5)})
    assert columns.select(all_five).all()
    assert len(columns._kept) == 5  # a filter's own fields are never dropped


def test_memory_is_what_nbytes_says() -> None:
    rng = random.Random(1)
    texts = [
        json.dumps({"s": f"{rng.random()} {'x' * 30}", "n": rng.random(), "l": ["x", "y", "z"]})
        for _ in range(20_000)
    ]
    columns = Columns(len(texts), lambda: texts)
    condition = parse_filter({"s": "a", "n": 1, "l": "y"})
    tracemalloc.start()
    columns.select(condition)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert columns.nbytes <= 20_000 * (2 + 50 + 15 + 2 + 8 + 1 + 2 * 5)
    assert held < 1.1 * columns.nbytes + 20_000


def test_many_threads() -> None:
    documents = [{f"f{i}": j % (i + 2) for i in range(8)} for j in range(500)]
    columns = columns_of(documents, memory_limit=2_000)
    wrong: list[str] = []

    def ask(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(50):
            condition = {f"f{i}": {"$gt": rng.randrange(3)} for i in rng.sample(range(8), 2)}
            expected = [oracle(condition, document) for document in documents]
            if columns.select(parse_filter(condition)).tolist() != expected:
                wrong.append(str(condition))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        ('{"a": 1', r"^the metadata of document 1 is not JSON: Expecting .* \(char 7\)$"),
        ("", "^the metadata of document 1 is not JSON: Expecting value: line 1 column 1"),
        ('{"a": NaN}', "^the metadata of document 1 is not JSON: NaN is no number$"),
        ('{"a": ' + "1" * 5_000 + "}", "^the metadata of document 1 is not JSON: Exceeds"),
        ("[" * 100_000, "^the metadata of document 1 is not JSON"),
        (None, "^the metadata of document 1 is not JSON"),
        ("[1]", r"^the metadata of document 1 is no JSON object: '\[1\]'$"),
        ("null", "^the metadata of document 1 is no JSON object: 'null'$"),
    ],
)
def test_damage(damaged: Any, message: str) -> None:
    columns = Columns(2, lambda: ["{}", damaged])
    for _ in range(2):  # nothing half-read is kept
        with pytest.raises(ValueError, match=message):
            columns.select(parse_filter({"a": 1}))
    assert columns.nbytes == 0


@pytest.mark.parametrize("n", [0, 1, 3, 4])
def test_wrong_number_of_documents(n: int) -> None:
    with pytest.raises(ValueError, match=f"^there is metadata of {n} documents for 2$"):
        Columns(2, lambda: ["{}"] * n).select(parse_filter({"a": 1}))


def test_errors_of_the_reader_come_through() -> None:
    def read() -> Iterable[str]:
        yield "{}"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        Columns(2, read).select(parse_filter({"a": 1}))


def test_every_scalar_finds_itself() -> None:
    documents = as_stored({"a": value} for value in SCALARS)
    columns = columns_of(documents)
    for i, document in enumerate(documents):
        mask = columns.select(parse_filter({"a": document["a"]}))
        assert mask[i]
        assert mask.tolist() == [oracle({"a": document["a"]}, other) for other in documents]
