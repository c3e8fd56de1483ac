"""Runs and judgements from files, measures, significance, tables."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from types import SimpleNamespace
from typing import NamedTuple

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

import colxtr
from colxtr.errors import CorpusError, InputError, MissingDependencyError
from colxtr.evaluation import significance
from colxtr.evaluation.measures import largest_cutoff, parse_measures
from colxtr.evaluation.presets import PRESETS, search_options
from colxtr.evaluation.qrels_files import read_judged_queries, read_qrels
from colxtr.evaluation.run_files import read_run
from colxtr.evaluation.significance import compare_runs, paired_t_test, randomisation_test
from colxtr.evaluation.tables import Column, render
from colxtr.hits import Hit
from colxtr.runs import write_run
from made_collections import QRELS, QUERIES, make_collection

RUN = {
    "q1": {"dog": 0.9, "cat": 0.5, "fox": 0.4},
    "q2": {"owl": 0.3, "cat": 0.3},
    "other": {"cat": 1.0},
}
MEASURES = "nDCG@10 RR@10 R@100 Success@5 AP P(rel=2)@5"


# --- measures ------------------------------------------------------------------------------------


def test_figures_are_those_of_ir_measures() -> None:
    measures = [ir_measures.parse_measure(name) for name in MEASURES.split()]
    expected = ir_measures.calc(measures, QRELS, RUN)
    found = colxtr.evaluate(RUN, QRELS, MEASURES)
    assert found.means == {str(m): expected.aggregated[m] for m in measures}
    for metric in expected.per_query:
        assert found.per_query[str(metric.measure)][metric.query_id] == metric.value
    assert (found.n_queries, found.n_unanswered, found.n_unjudged) == (3, 1, 1)
    assert json.loads(json.dumps(found.as_dict()))["means"]["AP"] == found["AP"]


def test_figures_by_hand() -> None:
    found = colxtr.evaluate(RUN, QRELS, "nDCG@10 RR R@100 Success@1")
    gain = (1 + 2 / 2) / (2 + 1 / np.log2(3))  # dog, then fox in the third place
    assert found.per_query["nDCG@10"]["q1"] == pytest.approx(gain)
    assert found.per_query["RR"] == {"q1": 1.0, "q2": 0.5, "q3": 0.0}  # equals: by id, from the end
    assert found["R@100"] == pytest.approx(2 / 3)
    assert found["Success@1"] == pytest.approx(1 / 3)


scores = st.floats(-10, 10, width=16)
runs = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.dictionaries(st.sampled_from("123456"), scores, max_size=6),
    min_size=1,
)
judgements = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d"]),
    st.dictionaries(st.sampled_from("1234567"), st.integers(0, 3), min_size=1),
    min_size=1,
)


@settings(max_examples=50, deadline=None)
@given(runs, judgements)
def test_figures_are_those_of_pytrec_eval(run, qrels) -> None:
    found = colxtr.evaluate(run, qrels, "nDCG@5 RR R@5")
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.5", "recip_rank", "recall.5"})
    expected = evaluator.evaluate(run)
    for ours, theirs in (("nDCG@5", "ndcg_cut_5"), ("RR", "recip_rank"), ("R@5", "recall_5")):
        values = {query: expected.get(query, {}).get(theirs, 0.0) for query in qrels}
        assert found.per_query[ours] == values
        assert found[ours] == pytest.approx(np.mean(list(values.values())), abs=1e-12)


def test_runs_may_be_hits_and_files(tmp_path) -> None:
    hits = {q: [Hit(d, score) for d, score in found.items()] for q, found in RUN.items()}
    write_run(tmp_path / "run.trec", hits)
    collection = make_collection(tmp_path / "tiny")
    expected = colxtr.evaluate(RUN, QRELS)
    assert colxtr.evaluate(hits, QRELS) == expected
    assert colxtr.evaluate(tmp_path / "run.trec", collection) == expected
    assert (
        colxtr.evaluate(str(tmp_path / "run.trec"), str(collection / "qrels/test.tsv")) == expected
    )
    with pytest.raises(InputError, match="'a' comes twice for query 'q'"):
        colxtr.evaluate({"q": [Hit("a", 1), Hit("a", 0)]}, {"q": {"a": 1}})


def test_measures_that_are_none() -> None:
    with pytest.raises(InputError, match="'nonsense@10' is unknown"):
        colxtr.evaluate(RUN, QRELS, "nonsense@10")
    with pytest.raises(InputError, match="no measure is named"):
        colxtr.evaluate(RUN, QRELS, " ")
    with pytest.raises(InputError, match="no judgements"):
        colxtr.evaluate(RUN, {})


def test_names_of_measures() -> None:
    parsed = parse_measures("nDCG@10, RR(rel=2)@10 P(rel=1,judged_only=True)@5")
    assert list(parsed) == ["nDCG@10", "RR(rel=2)@10", "P(judged_only=True)@5"]
    assert list(parse_measures([ir_measures.AP, "R@1000"])) == ["AP", "R@1000"]
    assert largest_cutoff(parse_measures("AP nDCG@10")) == 100
    assert largest_cutoff(parse_measures("AP R@1000")) == 1000


def test_without_ir_measures(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'colxtr\[eval\]'"):
        colxtr.evaluate(RUN, QRELS)


def test_the_room_loads_nothing_heavy() -> None:
    program = (
        "import sys, colxtr.evaluation.compare, colxtr.evaluation.report, colxtr.cli.eval\n"
        "heavy = {'ir_measures', 'matplotlib', 'bm25s', 'scann', 'torch', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert result.stdout == b"[]\n"


# --- files ---------------------------------------------------------------------------------------


def test_run_file(tmp_path) -> None:
    path = tmp_path / "run.gz"
    path.write_bytes(gzip.compress(b"q Q0 a 1 0.5 tag\n\nq\tQ0\tb\t2\t-1e-3\ttag\n"))
    assert read_run(path) == {"q": {"a": 0.5, "b": -0.001}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("q Q0 a 1 0.5 t\nq Q0 b 2 0.4\n", "line 2: 5 columns"),
        ("q Q0 a 1 high t\n", "line 1: the score 'high' is not a finite number"),
        ("q Q0 a 1 nan t\n", "line 1: the score 'nan' is not a finite number"),
        ("q Q0 a 1 2 t\n\nq Q0 a 2 1 t\n", "line 3: document 'a' comes a second time for query"),
    ],
)
def test_bad_run_files(tmp_path, content, message) -> None:
    (tmp_path / "run").write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match=rf"run.*{message}"):
        read_run(tmp_path / "run")


def test_a_run_file_that_is_not_there(tmp_path) -> None:
    with pytest.raises(CorpusError, match="run does not exist"):
        read_run(tmp_path / "run")


@pytest.mark.parametrize(
    "content",
    [
        "query-id\tcorpus-id\tscore\nq 1\ta\t1\nq 1\tb\t0\n",
        "q 1\ta\t1\nq 1\tb\t0\r\n\n",
        "q 1\t0\ta\t1\nq 1\t0\tb\t0\n",
    ],
)
def test_qrels_with_tabs(tmp_path, content) -> None:
    (tmp_path / "qrels").write_text(content, encoding="utf-8")
    assert read_qrels(tmp_path / "qrels") == {"q 1": {"a": 1, "b": 0}}


def test_qrels_of_trec(tmp_path) -> None:
    (tmp_path / "qrels").write_bytes(gzip.compress(b"q 0 a 1\nq Q0 b -2\nq 0 a 1\n"))
    assert read_qrels(tmp_path / "qrels") == {"q": {"a": 1, "b": -2}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no judgements"),
        ("q 0 a 1\nq 0 a\nq 0\n", "line 2: the grade 'a' is not a whole number"),
        ("q 0 a 1\nq a\n", "line 2: 2 columns"),
        ("q\t\t1\n", "line 1: 3 columns"),
        ("q 0 a 0.5\n", "line 1: the grade '0.5' is not a whole number"),
        ("q 0 a 1\nq 0 a 2\n", "line 2: document 'a' is judged 2 for query 'q', and 1 before"),
    ],
)
def test_bad_qrels(tmp_path, content, message) -> None:
    (tmp_path / "qrels.txt").write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match=rf"qrels\.txt.*{message}"):
        read_qrels(tmp_path / "qrels.txt")


def test_beir_folders(tmp_path) -> None:
    folder = make_collection(tmp_path / "tiny")
    assert read_qrels(folder) == QRELS
    assert read_judged_queries(folder) == QUERIES
    assert read_judged_queries(folder / "qrels" / "test.tsv") == QUERIES
    with pytest.raises(CorpusError, match=r"dev\.tsv does not exist; .* has the splits test"):
        read_qrels(folder, split="dev")
    with pytest.raises(CorpusError, match="no BEIR folder with judgements"):
        read_qrels(tmp_path)


class _Qrel(NamedTuple):
    query_id: str
    doc_id: str
    relevance: int


class _DataSet:
    def has_qrels(self) -> bool:
        return True

    def qrels_iter(self) -> list[_Qrel]:
        return [_Qrel("q", "a", 1), _Qrel("q", "b", 0)]

    def has_queries(self) -> bool:
        return True

    def queries_iter(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(query_id="q", default_text=lambda: "a question")]


def test_ids_of_ir_datasets(monkeypatch) -> None:
    library = SimpleNamespace(load={"beir/tiny/test": _DataSet()}.__getitem__)
    monkeypatch.setitem(sys.modules, "ir_datasets", library)
    assert read_qrels("beir/tiny/test") == {"q": {"a": 1, "b": 0}}
    assert read_judged_queries("beir/tiny/test") == {"q": "a question"}
    with pytest.raises(CorpusError, match="neither a file that exists nor an id"):
        read_qrels("beir/other")
    with pytest.raises(CorpusError, match=r"other\.tsv does not exist"):
        read_qrels("beir/other.tsv")


def test_without_ir_datasets(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(MissingDependencyError, match="no file beir/tiny; as an id of ir_datasets"):
        read_qrels("beir/tiny")


# --- significance --------------------------------------------------------------------------------


def test_t_test_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(0)
    first, second = generator.random(40), generator.random(40) + 0.1
    expected = stats.ttest_rel(second, first).pvalue
    assert paired_t_test(second - first) == pytest.approx(expected)
    assert paired_t_test(np.zeros(5)) == 1.0


def test_without_scipy(monkeypatch) -> None:
    monkeypatch.setattr(significance.importlib.util, "find_spec", lambda name: None)
    assert paired_t_test(np.ones(5)) is None


def test_randomisation_test_counts_signs() -> None:
    differences = np.array([0.5, 0.25, 0.125, 0.0])
    # Of the 8 signs of those that differ, only all plus and all minus are as far from 0.
    assert randomisation_test(differences, rounds=200_000) == pytest.approx(2 / 8, abs=0.005)
    assert randomisation_test(np.zeros(4)) == 1.0
    assert randomisation_test(np.full(30, 0.1), rounds=1000) == 1 / 1001


def test_randomisation_test_agrees_with_the_t_test() -> None:
    differences = np.random.default_rng(1).normal(0.1, 0.4, 60)
    p = paired_t_test(differences)
    assert p is None or randomisation_test(differences) == pytest.approx(p, abs=0.01)


def test_randomisation_depends_on_its_seed_alone() -> None:
    differences = np.random.default_rng(1).normal(0.1, 0.4, 20)
    p = randomisation_test(differences, rounds=5000, seed=3)
    assert p == randomisation_test(differences, rounds=5000, seed=3)
    assert p != randomisation_test(differences, rounds=5000, seed=4)


def test_comparing_runs() -> None:
    found = compare_runs({"a": 0.5, "b": 1.0, "c": 0.0}, {"a": 1.0, "b": 0.5, "c": 1.0})
    assert (found.difference, found.n_queries) == (pytest.approx(1 / 3), 3)
    assert (found.wins, found.losses) == (2, 1)
    with pytest.raises(InputError, match="1 of them in one run only"):
        compare_runs({"a": 1.0}, {"a": 1.0, "b": 1.0})
    with pytest.raises(InputError, match="rounds is 0"):
        compare_runs({"a": 1.0}, {"a": 1.0}, rounds=0)


# --- tables and presets --------------------------------------------------------------------------

COLUMNS = [Column("name"), Column("n"), Column("value", 2)]
ROWS = [["a|b", 1000, 0.456], ["c", None, None]]


def test_tables() -> None:
    assert render(COLUMNS, ROWS, "text") == (
        "name      n  value\na|b   1,000   0.46\nc         -      -\n"
    )
    assert render(COLUMNS, ROWS, "markdown") == (
        "| name | n | value |\n| --- | ---: | ---: |\n| a\\|b | 1,000 | 0.46 |\n| c | - | - |\n"
    )
    assert list(csv.reader(io.StringIO(render(COLUMNS, ROWS, "csv")))) == [
        ["name", "n", "value"],
        ["a|b", "1000", "0.456"],
        ["c", "", ""],
    ]
    assert json.loads(render(COLUMNS, ROWS, "json"))[0] == {
        "name": "a|b",
        "n": 1000,
        "value": 0.456,
    }


def test_presets() -> None:
    assert PRESETS["paper-small"] == {"n_probe": 10, "k_prime": 500}
    assert search_options("paper-large") == {"n_probe": 10, "k_prime": 10_000}
    assert search_options("paper-large", n_probe=3) == {"n_probe": 3, "k_prime": 10_000}
    assert search_options(None) == {"n_probe": None, "k_prime": None}
    with pytest.raises(InputError, match="preset is 'huge'; default, paper-small"):
        search_options("huge")
