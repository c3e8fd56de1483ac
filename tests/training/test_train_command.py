from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_data import tiny_set, write_beir
from tiny_torch import save_bert
from typer.testing import CliRunner

from colxtr.cli import app

runner = CliRunner()
pytestmark = pytest.mark.filterwarnings("ignore::colxtr.training.checkpoints.save.SavingWarning")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    source = save_bert(tmp_path / "source")
    folder = write_beir(tmp_path / "beir", tiny_set())
    path = tmp_path / "recipe.toml"
    path.write_text(
        f"""
[model]
source = {json.dumps(str(source))}
dim = 16
[data]
collections = [{json.dumps(str(folder))}]
[objective]
k_train = 0.1
[batches]
size = 4
[optimizer]
steps = 3
[evaluation]
folders = [{json.dumps(str(folder))}]
split = "train"
every = 2
"""
    )
    return path


def test_it_trains(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warnings.showwarning", lambda *_: None)  # restored afterwards
    output = tmp_path / "run"
    command = ["train", str(recipe), "--output", str(output), "--set", "optimizer.steps=4"]
    done = runner.invoke(app, command)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0].startswith("nDCG@10 ")
    assert done.stdout.splitlines()[1] == str(output / "model")
    assert "step 2 of 4: loss " in done.stderr
    again = runner.invoke(app, [*command, "--json"])
    assert json.loads(again.stdout)["steps"] == 4
    other = runner.invoke(app, [*command, "--set", "seed=1"])
    assert other.exit_code == 1
    assert "holds a run with seed = 0, not 1; go on with the same" in other.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "optimizer.step=4"], "unknown key 'optimizer.step'; known are steps"),
        (["--set", "optimizer.steps"], "'optimizer.steps' is no setting; write it as"),
        (["--set", "data.collections=[]"], "the recipe names nothing to train on"),
    ],
)
def test_mistakes(recipe: Path, tmp_path: Path, options: list[str], message: str) -> None:
    result = runner.invoke(app, ["train", str(recipe), "-o", str(tmp_path / "run"), *options])
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / "run").exists()
