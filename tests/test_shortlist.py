"""Shortlists and skimming: what centroids alone decide, against `reference.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from colxtr import Index, kernels, reference
from colxtr.codec import Codec
from colxtr.errors import CorruptIndexError
from colxtr.search import Collection, Search, SearchSettings
from made import Clustered, decompressed, in_eight_bits, native_collection, native_segment, trained

DIM = 32
N_DOCUMENTS = 2_500  # two threads get a thousand each
NEVER = -1e9  # standard deviations: no further document is likely
WEIGHTS = {1: [1.0], 5: [1, 0.05, 0.5, 2, 0.3], 16: 1, 21: 1, 33: np.linspace(0.05, 2, 33)}


@pytest.fixture(scope="module", params=[1, 2, 8])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Documents of up to 8 tokens, and some of up to 400, in three segments."""
    made = Clustered(seed=request.param, dim=DIM, n_topics=200)
    documents = made.documents(N_DOCUMENTS, most_tokens=8)
    for i in range(7, N_DOCUMENTS, 100):
        documents[i] = made.tokens(int(made.random.integers(60, 400)))
    documents[9] = documents[9][:0]
    folder = tmp_path_factory.mktemp("index") / "i"
    with Index.create(folder, dim=DIM, n_bits=request.param, n_centroids=300) as index:
        for part in np.array_split(np.arange(N_DOCUMENTS), [100, 1700]):
            index.add_embeddings([str(i) for i in part], [documents[i] for i in part])
    return Index.open(folder)


def queries(index: Index) -> list[NDArray[np.float32]]:
    made = Clustered(seed=99, dim=DIM, n_topics=200)
    weighted = [np.reshape(weights, (-1, 1)) * made.tokens(n) for n, weights in WEIGHTS.items()]
    return [in_eight_bits(index, query.astype(np.float32)) for query in weighted]


def collection_of(index: Index) -> Collection:
    collection = index._snapshot().collection
    assert collection is not None
    return collection


def prepared(
    collection: Collection, query: NDArray[np.float32], n_probe: int = 3, threads: int = 1
) -> kernels.Query:
    return collection.codec.query(query, n_probe, threads, levels=True)


def shortlisted(
    collection: Collection,
    query: kernels.Query,
    count: int,
    sought: int = 1,
    unlikely: float = NEVER,
    **options: Any,
) -> set[int]:
    found = kernels.Candidates(
        query,
        collection.native,
        0,
        thresholds=False,
        shortlist=count,
        sought=sought,
        unlikely=unlikely,
        **options,
    )
    documents = found.best_lower_bounds(N_DOCUMENTS)[0].tolist()
    assert sorted(documents) == sorted(found.best_expected(N_DOCUMENTS)[0].tolist())
    return set(documents)


def test_levels(index: Index, instruction_set: str) -> None:
    collection = collection_of(index)
    for query in queries(index):
        ready = prepared(collection, query)
        found = ready.levels().T.astype(np.int64)
        centroids = collection.codec.centroids[np.unique(ready.probes())]
        expected = reference.levels(query, centroids)
        assert np.abs(found - expected).max() <= 1  # a half may be rounded either way
        assert (found == expected).mean() > 0.999
        assert found.min() >= 1


def glances_and_scores(
    query: NDArray[np.float32], known: reference.Collection
) -> tuple[dict[int, float], dict[int, float], float]:
    """What a glance tells of documents, what is expected of them, and the worth of a level."""
    seen = reference.pooled(query, known, 3)
    expected = reference.expected_scores(
        query, known, reference.retrieve(query, known, seen, len(known.owners)), 3
    )
    longest = float(np.linalg.norm(query, axis=1).max())
    return reference.glances(query, known, 3), expected, longest / 255 / len(query)


@pytest.mark.parametrize("count", [1, 10, 77, 200])
def test_shortlist(index: Index, instruction_set: str, count: int) -> None:
    """The best at a first glance, and others that may be as good; all, where tokens are few."""
    collection, (known, _) = collection_of(index), decompressed(index)
    sizes = []
    for query in queries(index):
        sums, scores, level = glances_and_scores(query, known)
        few = reference.pooled(query, known, 3)[0].sum() <= 4 * count
        ready = prepared(collection, query)
        for sought, unlikely in ((1, NEVER), (1, 0), (5, 1), (20, 2), (N_DOCUMENTS, 0), (1, 1e9)):
            expected = reference.shortlisted(
                sums, scores, level, first=count, sought=sought, unlikely=unlikely
            )
            if few:
                expected = set(sums)
            assert shortlisted(collection, ready, count, sought, unlikely) == expected
            sizes.append(len(expected) / len(sums))
    assert min(sizes) < 0.3
    assert len(set(sizes)) >= 4  # not only one round, and all


def test_shortlist_of_the_documents_that_count(index: Index) -> None:
    collection, (known, _) = collection_of(index), decompressed(index)
    mask = np.random.default_rng(0).random(N_DOCUMENTS) < 0.3
    allowed = np.packbits(mask, bitorder="little")
    for query in queries(index)[2:]:
        sums, scores, level = glances_and_scores(query, known)
        sums = {d: total for d, total in sums.items() if mask[d]}
        ready = prepared(collection, query)
        for unlikely in (NEVER, 0, 1):
            expected = reference.shortlisted(
                sums, scores, level, first=50, sought=10, unlikely=unlikely
            )
            assert shortlisted(collection, ready, 50, 10, unlikely, allowed=allowed) == expected


def test_pooled_are_the_tokens_of_the_shortlisted_alone(index: Index) -> None:
    """What is known of a document does not depend on who else was looked at."""
    collection = collection_of(index)
    query = prepared(collection, queries(index)[3])
    few = kernels.Candidates(
        query, collection.native, 0, thresholds=False, shortlist=40, sought=20, unlikely=0.5
    )
    every = kernels.Candidates(query, collection.native, 0, thresholds=False)
    scores = dict(zip(*(a.tolist() for a in every.best_expected(N_DOCUMENTS)), strict=True))
    ordinals, expected = few.best_expected(N_DOCUMENTS)
    assert 40 <= len(ordinals) < len(scores) / 2
    assert [scores[d] for d in ordinals.tolist()] == expected.tolist()


def test_skimming(index: Index, instruction_set: str) -> None:
    collection, (known, decoded) = collection_of(index), decompressed(index)
    ordinals = np.arange(N_DOCUMENTS, dtype=np.uint64)
    starts = np.cumsum([0, *map(len, decoded)])
    for query in queries(index):
        ready = prepared(collection, query)
        found = ready.skim(collection.native, ordinals)
        assert found[9] == -np.inf
        passed_over = 0
        for d in [*range(9), *range(10, 107)]:
            centroids = known.centroids[known.token_centroids[starts[d] : starts[d + 1]]]
            wanted = reference.skimmed(query, decoded[d], centroids)
            assert found[d] == pytest.approx(wanted, abs=2e-5)
            passed_over += wanted < reference.maxsim(query, decoded[d]) - 0.01
        assert passed_over <= 2  # what is skimmed is nearly MaxSim
        assert np.array_equal(found[::-1], ready.skim(collection.native, ordinals[::-1].copy()))


@pytest.mark.parametrize("unlikely", [-1, 0, 1, 3, 100])
@pytest.mark.parametrize("k", [1, 7, 40])
def test_reranking_stops_where_nothing_is_likely(index: Index, k: int, unlikely: float) -> None:
    collection, random = collection_of(index), np.random.default_rng(k)
    ordinals = random.permutation(N_DOCUMENTS)[:300].astype(np.uint64)
    for query in queries(index):
        ready = collection.codec.query(query, 3)
        scores = ready.maxsim(collection.native, ordinals)
        estimates = scores + random.normal(0, 0.03, len(scores)).astype(np.float32)
        order = np.argsort(-estimates)
        some, estimates, scores = ordinals[order], estimates[order], scores[order]
        n = reference.n_promising(estimates, scores, k, first=16, unlikely=unlikely)
        expected = reference.top(dict(zip(some[:n].tolist(), scores.tolist(), strict=False)), k)
        found = ready.best_promising(collection.native, some, estimates, k, 16, unlikely)
        assert list(zip(*(a.tolist() for a in found), strict=True)) == expected

        ready = prepared(collection, query)  # with levels: all are skimmed first
        skimmed = ready.skim(collection.native, some)
        n = reference.n_promising(estimates, skimmed, k, first=16, unlikely=unlikely)
        order = np.lexsort((some[:n], -skimmed[:n]))
        finalists, skimmed, scores = some[:n][order], skimmed[:n][order], scores[:n][order]
        n = reference.n_promising(
            skimmed, scores, k, first=15, unlikely=unlikely, more=max(1, k // 2)
        )
        expected = reference.top(
            dict(zip(finalists[:n].tolist(), scores.tolist(), strict=False)), k
        )
        found = ready.best_promising(collection.native, some, estimates, k, 16, unlikely)
        assert list(zip(*(a.tolist() for a in found), strict=True)) == expected


def test_neither_threads_nor_instructions_matter(index: Index) -> None:
    collection = collection_of(index)
    ordinals = np.arange(N_DOCUMENTS, dtype=np.uint64)
    before = kernels.instruction_set()
    for query in queries(index):
        found = []
        for name in kernels.instruction_sets():
            kernels.use_instruction_set(name)
            for threads in (1, 2, 3):
                ready = prepared(collection, query, threads=threads)
                chosen = shortlisted(collection, ready, 100, 30, 1)
                skimmed = ready.skim(collection.native, ordinals).tolist()
                found.append((ready.levels().tolist(), chosen, skimmed))
        kernels.use_instruction_set(before)
        assert all(each == found[0] for each in found)


@pytest.mark.parametrize("k", [1, 10, 100])
def test_default_search(index: Index, monkeypatch: pytest.MonkeyPatch, k: int) -> None:
    """Finds most of the best, and their scores are MaxSim of all their tokens."""
    monkeypatch.setattr("colxtr.search.EXHAUSTIVE_BELOW", 0)
    shares = []
    for query in queries(index):
        assert Search(collection_of(index), query, SearchSettings())._glances
        exact = index.search_embeddings(query, N_DOCUMENTS, method="exact")
        scores = {hit.id: hit.score for hit in exact}
        hits = index.search_embeddings(query, k, n_probe=60, quality=0.9)
        assert [hit.score for hit in hits] == pytest.approx([scores[hit.id] for hit in hits], 1e-5)
        assert len(hits) == k
        shares.append(len({h.id for h in hits} & {h.id for h in exact[:k]}) / k)
    assert np.mean(shares) >= 0.9


def test_embeddings_of_any_length_have_no_levels(tmp_path: Path) -> None:
    """There a centroid says little of a token: they are pooled as a whole."""
    made = Clustered(seed=3, dim=DIM)
    for n_bits, factor in ((2, 3), (16, 1)):
        with Index.create(tmp_path / str(n_bits), dim=DIM, n_bits=n_bits) as index:
            index.add_embeddings(["a", "b"], [factor * made.tokens(9) for _ in range(2)])
            collection = collection_of(index)
            assert not collection.codec.has_levels
            with pytest.raises(ValueError, match="levels go with"):
                prepared(collection, made.tokens(2))
            assert len(index.search_embeddings(made.tokens(4), n_probe=1)) == 2


def test_what_needs_levels_says_so() -> None:
    made = Clustered(seed=4, dim=DIM)
    codec = trained(made.tokens(100), n_bits=2, n_centroids=8)
    segment = native_segment(codec, made.documents(5))
    collection = native_collection(codec, segment)
    query = codec.query(made.tokens(3), 2)
    with pytest.raises(ValueError, match="without levels"):
        query.levels()
    with pytest.raises(ValueError, match="without levels"):
        query.skim(collection, np.zeros(1, np.uint64))
    with pytest.raises(ValueError, match="a shortlist needs levels"):
        kernels.Candidates(query, collection, 0, shortlist=5)


@pytest.mark.parametrize("ordinals", [[0, 1, 2, 9], [9, 9, 9, 9], [0, 1, 3, 0]])
def test_damaged_lists(ordinals: list[int]) -> None:
    """Ordinals of no document lead nowhere."""
    tokens = np.eye(16, dtype=np.float32)[[0, 0, 0, 0]]
    codec: Codec = trained(np.eye(16, dtype=np.float32), n_bits=2, n_centroids=1)
    encoded = codec.encode(tokens)
    packed, width = kernels.pack(np.array(ordinals, np.uint64))
    positions, position_bits = kernels.pack(np.arange(4, dtype=np.uint64))
    segment = kernels.Segment(
        codec.native,
        "some/file",
        0,
        list_centroids=np.zeros(1, np.uint32),
        list_offsets=np.array([0, 4], np.uint64),
        document_offsets=np.array([0, 2, 3, 4], np.uint64),
        ordinals=packed,
        ordinal_bits=width,
        positions=positions,
        position_bits=position_bits,
        codes=encoded.codes,
        gains=encoded.gains,
    )
    query = codec.query(tokens[:2], 1, levels=True)
    with (
        pytest.raises(CorruptIndexError, match="some/file: damaged: an ordinal"),
        kernels.damage_reported(),
    ):
        kernels.Candidates(query, kernels.Collection(codec.native, [segment]), 0, shortlist=2)


@pytest.mark.parametrize("options", [{}, {"rerank": 3 * 10**18}, {"n_probe": 2}])
def test_more_than_there_is_is_clamped(index: Index, options: dict[str, int]) -> None:
    query = queries(index)[2]
    options = {"n_probe": 3, **options}
    expected = index.search_embeddings(query, k=N_DOCUMENTS, **options)
    assert index.search_embeddings(query, k=sys.maxsize, **options) == expected


def test_a_query_longer_than_a_range_of_rows(tmp_path: Path) -> None:
    made = Clustered(seed=3, dim=16)
    with Index.create(tmp_path / "i", dim=16, n_centroids=4) as index:
        index.add_embeddings([str(i) for i in range(10)], [made.tokens(40) for _ in range(10)])
        query = made.tokens(1)
        longer = np.tile(query, (2**19 + 1, 1))  # than the bytes of a range
        (hit,) = index.search_embeddings(longer, k=1, rerank=1, n_probe=2, threads=1)
        exact = {hit.id: hit.score for hit in index.search_embeddings(query, method="exact")}
    assert hit.score == pytest.approx(exact[hit.id], abs=0.01)
