"""The whole loop: stages that go on, are not repeated, and are done anew when a setting changes."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sentence_transformers import MultiVectorEncoder
from tiny_torch import cross_encoder, multi_vector, save_bert, topical

from colxtr.errors import InputError
from colxtr.training.loop import Stage, run_stages
from colxtr.training.loop_recipe import read_loop_recipe
from colxtr.training.loop_stages import Doers, plan
from colxtr.training.tuple_files import read_tuples, write_beir

ALL = [
    *["mine", "labels", "judge", "distil", "score"],
    *["start", "train-1", "refresh-1", "train-2", "average", "export"],
]


def start(settings, texts, source, output):
    shutil.copytree(source, output)
    return {"settings": settings, "documents": len(texts.documents)}


def train(settings, training_set, start, output):
    """One step of gradient descent on MaxSim of the first tuple."""
    model = MultiVectorEncoder(str(start), device="cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=settings["lr"])
    example = training_set.tuples[0]
    embeddings = []
    for kind, text in (
        ("query", training_set.queries[example.query_id]),
        ("document", training_set.documents[example.document_ids[0]]),
    ):
        embeddings.append(model(model.preprocess([text], task=kind))["token_embeddings"][0])
    loss = -(embeddings[0] @ embeddings[1].T).max(dim=1).values.mean()
    loss.backward()
    optimizer.step()
    model.save_pretrained(str(output / "model"))
    return {"loss": loss.item()}


def average(models, shares, output):
    loaded = [MultiVectorEncoder(each, device="cpu") for each in models]
    states = [each.state_dict() for each in loaded]
    loaded[-1].load_state_dict(
        {n: sum(s * state[n] for s, state in zip(shares, states, strict=True)) for n in states[0]}
    )
    loaded[-1].save_pretrained(str(output))
    return {"shares": list(shares)}


def export(model, quantize, output):
    output.mkdir()
    (output / "what").write_text(f"{model} {quantize}")
    return {}


DOERS = Doers(start, train, average, export)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    write_beir(folder / "topics", topical())
    save_bert(folder / "plain")
    cross_encoder(folder / "cross")
    multi_vector(folder / "start")
    return folder


RECIPE = """
[collections.topics]
path = "topics"
[model]
start = "start"
[mine]
depth = 20
negatives = 6
near_duplicate = 0.99
[teacher]
labels_from = "plain"
student = "plain"
[teacher.labels]
n_way = 4
max_steps = 3
max_length = 32
[teacher.distil]
n_way = 4
max_steps = 3
max_length = 32
[score]
negatives = 4
max_ratio = 1.0
[train]
lr = 0.1
[refresh]
rounds = 1
new_share = 0.5
[refresh.mine]
depth = 20
negatives = 4
[average]
models = 2
base = 0.5
"""


def recipe(sources, text=RECIPE):
    path = sources / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return read_loop_recipe(path)


def test_the_whole_loop_and_again(sources, tmp_path):
    def run(text=RECIPE):
        said = []
        stages = plan(recipe(sources, text), tmp_path / "run", DOERS)
        results = run_stages(stages, tmp_path / "run", say=said.append)
        return said, {each.name: each for each in results}

    said, results = run()
    assert list(results) == ALL
    assert said == [f"{name}: begun" for name in ALL]
    assert results["average"].figures["shares"] == [0.5, 0.25, 0.25]
    for _, example in read_tuples(tmp_path / "run" / "refresh-1" / "tuples.jsonl"):
        assert example.scores is not None

    said, results = run()
    assert said == []
    assert all(each.done_before for each in results.values())

    said, results = run(RECIPE.replace("lr = 0.1", "lr = 0.2"))
    assert said[0] == "train-1: done anew, for train changed"
    assert [line.partition(":")[0] for line in said] == ALL[6:]
    assert results["score"].done_before

    said, results = run(RECIPE.replace("lr = 0.1", "lr = 0.2").replace("base = 0.5", "base = 0.0"))
    assert said == [
        "average: done anew, for base changed",
        "export: done anew, for a stage before it was (average)",
    ]


def test_weights_say_what_is_trained_on(sources, tmp_path):
    """Tuples of a collection of weight 2 come twice, of 0.5 half; mined and scored is each once."""
    second = '[collections.other]\npath = "topics"\n'
    text = RECIPE.replace("rounds = 1", "rounds = 0").replace("models = 2", "models = 1")
    text = second + text.replace('labels_from = "plain"\nstudent = "plain"', 'model = "cross"')
    seen = []

    def noting(settings, training_set, start, output):
        seen.append(Counter(each.query_id.partition(":")[0] for each in training_set.tuples))
        return train(settings, training_set, start, output)

    def run(weights):
        given = text
        for name, weight in weights.items():
            table = f"[collections.{name}]\n"
            given = given.replace(table, f"{table}weight = {weight}\n")
        made = plan(recipe(sources, given), tmp_path / "run", replace(DOERS, train=noting))
        results = run_stages(made, tmp_path / "run", say=lambda line: None)
        return [each.name for each in results if not each.done_before]

    assert run({"other": 1})[:2] == ["mine", "score"]
    assert run({"other": 2, "topics": 0.5}) == ["train-1", "average", "export"]
    before, after = seen
    assert min(before.values()) > 1
    assert after == {"other": 2 * before["other"], "topics": round(before["topics"] / 2)}


def test_a_teacher_that_is_there_needs_no_distillation(sources, tmp_path):
    text = RECIPE.partition("[teacher]")[0] + '[teacher]\nmodel = "cross"\n[train]\nlr = 0.1\n'
    names = [stage.name for stage in plan(recipe(sources, text), tmp_path, DOERS)]
    assert names == [
        "mine",
        "score",
        "start",
        "train-1",
        "refresh-1",
        "train-2",
        "average",
        "export",
    ]


def test_a_large_teacher_is_distilled(sources, tmp_path):
    text = RECIPE.replace('labels_from = "plain"', 'large = "cross"')
    names = [stage.name for stage in plan(recipe(sources, text), tmp_path, DOERS)]
    assert names == [name for name in ALL if name != "labels"]


def stages(log, fails_at=None):
    def doing(name):
        def run(folder):
            log.append(name)
            (folder / "partial").write_text(str(len(log)))
            if name == fails_at:
                raise KeyboardInterrupt
            return {"n": len(log)}

        return run

    return [
        Stage("a", {"x": 1}, [], doing("a")),
        Stage("b", {"y": 2}, ["a"], doing("b")),
        Stage("c", {}, [], doing("c")),
    ]


def test_an_interrupted_stage_goes_on_with_what_it_had(tmp_path):
    log, said = [], []
    with pytest.raises(KeyboardInterrupt):
        run_stages(stages(log, fails_at="b"), tmp_path, say=said.append)
    (tmp_path / "b" / "half").touch()
    results = run_stages(stages(log), tmp_path, say=said.append)
    assert log == ["a", "b", "b", "c"]
    assert said == ["a: begun", "b: begun", "b: going on", "c: begun"]
    assert (tmp_path / "b" / "half").exists()
    assert [each.done_before for each in results] == [True, False, False]


def test_work_begun_with_other_settings_is_thrown_away(tmp_path):
    log = []
    with pytest.raises(KeyboardInterrupt):
        run_stages(stages(log, fails_at="b"), tmp_path, say=log.append)
    (tmp_path / "b" / "half").touch()
    changed = stages([])
    changed[1] = Stage("b", {"y": 3}, ["a"], changed[1].run)
    said = []
    run_stages(changed, tmp_path, say=said.append)
    assert said == ["b: done anew, for y changed", "c: begun"]
    assert not (tmp_path / "b" / "half").exists()


def test_folders_that_are_not_ours(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"holds other things \(thesis.tex\)"):
        run_stages(stages([]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "state.json").write_text("{")
    with pytest.raises(InputError, match=r"state.json is damaged"):
        run_stages(stages([]), tmp_path / "run")
    with pytest.raises(InputError, match="needs 'a', which comes later"):
        run_stages(stages([])[1:], tmp_path / "other")


def test_one_process_at_a_time(tmp_path):
    def again(folder):
        with pytest.raises(InputError, match="another process works there"):
            run_stages(stages([]), tmp_path / "run")
        return {}

    run_stages([Stage("a", {}, [], again)], tmp_path / "run", say=lambda _: None)


KILLED = """
import os, signal, sys
from pathlib import Path
from colxtr.training.loop import Stage, run_stages

def work(name):
    def run(folder):
        with (Path(sys.argv[1]) / "log").open("a") as log:
            log.write(name + "\\n")
        if name == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)
        return {}
    return run

names = ["a", "b", "c", "d"]
stages = [Stage(n, {}, names[:i], work(n)) for i, n in enumerate(names)]
run_stages(stages, Path(sys.argv[1]) / "run")
"""


def test_killed_at_every_stage(tmp_path):
    def run(at):
        command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), at]
        return subprocess.run(command, capture_output=True, check=False).returncode

    assert [run(at) for at in "abcd"] == [-signal.SIGKILL] * 4
    assert run("") == 0
    assert (tmp_path / "log").read_text().split() == list("aabbccdd")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("depth = 20\nnegatives = 6", "depht = 20", "mine.depht is unknown"),
        ("negatives = 6", 'negatives = "six"', "mine.negatives is 'six'; int is expected"),
        ("negatives = 6", "negatives = 0", "mine: negatives is 0"),
        ('labels_from = "plain"', "", "teacher: teacher: nothing given|teacher: nothing given"),
        ("models = 2", "models = 3", "average.models is 3, but only 2 are trained"),
        ('start = "start"', "", "no model to start from"),
        ('path = "topics"', "", "collections.topics has no path"),
        ("[average]", "[averag]", "averag is unknown"),
        ("[mine]", "[mine", "is not TOML"),
        ("rounds = 1", "rounds = -1", "refresh.rounds is -1"),
    ],
)
def test_errors_of_a_recipe(sources, old, new, message):
    assert old in RECIPE
    with pytest.raises(InputError, match=message) as caught:
        recipe(sources, RECIPE.replace(old, new, 1))
    assert "recipe.toml" in str(caught.value)


def test_a_missing_recipe(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_loop_recipe(tmp_path / "no.toml")


def test_paths_are_relative_to_the_recipe(sources, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = recipe(sources)
    assert Path(found.start) == sources / "start"
    assert os.fspath(found.collections[0].path) == str(sources / "topics")
