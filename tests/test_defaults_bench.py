"""`bench.defaults`: the share of exhaustive search, on a small corpus of the same layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench import defaults
from conftest import JsonLines
from made import Clustered

DIM = 128  # of the built-in model


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Documents of a collection named "made", and two queries."""
    made = Clustered(seed=5, dim=DIM)
    documents = made.documents(40, most_tokens=6)
    folder = tmp_path / "corpus"
    folder.mkdir()
    np.save(folder / "vectors.npy", np.concatenate(documents).astype(np.float16))
    np.save(folder / "doclens.npy", np.array(list(map(len, documents)), np.int32))
    np.save(folder / "queries.npy", made.tokens(5))
    np.save(folder / "query_lengths.npy", np.array([2, 3], np.int32))
    (folder / "documents.json").write_text(json.dumps([f"made/{i}" for i in range(40)]))
    return folder


def test_a_small_corpus(corpus: Path, json_lines: JsonLines) -> None:
    for _ in range(2):  # the second time the index is there
        lines = json_lines(defaults, corpus, "--qualities", "0.5,1", "--k", 3)
        assert [line["quality"] for line in lines] == [0.5, 1]
        assert {line["recall"] for line in lines} == {1}  # so few are searched exhaustively
        assert (lines[0]["documents"], lines[0]["queries"]) == (40, 2)
        assert lines[0]["query_tokens"] == 2.5


def test_long_queries(corpus: Path, json_lines: JsonLines) -> None:
    """Those of the corpus's collections that are judged and so long."""
    queries = {
        "a": "short",
        "b": "a question of exactly seven words",
        "c": "seven words, not judged",
    }
    collection = corpus.parent / "made"
    (collection / "qrels").mkdir(parents=True)
    (collection / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": name, "text": text}) + "\n" for name, text in queries.items())
    )
    judgements = "query-id\tcorpus-id\tscore\n"
    (collection / "qrels" / "test.tsv").write_text(judgements + "a\t1\t1\n")
    (collection / "qrels" / "train.tsv").write_text(judgements + "b\t1\t1\n")
    options = ("--collections", corpus.parent, "--query-tokens", "4,12")
    (line,) = json_lines(defaults, corpus, *options)
    assert (line["queries"], line["recall"]) == (1, 1)
    assert 4 <= line["query_tokens"] <= 12
    with pytest.raises(SystemExit, match="no query of made has 30 to 32 tokens"):
        json_lines(defaults, corpus, *options[:3], "30,32")
