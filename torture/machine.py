"""Random histories of an index, told by Hypothesis, against a dictionary and brute force.

In half precision nothing is lost, and scores are those of NumPy over the embeddings that were
given, whatever was retrained. In two bits they are those, bit for bit, of an index of the same
centroids that was built at once of what is held.
"""

from __future__ import annotations

import shutil
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import colxtr
from colxtr.errors import DuplicateIdError, ReadOnlyError
from colxtr.storage import merged_arrays, merging
from torture import made
from torture.tally import Tally

N_IDS = 12
LEVELS = 32, 96, 256  # so that segments of a few documents are large and small ones
IDS = st.lists(st.sampled_from([f"d{i}" for i in range(N_IDS)]), unique=True, max_size=6)
SEEDS = st.integers(0, 10_000)
FIRST = {f"first-{i}": 519 + 13 * i for i in range(8)}  # of 12 tokens; all have their centroids
PRECISION = 2e-3
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"n_probe": 2},
    {"n_probe": 2, "k_prime": 7, "rerank": 0},
    {"filter": made.FILTERS[0]},
    {"filter": made.FILTERS[1]},
)


def found(index: colxtr.Index, **options: Any) -> dict[str, float]:
    """Scores of all that an index finds, by id."""
    hits = index.search_embeddings(made.QUERIES[0], k=1_000, threads=1, **options)
    return {hit.id: hit.score for hit in hits}


def is_let_through(number: int, seed: int) -> bool:
    """Whether `made.FILTERS[number]` lets the document of this seed through."""
    metadata = made.metadata_of(seed)
    if number == 0:
        return bool(metadata["year"] >= 2010)
    return metadata["lang"] == "en" or "t1" in metadata["tags"]


def brute_force(held: dict[str, int]) -> dict[str, float]:
    """The mean of each query token's best similarity."""
    scores = {}
    for doc_id, number in held.items():
        tokens = made.tokens_of(number).astype(np.float16).astype(np.float32)
        if len(tokens):
            scores[doc_id] = float((made.QUERIES[0] @ tokens.T).max(axis=1).mean())
    return scores


class Life(RuleBasedStateMachine):
    """Random histories.

    Attributes:
        held: Seeds of the documents that the index must hold, by id.
    """

    held: dict[str, int]
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="colxtr-"))
        self.held = {}

    @initialize(n_bits=st.sampled_from([2, 2, 16]))
    def create(self, n_bits: int) -> None:
        """An index that has centroids and no documents."""
        self.n_bits = n_bits
        self.index = self._begun(self.folder / "index")
        self.index.delete(FIRST)
        self.readers = [colxtr.Index.open(self.folder / "index") for _ in range(2)]
        self.seen = [made.digest(reader) for reader in self.readers]

    def _begun(self, path: Path) -> colxtr.Index:
        index = colxtr.Index.create(path, dim=made.DIM, n_bits=self.n_bits, overwrite=True)
        index.add_embeddings(*made.given(FIRST))
        return index

    @rule(ids=IDS, first=SEEDS)
    def add(self, ids: list[str], first: int) -> None:
        """Ids that are there are left out."""
        new = {doc_id: first + i for i, doc_id in enumerate(ids)}
        count = len(new.keys() - self.held.keys())
        assert self.index.add_embeddings(*made.given(new), skip_existing=True) == count
        self.held = new | self.held

    @rule(ids=IDS, first=SEEDS)
    def add_one_by_one(self, ids: list[str], first: int) -> None:
        """A segment for each of them, until they are merged."""
        for i, doc_id in enumerate(ids):
            self.add([doc_id], first + i)

    @rule(ids=IDS, first=SEEDS)
    def update(self, ids: list[str], first: int) -> None:
        """Ids that are there are replaced."""
        new = {doc_id: first + i for i, doc_id in enumerate(ids)}
        assert self.index.update_embeddings(*made.given(new)) == len(new)
        self.held |= new

    @rule(ids=IDS, first=SEEDS, fails_at=st.integers(0, 6), updates=st.booleans())
    def stream_breaks_off(self, ids: list[str], first: int, fails_at: int, updates: bool) -> None:
        """What is stored then are the first of the documents."""
        new = {
            doc_id: first + i for i, doc_id in enumerate(ids) if updates or doc_id not in self.held
        }
        documents, arrays = made.given(new)

        def broken() -> Iterator[dict[str, Any]]:
            yield from documents[:fails_at]
            raise OSError("the stream broke off")

        call = self.index.update_embeddings if updates else self.index.add_embeddings
        try:
            call(broken(), arrays)
        except OSError as error:
            assert str(error) == "the stream broke off"
        self._hold_the_first(new)

    @rule(ids=IDS.filter(bool), first=SEEDS)
    def an_id_comes_twice(self, ids: list[str], first: int) -> None:
        """Within the input, or in the input and in the index."""
        new = {doc_id: first + i for i, doc_id in enumerate(ids)}
        documents, arrays = made.given(new)
        try:
            self.index.add_embeddings([*documents, documents[0]], [*arrays, arrays[0]])
        except DuplicateIdError as error:
            assert "'d" in str(error)
        else:
            raise AssertionError("an id was taken twice")
        self._hold_the_first({d: s for d, s in new.items() if d not in self.held})

    def _hold_the_first(self, new: dict[str, int]) -> None:
        """Note which documents of an input that failed were stored: must be the first ones."""
        stored = [
            (document := self.index.get(doc_id)) is not None
            and document.text == f"text {number}"
            and self.held.get(doc_id) != number
            for doc_id, number in new.items()
        ]
        n = max((i + 1 for i, is_stored in enumerate(stored) if is_stored), default=0)
        self.held |= dict(list(new.items())[:n])
        for doc_id in list(new)[:n]:
            assert doc_id in self.index

    @rule(ids=IDS)
    def delete(self, ids: list[str]) -> None:
        """Ids that are not there are passed over."""
        gone = [doc_id for doc_id in ids if doc_id in self.held]
        assert self.index.delete(ids) == len(gone)
        for doc_id in gone:
            del self.held[doc_id]

    @rule()
    def optimize(self) -> None:
        """One segment without deleted documents."""
        self.index.optimize(retrain=False)
        info = self.index.info()
        assert info.n_deleted == 0
        assert info.n_segments == (1 if self.held else 0)

    @rule()
    def optimize_in_pieces(self) -> None:
        """As where there are many: for a few documents."""
        with patch.object(merged_arrays, "PIECE_TOKENS", 64):
            self.optimize()

    @precondition(lambda self: self.n_bits == 16)
    @rule()
    def retrain(self) -> None:
        """Nothing is lost in half precision."""
        self.index.optimize(retrain=True)

    @rule()
    def reopen(self) -> None:
        """The lock is free, and nothing is forgotten."""
        self.index.close()
        self.index = colxtr.Index.open(self.folder / "index", read_only=False)

    @rule(number=st.integers(0, 1))
    def refresh(self, number: int) -> None:
        """A reader sees what the writer sees."""
        reader = self.readers[number]
        reader.refresh()
        assert not reader.refresh()
        self.seen[number] = made.digest(self.index)

    @rule(number=st.integers(0, 1))
    def readers_write_nothing(self, number: int) -> None:
        """And say so."""
        try:
            self.readers[number].delete(["d1"])
        except ReadOnlyError:
            return
        raise AssertionError("a reader deleted a document")

    @rule()
    def files_are_whole(self) -> None:
        """Nothing damaged, nothing left over."""
        assert self.index.verify()
        assert not made.leftovers(self.folder / "index")

    @rule()
    def answers_are_right(self) -> None:
        """By brute force, or by an index built at once."""
        if self.n_bits == 16:
            self._as_by_brute_force()
        else:
            self._as_built_at_once()

    def _as_by_brute_force(self) -> None:
        for number in (None, 0, 1):
            held = {
                d: s for d, s in self.held.items() if number is None or is_let_through(number, s)
            }
            wanted = brute_force(held)
            chosen = None if number is None else made.FILTERS[number]
            for method in ("exact", "colxtr", "colbert", "colbertv2"):
                got = found(self.index, method=method, filter=chosen)
                assert got.keys() == wanted.keys(), method
                for doc_id, score in got.items():
                    assert abs(score - wanted[doc_id]) < PRECISION, (method, doc_id)

    def _as_built_at_once(self) -> None:
        with self._begun(self.folder / "other") as other:
            other.add_embeddings(*made.given(self.held))
            other.delete(FIRST)
            other.optimize(retrain=False)
            for method in made.METHODS:
                for options in OPTIONS:
                    got = found(self.index, method=method, **options)
                    assert got == found(other, method=method, **options), (method, options)

    @invariant()
    def documents_are_right(self) -> None:
        """Each id leads to its document, and readers see what they saw."""
        Life.steps += 1
        assert len(self.index) == len(self.held)
        for i in range(N_IDS):
            document = self.index.get(f"d{i}")
            number = self.held.get(f"d{i}")
            assert (f"d{i}" in self.index) == (number is not None)
            assert (None if document is None else document.text) == (
                None if number is None else f"text {number}"
            )
        for reader, seen in zip(self.readers, self.seen, strict=True):
            assert made.digest(reader) == seen

    def teardown(self) -> None:
        """Close and remove everything."""
        for index in (*self.readers, self.index):
            index.close()
        shutil.rmtree(self.folder)


def run(runs: int, seed_: int, steps: int = 50) -> Tally:
    """So many histories."""
    tally = Tally("state machine")
    Life.steps = 0
    chosen = settings(
        max_examples=runs,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with made.training_once(), patch.object(merging, "LEVELS", LEVELS):
        try:
            run_state_machine_as_test(seed(seed_)(Life), settings=chosen)
        except Exception as error:  # noqa: BLE001 - any is a finding
            tally.problem("".join(traceback.format_exception(error))[-3_000:])
    tally.count("histories", runs)
    tally.count("steps", Life.steps)
    return tally
