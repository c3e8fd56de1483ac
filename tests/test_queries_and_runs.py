"""Files of queries, and runs in the format of TREC."""

import gzip
import os
import subprocess
from dataclasses import dataclass

import pytest

from colxtr.corpora import read_queries
from colxtr.errors import CorpusError, InputError
from colxtr.runs import write_run


@dataclass
class Hit:
    id: str
    score: float


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("1\tfirst\n2\t second \n", [("1", "first"), ("2", "second")]),
        ("query_id\ttext\n1\tfirst\n", [("1", "first")]),
        ('{"_id": 5, "text": "a"}\n{"qid": "b", "query": "c"}', [("5", "a"), ("b", "c")]),
        ("how?\n\nwhy?\n", [("1", "how?"), ("3", "why?")]),
    ],
)
def test_queries(tmp_path, content, expected):
    path = tmp_path / "queries"
    path.write_text(content, encoding="utf-8")
    assert read_queries(path) == expected
    path.write_bytes(gzip.compress(content.encode()))
    assert read_queries(path) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no queries"),
        ("1\ta\n1\tb\n", "line 2: query id '1' comes a second time"),
        ("1\ta\n2\t \n", "line 2: query '2' is empty"),
        ("1\ta\n2\n", "line 2: 1 fields"),
        ('{"_id": "1"}', "line 1: no text"),
        ('{"_id": "1", "text": 5}', "line 1: id and text must be strings"),
        ('{"_id": ', "line 1: not valid JSON"),
    ],
)
def test_bad_queries(tmp_path, content, message):
    path = tmp_path / "queries.tsv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match=rf"queries\.tsv.*{message}"):
        read_queries(path)


def test_missing_queries(tmp_path):
    with pytest.raises(CorpusError, match="does not exist"):
        read_queries(tmp_path / "nowhere.tsv")
    with pytest.raises(CorpusError, match=r"a folder without queries\.jsonl"):
        read_queries(tmp_path)


def test_real_queries(data_folder):
    assert len(read_queries(data_folder / "scifact")) == 1109


def test_run(tmp_path):
    path = tmp_path / "run.trec"
    assert write_run(path, {"q1": [Hit("a", 0.5), Hit("b", 0.25)], "q2": []}, tag="me") == 2
    assert path.read_text(encoding="utf-8") == "q1 Q0 a 1 0.5 me\nq1 Q0 b 2 0.25 me\n"
    assert write_run(path, [("q", [Hit("é", 1 / 3)])]) == 1
    assert path.read_text(encoding="utf-8") == "q Q0 é 1 0.333333333 colxtr\n"


@pytest.mark.parametrize("identifier", ["", "two words", "a\tb", " a", "a\n"])
def test_a_run_cannot_hold_white_space_and_stays_as_it_was(tmp_path, identifier):
    path = tmp_path / "run.trec"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(InputError, match="separated by white space"):
        write_run(path, {"q": [Hit("a", 1.0), Hit(identifier, 0.5)]})
    assert [p.read_text(encoding="utf-8") for p in tmp_path.iterdir()] == ["before"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    write_run(tmp_path / "link", {"q": [Hit("a", 0.5)]})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "run").read_text(encoding="utf-8") == "q Q0 a 1 0.5 colxtr\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_stays_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        write_run(tmp_path / "pipe", {"q": [Hit("a", 0.5)]})
        assert reader.stdout.read() == b"q Q0 a 1 0.5 colxtr\n"
    assert [path.is_fifo() for path in tmp_path.iterdir()] == [True]


def test_a_run_is_read_by_evaluation_tools(tmp_path):
    measures = pytest.importorskip("ir_measures")
    write_run(tmp_path / "run", {"q": [Hit("notes/a.txt#1", 0.5), Hit("b", 0.25)]})
    run = list(measures.read_trec_run(str(tmp_path / "run")))
    assert [(r.query_id, r.doc_id, r.score) for r in run] == [
        ("q", "notes/a.txt#1", 0.5),
        ("q", "b", 0.25),
    ]
