"""Distillation: the loss against its definition, learning, and going on after a kill."""

import json

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from tiny_torch import save_bert, topical

from colxtr.errors import InputError
from colxtr.training import distil as module
from colxtr.training.distil import DistilSettings, distil
from colxtr.training.kl_loss import n_way_kl
from colxtr.training.sets import NWayTuple, TrainingSet
from colxtr.training.teachers import load_teacher

FAST = DistilSettings(
    n_way=4, batch_size=4, epochs=1, learning_rate=2e-3, max_length=32, save_steps=2
)


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    return str(save_bert(tmp_path_factory.mktemp("student") / "plain"))


def scored():
    """A teacher that likes foxes; relevant documents have one, three of four others have none."""
    topics = topical()
    texts = {each: text.replace("fox", "map") for each, text in topics.documents.items()}
    texts |= {f"d{i}": f"fox {texts[f'd{i}']}" for i in range(0, 64, 2)}
    tuples = []
    for i in range(0, 48, 2):
        ids = (f"d{i}", *(f"d{i + j}" for j in (1, 3, 5, 6)))
        scores = tuple(4.0 * ("fox" in texts[each]) for each in ids)
        tuples.append(NWayTuple(f"q{i // 2}", ids, scores))
    return TrainingSet(topics.queries, texts, tuples, topics.positives)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_loss_is_the_divergence(temperature):
    generator = np.random.default_rng(0)
    logits = [generator.normal(size=n) for n in (4, 2, 7)]
    targets = [softmax(generator.normal(size=n) * 3) for n in (4, 2, 7)]
    targets[1] = np.array([1.0, 0.0])
    tensors = [[torch.tensor(x) for x in some] for some in (logits, targets)]
    found = n_way_kl(*tensors, temperature)
    expected = [
        rel_entr(p, softmax(x / temperature)).sum() for x, p in zip(logits, targets, strict=True)
    ]
    assert found.item() == pytest.approx(np.mean(expected) * temperature**2, abs=1e-10)


def test_the_losss_gradient():
    logits = torch.randn(5, dtype=torch.float64, requires_grad=True)
    target = torch.softmax(torch.randn(5, dtype=torch.float64), 0)
    assert torch.autograd.gradcheck(lambda x: n_way_kl([x], [target], 2.0), (logits,))


@pytest.mark.parametrize(("labels", "bf16"), [(False, False), (True, False), (False, True)])
def test_a_student_learns(tmp_path, student, labels, bf16):
    settings = DistilSettings(
        labels=labels,
        n_way=4,
        batch_size=4,
        max_steps=60,
        learning_rate=3e-3,
        max_length=32,
        bf16=bf16,
    )
    report = distil(scored(), student, tmp_path / "small", settings)
    assert (report.steps, report.tuples, report.held_out) == (60, 22, 2)
    assert report.kl_after < 0.8 * report.kl_before
    teacher = load_teacher(str(tmp_path / "small"))
    texts = scored()
    pairs = [(texts.queries["q0"], texts.documents[f"d{i}"]) for i in range(64)]
    found = teacher.score(pairs)
    assert found[::2].mean() > found[1::2].mean() + 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small"]


def weights(folder):
    return load_teacher(str(folder))._model.state_dict()


def test_going_on_gives_the_uninterrupted_model(tmp_path, student, monkeypatch):
    examples = scored()
    whole = distil(examples, student, tmp_path / "whole", FAST)
    real = module.marking

    def failing(advance):
        callback = real(advance)
        begin = callback.on_step_end

        def on_step_end(args, state, control, **more):
            begin(args, state, control, **more)
            if state.global_step == 5:
                raise KeyboardInterrupt

        callback.on_step_end = on_step_end
        return callback

    monkeypatch.setattr(module, "marking", failing)
    with pytest.raises(KeyboardInterrupt):
        distil(examples, student, tmp_path / "broken", FAST)
    work = tmp_path / "broken.work"
    assert (work / "checkpoint-4" / "complete").is_file()
    (work / "checkpoint-5").mkdir()  # as a kill while it was written leaves one
    monkeypatch.setattr(module, "marking", real)
    assert distil(examples, student, tmp_path / "broken", FAST) == whole
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_what_is_finished_is_not_done_again(tmp_path, student, monkeypatch):
    report = distil(scored(), student, tmp_path / "m", FAST)
    monkeypatch.setattr(module, "load_cross_encoder", None)
    assert distil(scored(), student, tmp_path / "m", FAST) == report
    about = json.loads((tmp_path / "m" / "colxtr_training.json").read_text())["about"]
    assert about["n_way"] == 4


def test_errors(tmp_path, student):
    texts = topical()

    def run(*tuples, **settings):
        examples = TrainingSet(texts.queries, texts.documents, tuples, texts.positives)
        distil(examples, student, tmp_path / "m", DistilSettings(**settings))

    with pytest.raises(InputError, match="query 'q1' has no scores"):
        run(NWayTuple("q1", ("d1", "d2")))
    with pytest.raises(InputError, match="has no negatives"):
        run(NWayTuple("q1", ("d1",)), labels=True)
    with pytest.raises(InputError, match="1 queries with tuples"):
        run(NWayTuple("q1", ("d1", "d2")), labels=True)
    with pytest.raises(InputError, match="temperature is 0"):
        run(temperature=0.0)
