"""Synthetic tokens and what is measured of them (bench/exact, synthetic, likeness, scaling)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench import exact, likeness, scaling, synthetic
from bench.peers.layout import Corpus
from colxtr import reference
from conftest import JsonLines

N_TOKENS = 200_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Of some 1,400 documents, and 30 queries."""
    folder = tmp_path_factory.mktemp("synthetic")
    synthetic.write(folder, N_TOKENS, n_queries=30)
    return Corpus.open(folder)


# -- exact --------------------------------------------------------------------------------------


def test_blocks_cover_all_documents_once() -> None:
    starts = np.array([0, 5, 8, 30, 31, 36])
    assert list(exact.blocks(starts, size=8)) == [(0, 2), (2, 3), (3, 5)]


def maxsim_of_all(corpus: Corpus) -> NDArray[np.float64]:
    """Sums over the query tokens, (n_queries, n_documents)."""
    documents = np.split(corpus.vectors.astype(np.float64), corpus.starts[1:-1])
    return np.array(
        [
            [len(query) * reference.maxsim(query, document) for document in documents]
            for query in corpus.queries
        ]
    )


@pytest.fixture(scope="module")
def expected(corpus: Corpus) -> NDArray[np.float64]:
    return maxsim_of_all(corpus)


@pytest.mark.parametrize("parts", [1, 7])
def test_exact_scores_are_maxsim(corpus: Corpus, expected: NDArray[np.float64], parts: int) -> None:
    """However many documents come at a time; more than a block of tokens if all do."""
    assert len(corpus.vectors) > exact.BLOCK
    which = np.array_split(np.arange(len(corpus.doclens)), parts)
    pairs = [
        (corpus.vectors[corpus.starts[some[0]] : corpus.starts[some[-1] + 1]], corpus.doclens[some])
        for some in which
    ]
    size = len(corpus.doclens), len(corpus.vectors)
    scores = exact.exact_scores(corpus.queries, pairs, *size)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    ids, best = exact.top(scores, 3)
    assert ids.tolist() == np.argsort(-scores, axis=1, kind="stable")[:, :3].tolist()
    assert best.tolist() == np.take_along_axis(scores, ids, axis=1).tolist()
    with pytest.raises(ValueError, match="1 documents came; 2 were announced"):
        exact.exact_scores(corpus.queries, [(corpus.vectors[:3], np.array([3]))], 2, 3)


# -- synthetic ----------------------------------------------------------------------------------


def test_written_tokens_are_those_that_are_made(corpus: Corpus) -> None:
    world, texts = synthetic.World.make(128, 0), synthetic.Texts.draw(N_TOKENS, 0)
    made = np.concatenate([rows for rows, _ in synthetic.chunks_of(world, texts, 0)])
    assert np.array_equal(made.astype(np.float16), corpus.vectors)
    assert np.array_equal(texts.lengths, corpus.doclens)
    read = np.concatenate(list(synthetic.read_documents(corpus.folder)))
    assert np.array_equal(read, corpus.vectors)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)


def test_queries_ask_for_their_targets(corpus: Corpus, expected: NDArray[np.float64]) -> None:
    targets = np.load(corpus.folder / "targets.npy")
    best, _ = exact.top(expected.astype(np.float32), 1)
    assert np.mean(best[:, 0] == targets) > 0.9
    np.testing.assert_allclose(np.linalg.norm(corpus.queries, axis=2), 1, atol=1e-5)


# -- likeness -----------------------------------------------------------------------------------

REAL = {  # of joined real collections with the built-in model, docs/log.md; SciFact, 12 sets whole
    "alike_within": (0.28, 0.42),
    "nearest_within": (0.72, 0.89),
    "to_centroid": (0.76, 0.86),
    "deviation": (0.035, 0.075),
}


def test_likeness(corpus: Corpus, expected: NDArray[np.float64], json_lines: JsonLines) -> None:
    """Synthetic tokens are like real ones where the number of documents does not matter."""
    (line,) = json_lines(likeness, corpus.folder)
    for name, (least, most) in REAL.items():
        assert least < line[name] < most, (name, line)
    tokens = corpus.vectors.astype(np.float64)
    values = np.linalg.eigvalsh(tokens.T @ tokens)[::-1]
    assert line["spectrum"][1] == pytest.approx(values[:8].sum() / values.sum(), abs=6e-4)
    assert line["alike_across"] == pytest.approx((tokens.mean(axis=0) ** 2).sum(), abs=6e-4)
    scores = np.sort(expected / synthetic.QUERY_TOKENS)[:, ::-1]
    assert line["score"] == pytest.approx(np.median(scores[:, 9]), abs=6e-4)
    assert line["below_tenth"]["100"] == pytest.approx(
        np.median(scores[:, 9] - scores[:, 99]), abs=6e-4
    )
    assert line["deviation"] == pytest.approx(scores.std(axis=1).mean(), abs=6e-4)


# -- scaling ------------------------------------------------------------------------------------


def test_scaling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, json_lines: JsonLines) -> None:
    monkeypatch.setattr(scaling, "ROUNDS", 1)
    words = tmp_path, "--tokens", N_TOKENS, "--queries", 30, "--exact", 30, "--truth"
    (line,) = json_lines(scaling, *words)
    assert line["tokens"] == N_TOKENS
    assert line["recall_0.5"] > 0.95
    assert 0.85 < line["true_recall_0.5"] < line["recall_0.5"]  # two bits are not exact
    truth = np.load(tmp_path / str(N_TOKENS) / "truth.npy")
    synthetic.write(tmp_path / "same", N_TOKENS, n_queries=30)
    scores = maxsim_of_all(Corpus.open(tmp_path / "same"))
    assert np.mean(truth == np.argsort(-scores, axis=1)[:, :10]) > 0.99  # float16 there
    (again,) = json_lines(scaling, *words)
    assert again["build_s"] == line["build_s"]  # the index was kept
