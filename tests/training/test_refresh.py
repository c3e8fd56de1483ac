"""Refreshing: what a model finds replaces old negatives; nothing is done twice."""

from collections import Counter

import numpy as np
import pytest
from tiny_torch import multi_vector, topical

from colxtr import Encoder
from colxtr.errors import InputError
from colxtr.training import refresh as module
from colxtr.training.mine import MineSettings
from colxtr.training.refresh import RefreshSettings, mix_in, refresh
from colxtr.training.selection import Selection
from colxtr.training.sets import NWayTuple, TrainingSet
from colxtr.training.token_encoders import load_token_encoder
from colxtr.training.tuple_files import read_tuples
from tiny_models import make_encoder_folder

SETTINGS = RefreshSettings(
    mine=MineSettings(depth=20, negatives=4, near_duplicate=None), new_share=0.5
)


def with_tuples(scored=False):
    texts = topical()
    scores = (9.0, 1.0, 2.0, 3.0, 4.0) if scored else None
    tuples = [
        NWayTuple(f"q{i}", (f"d{i}", *(f"d{40 + (i + j) % 24}" for j in range(4))), scores)
        for i in range(24)
    ]
    return TrainingSet(texts.queries, texts.documents, tuples, texts.positives)


class Teacher:
    """Gives every pair the same score, and counts."""

    def __init__(self, fails=False):
        self.pairs, self.fails = 0, fails

    def score(self, pairs):
        if self.fails:
            raise KeyboardInterrupt
        self.pairs += len(pairs)
        return np.full(len(pairs), 2.5, np.float32)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [multi_vector(folder / "multi"), make_encoder_folder(folder / "ours")]


@pytest.mark.parametrize("number", [0, 1], ids=["torch", "onnx"])
def test_refreshing_with_either_kind_of_model(models, number, tmp_path):
    old, model = with_tuples(), load_token_encoder(str(models[number]))
    report = refresh(model, old, tmp_path / "r.jsonl", SETTINGS)
    found = [example for _, example in read_tuples(tmp_path / "r.jsonl")]
    assert [t.query_id for t in found] == [t.query_id for t in old.tuples]
    before = {t.query_id: set(t.document_ids) for t in old.tuples}
    new = sum(len(set(t.document_ids) - before[t.query_id]) for t in found)
    for example in found:
        assert example.document_ids[0] == f"d{example.query_id[1:]}"
        assert len(set(example.document_ids)) == 5
    assert report.new == new / (24 * 4)
    assert 0 < report.new <= 0.5
    assert (report.tuples, report.negatives, report.scored) == (24, 96, None)
    assert 0 < report.mined.found_at_10 <= report.mined.found_at_100 <= 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.jsonl"]


def test_the_teacher_reads_only_new_pairs(models, tmp_path):
    old, teacher = with_tuples(scored=True), Teacher()
    report = refresh(
        Encoder.load(models[1]), old, tmp_path / "r.jsonl", SETTINGS, teacher=teacher,
        selection=Selection(max_ratio=0.95),
    )  # fmt: skip
    assert teacher.pairs == report.scored.pairs_scored == round(report.new * 96)
    for _, example in read_tuples(tmp_path / "r.jsonl"):
        assert example.scores[0] == 9.0
        assert set(example.scores[1:]) <= {1.0, 2.0, 3.0, 4.0, 2.5}


def test_going_on_indexes_and_searches_nothing_again(models, tmp_path, monkeypatch):
    old, model = with_tuples(), Encoder.load(models[1])
    with pytest.raises(KeyboardInterrupt):
        refresh(model, old, tmp_path / "r.jsonl", SETTINGS, teacher=Teacher(fails=True))
    monkeypatch.setattr(module, "index_documents", None)
    assert refresh(model, old, tmp_path / "r.jsonl", SETTINGS, teacher=Teacher()).tuples == 24


def test_going_on_with_half_an_index(models, tmp_path):
    class Failing:
        dim, encoded = 16, 0
        encode_queries = Encoder.load(models[1]).encode_queries

        def encode_documents(self, texts):
            Failing.encoded += len(texts)
            return Encoder.load(models[1]).encode_documents(texts)

    monkey, real = module._ENCODED, Failing.encode_documents

    def fails(self, texts):
        if Failing.encoded >= 32:
            raise KeyboardInterrupt
        return real(self, texts)

    module._ENCODED = 16
    try:
        Failing.encode_documents = fails
        with pytest.raises(KeyboardInterrupt):
            refresh(Failing(), with_tuples(), tmp_path / "r.jsonl", SETTINGS)
        Failing.encode_documents, Failing.encoded = real, 0
        report = refresh(Failing(), with_tuples(), tmp_path / "r.jsonl", SETTINGS)
    finally:
        module._ENCODED = monkey
    assert Failing.encoded in (32, 64)  # all, where nothing was committed before the codec
    assert report.mined.candidates == 24 * 20


def test_mixing_fills_up_from_either_side():
    counts = Counter()
    old = [NWayTuple("q", ("p", "a", "b", "c", "d")), NWayTuple("only-old", ("p", "a"))]
    fresh = [NWayTuple("q", ("p", "a", "x", "y")), NWayTuple("only-new", ("p", "x", "y", "z"))]
    settings = RefreshSettings(mine=MineSettings(negatives=2), new_share=0.75)
    mixed = {t.query_id: t.document_ids for t in mix_in(old, fresh, settings, counts)}
    assert mixed["q"][:4] == ("p", "a", "x", "y")
    assert mixed["q"][4] in "bcd"
    assert mixed["only-old"] == ("p", "a")
    assert len(mixed["only-new"]) == 3
    assert (counts["old"], counts["again"]) == (5, 1)
    with pytest.raises(InputError, match="new_share"):
        RefreshSettings(new_share=0)


def test_new_negatives_are_drawn_as_the_settings_say():
    old = [NWayTuple("q", ("p", *"abcd"))]
    fresh = [NWayTuple("q", ("p", *(f"n{i}" for i in range(50)), "d"))]

    def new(sampling):
        settings = RefreshSettings(mine=MineSettings(sampling=sampling), new_share=0.5)
        counts = Counter()
        (example,) = mix_in(old, fresh, settings, counts)
        assert (counts["again"], counts["old"]) == (1, 4)
        return example.document_ids[1:3]

    assert new("top") == ("n0", "n1")
    assert int(new("strata")[0][1:]) < 25 <= int(new("strata")[1][1:])
