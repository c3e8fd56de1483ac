"""`compare`: cells, what an interruption leaves, the report; a slice of a real collection."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

import colxtr
from colxtr.errors import ColxtrError, CorpusError, InputError, MissingDependencyError
from colxtr.evaluation import bench, processes, work
from colxtr.evaluation.cells import (
    ALL_LISTS,
    DEFAULT_METHODS,
    METHODS,
    Cell,
    IndexSpec,
    Sweep,
    check_bits,
    check_methods,
    sweep_cells,
    table_cells,
)
from colxtr.evaluation.compare import CompareSettings, compare
from colxtr.evaluation.embedded import embed, embed_queries
from colxtr.evaluation.judged import JudgedCollection
from colxtr.evaluation.published import published, published_size
from colxtr.evaluation.report import all_tables, main_table, quality_table, summary, write_report
from colxtr.evaluation.results import hnsw_bytes
from made_collections import TEXTS, make_collection
from tiny_models import make_encoder_folder

SETTINGS = CompareSettings(
    methods=("bm25", "float32", "exact", "colxtr"),
    bits=(2, 16),
    measures="nDCG@10 R@100",
    sweeps=(Sweep("rerank", (0, 2)),),
)


@contextmanager
def noted_tasks():
    """A list that fills with the tasks done in processes of their own, and their arguments."""
    tasks = []

    def noted(task, arguments, **options):
        tasks.append((task, arguments))
        return processes.in_own_process(task, arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "in_own_process", noted)
        yield tasks


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_encoder_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("corpora") / "tiny")


@pytest.fixture(scope="module")
def done(tmp_path_factory, corpus, model):
    """A finished comparison, and its folder."""
    folder = tmp_path_factory.mktemp("compared") / "out"
    return compare(corpus, folder, SETTINGS, encoder=model), folder


# --- cells ---------------------------------------------------------------------------------------


def test_cells_of_the_table() -> None:
    cells = table_cells(check_methods(["colxtr", "bm25", "xtr"]), (2, 4), {})
    assert [(c.method, c.index and c.index.n_bits) for c in cells] == [
        ("bm25", None),
        ("xtr", 2),
        ("xtr", 4),
        ("colxtr", 2),
        ("colxtr", 4),
    ]
    assert cells[1].options == {"method": "xtr", "n_probe": ALL_LISTS}
    assert [c.name for c in cells] == [
        "bm25",
        "xtr-2bits",
        "xtr-4bits",
        "colxtr-2bits",
        "colxtr-4bits",
    ]


def test_presets_reach_the_methods_that_have_such_a_setting() -> None:
    scale = {"n_probe": 10, "k_prime": 500}
    options = {c.method: c.options for c in table_cells(tuple(METHODS), (2,), scale)}
    assert options["colxtr-no-rerank"] == {"method": "colxtr", "rerank": 0, **scale}
    assert options["xtr"] == {"method": "xtr", "n_probe": ALL_LISTS, "k_prime": 500}
    assert options["colbertv2"] == {"method": "colbertv2", "n_probe": 10}
    assert options["exact"] == {"method": "exact"}
    assert options["xtr-scann"] == {"k_prime": 500}


def test_sweeps() -> None:
    assert Sweep.parse(" n_probe = 4,1,4 ") == Sweep("n_probe", (1, 4))
    cells = sweep_cells(Sweep("n_probe", (1, 4)), ("exact", "colxtr"), 4, {"k_prime": 9})
    assert cells == [
        (n, Cell("colxtr", IndexSpec(4), {"method": "colxtr", "k_prime": 9, "n_probe": n}))
        for n in (1, 4)
    ]
    cells = sweep_cells(Sweep("dim", (32,)), ("exact", "bm25"), 2, {})
    assert cells == [(32, Cell("exact", IndexSpec(2, dim=32), {"method": "exact"}))]
    assert cells[0][1].name == "exact-2bits-dim32"
    assert Sweep("rerank", (1,)).default_methods == ("colxtr",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n_probe", "is not understood"),
        ("speed=1", "is not understood"),
        ("n_probe=", "is not understood"),
        ("n_probe=0", "n_probe is 0; at least 1"),
        ("n_bits=3", "n_bits is 3"),
        ("dim=20", "dim is 20; a multiple of 8"),
    ],
)
def test_bad_sweeps(text, message) -> None:
    with pytest.raises(InputError, match=message):
        Sweep.parse(text)


def test_bad_methods_and_bits() -> None:
    assert "xtr-scann" not in DEFAULT_METHODS
    with pytest.raises(InputError, match="method is 'plaid'; bm25, float32"):
        check_methods(["colxtr", "plaid"])
    with pytest.raises(InputError, match="n_bits is 3"):
        check_bits([2, 3])
    with pytest.raises(InputError, match="no bit width"):
        check_bits([])


# --- collections ---------------------------------------------------------------------------------


def test_a_judged_collection(corpus) -> None:
    read = JudgedCollection.read(corpus)
    assert read.doc_ids == tuple(TEXTS)
    assert list(read.queries) == ["q1", "q2", "q3"]  # q4 has no judgement
    assert read.is_whole
    fewer = JudgedCollection.read(corpus, queries=2, seed=1)
    assert len(fewer.queries) == 2
    assert fewer == JudgedCollection.read(corpus, queries=2, seed=1)
    assert not fewer.is_whole
    first = JudgedCollection.read(corpus, documents=2)
    assert first.doc_ids == ("fox", "cat")
    assert first.qrels == {"q1": {"fox": 2}, "q2": {"cat": 1}}
    assert first.digest != read.digest
    with pytest.raises(CorpusError, match="does not exist"):
        JudgedCollection.read(corpus / "nowhere")
    with pytest.raises(InputError, match="queries is 0"):
        JudgedCollection.read(corpus, queries=0)


def test_embeddings_are_made_once(corpus, model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("colxtr.evaluation.embedded.PART_DOCUMENTS", 2)
    encoder = colxtr.Encoder.load(model)
    read = JudgedCollection.read(corpus)
    asked: list[int] = []
    encode = colxtr.Encoder.encode_documents

    def counted(self, documents, **options):
        asked.append(len(documents))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return encode(self, documents, **options)

    monkeypatch.setattr(colxtr.Encoder, "encode_documents", counted)
    with pytest.raises(KeyboardInterrupt):
        embed(read, encoder, tmp_path)
    stored, figures = embed(read, encoder, tmp_path)
    assert asked == [2, 2, 2, 1]
    assert figures["n_tokens"] == stored.counts().sum()
    embed(read, encoder, tmp_path)
    assert asked == [2, 2, 2, 1]
    expected = encode(encoder, read.documents())
    for ours, theirs in zip(stored.documents(), expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_embedded_queries(corpus, model, tmp_path) -> None:
    encoder = colxtr.Encoder.load(model)
    queries = JudgedCollection.read(corpus).queries
    made = embed_queries(queries, encoder, tmp_path)
    assert made == embed_queries(queries, encoder, tmp_path)  # times too: nothing is made again
    assert len(made.milliseconds) == 3
    for ours, theirs in zip(made.arrays(), encoder.encode_queries(queries.values()), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


# --- a comparison --------------------------------------------------------------------------------


def test_every_cell_is_measured(done) -> None:
    comparison, _ = done
    assert [(r.cell.method, r.n_bits) for r in comparison.cells] == [
        ("bm25", None),
        ("float32", None),
        ("exact", 2),
        ("exact", 16),
        ("colxtr", 2),
        ("colxtr", 16),
    ]
    assert comparison.measures == ("nDCG@10", "R@100")
    assert comparison.quality("exact", 16).means == comparison.quality("float32").means
    for result in comparison.cells[2:]:
        assert result.figures["index_bytes"] > 0
        assert result.latency(0.95) >= result.latency(0.5) > 0
        assert result.figures["cpu_milliseconds"] > 0
        assert result.figures["n_tokens"] == comparison.collection["n_tokens"]
    assert [(v, r.cell.options["rerank"]) for v, r in comparison.sweeps[0].rows] == [(0, 0), (2, 2)]
    assert json.loads(json.dumps(comparison.as_dict()))["collection"]["name"] == "tiny"


def test_quality_is_that_of_an_index_made_by_hand(done, corpus, model, tmp_path) -> None:
    comparison, folder = done
    read = JudgedCollection.read(corpus)
    with colxtr.Index.create(tmp_path / "i", encoder=model, n_bits=2) as index:
        index.add(read.documents())
        run = {q: index.search(text, 100) for q, text in read.queries.items()}
    assert colxtr.evaluate(run, read.qrels, "nDCG@10 R@100") == comparison.quality("colxtr", 2)
    again = colxtr.evaluate(folder / "runs" / "colxtr-2bits.trec", corpus, "nDCG@10 R@100")
    assert again == comparison.quality("colxtr", 2)


def test_coverage_of_a_tiny_collection(done) -> None:
    comparison, _ = done
    last = comparison.coverage[-1]
    assert 0 < last.query_tokens <= last.documents <= 1


def test_what_is_finished_is_not_measured_again(done, corpus, model, monkeypatch) -> None:
    comparison, folder = done

    def never(*arguments, **options):
        raise AssertionError(arguments)

    monkeypatch.setattr(bench, "in_own_process", never)
    again = compare(corpus, folder, SETTINGS, encoder=model)
    assert again == comparison


def test_another_seed_is_measured_anew_and_equal_ones_agree(corpus, model, done, tmp_path) -> None:
    comparison, _ = done
    settings = CompareSettings(methods=("float32", "exact"), bits=(2,), measures="nDCG@10 R@100")
    again = compare(corpus, tmp_path, settings, encoder=model)
    for result in again.cells:
        assert result.evaluation == comparison.quality(result.cell.method, result.n_bits)
    one = CompareSettings(methods=("exact",), bits=(2,), seed=1)
    with noted_tasks() as asked:
        compare(corpus, tmp_path, one, encoder=model)
    assert [task for task, _ in asked] == ["build", "search", "coverage"]


def test_queries_that_are_not_timed_find_the_same(corpus, model, tmp_path, monkeypatch) -> None:
    settings = CompareSettings(methods=("colxtr",), bits=(2,), coverage=False)
    with noted_tasks() as tasks:
        compare(corpus, tmp_path, settings, encoder=model)
    ((_, arguments),) = [each for each in tasks if each[0] == "search"]
    assert len(arguments["query_ids"]) == 3
    monkeypatch.setattr(work, "TIMED_QUERIES", 2)
    figures = work.search(**{**arguments, "run": str(tmp_path / "again.trec")})
    assert len(figures["milliseconds"]) == 2
    assert (tmp_path / "again.trec").read_bytes() == Path(arguments["run"]).read_bytes()


def test_slow_queries_are_timed_for_a_while_only(monkeypatch) -> None:
    now = iter(range(1_000_000))  # each look at the clock is a second later
    monkeypatch.setattr(work.time, "perf_counter", lambda: next(now))
    asked: list[int] = []

    def one(query: int) -> int:
        asked.append(query)
        return -query

    timed, times = work._timed(one, range(300))
    chosen = asked[-len(timed) :]
    assert times["milliseconds"] == [1000.0] * 20  # 5 would have been enough for the clock
    assert chosen == list(timed) == sorted(chosen)
    assert len(set(chosen)) == 20
    assert chosen[-1] - chosen[0] > 200  # from the beginning to the end
    assert timed == {query: -query for query in chosen}
    assert work._completed(timed, one, range(300), threads=2) == [-query for query in range(300)]


def test_coverage_that_is_not_asked_for_is_not_measured(corpus, model, tmp_path) -> None:
    settings = CompareSettings(methods=("float32",), coverage=False)
    with noted_tasks() as asked:
        comparison = compare(corpus, tmp_path, settings, encoder=model)
    assert [task for task, _ in asked] == ["float32"]
    assert [each.name for each in all_tables(comparison)] == ["table", "quality"]
    assert comparison.as_dict()["coverage"] == []


def test_a_damaged_file_is_named(corpus, model, tmp_path) -> None:
    one = CompareSettings(methods=("bm25",))
    compare(corpus, tmp_path, one, encoder=model)
    (tmp_path / "cells" / "bm25.json").write_text("{")
    with pytest.raises(InputError, match=r"bm25\.json is damaged; delete it"):
        compare(corpus, tmp_path, one, encoder=model)


def test_mistakes_end_before_any_work(corpus, model, tmp_path, monkeypatch) -> None:
    for settings, message in (
        (
            CompareSettings(methods=("bm25",), sweeps=(Sweep("rerank", (1,)),)),
            "has a use for rerank",
        ),
        (CompareSettings(sweeps=(Sweep("dim", (64,)),)), "dim is 64; .* of 16"),
        (CompareSettings(preset="huge"), "preset is 'huge'"),
        (CompareSettings(measures="nonsense"), "'nonsense' is unknown"),
    ):
        with pytest.raises(InputError, match=message):
            compare(corpus, tmp_path, settings, encoder=model)
    monkeypatch.setitem(sys.modules, "scann", None)
    with pytest.raises(MissingDependencyError, match=r"colxtr\[scann\]"):
        compare(corpus, tmp_path, CompareSettings(methods=("xtr-scann",)), encoder=model)
    assert not list(tmp_path.iterdir())


# --- processes -----------------------------------------------------------------------------------


def test_errors_of_a_process_are_ours(tmp_path) -> None:
    (tmp_path / "ids").write_text('["a"]')
    arguments = {"queries": str(tmp_path / "q.npy"), "query_ids": [], "options": {}, "k": 1}
    embeddings = {"folder": str(tmp_path), "dim": None, "normalise": True}
    with pytest.raises(InputError, match=r"q\.counts\.npy: a cached file that is damaged"):
        processes.in_own_process(
            "search",
            {**arguments, "index": "", "embeddings": embeddings, "run": "", "tag": "t"},
        )
    with pytest.raises(ColxtrError, match="the process of the task 'nothing' ended with 1"):
        processes.in_own_process("nothing", {})


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills as POSIX has them")
def test_a_process_ends_with_the_one_that_started_it() -> None:
    started = subprocess.Popen(
        [sys.executable, "-m", "colxtr.evaluation.processes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert started.stdin is not None
    started.stdin.close()  # as when we die
    assert started.wait(20) != 0


# --- the report ----------------------------------------------------------------------------------


def test_report(done, tmp_path) -> None:
    comparison, _ = done
    paths = write_report(comparison, tmp_path)
    names = {path.name for path in paths}
    assert names >= {
        "report.md",
        "results.json",
        "table.csv",
        "quality.csv",
        "coverage.csv",
        "sweep-rerank.csv",
        "quality-size.png",
        "quality-latency.svg",
        "sweep-rerank.png",
    }
    assert (tmp_path / "quality-size.png").read_bytes()[:4] == b"\x89PNG"
    assert "</svg>" in (tmp_path / "quality-size.svg").read_text()
    report = (tmp_path / "report.md").read_text()
    assert "| colxtr | 2 |" in report
    assert "![quality-size](quality-size.png)" in report
    assert str(tmp_path) not in report
    write_report(comparison, tmp_path / "again")
    for name in ("report.md", "quality-size.svg", "results.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_tables_of_a_comparison(done) -> None:
    comparison, _ = done
    table = main_table(comparison)
    assert len(table.rows) == 6
    assert [column.name for column in table.columns][:4] == ["method", "bits", "nDCG@10", "R@100"]
    quality = quality_table(comparison)
    base = next(row for row in quality.rows if row[0] == "float32")
    assert base[3:] == [None] * 5
    same = next(row for row in quality.rows if row[:2] == ["exact", 16])
    assert same[3:7] == [0.0, 0, 0, 1.0]
    assert [each.name for each in all_tables(comparison)] == [
        "table",
        "quality",
        "coverage",
        "sweep-rerank",
    ]
    assert "tiny: 5 documents" in summary(comparison)
    assert hnsw_bytes(10, 128) == 7680


def test_published_figures() -> None:
    found = {each.system: round(each.ndcg_at_10, 3) for each in published("SciFact", 5183)}
    assert found == {"ColBERTv2": 0.693, "XTR-base": 0.71, "ColXTR": 0.719}
    assert published("scifact", 300) == []
    assert published("mine", 5183) == []
    size = published_size("nfcorpus", 3633)
    assert size is not None
    assert (size.hnsw, size.colxtr) == (2.4, 0.091)
    assert published_size("scifact", 5183) is None


# --- interrupted, and on real text ---------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_a_killed_comparison_goes_on(corpus, model, tmp_path, done) -> None:
    comparison, _ = done
    command = [sys.executable, "-m", "colxtr", "compare", str(corpus), "--output", str(tmp_path)]
    command += ["--model", str(model), "--methods", "bm25,float32,colxtr", "--bits", "2"]
    command += ["--measures", "nDCG@10 R@100"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("cells/*.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*.json")}
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items())
    assert len(list(tmp_path.glob("cells/*.json"))) == 4
    for cell in json.loads((tmp_path / "results.json").read_text())["cells"]:
        n_bits = cell["cell"]["index"] and cell["cell"]["index"]["n_bits"]
        expected = comparison.quality(cell["cell"]["method"], n_bits)
        assert cell["quality"]["means"] == expected.means


def test_a_slice_of_scifact(data_folder: Path, tmp_path: Path) -> None:
    settings = CompareSettings(
        methods=("float32", "xtr", "colxtr-no-rerank", "colxtr"),
        bits=(2,),
        documents=80,
        preset="paper-small",
    )
    comparison = compare(data_folder / "scifact", tmp_path, settings)
    exact = comparison.quality("float32")["nDCG@10"]
    assert exact > 0.8
    assert comparison.quality("colxtr", 2)["nDCG@10"] >= exact - 0.03
    covered = [each.documents for each in comparison.coverage]
    assert covered == sorted(covered)
    assert covered[-1] == 1.0  # 10,000 tokens of 15,000
    smaller = comparison.cells[-1].times_smaller
    assert smaller is not None
    assert smaller > 10
    assert comparison.published == ()
