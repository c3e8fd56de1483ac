"""The life of an index: whatever was done to it, it answers as one built of what it holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)
from numpy.typing import NDArray

import colxtr
from colxtr.errors import InputError, ReadOnlyError
from colxtr.storage.merging import MERGE_WIDTH

DIM = 16
METHODS = ("colxtr", "xtr", "colbertv2", "colbert", "exact")


def embeddings(seed: int, n_tokens: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((n_tokens, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def document(seed: int) -> NDArray[np.float32]:
    """Between 0 and 12 tokens."""
    return embeddings(seed, seed % 13)


QUERY = embeddings(1_000_003, 5)


def answers(index: colxtr.Index, **options: object) -> dict[str, float]:
    hits = index.search_embeddings(QUERY, k=1_000, threads=1, **options)
    return {hit.id: hit.score for hit in hits}


def first_documents() -> tuple[list[str], list[NDArray[np.float32]]]:
    """What every index of these tests begins with, so that all have the same centroids."""
    return [f"first-{i}" for i in range(8)], [embeddings(500 + i, 12) for i in range(8)]


def built(path: Path, held: dict[str, int]) -> colxtr.Index:
    """An index of the same centroids that holds nothing else, added at once."""
    index = colxtr.Index.create(path, dim=DIM, overwrite=True)
    ids, arrays = first_documents()
    index.add_embeddings(ids, arrays)
    index.add_embeddings(held, [document(seed) for seed in held.values()])
    index.delete(ids)
    index.optimize(retrain=False)
    return index


def assert_same(index: colxtr.Index, held: dict[str, int], path: Path) -> None:
    assert len(index) == len(held)
    with built(path, held) as other:
        for method in METHODS:
            for options in ({}, {"n_probe": 2}, {"n_probe": 2, "k_prime": 7, "rerank": 0}):
                got = answers(index, method=method, **options)
                wanted = answers(other, method=method, **options)
                assert got == wanted, (method, options)
                assert set(got) <= set(held)


class Life(RuleBasedStateMachine):
    """Random histories."""

    IDS = st.lists(st.sampled_from([f"d{i}" for i in range(12)]), unique=True, max_size=6)
    SEEDS = st.integers(0, 10_000)

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(self.tmp.mktemp("life"))  # type: ignore[attr-defined]
        self.held: dict[str, int] = {}

    @initialize()
    def create(self) -> None:
        self.index = colxtr.Index.create(self.folder / "index", dim=DIM)
        ids, arrays = first_documents()
        self.index.add_embeddings(ids, arrays)
        self.index.delete(ids)
        self.reader = colxtr.Index.open(self.folder / "index")

    @rule(ids=IDS, seed=SEEDS)
    def add(self, ids: list[str], seed: int) -> None:
        new = {doc_id: seed + i for i, doc_id in enumerate(ids)}
        self.index.add_embeddings(new, [document(s) for s in new.values()], skip_existing=True)
        self.held = new | self.held

    @rule(ids=IDS, seed=SEEDS)
    def update(self, ids: list[str], seed: int) -> None:
        new = {doc_id: seed + i for i, doc_id in enumerate(ids)}
        assert self.index.update_embeddings(new, [document(s) for s in new.values()]) == len(new)
        self.held |= new

    @rule(ids=IDS)
    def delete(self, ids: list[str]) -> None:
        gone = [doc_id for doc_id in ids if doc_id in self.held]
        assert self.index.delete(ids) == len(gone)
        for doc_id in gone:
            del self.held[doc_id]

    @rule()
    def optimize(self) -> None:
        self.index.optimize(retrain=False)
        info = self.index.info()
        assert info.n_deleted == 0
        assert info.n_segments == (1 if self.held else 0)

    @rule()
    def reopen(self) -> None:
        self.index.close()
        self.index = colxtr.Index.open(self.folder / "index", read_only=False)

    @invariant()
    def ids_are_right(self) -> None:
        assert len(self.index) == len(self.held)
        for i in range(12):
            assert (f"d{i}" in self.index) == (f"d{i}" in self.held)

    @rule()
    def answers_are_right(self) -> None:
        assert_same(self.index, self.held, self.folder / "other")
        self.reader.refresh()
        assert answers(self.reader) == answers(self.index)
        assert not self.reader.refresh()

    def teardown(self) -> None:
        self.reader.close()
        self.index.close()


def test_any_history(tmp_path_factory: pytest.TempPathFactory) -> None:
    Life.tmp = tmp_path_factory  # type: ignore[attr-defined]
    Life.TestCase.settings = settings(
        max_examples=10,
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    Life.TestCase().runTest()
