"""`colxtr eval` and `colxtr compare`, as a person runs them."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest

import colxtr
from colxtr.evaluation.run_files import read_run
from made_collections import QRELS, QUERIES, TEXTS, make_collection
from tiny_models import make_encoder_folder

RUN = "q1 Q0 dog 1 0.9 t\nq1 Q0 fox 2 0.4 t\nq2 Q0 cat 1 0.3 t\nother Q0 cat 1 1 t\n"


def run(*arguments):
    command = [sys.executable, "-W", "error", "-m", "colxtr", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def succeed(*arguments):
    result = run(*arguments)
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("corpora") / "tiny")


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexes")
    with colxtr.Index.create(folder / "i", encoder=make_encoder_folder(folder / "model")) as made:
        made.add({"id": i, "title": title, "text": text} for i, (title, text) in TEXTS.items())
    return folder / "i"


@pytest.fixture
def trec(tmp_path):
    (tmp_path / "run.trec").write_text(RUN, encoding="utf-8")
    return tmp_path / "run.trec"


def test_a_run(trec, corpus) -> None:
    result = succeed("eval", trec, "--qrels", corpus)
    head, line = result.stdout.splitlines()
    assert head.split() == ["run", "nDCG@10", "RR@10", "R@100", "Success@5", "queries"]
    means = colxtr.evaluate(trec, QRELS).means.values()
    assert line.split() == [str(trec), *(f"{value:.4f}" for value in means), "3"]
    assert "nothing for 1 of 3 judged queries; they count as 0" in result.stderr
    assert "1 queries without judgements left out" in result.stderr


def test_an_index(index, corpus, tmp_path) -> None:
    saved = tmp_path / "saved.trec"
    options = ("--method", "exact", "--save-run", saved, "--tag", "mine", "-k", "3")
    found = json.loads(
        succeed("eval", index, "--qrels", corpus, *options, "--format", "json").stdout
    )
    with colxtr.Index.open(index) as opened:
        hits = {q: opened.search(QUERIES[q], 3, method="exact") for q in QRELS}
    expected = colxtr.evaluate(hits, QRELS)
    assert found["runs"][str(index)]["means"] == expected.means
    assert saved.read_text().splitlines()[0].endswith(" mine")
    assert read_run(saved).keys() == QRELS.keys()


def test_two_are_tested(index, trec, corpus) -> None:
    command = ("eval", trec, index, "--qrels", corpus, "--measures", "nDCG@10 AP")
    text = succeed(*command).stdout
    assert f"against {trec}" in text
    assert "p, randomisation" in text
    found = json.loads(succeed(*command, "--format", "json").stdout)
    test = found["tests"][str(index)]["AP"]
    means = [found["runs"][str(each)]["means"]["AP"] for each in (trec, index)]
    assert test["difference"] == pytest.approx(means[1] - means[0])
    assert 0 < test["p_randomisation"] <= 1
    assert "| run | nDCG@10 | AP | queries |" in succeed(*command, "--format", "markdown").stdout


def test_per_query(trec, corpus) -> None:
    command = ("eval", trec, "--qrels", corpus / "qrels" / "test.tsv", "--per-query")
    rows = list(csv.DictReader(io.StringIO(succeed(*command, "--format", "csv").stdout)))
    assert [row["query"] for row in rows] == ["q1", "q2", "q3"]
    expected = colxtr.evaluate(trec, QRELS).per_query["nDCG@10"]
    assert {row["query"]: float(row["nDCG@10"]) for row in rows} == expected
    assert succeed(*command).stdout.count("q1") == 1
    found = json.loads(succeed(*command, "--format", "json").stdout)
    assert found["runs"][str(trec)]["per_query"]["nDCG@10"] == expected


def test_queries_from_elsewhere(index, corpus, tmp_path) -> None:
    qrels, queries = tmp_path / "qrels.txt", tmp_path / "queries.tsv"
    qrels.write_text("q1 0 fox 1\n")
    queries.write_text("q1\tred fox\nq9\tother\n")
    assert "1.0000" in succeed("eval", index, "--qrels", qrels, "--queries", queries).stdout
    result = run("eval", index, "--qrels", qrels)
    assert (result.returncode, result.stderr) == (
        2,
        'error: an index needs queries; name their file: "--queries queries.tsv"\n',
    )
    queries.write_text("q9\tother\n")
    assert (
        "none of the 1 queries" in run("eval", index, "--qrels", qrels, "--queries", queries).stderr
    )


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["nowhere.trec"], 1, "nowhere.trec does not exist"),
        (["RUN", "--measures", "nonsense"], 1, "'nonsense' is unknown"),
        (["RUN", "--split", "dev"], 1, "has the splits test"),
        (["RUN", "RUN"], 2, "named twice"),
        (["RUN", "--save-run", "x"], 2, "--save-run is for one index; 0 are named"),
        (["RUN", "--tag", "x"], 2, "--tag names the run"),
        (["RUN", "--preset", "huge"], 1, "preset is 'huge'"),
    ],
)
def test_mistakes(trec, corpus, options, code, message) -> None:
    named = [str(trec) if each == "RUN" else each for each in options]
    result = run("eval", *named, "--qrels", corpus)
    assert result.returncode == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_broken_line_is_named(trec, corpus) -> None:
    trec.write_text(RUN + "q1 Q0\n")
    assert f"error: {trec}, line 5: 2 columns" in run("eval", trec, "--qrels", corpus).stderr


@pytest.mark.parametrize("command", ["eval", "compare"])
def test_help_has_examples(command) -> None:
    assert succeed(command, "--help").stdout.count("    colxtr ") >= 4


def test_mistakes_of_compare(corpus, tmp_path) -> None:
    for options, message in (
        (["--bits", "two"], "--bits is 'two'"),
        (["--methods", "plaid"], "method is 'plaid'"),
        (["--sweep", "x"], "the sweep 'x' is not understood"),
        (["--preset", "huge"], "preset is 'huge'"),
    ):
        result = run("compare", corpus, "--output", tmp_path / "out", *options)
        assert result.returncode in (1, 2)
        assert message in result.stderr
    assert not (tmp_path / "out").exists()
