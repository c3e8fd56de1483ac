"""Teachers: each kind against its definition; scoring in parts; selection by scores."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder
from tiny_torch import cross_encoder, multi_vector, save_bert, topical

from colxtr import Encoder
from colxtr.errors import InputError, ModelError
from colxtr.training.model_kinds import ModelKind, model_kind
from colxtr.training.score import known_scores, score
from colxtr.training.selection import Selection, select
from colxtr.training.sets import NWayTuple, TrainingSet
from colxtr.training.teachers import load_teacher
from colxtr.training.tuple_files import read_tuples
from tiny_models import make_encoder_folder

PAIRS = [("red fox", "the fox runs"), ("old map", "x " * 500), ("red fox", "a"), ("a", "")]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        ModelKind.CROSS_ENCODER: cross_encoder(folder / "cross"),
        ModelKind.MULTI_VECTOR: multi_vector(folder / "multi"),
        ModelKind.COLXTR: make_encoder_folder(folder / "ours"),
        ModelKind.ENCODER: save_bert(folder / "plain"),
    }


def test_kinds_are_told_apart(models):
    for kind, folder in models.items():
        assert model_kind(folder) is kind


def test_a_cross_encoder_gives_its_logits(models):
    folder = str(models[ModelKind.CROSS_ENCODER])
    found = load_teacher(folder, batch_size=3, max_length=32).score(PAIRS)
    model = CrossEncoder(folder, max_length=32, device="cpu").eval()
    for pair, score_ in zip(PAIRS, found, strict=True):
        inputs = model.tokenizer(
            [pair[0]], [pair[1]], truncation=True, max_length=32, return_tensors="pt"
        )
        with torch.inference_mode():
            assert model.model(**inputs).logits.item() == pytest.approx(score_, abs=1e-5)
    half = load_teacher(folder, max_length=32, bf16=True).score(PAIRS)
    assert half == pytest.approx(found, abs=0.02)
    assert half.dtype == np.float32


def test_a_multi_vector_encoder_gives_maxsim(models):
    folder = str(models[ModelKind.MULTI_VECTOR])
    found = load_teacher(folder).score(PAIRS)
    model = MultiVectorEncoder(folder, device="cpu")
    for (query, document), score_ in zip(PAIRS, found, strict=True):
        q, d = model.encode_query([query])[0], model.encode_document([document])[0]
        assert float((q @ d.T).max(dim=1).values.mean()) == pytest.approx(score_, abs=1e-5)


def test_our_encoder_gives_maxsim(models):
    folder = models[ModelKind.COLXTR]
    found = load_teacher(str(folder)).score(PAIRS)
    encoder = Encoder.load(folder)
    for (query, document), score_ in zip(PAIRS, found, strict=True):
        (q,), (d,) = encoder.encode_queries([query]), encoder.encode_documents([document])
        expected = (q @ d.T).max(axis=1).mean() if len(d) else 0
        assert score_ == pytest.approx(expected, abs=1e-6)


def test_what_can_score_nothing(models, tmp_path):
    with pytest.raises(ModelError, match="has learnt no scores; make a cross-encoder"):
        load_teacher(str(models[ModelKind.ENCODER]))
    with pytest.raises(ModelError, match="neither a folder"):
        load_teacher("no-such-folder")
    with pytest.raises(ModelError, match=r"config\.json|checkpoint"):
        load_teacher(str(tmp_path))


class Counting:
    """A teacher whose score is the length of the document; it may fail."""

    def __init__(self, fails_at=None):
        self.pairs, self.fails_at = [], fails_at

    def score(self, pairs):
        if self.fails_at in {document for _, document in pairs}:
            raise KeyboardInterrupt
        self.pairs += pairs
        return np.array([len(document) for _, document in pairs], np.float32)


LENGTHS = TrainingSet(
    {"q": "a", "r": "b"},
    {str(n): "x" * n for n in range(1, 12)},
    [NWayTuple("q", ("5", "4", "9")), NWayTuple("r", ("7", "3", "8"))],
    {},
)


def test_scoring_a_file(tmp_path):
    report = score(LENGTHS, Counting(), tmp_path / "s.jsonl")
    found = [example for _, example in read_tuples(tmp_path / "s.jsonl")]
    assert found == [
        NWayTuple("q", ("5", "9", "4"), (5.0, 9.0, 4.0)),
        NWayTuple("r", ("7", "8", "3"), (7.0, 8.0, 3.0)),
    ]
    assert (report.tuples, report.pairs_scored, report.positive_first) == (2, 6, 0.0)
    again = score(
        TrainingSet(LENGTHS.queries, LENGTHS.documents, found, {}),
        (teacher := Counting()),
        tmp_path / "again.jsonl",
        known=known_scores(found),
        selection=Selection(max_ratio=0.9),
    )
    assert (teacher.pairs, again.pairs_scored, again.false_negatives) == ([], 0, 2)


def test_scoring_goes_on_after_an_interruption(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        score(LENGTHS, Counting(fails_at="xxx"), tmp_path / "s.jsonl", part_tuples=1)
    teacher = Counting()
    assert score(LENGTHS, teacher, tmp_path / "s.jsonl", part_tuples=1).tuples == 2
    assert {query for query, _ in teacher.pairs} == {"b"}


def test_selection_by_scores():
    example = NWayTuple("q", ("p", "a", "b", "c", "d"), (4.0, 3.9, 1.0, 3.0, -5.0))
    counts = Counter()
    assert select(example, Selection(max_ratio=0.9), counts) == NWayTuple(
        "q", ("p", "c", "b", "d"), (4.0, 3.0, 1.0, -5.0)
    )
    assert counts == {"negatives_scored": 4, "false_negatives": 1, "tuples": 1, "negatives": 3}
    top = select(example, Selection(negatives=2, margin=0.5), counts)
    assert top.document_ids == ("p", "c", "b")
    assert select(example, Selection(min_negatives=4, margin=1), counts) is None
    assert counts["tuples_dropped"] == 1
    # sigmoid(4) = 0.982; 0.95 of it is 0.933 = sigmoid(2.63)
    likely = select(example, Selection(max_ratio=0.95, probabilities=True), counts)
    assert likely.document_ids == ("p", "b", "d")


def test_selection_below_a_negative_positive():
    example = NWayTuple("q", ("p", "a", "b"), (-4.0, -4.1, -5.0))
    assert select(example, Selection(max_ratio=0.9), Counter()).document_ids == ("p", "b")
    with pytest.raises(InputError, match="has no scores"):
        select(NWayTuple("q", ("p", "a")), Selection(), Counter())


@pytest.mark.parametrize(
    "settings", [{"max_ratio": 1.5}, {"margin": -1.0}, {"negatives": 0}, {"sampling": "x"}]
)
def test_impossible_selections(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        Selection(**settings)


def test_a_real_tuple_line_has_scores(tmp_path, models):
    texts = topical()
    tuples = [NWayTuple("q0", ("d0", "d1", "d2"))]
    teacher = load_teacher(str(models[ModelKind.CROSS_ENCODER]))
    score(TrainingSet(texts.queries, texts.documents, tuples, {}), teacher, tmp_path / "s.jsonl")
    record = json.loads((tmp_path / "s.jsonl").read_text())
    assert record["document_ids"][0] == "d0"
    assert len(record["scores"]) == 3
