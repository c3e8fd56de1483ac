from __future__ import annotations

import random
from pathlib import Path

import ir_measures
import pytest
from tiny_data import tiny_set, write_beir

from colxtr.errors import CorpusError
from colxtr.training.settings import EvaluationSettings
from colxtr.training.validation import mean_ndcg, read_collection


def test_ndcg_is_that_of_ir_measures() -> None:
    generator = random.Random(0)
    documents = [f"d{i}" for i in range(30)]
    judgements = {
        f"q{i}": {name: generator.choice([-1, 0, 1, 2]) for name in generator.sample(documents, 15)}
        for i in range(20)
    }
    for grades in judgements.values():
        grades["d0"] = 1
    found = {query: generator.sample(documents, generator.randint(0, 10)) for query in judgements}
    run = [
        ir_measures.ScoredDoc(query, name, -place)
        for query, names in found.items()
        for place, name in enumerate(names)
    ]
    qrels = [
        ir_measures.Qrel(query, name, grade)
        for query, grades in judgements.items()
        for name, grade in grades.items()
    ]
    expected = ir_measures.calc_aggregate([ir_measures.nDCG @ 10], qrels, run)
    assert mean_ndcg(found, judgements) == pytest.approx(expected[ir_measures.nDCG @ 10])


def test_a_collection_is_cut_around_its_relevant_documents(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "beir", tiny_set(n=24), "dev")
    settings = EvaluationSettings(queries=5, documents=8)
    collection = read_collection(folder, settings, seed=0)
    assert len(collection.queries) == 5
    assert len(collection.documents) == 8
    assert {f"d{name[1:]}" for name in collection.queries} <= set(collection.documents)
    assert collection == read_collection(folder, settings, seed=0)
    assert collection != read_collection(folder, settings, seed=1)


def test_broken_judgements(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "beir", tiny_set(), "dev")
    with pytest.raises(CorpusError, match=r"other.tsv.*evaluation.split says"):
        read_collection(folder, EvaluationSettings(split="other"), seed=0)
    (folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\n")
    with pytest.raises(CorpusError, match=r"dev.tsv, line 2: 2 columns; expected query id"):
        read_collection(folder, EvaluationSettings(split="dev"), seed=0)


def test_a_split_without_relevant_documents(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "beir", tiny_set(), "dev")
    (folder / "qrels" / "none.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t0\n")
    with pytest.raises(CorpusError, match="no query of the split 'none' is judged relevant"):
        read_collection(folder, EvaluationSettings(split="none"), seed=0)
