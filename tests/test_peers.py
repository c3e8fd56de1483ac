"""The comparison with peers (bench/peers): its pure parts, and one engine's way through it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import colxtr
from bench import provenance
from bench.peers import compare, complete, corpora, report
from bench.peers.engines import VARIANTS, Variant
from bench.peers.layout import Corpus
from bench.peers.measures import Point, latency_at, mean_recall, pareto_front
from bench.peers.processes import EngineFailedError, EngineProcess

POINTS = [Point(0.9, 10), Point(0.5, 1), Point(0.8, 20), Point(0.95, 100), Point(0.4, 1)]


def make_corpus(folder: Path, doclens: list[int], *, dim: int = 16, n_queries: int = 3) -> Corpus:
    """Random unit vectors, in the files of layout.py."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    vectors = random.standard_normal((sum(doclens), dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(folder / "vectors.npy", vectors.astype(np.float16))
    np.save(folder / "doclens.npy", np.array(doclens))
    np.save(folder / "queries.npy", random.standard_normal((4 * n_queries, dim)))
    np.save(folder / "query_lengths.npy", np.array([2, 4, 6][:n_queries], np.int32))
    return Corpus.open(folder)


# -- measures -----------------------------------------------------------------------------------


def test_recall_counts_what_is_among_the_first() -> None:
    truth = np.array([[1, 2, 3], [4, 5, 6]], np.int32)
    assert mean_recall([[2, 9, 1], [4]], truth, 2) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert mean_recall([[3, 2, 1], [6, 5, 4]], truth, 3) == 1
    assert mean_recall([[3, 2, 1], []], truth, 10) == 0.5  # of as many as there are


def test_pareto_front_drops_what_is_beaten() -> None:
    assert pareto_front(POINTS) == [Point(0.5, 1), Point(0.9, 10), Point(0.95, 100)]
    assert pareto_front([]) == []


@pytest.mark.parametrize(
    ("recall", "milliseconds"),
    [(0.3, 1), (0.5, 1), (0.7, 10**0.5), (0.9, 10), (0.925, 10**1.5), (0.95, 100), (0.96, None)],
)
def test_latency_at_a_recall(recall: float, milliseconds: float | None) -> None:
    assert latency_at(POINTS, recall) == (milliseconds and pytest.approx(milliseconds))


# -- corpora ------------------------------------------------------------------------------------


def test_token_ids_stand_for_the_embeddings() -> None:
    documents = [
        colxtr.Document("a", "A (small) test of token ids, no more.", "Title: here"),
        colxtr.Document("b", "word " * 400),  # longer than is encoded
        colxtr.Document("c", "..."),  # nothing is kept of it
        colxtr.Document("d", "The same word: word."),
    ]
    encoder = colxtr.Encoder.load(threads=1)
    ids = corpora.token_ids(documents, corpora.tokenizer_of(None))
    assert list(map(len, ids)) == list(map(len, encoder.encode_documents(documents)))
    assert len(ids[2]) == 0
    surfaces = [token.text for token in encoder.document_tokens(documents[3])]
    assert surfaces == ["The", "same", "word", "word"]
    assert ids[3][2] == ids[3][3] == ids[1][0]


def test_encoding_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "SHARD", 2)
    documents = [colxtr.Document(str(i), f"document number {i}") for i in range(5)]
    documents.insert(1, colxtr.Document("empty", "!"))
    encoder = colxtr.Encoder.load(threads=1)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for folder in (whole, stopped):
        folder.mkdir()
        assert len(corpora.write_token_ids(folder, documents, corpora.tokenizer_of(None))) == 5
    kept = [document for document in documents if document.id != "empty"]
    corpora.write_vectors(whole, encoder, kept)

    calls: list[int] = []

    def encode(shard: list[colxtr.Document]) -> Any:
        calls.append(len(shard))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return colxtr.Encoder.encode_documents(encoder, shard)

    monkeypatch.setattr(encoder, "encode_documents", encode)
    with pytest.raises(KeyboardInterrupt):
        corpora.write_vectors(stopped, encoder, kept)
    corpora.write_vectors(stopped, encoder, kept)
    assert calls == [2, 2, 2, 1]
    np.testing.assert_array_equal(np.load(stopped / "vectors.npy"), np.load(whole / "vectors.npy"))


def test_a_corpus_of_shortened_documents(tmp_path: Path) -> None:
    encoder = colxtr.Encoder.load(corpora.reading(10, None, tmp_path / "model"), threads=1)
    (rows,) = encoder.encode_documents(["word " * 40])
    assert len(rows) == 8  # and two that are dropped: [CLS] and [SEP]


def test_the_truth_of_other_queries_is_forgotten(tmp_path: Path) -> None:
    encoder = colxtr.Encoder.load(threads=1)
    queries = [("a", "what is a vector"), ("b", "who counts tokens")]
    truth = tmp_path / "truth.npz"
    corpora.write_queries(tmp_path, encoder, queries)
    truth.touch()
    corpora.write_queries(tmp_path, encoder, queries)
    assert truth.exists()
    corpora.write_queries(tmp_path, encoder, queries[::-1])
    assert not truth.exists()


def test_vectors_without_text_get_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complete, "N_ITEMS", 3)
    corpus = make_corpus(tmp_path, [4, 4, 4])
    complete.complete(tmp_path)
    ids = corpus.token_ids()
    assert ids is not None
    assert ids.shape == (12,)
    assert set(ids) == {0, 1, 2}
    assert np.load(tmp_path / "truth.npz")["ids"].shape == (3, 3)


def test_a_corpus_that_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    make_corpus(tmp_path, [4, 4])
    np.save(tmp_path / "doclens.npy", np.array([4, 5]))
    with pytest.raises(SystemExit, match="9 tokens"):
        _ = Corpus.open(tmp_path).vectors


# -- comparison ---------------------------------------------------------------------------------


def make_environment(folder: Path, script: str) -> Path:
    """A virtual environment by name only: a shell script is its interpreter."""
    python = folder / "colxtr" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for the interpreter")
def test_an_engine_builds_and_searches(tmp_path: Path) -> None:
    corpora.write_truth(make_corpus(tmp_path / "data" / "tiny", [5] * 60))
    variant = Variant("ours", "colxtr", ({}, {"method": "exact"}, {"method": "?"}), {"n_bits": 8})
    environments = make_environment(tmp_path / "venvs", f'exec "{sys.executable}" "$@"')
    for _ in range(2):  # the second time the index is there
        made = compare.Comparison(tmp_path / "data", environments, tmp_path / "results.json")
        assert made.build("tiny", variant)
    made.search("tiny", [variant], n_rounds=1, thread_counts=[1], n_queries=2)
    results = json.loads((tmp_path / "results.json").read_text())
    default, exact, wrong = results["searches"]
    assert default["open_seconds"] > 0
    assert exact["recall@10"] > 0.9
    assert "method" in wrong["error"]
    section = report.corpus_sections(results)["tiny"]
    assert "60 documents, 300 tokens of 16 dimensions; 2 queries of 3.0 tokens" in section
    assert "| ours | method exact |" in section
    assert "- ours: " in section


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for the interpreter")
def test_a_process_that_ends_is_an_error(tmp_path: Path) -> None:
    environments = make_environment(tmp_path / "venvs", "read line; exit 7")
    with (
        EngineProcess(VARIANTS[0], environments, tmp_path / "log", threads=1) as process,
        pytest.raises(EngineFailedError, match="code 7"),
    ):
        process.ask("open")


def test_rounds_start_with_another_engine() -> None:
    names = [[v.name for v in compare.rotated(VARIANTS[:3], i)] for i in range(4)]
    assert names[0] == names[3]
    assert names[1] == [*names[0][1:], names[0][0]]


def test_names_and_defaults_of_the_variants() -> None:
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)
    for variant in VARIANTS:
        assert variant.sweep[0] == {}
        assert Path(compare.__file__).with_name(f"run_{variant.driver}.py").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for the interpreter")
def test_a_version_names_the_commit_where_there_is_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environments = make_environment(tmp_path / "venvs", "echo 0.1.0")
    ours = Variant("ours", "colxtr", ({},), {})
    monkeypatch.setattr(compare, "commit", lambda: "abc+")
    assert compare.version(ours, environments) == "0.1.0 (abc+)"
    monkeypatch.setattr(compare, "commit", lambda: "")
    assert compare.version(ours, environments) == "0.1.0"


def test_setting_up_knows_its_engines() -> None:
    command = [sys.executable, "-m", "bench.peers.setup", "--into", "x", "vespa"]
    root = Path(compare.__file__).parents[2]
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=root)
    assert result.returncode == 2
    assert "no engine vespa; there are colxtr, tachiom, fast-plaid, xtr-warp" in result.stderr


# -- report -------------------------------------------------------------------------------------


def search(engine: str, recall: float, p50: float, **more: Any) -> dict[str, Any]:
    record = {"corpus": "c", "engine": engine, "threads": 1, "settings": {}}
    record |= {"recall@10": recall, "recall@100": recall - 0.1, "p50_ms": p50, "p95_ms": 2 * p50}
    return record | {"cpu_ms": p50 - 1, "peak_mb": 30.0} | more


RESULTS = {
    "date": "2026-11-23",
    "command": "python -m bench.peers.compare --data D",
    "machine": {
        "cpu": "A processor",
        "cores": 2,
        "instruction_sets": ["avx2"],
        "memory_gb": 24.0,
        "system": "Linux",
        "python": "3.11.1",
    },
    "versions": {"colxtr, 2 bits": "0.1", "Peer": "1.0"},
    "corpora": {
        "c": {"documents": 10, "tokens": 1000, "dim": 16, "queries": 4, "tokens_per_query": 2.0}
    },
    "builds": [
        {
            "corpus": "c",
            "engine": "Peer",
            "seconds": 9.6,
            "cpu_seconds": 8.0,
            "bytes": 62_500,
            "peak_mb": 100.0,
            "note": "on one thread.",
        },
    ],
    "searches": [
        search("Peer", 0.9, 10.0, open_seconds=0.5, first_ms=20.0, batch_queries_per_second=50.0),
        search("Peer", 0.9, 30.0),
        search("Peer", 0.9, 12.0),
        search("Peer", 0.95, 40.0, settings={"probes": 4}),
        search("colxtr, 2 bits", 0.96, 5.0),
        {"corpus": "c", "engine": "Peer", "threads": 1, "settings": {}, "error": "it broke"},
    ],
}


def test_rounds_become_medians() -> None:
    rows = report.merge_rounds(RESULTS["searches"])
    assert [(row.engine, row.p50) for row in rows] == [
        ("Peer", 12.0),
        ("Peer", 40.0),
        ("colxtr, 2 bits", 5.0),
    ]


def test_section_of_a_corpus() -> None:
    (section,) = report.corpus_sections(RESULTS).values()
    for line in (
        "2026-11-23. A processor, 2 cores (avx2), 24.0 GB, Linux, Python 3.11.1.",
        "    python -m bench.peers.compare --data D\n",
        "| Peer | 62.5 | 10 | 8 | 100 | 500 | 20 | 30 |",
        "\n\nPeer: on one thread.\n\n",
        "| engine | ms at 0.850 | ms at 0.900 | ms at 0.940 | ms at 0.950 | CPU ms at 0.850 |",
        "| colxtr, 2 bits | 5.0 | 5.0 | 5.0 | 5.0 | 4.0 | 4.0 | 4.0 | 4.0 |",
        "| Peer | 12.0 | 12.0 | 31.4 | 40.0 | 11.0 |",
        "| Peer | probes 4 | 0.950 | 0.850 | 40.0 | 80.0 | 39.0 | - |",
        "![Recall and latency on c, 1 thread](benchmarks-c-1.png)",
        "- Peer: it broke",
    ):
        assert line in section


def test_section_of_sizes() -> None:
    built = {"build_s": 5.0, "build_cpu_s": 6.0, "build_peak_mb": 70.0, "bytes_per_token": 39.0}
    found = {"p50_ms_0.2": 2.0, "recall_0.2": 0.9, "true_recall_0.2": 0.8}
    found |= {"p50_ms_0.5": 4.0, "recall_0.5": 0.99, "true_recall_0.5": 0.94}
    made = {"date": "2026-11-23", "commit": "abc", "machine": RESULTS["machine"]}
    sizes = [{"tokens": tokens} | made | built | found for tokens in (1000, 100_000_000)]
    section = report.growth_section(sizes)
    for line in (
        "Measured: 2026-11-23, abc, A processor, 2 cores (avx2), 24.0 GB, Linux, Python 3.11.1.\n",
        "| 1,000 | 5 | 6 | 70 | 39.0 | 0.5 | 4.0 | 0.990 | 0.940 |",
        "| 100,000,000 | 5 | 6 | 70 | 39.0 | 0.2 | 2.0 | 0.900 | 0.800 |",
    ):
        assert line in section


def test_sections_of_the_page_are_replaced_one_by_one() -> None:
    (section,) = report.corpus_sections(RESULTS).values()
    old = {"a": "of a\n", report.GROWTH: "of growth\n", "c": "of c\n\n### More\n"}
    page = report.page_of(old)
    assert page.count("## Run it again\n") == 1
    assert report.sections_of(page) == old
    new = report.page_of(report.sections_of(page) | {"c": section, "b": "of b\n"})
    assert new.index("## a\n\nof a\n\n## c\n\n") < new.index("## b\n\nof b\n\n## Growth\n\nof g")
    assert report.sections_of(new)["c"] == section
    assert report.page_of(report.sections_of(new)) == new


def test_the_page_that_is_kept_has_sections_with_their_commands() -> None:
    sections = report.sections_of((provenance.ROOT / "docs" / "benchmarks.md").read_text("utf-8"))
    assert {"scifact", "joined", "whole", "synthetic", "synthetic100", report.GROWTH} <= {*sections}
    for name in {*sections} - {report.GROWTH}:
        assert "\n    python -m bench.peers.compare " in sections[name]
        assert "| TACHIOM |" in sections[name]


def test_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="is in the benchmark's own environment")
    rows = report.sorted_rows(RESULTS)
    styles = dict(zip(RESULTS["versions"], report.STYLES, strict=False))
    report.draw(rows, styles, 1000, tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
