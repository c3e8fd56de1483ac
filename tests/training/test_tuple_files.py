"""Files of training data: every format there and back, and errors that say where."""

import gzip
import json
import os
import sqlite3

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colxtr.errors import CorpusError, InputError
from colxtr.training.sets import NWayTuple, TrainingSet
from colxtr.training.tuple_files import (
    Collection,
    TextStore,
    mix,
    read_collection,
    read_collections,
    read_training_set,
    read_tuples,
    write_beir,
    write_distillation_scores,
    write_kd,
    write_own,
    write_stanford,
)
from colxtr.training.tuple_files.own import as_tuple, tuple_line

SET = TrainingSet(
    {"q1": "what is red", "q2": "where is it"},
    {"a": "red\tthing", "b": "blue thing", "c": "a place"},
    [NWayTuple("q1", ("a", "b", "c"), (2.5, -1.0, 0.25)), NWayTuple("q2", ("c", "a"), (1.0, 0.5))],
    {"q1": frozenset({"a"}), "q2": frozenset({"c", "b"})},
)


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def tuples_of(path):
    return [example for _, example in read_tuples(path)]


def test_own_tuples_there_and_back(tmp_path):
    for name in ("t.jsonl", "t.jsonl.gz"):
        assert write_own(tmp_path / name, SET.tuples) == 2
        assert tuples_of(tmp_path / name) == SET.tuples
    with gzip.open(tmp_path / "t.jsonl.gz", "rt") as file:
        assert json.loads(file.readline())["document_ids"] == ["a", "b", "c"]


ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(ids, st.lists(ids, min_size=1, unique=True), st.booleans())
def test_any_ids_survive(query_id, document_ids, scored):
    scores = tuple(float(i) / 4 for i in range(len(document_ids))) if scored else None
    example = NWayTuple(query_id, tuple(document_ids), scores)
    assert as_tuple(json.loads(tuple_line(example)), "here") == example


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"query_id": "q"', "line 2: not valid JSON"),
        ('{"query_id": "q"}', "line 2: the key 'document_ids' is missing"),
        ('{"query_id": "q", "document_ids": ["a"], "score": 1}', "line 2: unknown key 'score'"),
        ('{"query_id": "q", "document_ids": []}', "line 2: the documents are"),
        ('{"query_id": "q", "document_ids": ["a", "a"]}', "line 2: document 'a' comes twice"),
        ('{"query_id": "q", "document_ids": ["a"], "scores": []}', "line 2: 0 scores for 1"),
        ('{"query_id": "q", "document_ids": ["a"], "scores": [NaN]}', "NaN is not a JSON number"),
        ('{"query_id": "q", "document_ids": ["a"], "scores": ["x"]}', "'x' is not a finite number"),
        ('{"query_id": null, "document_ids": ["a"]}', "the query id is None"),
        ("7", "line 2: a JSON int"),
    ],
)
def test_errors_of_own_tuples_name_the_line(tmp_path, line, message):
    path = write(tmp_path / "t.jsonl", '{"query_id": "q", "document_ids": ["a"]}', line)
    with pytest.raises(CorpusError, match=message) as caught:
        tuples_of(path)
    assert str(path) in str(caught.value)


def test_stanford_triples_and_scores(tmp_path):
    path = write(tmp_path / "t.json", "[3, [7, 1.5], [9, -2]]", '["x", "a", "b"]')
    assert tuples_of(path) == [NWayTuple("3", ("7", "9"), (1.5, -2.0)), NWayTuple("x", ("a", "b"))]
    scores = write(tmp_path / "s.jsonl", "[3, [[0.5, 9], [2.5, 7]]]")
    assert tuples_of(scores) == [NWayTuple("3", ("7", "9"), (2.5, 0.5))]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", r"line 1: \[1\]; expected"),
        ("[1, 2, [3, 0.5]]", "with and without scores"),
        ("[1, [2, 0.5, 3], [4, 1]]", "a document and its score"),
        ('[1, [2, "high"], [4, 1]]', "'high' is not a finite number"),
    ],
)
def test_errors_of_stanford_files(tmp_path, line, message):
    with pytest.raises(CorpusError, match=message):
        tuples_of(write(tmp_path / "t.jsonl", line))


def test_stanford_folder_there_and_back(tmp_path):
    write_stanford(tmp_path / "st", SET)
    assert (tmp_path / "st" / "collection.tsv").read_text().splitlines()[0] == "0\tred thing"
    found = read_collection(Collection(str(tmp_path / "st")))
    assert found.tuples == [
        NWayTuple("0", ("0", "1", "2"), (2.5, -1.0, 0.25)),
        NWayTuple("1", ("2", "0"), (1.0, 0.5)),
    ]
    assert found.positives == {"0": {"0"}, "1": {"1", "2"}}
    assert (tmp_path / "st" / "document_ids.txt").read_text().split() == ["a", "b", "c"]
    write_distillation_scores(tmp_path / "scores.jsonl", SET)
    assert (tmp_path / "scores.jsonl").read_text().splitlines()[1] == "[1, [[1.0, 2], [0.5, 0]]]"


def test_kd_tables_there_and_back(tmp_path):
    write_kd(tmp_path / "kd", SET)
    found = read_training_set(tmp_path / "kd")
    assert (found.tuples, found.queries) == (SET.tuples, SET.queries)
    assert found.documents == SET.documents
    with pytest.raises(CorpusError, match="1 of 1 tuples have no scores"):
        write_kd(tmp_path / "no", TrainingSet({}, {}, [NWayTuple("q", ("a",))], {}))


def test_kd_tables_as_the_hub_has_them(tmp_path):
    """Lists as strings, whole numbers as ids, a folder of parts for each table."""
    tables = {
        "train": {"query_id": [5], "document_ids": ["[11, 12]"], "scores": ["[0.9, 0.1]"]},
        "queries": {"query_id": [5], "text": ["q"]},
        "documents": {"document_id": [11, 12], "text": ["x", "y"]},
    }
    for name, columns in tables.items():
        (tmp_path / name).mkdir()
        pq.write_table(pa.table(columns), tmp_path / name / "part-0.parquet")
    assert read_training_set(tmp_path).tuples == [NWayTuple("5", ("11", "12"), (0.9, 0.1))]
    (tmp_path / "train" / "part-1.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(CorpusError, match=r"part-1.parquet cannot be read as Parquet"):
        read_training_set(tmp_path)


def test_beir_there_and_back(tmp_path):
    write_beir(tmp_path / "b", SET, split="dev")
    found = read_collection(Collection(str(tmp_path / "b"), split="dev"))
    assert (dict(found.queries), dict(found.documents)) == (SET.queries, SET.documents)
    assert (found.positives, found.tuples) == (SET.positives, [])
    with pytest.raises(CorpusError, match=r"no judgements of the split 'train' \(its splits: dev"):
        read_collection(Collection(str(tmp_path / "b")))


def test_judgements_of_trec_and_their_errors(tmp_path):
    write_beir(tmp_path, SET)
    qrels = tmp_path / "qrels" / "train.tsv"
    write(qrels, "q1 0 a 1", "q1 0 b 0")
    assert read_collection(Collection(str(tmp_path))).positives == {"q1": {"a"}}
    for line, message in [("q1\ta", "line 2: 2 fields"), ("q1\ta\tyes", "'yes' is not a number")]:
        write(qrels, "query-id\tcorpus-id\tscore", line)
        with pytest.raises(CorpusError, match=message):
            read_collection(Collection(str(tmp_path)))
    write(qrels, "q1\tz\t1")
    with pytest.raises(CorpusError, match="document 'z' is judged relevant to 'q1'"):
        read_collection(Collection(str(tmp_path)))


def test_tuples_without_texts_name_their_line(tmp_path):
    write_beir(tmp_path / "b", SET)
    path = write(tmp_path / "t.jsonl", '{"query_id": "q1", "document_ids": ["a", "zz"]}')
    with pytest.raises(CorpusError, match=r"t.jsonl, line 1: document 'zz' is not in"):
        read_training_set(path, [Collection(str(tmp_path / "b"))])
    with pytest.raises(InputError, match="holds ids only"):
        read_training_set(path)
    with pytest.raises(CorpusError, match="is empty"):
        read_training_set(write(tmp_path / "e.jsonl"), [Collection(str(tmp_path / "b"))])


def test_a_data_set_of_the_hub_without_the_hub(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CorpusError, match="'some/set' could not be had from the hub"):
        read_collection(Collection("some/set"))
    with pytest.raises(CorpusError, match="neither a file or folder that exists nor a hub id"):
        read_collection(Collection("no-such-folder"))


def test_a_data_set_of_the_hub_from_its_cache(tmp_path, monkeypatch):
    """The layout of the hub's cache, as a download leaves it."""
    commit = "0" * 40
    repo = tmp_path / "datasets--some--set"
    write_kd(repo / "snapshots" / commit, SET)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert read_training_set("some/set").tuples == SET.tuples


def test_several_collections_keep_their_ids_apart(tmp_path):
    for name in ("one", "two"):
        write_beir(tmp_path / name, SET)
    both = read_collections([Collection(str(tmp_path / name)) for name in ("one", "two")])
    assert (len(both.documents), both.documents["two:b"]) == (6, "blue thing")
    assert list(both.queries) == ["one:q1", "one:q2", "two:q1", "two:q2"]
    assert both.positives["one:q2"] == {"one:b", "one:c"}
    assert "three:b" not in both.documents
    assert "b" not in both.documents
    with pytest.raises(InputError, match="two collections are called 'one'"):
        read_collections(
            [Collection(str(tmp_path / "one")), Collection.parse(f"one={tmp_path}/two")]
        )


def test_weights_of_a_mixture():
    large = TrainingSet(SET.queries, SET.documents, [SET.tuples[0]] * 100, SET.positives)
    found = mix({"x": large, "y": SET}, {"x": 0.25, "y": 3})
    names = [example.query_id[0] for example in found.tuples]
    assert (names.count("x"), names.count("y")) == (25, 6)
    assert names != sorted(names)
    assert found.tuples == mix({"x": large, "y": SET}, {"x": 0.25, "y": 3}).tuples
    with pytest.raises(InputError, match="a weight for 'z'"):
        mix({"x": large}, {"z": 1})


def test_texts_on_the_disk(tmp_path):
    path = tmp_path / "texts.sqlite"
    texts = {f"id{i}": f"text {i}" for i in range(2500)}
    store = TextStore.write(path, iter(texts.items()), key="k")
    assert dict(store) == texts
    assert (len(store), "id7" in store, "id" in store, store.get("id")) == (2500, True, False, None)
    assert TextStore.reused(path, "k") is not None
    assert TextStore.reused(path, "other") is None
    assert TextStore.reused(tmp_path / "none", "k") is None
    if (pid := os.fork()) == 0:  # a worker of a data loader
        os._exit(0 if store["id9"] == "text 9" else 1)
    assert os.waitpid(pid, 0)[1] == 0
    path.write_bytes(b"not a database, long enough to be read as one")
    with pytest.raises(CorpusError, match="delete it to have it written anew"):
        TextStore(path)


def test_a_broken_stream_leaves_no_texts(tmp_path):
    with pytest.raises(sqlite3.IntegrityError):
        TextStore.write(tmp_path / "t.sqlite", [("a", "1"), ("a", "2")])
    assert list(tmp_path.iterdir()) == []


def test_a_collection_with_texts_on_the_disk(tmp_path):
    write_beir(tmp_path / "b", SET)
    store = tmp_path / "store"
    for _ in range(2):
        found = read_collections([Collection(str(tmp_path / "b"))], store=store)
        assert isinstance(found.documents, TextStore)
        assert found.documents["c"] == "a place"
    write(tmp_path / "b" / "corpus.jsonl", *(
        json.dumps({"_id": i, "title": "T", "text": "new"}) for i in "abc"
    ))  # fmt: skip
    assert (
        read_collections([Collection(str(tmp_path / "b"))], store=store).documents["c"] == "T new"
    )
