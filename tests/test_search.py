"""Every method against its definition in `reference.py`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from colxtr import Index, kernels, reference
from colxtr import search as search_module
from colxtr.codec import Codec
from colxtr.errors import InputError
from colxtr.hits import Hit
from colxtr.search import METHODS, SearchOptions, SearchSettings
from made import Clustered, decompressed, in_eight_bits

N_DOCUMENTS = 120
TOLERANCE = 3e-6  # single precision, summed in another order


class Opened:
    """An index of made-up documents, and the same decompressed in memory."""

    def __init__(self, folder: Path, n_bits: int, segments: int = 2) -> None:
        made = Clustered(seed=n_bits)
        documents = made.documents(N_DOCUMENTS)
        documents[5] = documents[5][:0]  # a document without a token
        queries = [made.tokens(n) for n in (1, 5, 32, 40)]
        with Index.create(folder, dim=32, n_bits=n_bits, n_centroids=48) as index:
            for part in np.array_split(np.arange(N_DOCUMENTS), segments):
                index.add_embeddings([str(i) for i in part], [documents[i] for i in part])
        self.index = Index.open(folder)
        self.collection, self.decoded = decompressed(self.index)
        self.queries = [in_eight_bits(self.index, query) for query in queries]


@pytest.fixture(scope="module", params=[1, 2, 4, 8, 16])
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    opened = Opened(tmp_path_factory.mktemp("index") / "i", request.param)
    yield opened
    opened.index.close()


def check(
    opened: Opened,
    query: NDArray[np.float32],
    expected: dict[int, float],
    k: int = N_DOCUMENTS,
    **options: object,
) -> None:
    """Same documents, same scores, sorted; documents in order unless their scores are equal."""
    hits = opened.index.search_embeddings(query, k, **options)  # type: ignore[arg-type]
    best = reference.top(expected, k)
    scores = [hit.score for hit in hits]
    assert scores == pytest.approx([score for _, score in best], abs=TOLERANCE)
    assert scores == sorted(scores, reverse=True)
    for hit in hits:
        assert hit.score == pytest.approx(expected[int(hit.id)], abs=TOLERANCE)
    assert len({hit.id for hit in hits}) == len(hits)


def test_exact(opened: Opened, instruction_set: str) -> None:
    for query in opened.queries:
        expected = reference.exact(query, opened.decoded)
        check(opened, query, expected, method="exact")
        check(opened, query, expected, k=7, method="exact")


@pytest.mark.parametrize("n_probe", [1, 4, 48])
@pytest.mark.parametrize("k_prime", [1, 20, 10**9])
def test_colxtr(opened: Opened, instruction_set: str, n_probe: int, k_prime: int) -> None:
    for query in opened.queries:
        seen = reference.pooled(query, opened.collection, n_probe)
        found = reference.retrieve(query, opened.collection, seen, k_prime)
        expected = reference.imputed_scores(found, retrieved_only=False)
        check(opened, query, expected, n_probe=n_probe, k_prime=k_prime, rerank=0)


@pytest.mark.parametrize("n_probe", [1, 3, 12])
def test_colxtr_chooses_whom_to_rerank_by_what_is_expected(
    opened: Opened, instruction_set: str, n_probe: int
) -> None:
    for query in opened.queries:
        weights = np.linspace(0.3, 1.5, len(query), dtype=np.float32)[:, None]
        for weighted in (query, weights * query):
            seen = reference.pooled(weighted, opened.collection, n_probe)
            found = reference.retrieve(weighted, opened.collection, seen, 10**9)
            expected = reference.expected_scores(weighted, opened.collection, found, n_probe)
            first = reference.top(expected, 12)
            exact = reference.exact(weighted, opened.decoded)
            chosen = {document: exact[document] for document, _ in first}
            check(opened, weighted, chosen, k=12, n_probe=n_probe, rerank=12)


def test_colxtr_with_reranking(opened: Opened) -> None:
    for query in opened.queries:
        seen = reference.pooled(query, opened.collection, 3)
        found = reference.retrieve(query, opened.collection, seen, 50)
        first = reference.top(reference.imputed_scores(found, retrieved_only=False), 20)
        exact = reference.exact(query, opened.decoded)
        expected = {document: exact[document] for document, _ in first}
        check(opened, query, expected, k=5, n_probe=3, k_prime=50, rerank=20)


@pytest.mark.parametrize("n_probe", [1, 4, 48])
@pytest.mark.parametrize("k_prime", [1, 20, 10**9])
def test_xtr(opened: Opened, instruction_set: str, n_probe: int, k_prime: int) -> None:
    for query in opened.queries:
        seen = reference.own_lists(query, opened.collection, n_probe)
        found = reference.retrieve(query, opened.collection, seen, k_prime)
        expected = reference.imputed_scores(found, retrieved_only=True)
        check(opened, query, expected, method="xtr", n_probe=n_probe, k_prime=k_prime)


@pytest.mark.parametrize("n_candidates", [3, 1024])
def test_colbertv2(opened: Opened, n_candidates: int) -> None:
    for query in opened.queries:
        seen = reference.pooled(query, opened.collection, 2)
        found = reference.retrieve(query, opened.collection, seen, 10**9)
        first = reference.top(reference.lower_bounds(found), max(3, n_candidates))
        exact = reference.exact(query, opened.decoded)
        expected = {document: exact[document] for document, _ in first}
        check(
            opened, query, expected, k=3, method="colbertv2", n_probe=2, n_candidates=n_candidates
        )


def test_colbert(opened: Opened) -> None:
    for query in opened.queries:
        seen = reference.own_lists(query, opened.collection, 4)
        found = reference.retrieve(query, opened.collection, seen, 10)
        kept = reference.imputed_scores(found, retrieved_only=True)
        exact = reference.exact(query, opened.decoded)
        expected = {document: exact[document] for document in kept}
        check(opened, query, expected, method="colbert", n_probe=4, k_prime=10)


def test_with_all_probed_and_kept_every_method_is_maxsim(opened: Opened) -> None:
    everything: SearchOptions = {"n_probe": 48, "k_prime": 10**9}
    for query in opened.queries:
        expected = reference.exact(query, opened.decoded)
        check(opened, query, expected, method="colxtr", rerank=0, **everything)
        for method in ("xtr", "colbertv2", "colbert"):
            check(opened, query, expected, method=method, **everything)


@pytest.mark.parametrize("k_prime", [1, 20])
def test_colbert_over_all_lists_keeps_to_what_is_retrieved(opened: Opened, k_prime: int) -> None:
    for query in opened.queries:
        seen = reference.own_lists(query, opened.collection, 48)
        found = reference.retrieve(query, opened.collection, seen, k_prime)
        exact = reference.exact(query, opened.decoded)
        kept = reference.imputed_scores(found, retrieved_only=True)
        expected = {document: exact[document] for document in kept}
        check(opened, query, expected, method="colbert", n_probe=48, k_prime=k_prime)


@pytest.mark.parametrize("method", ["exact", "colxtr", "colbertv2"])
def test_list_after_list_and_document_after_document_agree(
    opened: Opened, instruction_set: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hits(threads: int) -> list[list[Hit]]:
        return [
            opened.index.search_embeddings(query, N_DOCUMENTS, method=method, threads=threads)
            for query in opened.queries
        ]

    by_list = [hits(threads) for threads in (1, 3)]
    monkeypatch.setattr(search_module, "MOST_MAXIMA", 0)
    monkeypatch.setattr(kernels, "Candidates", None)  # lists are not looked into
    by_document = [hits(threads) for threads in (1, 3)]
    assert by_list[0] == by_list[1] == by_document[0] == by_document[1]


def test_lower_bound_is_at_most_exact(opened: Opened) -> None:
    for query in opened.queries:
        seen = reference.pooled(query, opened.collection, 3)
        bounds = reference.lower_bounds(reference.retrieve(query, opened.collection, seen, 10**9))
        exact = reference.exact(query, opened.decoded)
        assert all(bound <= exact[document] + 1e-6 for document, bound in bounds.items())


@pytest.mark.parametrize("method", ["colxtr", "xtr"])
def test_a_retrieved_token_never_lowers_a_score(opened: Opened, method: str) -> None:
    """score = mean m_i + mean (best_i - m_i)+: never below what nothing retrieved would give."""
    for query in opened.queries:
        seen = reference.pooled(query, opened.collection, 4)
        found = reference.retrieve(query, opened.collection, seen, 10)
        hits = opened.index.search_embeddings(
            query, N_DOCUMENTS, method="colxtr", n_probe=4, k_prime=10, rerank=0
        )
        assert min(hit.score for hit in hits) >= found.thresholds.mean() - TOLERANCE


def test_small_collections_are_searched_exhaustively(opened: Opened) -> None:
    for query in opened.queries:
        expected = reference.exact(query, opened.decoded)
        check(opened, query, expected, method="colxtr", rerank=0)


def test_methods_agree_between_instruction_sets(opened: Opened, instruction_set: str) -> None:
    """Ranked lists of the slowest path are those of every other, but for rounding."""
    for query in opened.queries:
        for method in ("colxtr", "xtr", "colbertv2", "colbert", "exact"):
            hits = opened.index.search_embeddings(query, 10, method=method, n_probe=4)
            explained = [
                opened.index.explain_embeddings(query, hit.id, method=method, n_probe=4)
                for hit in hits
            ]
            assert [e.score for e in explained] == pytest.approx(
                [hit.score for hit in hits], abs=TOLERANCE
            )


def test_explanation_adds_up(opened: Opened) -> None:
    query = opened.queries[2]
    options: SearchOptions = {"method": "xtr", "n_probe": 2, "k_prime": 15}
    imputed = 0
    for hit in opened.index.search_embeddings(query, 10, **options):
        explanation = opened.index.explain_embeddings(query, hit.id, **options)
        assert explanation.score == pytest.approx(hit.score, abs=TOLERANCE)
        assert len(explanation.matches) == len(query)
        for match in explanation.matches:
            assert match.retrieved == (match.imputed is None)
            imputed += match.imputed is not None
        values = [m.similarity if m.imputed is None else m.imputed for m in explanation.matches]
        assert np.mean(values) == pytest.approx(explanation.score, abs=1e-6)
    assert imputed > 0


def test_adding_a_document_does_not_reorder_the_others(tmp_path: Path) -> None:
    made = Clustered(seed=11)
    documents = made.documents(100)
    query = made.tokens(8)
    with Index.create(tmp_path / "i", dim=32) as index:
        index.add_embeddings([str(i) for i in range(100)], documents)
        for method in ("exact", "colxtr", "xtr", "colbertv2", "colbert"):
            before = index.search_embeddings(query, 200, method=method)
            new = f"new for {method}"
            index.add_embeddings([new], made.documents(1))
            after = index.search_embeddings(query, 200, method=method)
            assert [hit for hit in after if hit.id != new] == before


@pytest.mark.parametrize("method", ["xtr", "colbert"])
def test_a_query_token_that_sees_nothing_favours_no_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Its nearest centroid has an empty list: 0 stands in, not minus infinity for everyone."""
    axes = np.eye(32, dtype=np.float32)
    codec = Codec.train(axes[:4], n_bits=8, n_centroids=4)
    monkeypatch.setattr(Codec, "train", lambda *_, **__: codec)
    with Index.create(tmp_path / "i", dim=32, n_bits=8) as index:
        index.add_embeddings(["a", "b", "c"], [axes[:1], axes[1:2], axes[:2]])
        query = np.stack([axes[1], axes[3]])
        options: SearchOptions = {"method": method, "n_probe": 1, "k_prime": 1}
        hits = index.search_embeddings(query, **options)
        assert [hit.id for hit in hits] == ["b", "c"]
        assert [hit.score for hit in hits] == pytest.approx([0.5, 0.5], abs=0.01)
        collection, _ = decompressed(index)
        seen = reference.own_lists(query, collection, 1)
        found = reference.retrieve(query, collection, seen, 1)
        assert list(reference.imputed_scores(found, retrieved_only=True)) == [1, 2]
        for hit in hits:
            explanation = index.explain_embeddings(query, hit.id, **options)
            assert explanation.score == pytest.approx(hit.score, abs=TOLERANCE)


def test_searching_while_the_instruction_set_changes(opened: Opened) -> None:
    """The table of kernels is swapped whole: any mixture of them gives the same scores."""
    query = opened.queries[2]
    before = kernels.instruction_set()

    def scores(_: int) -> list[float]:
        return [hit.score for hit in opened.index.search_embeddings(query, 50, method="exact")]

    expected = scores(0)
    try:
        with ThreadPoolExecutor(3) as pool:
            found = pool.map(scores, range(60))
            for name in kernels.instruction_sets() * 20:
                kernels.use_instruction_set(name)
        for each in found:
            assert each == pytest.approx(expected, abs=TOLERANCE)
    finally:
        kernels.use_instruction_set(before)


@pytest.mark.parametrize("method", ["colxtr", "xtr", "colbertv2", "colbert", "exact"])
@pytest.mark.parametrize("rerank", [None, 0])
def test_explanations_have_the_scores_of_the_search(
    tmp_path: Path, method: str, rerank: int | None
) -> None:
    """Several segments, embeddings of any length, every document that is found."""
    made = Clustered(seed=14)
    documents = [3 * document for document in made.documents(60)]
    for n_bits in (2, 16):
        with Index.create(tmp_path / str(n_bits), dim=32, n_bits=n_bits) as index:
            for part in np.array_split(np.arange(60), 4):
                index.add_embeddings([str(i) for i in part], [documents[i] for i in part])
            query = 2 * made.tokens(12)
            options: SearchOptions = {
                "method": method, "n_probe": 3, "k_prime": 9, "rerank": rerank
            }  # fmt: skip
            for hit in index.search_embeddings(query, 60, **options):
                explanation = index.explain_embeddings(query, hit.id, **options)
                assert explanation.score == pytest.approx(hit.score, abs=2e-5)


def test_segments_do_not_matter(tmp_path: Path) -> None:
    """The same documents in one segment or in seven, with the same codec."""
    opened = [Opened(tmp_path / str(n), 2, segments=n) for n in (1, 7)]
    one, seven = (o.index._generation for o in opened)
    assert (len(one.segments), len(seven.segments)) == (1, 7)
    query = opened[0].queries[2]
    # codecs differ (the first part alone trained the second one): compare through the reference
    for each in opened:
        query = in_eight_bits(each.index, query)
        seen = reference.pooled(query, each.collection, 4)
        found = reference.retrieve(query, each.collection, seen, 30)
        expected = reference.imputed_scores(found, retrieved_only=False)
        check(each, query, expected, n_probe=4, k_prime=30, rerank=0)
        each.index.close()


@pytest.mark.parametrize(
    ("options", "k", "n_probe", "rerank"),
    [
        ({}, 10, 8, 85),
        ({}, 1, 8, 40),
        ({"quality": 1, "rerank": 0}, 100, 43, 0),
        ({}, 100, 20, 535),
        ({"quality": 0}, 10, 3, 21),
        ({"quality": 0}, 100, 8, 134),
        ({"quality": 1}, 10, 21, 340),
        ({"quality": 1, "n_probe": 5, "rerank": 7}, 10, 5, 10),
        ({"rerank": 0}, 10, 16, 0),
        ({"method": "xtr"}, 10, 32, 85),
    ],
)
def test_quality_chooses_what_is_not_given(
    options: SearchOptions, k: int, n_probe: int, rerank: int
) -> None:
    settings = SearchSettings(**options)
    for n_tokens, n_documents in ((200_000, 1_000), (1_000_000, 20_000)):
        chosen = settings.n_probe_chosen(k, n_tokens), settings.rerank_chosen(k, n_documents)
        assert chosen == (n_probe, rerank)


def test_larger_collections_get_more() -> None:
    assert SearchSettings().n_probe_chosen(10, 3 * 10**6) == 11
    assert SearchSettings().n_probe_chosen(10, 8 * 10**6) == 14
    assert SearchSettings().n_probe_chosen(10, 10**8) == 14  # more would find little more
    assert SearchSettings().n_probe_chosen(1000, 10**8) == 88
    assert SearchSettings(rerank=0).n_probe_chosen(10, 10**8) == 74
    assert SearchSettings(rerank=0).n_probe_chosen(10, 8 * 10**6) == 32
    assert SearchSettings(method="colbertv2").n_probe_chosen(10, 8 * 10**6) == 16
    assert SearchSettings().rerank_chosen(10, 150_000) == 336
    assert SearchSettings().rerank_chosen(10, 8 * 150_000) == 672
    assert SearchSettings().shortlist_chosen(10, 150_000) == (8 * 336, 14, 4)
    assert SearchSettings(quality=1).shortlist_chosen(100, 10_000) == (8 * 2140, 342, 5.5)
    assert SearchSettings(rerank=40).shortlist_chosen(10, 10**6) == (320, 10, 4)
    assert SearchSettings(n_probe=4, rerank=20).n_probe_chosen(10, 10**9) == 4
    assert SearchSettings(n_probe=4, rerank=20).rerank_chosen(10, 10**9) == 20


def test_quality_out_of_range() -> None:
    with pytest.raises(InputError, match=r"quality is 1.5; from 0 to 1"):
        SearchSettings(quality=1.5)


def test_hits_do_not_depend_on_threads(opened: Opened) -> None:
    query = opened.queries[3]
    for method in METHODS:
        one, many = (
            opened.index.search_embeddings(query, method=method, n_probe=4, threads=threads)
            for threads in (1, 3)
        )
        assert one == many
    with pytest.raises(InputError, match="threads is 0"):
        opened.index.search_embeddings(query, threads=0)
