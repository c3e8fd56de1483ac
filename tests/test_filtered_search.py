"""Searches with a filter: exactly those documents, at any selectivity."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from colxtr import Index
from colxtr.errors import CorruptIndexError, InputError
from made import Clustered
from test_cli import run, succeed

DIM = 32
METHODS = ("colxtr", "xtr", "colbertv2", "colbert", "exact")
SHARES = {"all": 1, "half": 2, "tenth": 10, "few": 300, "one": 4_000}


def metadata(i: int) -> dict[str, object]:
    """Values that come back every so many documents."""
    return {name: i % share == 0 for name, share in SHARES.items()} | {"number": i}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """8,000 documents, 240,000 tokens, in three segments, some deleted."""
    made = Clustered(seed=1, dim=DIM, n_topics=300)
    with Index.create(tmp_path_factory.mktemp("filtered") / "index", dim=DIM) as index:
        for start in (0, 3_000, 6_000):
            n = 3_000 if start < 6_000 else 2_000
            documents = [
                {"id": f"d{i}", "text": "", "metadata": metadata(i)}
                for i in range(start, start + n)
            ]
            index.add_embeddings(documents, [made.tokens(30) for _ in range(n)])
        index.delete([f"d{i}" for i in range(0, 8_000, 7)])
        yield index


def queries(n: int) -> list[NDArray[np.float32]]:
    made = Clustered(seed=1, dim=DIM, n_topics=300)  # the same topics
    made.random = np.random.default_rng(9)
    return [made.tokens(12) for _ in range(n)]


def found(index: Index, query: NDArray[np.float32], **options: object) -> list[str]:
    return [hit.id for hit in index.search_embeddings(query, threads=1, **options)]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("method", METHODS)
def test_nothing_else_is_found(index: Index, share: str, method: str) -> None:
    allowed = {f"d{i}" for i in range(0, 8_000, SHARES[share]) if i % 7}
    for options in ({}, {"n_probe": 3}, {"n_probe": 3, "rerank": 0}):
        got = found(index, queries(1)[0], k=50, method=method, filter={share: True}, **options)
        assert set(got) <= allowed
        if not options:
            assert len(got) == min(50, len(allowed))


def share_found(index: Index, **options: object) -> float:
    """Of the 10 best documents, the share that a search by default settings finds."""
    shares = []
    for query in queries(20):
        best = found(index, query, method="exact", **options)
        shares.append(len(set(found(index, query, **options)) & set(best)) / len(best))
    return float(np.mean(shares))


@pytest.mark.parametrize("share", SHARES)
def test_as_good_as_without_filter(index: Index, share: str) -> None:
    assert share_found(index, filter={share: True}) >= share_found(index) - 0.01


def test_exact_scores_are_those_of_the_whole_search(index: Index) -> None:
    (query,) = queries(1)
    everything = index.search_embeddings(query, k=8_000, method="exact")
    wanted = [(h.id, h.score) for h in everything if h.metadata["tenth"]]
    got = index.search_embeddings(query, k=8_000, method="exact", filter={"tenth": True})
    assert [(h.id, h.score) for h in got] == wanted


def test_the_same_for_any_number_of_threads(index: Index) -> None:
    for query in queries(3):
        for method in METHODS:
            options = {"method": method, "filter": {"half": True}, "n_probe": 4}
            one, two = (index.search_embeddings(query, threads=n, **options) for n in (1, 2))
            assert one == two


def test_a_filter_that_lets_nothing_through(index: Index) -> None:
    for method in METHODS:
        assert found(index, queries(1)[0], method=method, filter={"number": -1}) == []


def test_filters_are_asked_for_again_after_a_change(tmp_path: Path) -> None:
    made = Clustered(seed=1, dim=DIM)
    with Index.create(tmp_path / "index", dim=DIM) as index:
        for i in range(12):
            index.add_embeddings(
                [{"id": f"d{i}", "metadata": {"n": i}, "text": ""}], [made.tokens(5)]
            )
            assert len(found(index, queries(1)[0], k=50, filter={"n": {"$gte": 3}})) == max(
                0, i - 2
            )
        index.delete(["d5"])
        assert "d5" not in found(index, queries(1)[0], k=50, filter={"n": {"$gte": 3}})
        index.optimize()
        assert len(found(index, queries(1)[0], k=50, filter={"n": {"$gte": 3}})) == 8


def test_explanations_know_the_filter(index: Index) -> None:
    (query,) = queries(1)
    hit = index.search_embeddings(query, k=1, filter={"tenth": True})[0]
    explained = index.explain_embeddings(query, hit.id, filter={"tenth": True})
    assert explained.score == pytest.approx(hit.score, abs=1e-5)
    with pytest.raises(InputError, match="the filter does not let the document 'd1' through"):
        index.explain_embeddings(query, "d1", filter={"tenth": True})


def test_a_bad_filter_is_an_error(index: Index) -> None:
    with pytest.raises(InputError, match=r"\$regex"):
        index.search_embeddings(queries(1)[0], filter={"number": {"$regex": "x"}})


def test_the_command_line_filters(tmp_path: Path) -> None:
    documents = tmp_path / "documents.jsonl"
    lines = [{"id": f"d{i}", "text": f"a text about {i}", "metadata": {"n": i}} for i in range(9)]
    documents.write_text("\n".join(map(json.dumps, lines)))
    succeed("index", documents, "--index", tmp_path / "i")
    condition = '{"n": {"$lt": 3}}'
    printed = json.loads(succeed("search", tmp_path / "i", "text", "--filter", condition, "--json"))
    assert {hit["id"] for hit in printed["hits"]} == {"d0", "d1", "d2"}
    assert printed["filter"] == {"n": {"$lt": 3}}
    succeed("search", tmp_path / "i", "text", "--filter", condition, "--explain")
    failed = run("search", tmp_path / "i", "text", "--filter", "{")
    assert failed.returncode == 1
    assert "filter" in failed.stderr


def test_damaged_metadata_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colxtr.storage.generation.CHECKED_BYTES", 0)  # as if it were large
    made = Clustered(seed=1, dim=DIM)
    with Index.create(tmp_path / "index", dim=DIM) as index:
        index.add_embeddings([{"id": "d", "metadata": {"n": 12345}, "text": ""}], [made.tokens(5)])
    path = next((tmp_path / "index").glob("*.sqlite"))
    path.write_bytes(path.read_bytes().replace(b'"n": 12345}', b'"n": 12345]'))
    with Index.open(tmp_path / "index") as index:
        with pytest.raises(CorruptIndexError, match=rf"{path.name}: damaged metadata"):
            index.search_embeddings(queries(1)[0], filter={"n": 1})
        with pytest.raises(
            CorruptIndexError, match=rf"{path.name}: damaged: the row of document 0"
        ):
            index.search_embeddings(queries(1)[0])
