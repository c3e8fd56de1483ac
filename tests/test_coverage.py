"""Coverage, exact runs and XTR over ScaNN, held against their definitions."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from colxtr import reference
from colxtr.errors import InputError, MissingDependencyError
from colxtr.evaluation import exhaustive
from colxtr.evaluation.coverage import coverage, retrieval_ranks
from colxtr.evaluation.embedded import EmbeddedCollection
from colxtr.evaluation.exhaustive import exact_run
from colxtr.evaluation.scann_store import ScannStore, xtr_ranking
from made import Clustered, unit


def embedded(
    folder: Path, documents: list[NDArray[np.float32]], size: int = 7
) -> EmbeddedCollection:
    folder.mkdir()
    for number, start in enumerate(range(0, len(documents), size)):
        some = documents[start : start + size]
        np.save(folder / f"tokens-{number:06}.npy", np.concatenate(some))
        np.save(folder / f"counts-{number:06}.npy", np.array([len(d) for d in some], np.int64))
        (folder / f"part-{number:06}.json").write_text(json.dumps({"seconds": 0}))
    return EmbeddedCollection(folder)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Documents, one of them empty, in several parts, read in small pieces."""
    monkeypatch.setattr(exhaustive, "PIECE_TOKENS", 50)
    monkeypatch.setattr(exhaustive, "QUERY_TOKENS", 10)
    clustered = Clustered(0)
    documents = clustered.documents(40, 12)
    documents[5] = documents[5][:0]
    queries = [clustered.tokens(n) for n in (4, 1, 7)]
    return embedded(tmp_path / "e", documents), documents, queries


def test_exact_run(made) -> None:
    stored, documents, queries = made
    ids = [f"d{i}" for i in range(len(documents))]
    named = {"a": queries[0], "empty": queries[0][:0], "b": queries[1], "c": queries[2]}
    run = exact_run(stored, ids, named, 10)
    assert list(run) == list(named)
    assert run["empty"] == {}
    for name in ("a", "b", "c"):
        best = reference.top(reference.exact(named[name], documents), 10)
        assert list(run[name]) == [ids[i] for i, _ in best]
        assert list(run[name].values()) == pytest.approx([s for _, s in best], abs=1e-6)


def test_ranks_are_those_of_sorting(made) -> None:
    stored, documents, queries = made
    relevant = [[3, 5], [], [0, 17, 39]]
    ranks = retrieval_ranks(stored, queries, relevant)
    owners = np.repeat(np.arange(len(documents)), [len(d) for d in documents])
    tokens = np.concatenate(documents)
    for query, wanted, found in zip(queries, relevant, ranks, strict=True):
        assert found.shape == (len(wanted), len(query))
        for document, of_document in zip(wanted, found, strict=True):
            for token, rank in zip(query, of_document, strict=True):
                order = owners[np.argsort(-(tokens @ token), kind="stable")]
                places = np.flatnonzero(order == document)
                assert rank == (places[0] + 1 if len(places) else np.iinfo(np.int64).max)


def test_coverage_by_hand() -> None:
    ranks = [np.array([[1, 30], [11, 300]]), np.array([[2]]), np.empty((0, 3), np.int64)]
    found = coverage(ranks, [1, 10, 100])
    assert [each.k_prime for each in found] == [1, 10, 100]
    assert [each.documents for each in found] == [0.25, 0.75, 1.0]
    assert [each.query_tokens for each in found] == [0.125, 0.625, 0.875]
    with pytest.raises(InputError, match="no query has both"):
        coverage([np.empty((0, 3), np.int64)])
    with pytest.raises(InputError, match="at least 1"):
        coverage(ranks, [0])


def test_coverage_agrees_with_what_xtr_finds(made) -> None:
    """A document is among XTR's candidates at k' exactly where a rank of it is at most k'."""
    stored, documents, queries = made
    owners = np.repeat(np.arange(len(documents)), [len(d) for d in documents])
    tokens = np.concatenate(documents)
    everything = list(range(len(documents)))
    (ranks,) = retrieval_ranks(stored, queries[:1], [everything])
    collection = reference.Collection(tokens, owners, np.zeros(len(tokens), np.int64), tokens[:1])
    seen = np.ones((len(queries[0]), len(tokens)), bool)
    for k_prime in (1, 5, 20):
        found = reference.retrieve(queries[0], collection, seen, k_prime)
        candidates = set(reference.imputed_scores(found, retrieved_only=True))
        assert candidates == set(np.flatnonzero((ranks <= k_prime).any(axis=1)).tolist())


def test_embeddings_are_cut(tmp_path) -> None:
    document = unit(np.random.default_rng(0).standard_normal((5, 32)))
    whole = embedded(tmp_path / "e", [document])
    cut = EmbeddedCollection(whole.folder, 16)
    (found,) = cut.documents()
    assert found == pytest.approx(unit(document[:, :16]), abs=1e-6)
    (found,) = EmbeddedCollection(whole.folder, 16, normalise=False).documents()
    assert (found == document[:, :16]).all()


def test_damaged_embeddings_are_named(tmp_path) -> None:
    stored = embedded(tmp_path / "e", [np.eye(16, dtype=np.float32)])
    path = stored.folder / "tokens-000000.npy"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"tokens-000000\.npy: a cached file that is damaged"):
        list(stored.documents())


# --- ScaNN: the interface of its package, searched exhaustively ----------------------------------


class FakeBuilder:
    def __init__(self, tokens, neighbours, distance):
        assert distance == "dot_product"
        self.tokens, self.neighbours, self.calls = tokens, neighbours, []

    def tree(self, num_leaves, num_leaves_to_search, training_sample_size):
        assert 1 <= num_leaves_to_search <= num_leaves <= training_sample_size
        self.calls.append("tree")
        return self

    def score_ah(self, dimensions_per_block, anisotropic_quantization_threshold):
        assert dimensions_per_block == 2
        self.calls.append("score_ah")
        return self

    def score_brute_force(self):
        self.calls.append("score_brute_force")
        return self

    def reorder(self, neighbours):
        assert neighbours == self.neighbours
        self.calls.append("reorder")
        return self

    def build(self):
        return FakeSearcher(self)


class FakeSearcher:
    def __init__(self, builder):
        self.tokens, self.k, self.calls = builder.tokens, builder.neighbours, builder.calls

    def search_batched(self, queries):
        similarities = queries @ self.tokens.T
        best = np.argsort(-similarities, axis=1, kind="stable")[:, : self.k]
        return best.astype(np.uint32), np.take_along_axis(similarities, best, axis=1)

    def serialize(self, folder):
        (Path(folder) / "dataset.npy").write_bytes(b"x" * 100)


@pytest.fixture
def fake_scann(monkeypatch):
    library = SimpleNamespace(scann_ops_pybind=SimpleNamespace(builder=FakeBuilder))
    monkeypatch.setitem(sys.modules, "scann", library)


@pytest.mark.usefixtures("fake_scann")
@pytest.mark.parametrize("k_prime", [3, 20, 10_000])
def test_xtr_over_scann(made, tmp_path, k_prime) -> None:
    stored, documents, queries = made
    store = ScannStore.build(stored, k_prime=k_prime)
    owners = np.repeat(np.arange(len(documents)), [len(d) for d in documents])
    tokens = np.concatenate(documents)
    collection = reference.Collection(tokens, owners, np.zeros(len(tokens), np.int64), tokens[:1])
    for query in queries:
        seen = np.ones((len(query), len(tokens)), bool)
        found = reference.retrieve(query, collection, seen, min(k_prime, len(tokens)))
        best = reference.top(reference.imputed_scores(found, retrieved_only=True), 10)
        ours = store.search(query, 10)
        assert [i for i, _ in ours] == [i for i, _ in best]
        assert [s for _, s in ours] == pytest.approx([s for _, s in best], abs=1e-6)
    assert store.search(queries[0][:0], 10) == []
    assert store.searcher.calls == ["score_brute_force"]
    assert store.write(tmp_path / "scann") == 100


@pytest.mark.usefixtures("fake_scann")
def test_scann_of_many_tokens_has_leaves(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("colxtr.evaluation.scann_store._BRUTE_FORCE_BELOW", 100)
    stored = embedded(tmp_path / "e", [Clustered(0).tokens(400)])
    store = ScannStore.build(stored)
    assert store.searcher.calls == ["tree", "score_ah", "reorder"]
    assert store.k_prime == 40


def test_what_scann_does_not_find_is_left_out() -> None:
    """ScaNN fills up with NaN where the leaves searched hold too few tokens."""
    similarities = np.array([[0.9, 0.5, np.nan], [np.nan, np.nan, np.nan]], np.float32)
    neighbours = np.array([[0, 3, 0], [0, 0, 0]], np.uint32)
    owners = np.array([7, 7, 8, 9])
    ranking = xtr_ranking(neighbours, similarities, owners, 10)
    assert ranking == [(7, pytest.approx(0.45)), (9, pytest.approx(0.25))]


def test_without_scann(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "scann", None)
    stored = embedded(tmp_path / "e", [np.eye(16, dtype=np.float32)])
    with pytest.raises(MissingDependencyError, match=r"colxtr\[scann\]"):
        ScannStore.build(stored)
