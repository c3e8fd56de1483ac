from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_data import tiny_set, write_beir
from tiny_torch import save_bert, save_t5

from colxtr.errors import InputError, ModelError
from colxtr.training import snapshots
from colxtr.training.recipes import settings_from
from colxtr.training.run_state import model_weights
from colxtr.training.sets import TrainingSet
from colxtr.training.settings import TrainSettings
from colxtr.training.trainer import Progress, train

pytestmark = [
    pytest.mark.filterwarnings("ignore:objective.k_train is"),
    pytest.mark.filterwarnings("ignore::colxtr.training.checkpoints.save.SavingWarning"),
]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"))


def made(source: Path, **tables: dict[str, Any]) -> TrainSettings:
    """Settings for a few small steps."""
    values: dict[str, dict[str, Any]] = {
        "model": {"source": str(source), "dim": 16, "query_length": 16, "document_length": 16},
        "objective": {"k_train": 40, "temperature": 0.1},
        "batches": {"size": 4, "tokens_per_forward": 64},
        "optimizer": {"steps": 6, "learning_rate": 1e-3, "projection_learning_rate": 1e-2},
        "checkpoints": {"every": 2, "log_every": 1},
    }
    for name, table in tables.items():
        values[name] = {**values.get(name, {}), **table}
    return settings_from(values, "test")


def history(output: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output / "history.jsonl").read_text().splitlines()]


def losses(output: Path) -> list[float]:
    return [line["loss"] for line in history(output) if "loss" in line]


def test_training_learns(bert: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    settings = made(bert, optimizer={"steps": 60, "warmup_steps": 5})
    result = train(settings, tiny_set(), tmp_path, report=seen.append)
    assert [each.step for each in seen] == list(range(1, 61))
    assert losses(tmp_path) == [each.loss for each in seen]
    assert sum(losses(tmp_path)[-10:]) < 0.7 * sum(losses(tmp_path)[:10])
    assert result.steps == 60
    assert result.loss == losses(tmp_path)[-1]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "step-00000058",
        "step-00000060",
    ]
    assert list((tmp_path / "tensorboard").iterdir())

    from sentence_transformers import MultiVectorEncoder

    model = MultiVectorEncoder(str(result.model), device="cpu")
    last = model_weights(tmp_path / "checkpoints" / "step-00000060")
    loaded = model.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in last.items())


KILLED = """
import os, signal, sys, warnings
sys.path[:0] = sys.argv[3:]
warnings.simplefilter("ignore")
from tiny_data import tiny_set
from colxtr.training import snapshots
from colxtr.training.recipes import read_recipe
from colxtr.training.trainer import train

def die():
    os.kill(os.getpid(), signal.SIGKILL)

calls = []
whole = snapshots.put_in_place

def put_in_place(partial, target):
    calls.append(target)
    die() if len(calls) == 3 else whole(partial, target)

snapshots.put_in_place = put_in_place
train(read_recipe(sys.argv[1]), tiny_set(scored=True), sys.argv[2])
"""


def test_after_a_kill_the_same_losses_follow(bert: Path, tmp_path: Path) -> None:
    """Dropout, drawn negatives, a codec, a learnt temperature: all goes on as if not killed.

    Killed while the third snapshot is written: two steps are lost with it, and done again.
    """
    objective = {"distillation": 0.5, "self_distillation": 0.5, "n_bits": 2, "codec_steps": 3}
    objective |= {"n_centroids": 8, "codec_documents": 8, "k_train": 40, "temperature": 0.1}
    batches = {"n_ways": 2, "negatives": "sample", "accumulate": 2}
    settings = made(bert, objective=objective, batches=batches, optimizer={"steps": 8})
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(as_toml(settings))
    train(settings, tiny_set(scored=True), tmp_path / "whole")
    here = Path(__file__).parent
    command = [sys.executable, "-c", KILLED, recipe, tmp_path / "killed", here, here.parent]
    child = subprocess.run(list(map(str, command)), check=False, timeout=120)
    assert child.returncode == -signal.SIGKILL
    there = [path.name for path in snapshots.snapshots(tmp_path / "killed" / "checkpoints")]
    assert there == ["step-00000002", "step-00000004"]
    torch.manual_seed(123)  # the process that goes on has another state
    seen: list[Progress] = []
    train(settings, tiny_set(scored=True), tmp_path / "killed", report=seen.append)
    assert [each.step for each in seen] == [5, 6, 7, 8]
    assert history_without_speed(tmp_path / "killed") == history_without_speed(tmp_path / "whole")
    ours, theirs = (
        model_weights(tmp_path / name / "checkpoints" / "step-00000008")
        for name in ("killed", "whole")
    )
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def history_without_speed(output: Path) -> list[dict[str, float]]:
    return [
        {name: value for name, value in line.items() if name != "tokens_per_second"}
        for line in history(output)
    ]


def as_toml(settings: TrainSettings) -> str:
    from dataclasses import asdict

    lines = [f"seed = {settings.seed}"]
    for name, table in asdict(settings).items():
        if isinstance(table, dict):
            lines.append(f"[{name}]")
            lines += [
                f"{key} = {json.dumps(value)}" for key, value in table.items() if value is not None
            ]
    return "\n".join(lines)


def test_cached_gradients_are_those_of_the_batch(bert: Path, tmp_path: Path) -> None:
    """Dropout included: the second encoding draws what the first drew."""
    for name, cache in (("plain", False), ("cached", True)):
        settings = made(bert, batches={"gradient_cache": cache}, optimizer={"steps": 4})
        train(settings, tiny_set(), tmp_path / name)
    plain, cached = losses(tmp_path / "plain"), losses(tmp_path / "cached")
    assert cached == pytest.approx(plain, abs=1e-4)
    assert len(set(plain)) == 4


def test_an_interruption_saves_the_step(bert: Path, tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    settings = made(bert, checkpoints={"every": 100})
    with pytest.raises(KeyboardInterrupt):
        train(settings, tiny_set(), tmp_path / "a", report=interrupt)
    assert [path.name for path in snapshots.snapshots(tmp_path / "a" / "checkpoints")] == [
        "step-00000003"
    ]
    train(settings, tiny_set(), tmp_path / "a")
    train(settings, tiny_set(), tmp_path / "b")
    assert losses(tmp_path / "a") == losses(tmp_path / "b")


def test_bfloat16_follows_float32(bert: Path, tmp_path: Path) -> None:
    for precision in ("float32", "bfloat16"):
        train(made(bert, batches={"precision": precision}), tiny_set(), tmp_path / precision)
    full, half = losses(tmp_path / "float32"), losses(tmp_path / "bfloat16")
    assert half != full
    assert half[:3] == pytest.approx(full[:3], rel=0.1)
    weights = model_weights(tmp_path / "bfloat16" / "checkpoints" / "step-00000006")
    assert {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()} == {
        torch.float32
    }


def test_measuring_and_stopping_early(bert: Path, tmp_path: Path) -> None:
    given = tiny_set()
    folder = write_beir(tmp_path / "beir", given, "dev")
    settings = made(
        bert,
        optimizer={"steps": 50, "learning_rate": 0.0, "projection_learning_rate": 0.0},
        evaluation={"folders": [str(folder)], "every": 2, "patience": 2, "documents": 20},
    )
    result = train(settings, given, tmp_path / "run")
    assert result.steps == 6  # nothing is learnt: 2 is the best, 4 and 6 are not better
    assert result.best_step == 2
    assert result.measure == result.measure_before
    assert result.measure is not None
    assert 0.2 < result.measure <= 1
    kept = [path.name for path in snapshots.snapshots(tmp_path / "run" / "checkpoints")]
    assert kept == ["step-00000002", "step-00000004", "step-00000006"]
    again = train(settings, given, tmp_path / "run")
    assert (again.steps, again.measure) == (6, result.measure)


def test_final_weights_are_a_mixture(bert: Path, tmp_path: Path) -> None:
    from colxtr.training.starting import load_start

    settings = made(bert, checkpoints={"keep": 3, "average_last": 2, "trained_share": 0.25})
    start = load_start(settings.model, tiny_set(), 0).state_dict()
    start = {name: tensor.clone() for name, tensor in start.items()}
    train(settings, tiny_set(), tmp_path)
    four, six = (model_weights(tmp_path / "checkpoints" / f"step-0000000{i}") for i in (4, 6))
    from sentence_transformers import MultiVectorEncoder

    final = MultiVectorEncoder(str(tmp_path / "model"), device="cpu").state_dict()
    for name, tensor in final.items():
        expected = 0.75 * start[name] + 0.25 * (four[name] + six[name]) / 2
        torch.testing.assert_close(tensor, expected, atol=1e-6, rtol=1e-5)


def test_another_run_in_the_folder_is_noticed(bert: Path, tmp_path: Path) -> None:
    train(made(bert), tiny_set(), tmp_path)
    with pytest.raises(InputError, match=r"optimizer.steps = 6, not 7"):
        train(made(bert, optimizer={"steps": 7}), tiny_set(), tmp_path)
    with pytest.raises(InputError, match=r"a run with tuples = "):
        train(made(bert), tiny_set(seed=1, ways=2), tmp_path)
    train(made(bert, checkpoints={"keep": 1}), tiny_set(), tmp_path)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("state.json", truncate),
        ("weights.safetensors", truncate),
        ("optimizer.safetensors", Path.unlink),
        ("random-0.safetensors", Path.unlink),
    ],
)
def test_a_damaged_snapshot(
    bert: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    train(made(bert, optimizer={"steps": 2}), tiny_set(), tmp_path)
    damage(tmp_path / "checkpoints" / "step-00000002" / name)
    with pytest.raises(InputError, match=rf"{name}: .*remove .*step-00000002 to go on"):
        train(made(bert, optimizer={"steps": 2}), tiny_set(), tmp_path)


def test_a_loss_that_is_not_finite(bert: Path, tmp_path: Path) -> None:
    settings = made(bert, optimizer={"learning_rate": 1e30, "schedule": "constant"})
    with pytest.raises(ModelError, match=r"the loss of step \d is nan; lower optimizer.learning"):
        train(settings, tiny_set(), tmp_path)


def test_sets_that_do_not_fit(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="24 tuples, fewer than a batch of 48"):
        train(made(bert, batches={"size": 48}), tiny_set(), tmp_path)
    with pytest.raises(InputError, match=r"tuple 0 \(query 'q0'\) has no teacher scores"):
        train(made(bert, objective={"distillation": 1.0}), tiny_set(), tmp_path)
    given = tiny_set()
    missing = TrainingSet(given.queries, {"d0": "a"}, given.tuples, given.positives)
    with pytest.raises(InputError, match="which is not among the documents"):
        train(made(bert), missing, tmp_path)
    with pytest.raises(InputError, match=r"names no model; set model.source"):
        train(replace(made(bert), model=TrainSettings().model), given, tmp_path)


@pytest.mark.filterwarnings("default:objective.k_train is")
def test_retrieving_nearly_everything_is_warned_of(bert: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"objective.k_train is 9\d% of the document tokens"):
        train(made(bert, objective={"k_train": 0.95}), tiny_set(), tmp_path)


RECIPES = Path(__file__).parents[2] / "recipes"
SMALL = [
    "batches.size=4",
    "batches.tokens_per_forward=256",
    "optimizer.steps=3",
    "optimizer.warmup_steps=1",
    "checkpoints.every=2",
    "checkpoints.log_every=1",
    "model.query_length=16",
    "model.document_length=24",
    "model.dim=16",
]


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_the_recipes_run(name: str, tmp_path: Path) -> None:
    """Each with its own settings but for its size, on files of the published layout."""
    from colxtr.training.recipes import read_recipe
    from colxtr.training.starting import load_data

    source = (save_t5 if "xtr" in name else save_bert)(tmp_path / "source")
    folder = stanford_files(tmp_path / "data", scored=name.startswith("colbertv2"))
    where = [f"model.source={json.dumps(str(source))}"]
    if name.startswith("builtin"):
        folder = write_beir(tmp_path / "beir", tiny_set())
        where.append(f"data.tuples={json.dumps(str(mined(tmp_path / 'tuples.jsonl')))}")
    where.append(f"data.collections={json.dumps([str(folder)])}")
    settings = read_recipe(RECIPES / f"{name}.toml", [*where, *SMALL, "data.store="])
    result = train(settings, load_data(settings.data), tmp_path / "run")
    assert result.steps == 3
    assert all(0 < loss < 100 for loss in losses(tmp_path / "run"))


def mined(path: Path) -> Path:
    """The tuples of `tiny_set` in a file as `colxtr mine` writes it."""
    lines = [
        json.dumps({"query_id": each.query_id, "document_ids": each.document_ids}) + "\n"
        for each in tiny_set().tuples
    ]
    path.write_text("".join(lines))
    return path


def stanford_files(folder: Path, *, scored: bool) -> Path:
    """queries.train.tsv, collection.tsv, and triples or 64-way tuples with scores."""
    given = tiny_set(n=80, ways=64 if scored else 3, scored=scored)
    folder.mkdir()
    for name, texts in (("queries.train", given.queries), ("collection", given.documents)):
        rows = [f"{key[1:]}\t{text}\n" for key, text in texts.items()]
        (folder / f"{name}.tsv").write_text("".join(rows))
    lines = []
    for each in given.tuples:
        ids = [int(name[1:]) for name in each.document_ids]
        ways = [list(pair) for pair in zip(ids, each.scores, strict=True)] if each.scores else ids
        lines.append(json.dumps([int(each.query_id[1:]), *ways]) + "\n")
    name = "examples.json" if scored else "triples.train.jsonl"
    (folder / name).write_text("".join(lines))
    return folder
