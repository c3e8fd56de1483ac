"""The main job on real text: SciFact with the built-in model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import ir_measures
import numpy as np
import pytest
from ir_measures import nDCG
from numpy.typing import NDArray

from colxtr import Document, Encoder, Index, reference
from colxtr.corpora import read_documents, read_queries
from made import decompressed, in_eight_bits

Run = dict[str, dict[str, float]]


class SciFact(NamedTuple):
    documents: list[Document]
    embeddings: list[NDArray[np.float32]]
    queries: dict[str, NDArray[np.float32]]
    texts: dict[str, str]
    qrels: dict[str, dict[str, int]]

    def quality(self, run: Run) -> float:
        return float(ir_measures.calc_aggregate([nDCG @ 10], self.qrels, run)[nDCG @ 10])

    def index(self, folder: Path, n_bits: int) -> Index:
        with Index.create(folder, encoder="builtin", n_bits=n_bits) as index:
            index.add_embeddings(self.documents, self.embeddings)
        return Index.open(folder)

    def searched(self, index: Index, **options: object) -> Run:
        return {
            query_id: {
                hit.id: hit.score
                for hit in index.search_embeddings(query, 10, load_text=False, **options)  # type: ignore[arg-type]
            }
            for query_id, query in self.queries.items()
        }

    def exact(self) -> Run:
        tokens = np.concatenate(self.embeddings)
        starts = np.cumsum([0, *map(len, self.embeddings[:-1])])
        run: Run = {}
        for query_id, query in self.queries.items():
            scores = np.maximum.reduceat(tokens @ query.T, starts, axis=0).mean(axis=1)
            best = np.argsort(-scores)[:10]
            run[query_id] = {self.documents[i].id: float(scores[i]) for i in best}
        return run


@pytest.fixture(scope="module")
def scifact(data_folder: Path) -> SciFact:
    folder = data_folder / "scifact"
    rows = [line.split("\t") for line in (folder / "qrels/test.tsv").read_text().splitlines()[1:]]
    qrels: dict[str, dict[str, int]] = {}
    for query_id, doc_id, score in rows:
        qrels.setdefault(query_id, {})[doc_id] = int(score)
    texts = {query_id: text for query_id, text in read_queries(folder) if query_id in qrels}
    documents = list(read_documents([folder]))
    encoder = Encoder.load()
    embeddings = encoder.encode_documents(documents, windows=True)  # as an index does
    encoded = encoder.encode_queries(list(texts.values()))
    queries = dict(zip(texts, encoded, strict=True))
    return SciFact(documents, embeddings, queries, texts, qrels)


@pytest.fixture(scope="module")
def exact_run(scifact: SciFact) -> Run:
    return scifact.exact()


@pytest.fixture(scope="module")
def exact(scifact: SciFact, exact_run: Run) -> float:
    return scifact.quality(exact_run)


@pytest.fixture(scope="module")
def two_bits(scifact: SciFact, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with scifact.index(tmp_path_factory.mktemp("scifact") / "2", 2) as index:
        yield index


def test_exact_over_floats(scifact: SciFact, exact: float) -> None:
    assert len(scifact.documents) == 5183
    assert len(scifact.queries) == 300
    assert exact >= 0.72


def test_two_bits_with_defaults(scifact: SciFact, exact: float, two_bits: Index) -> None:
    assert scifact.quality(scifact.searched(two_bits)) >= exact - 0.01


def test_four_bits_with_defaults(scifact: SciFact, exact: float, tmp_path: Path) -> None:
    with scifact.index(tmp_path / "4", 4) as index:
        assert scifact.quality(scifact.searched(index)) >= exact - 0.003


def test_bytes_per_token(two_bits: Index) -> None:
    info = two_bits.info()
    assert info.dim == 128
    assert info.bytes_per_token <= 42
    assert info.bytes_float32 / info.n_tokens == 512


def test_questions_as_texts(scifact: SciFact, two_bits: Index) -> None:
    """search, search_many in any number of threads, and search_embeddings agree."""
    some = list(scifact.texts)[:20]
    texts = [scifact.texts[query_id] for query_id in some]
    one_by_one = [two_bits.search(text, 10) for text in texts]
    assert two_bits.search_many(texts, 10) == one_by_one
    assert two_bits.search_many(texts, 10, threads=1) == one_by_one
    for query_id, hits in zip(some, one_by_one, strict=True):
        assert hits == two_bits.search_embeddings(scifact.queries[query_id], 10)
        assert hits[0].text


@pytest.mark.parametrize("method", ["colxtr", "xtr", "colbertv2", "colbert"])
def test_methods_on_real_embeddings(scifact: SciFact, two_bits: Index, method: str) -> None:
    """Each against its definition over the same decompressed tokens."""
    collection, decoded = decompressed(two_bits)
    for query_id in list(scifact.queries)[:3]:
        query = in_eight_bits(two_bits, scifact.queries[query_id])
        pooled = method in ("colxtr", "colbertv2")
        seen = (reference.pooled if pooled else reference.own_lists)(query, collection, 10)
        k_prime = 10**9 if method == "colbertv2" else 2000
        found = reference.retrieve(query, collection, seen, k_prime)
        if method == "colbertv2":
            best = reference.top(reference.lower_bounds(found), 100)
        else:
            imputed = reference.imputed_scores(found, retrieved_only=method != "colxtr")
            best = reference.top(imputed, 10 if method in ("colxtr", "xtr") else 10**9)
        if method in ("colbertv2", "colbert"):
            exact = {i: reference.maxsim(query, decoded[i]) for i, _ in best}
            best = reference.top(exact, 10)
        hits = two_bits.search_embeddings(
            query, 10, method=method, n_probe=10, k_prime=k_prime, rerank=0, n_candidates=100
        )
        assert [hit.id for hit in hits] == [scifact.documents[i].id for i, _ in best]
        assert [hit.score for hit in hits] == pytest.approx([s for _, s in best], abs=3e-6)


def test_search_finds_what_exhaustive_search_finds(scifact: SciFact, two_bits: Index) -> None:
    exact = scifact.searched(two_bits, method="exact")
    shares = {
        quality: np.mean([len(run[q].keys() & exact[q].keys()) / 10 for q in exact])
        for quality in (0.0, 0.5, 1.0)
        for run in [scifact.searched(two_bits, quality=quality)]
    }
    assert shares[0.5] >= 0.98
    assert shares[0.0] < min(shares[0.5], shares[1.0])
    assert shares[1.0] >= 0.99


@pytest.mark.parametrize(("n_bits", "least"), [(1, 0.89), (2, 0.94), (4, 0.98)])
def test_decompressed_tokens_rank_as_the_given_ones(
    scifact: SciFact, exact_run: Run, tmp_path: Path, n_bits: int, least: float
) -> None:
    with scifact.index(tmp_path / "i", n_bits) as index:
        run = scifact.searched(index, method="exact")
    shared = [len(run[q].keys() & best.keys()) / 10 for q, best in exact_run.items()]
    assert np.mean(shared) >= least


def test_lower_bounds_on_real_embeddings(scifact: SciFact, two_bits: Index) -> None:
    collection, decoded = decompressed(two_bits)
    query = next(iter(scifact.queries.values()))
    seen = reference.pooled(query, collection, 4)
    bounds = reference.lower_bounds(reference.retrieve(query, collection, seen, 10**9))
    assert len(bounds) > 500
    for document, bound in bounds.items():
        assert bound <= reference.maxsim(query, decoded[document]) + 1e-6


def test_explanation_shows_the_words(scifact: SciFact, two_bits: Index) -> None:
    question = "Leuko-reduced blood reduces infectious complications in red blood cell transfusion."
    hit = two_bits.search(question, 1)[0]
    explanation = two_bits.explain(question, hit.id)
    assert explanation.score == pytest.approx(hit.score, abs=3e-6)
    document = two_bits.get(hit.id)
    assert document is not None
    words = {}
    for match in explanation.matches:
        if match.field is not None:
            field = document.title if match.field == "title" else document.text
            assert field[match.start : match.end] == match.document_token
            words[match.query_token] = match.document_token.lower()
    assert words["blood"] == "blood"
    assert words["infectious"].startswith("infect")
