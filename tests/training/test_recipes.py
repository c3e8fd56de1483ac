from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from colxtr.errors import InputError
from colxtr.training.recipes import read_recipe
from colxtr.training.settings import TrainSettings


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_a_recipe(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
seed = 3
[model]
source = "t5-base"
dim = 128
[data]
collections = ["a", "b=c"]
[objective]
scoring = "xtr"
k_train = 0.05
[optimizer]
learning_rate = 1
""",
    )
    settings = read_recipe(path, ["batches.size=8", "model.dim=96", "model.source = x/y"])
    assert settings.seed == 3
    assert settings.model.source == "x/y"
    assert settings.model.dim == 96
    assert settings.data.collections == ("a", "b=c")
    assert settings.objective.k_train == 0.05
    assert settings.optimizer.learning_rate == 1.0
    assert settings.batches.size == 8
    assert read_recipe(path, ["model.dim=none"]).model.dim is None


def test_no_recipe_is_all_defaults() -> None:
    assert read_recipe(None) == TrainSettings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sede = 1", "unknown key 'sede'; known are model, data"),
        ("[objective]\nscorin = 'xtr'", "unknown key 'objective.scorin'; known are scoring"),
        ("[objective]\nscoring = 'xtra'", "'xtra'; it must be one of 'colbert', 'xtr'"),
        ("[objective]\nn_bits = 3", "'objective.n_bits' is 3; it must be one of 0, 1, 2, 4, 8"),
        ("[objective]\ntemperature = 0", "is 0; it must be above 0"),
        ("[objective]\ntemperature = nan", "is nan; it must be of type float"),
        ("[objective]\nk_train = 320.5", "320.5; it must be a whole number"),
        ("[objective]\ncontrastive = 0", "all weights of .objective. are 0"),
        ("[objective]\nlearn_temperature = 1", "is 1; it must be of type bool"),
        ("[batches]\nsize = 0", "'batches.size' is 0; it must be at least 1"),
        ("[batches]\nsize = 1.5", "is 1.5; it must be of type int"),
        ("[batches]\nsize = true", "is True; it must be of type int"),
        ("[batches]\nprecision = 'float16'", "one of 'float32', 'bfloat16'"),
        ("[checkpoints]\ntrained_share = 1.5", "at least 0 and at most 1"),
        ("[checkpoints]\naverage_last = 5", "more than the checkpoints kept"),
        ("[evaluation]\npatience = 2", "needs evaluation.folders"),
        ("[data]\ncollections = [1]", "it must be a list of strings"),
        ("model = 'x'", "'model' is 'x'; it must be a table"),
        ("model = ", "not TOML"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("override", ["steps", "=3", "optimizer.=3", "seed.x.y=1"])
def test_broken_overrides(tmp_path: Path, override: str) -> None:
    with pytest.raises(InputError, match=r"no setting|not a table"):
        read_recipe(written(tmp_path, "seed = 1"), [override])


def test_a_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such recipe; recipes/ has some"):
        read_recipe(tmp_path / "none.toml")


def test_the_documentation_names_every_setting_with_its_default() -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    for table, values in asdict(TrainSettings()).items():
        for name, value in values.items() if isinstance(values, dict) else ():
            shown = {None: "none", True: "true", False: "false", (): "[]"}
            default = shown[value] if isinstance(value, bool | None | tuple) else repr(value)
            assert f"`{name} = {default}`" in text.partition(f"**[{table}]**")[2], (table, name)
