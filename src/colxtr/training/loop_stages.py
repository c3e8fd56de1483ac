"""The stages of a denoised training: what each reads, does and leaves behind.

    mine/         tuples.jsonl
    labels/       model/: the large cross-encoder, where labels make it
    judge/        tuples.jsonl: scores of the large one, for the student to learn
    distil/       model/: the student
    score/        tuples.jsonl: what the first round is trained on
    start/        model/: the model before training, with its new projection if it needs one
    train-1/      model/ and whatever the trainer leaves
    refresh-1/    tuples.jsonl; then train-2/, refresh-2/, ...
    average/      model/
    export/       model/: the encoder folder

Knows nothing of how a recipe is written (`loop_recipe.py`) or when a stage runs (`loop.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from colxtr.training.distil import distil
from colxtr.training.fingerprints import of_collection, of_model
from colxtr.training.loop import Stage, stage_folder
from colxtr.training.loop_recipe import LoopRecipe
from colxtr.training.mine import mine
from colxtr.training.refresh import refresh
from colxtr.training.score import score
from colxtr.training.selection import Selection
from colxtr.training.sets import TrainingSet
from colxtr.training.teachers import Teacher, load_teacher
from colxtr.training.token_encoders import load_token_encoder
from colxtr.training.tuple_files import read_collections, read_tuples
from colxtr.training.tuple_files.collections import checked_set
from colxtr.training.tuple_files.mixing import weighted

_FIRST = ("model", "seed")
TUPLES, MODEL = "tuples.jsonl", "model"
Figures = Mapping[str, Any]


class Start(Protocol):
    """Makes the model that training starts from, with a new projection where it has none."""

    def __call__(
        self, settings: Mapping[str, Any], texts: TrainingSet, source: str, output: Path
    ) -> Figures:
        """Do it; `settings` are `model` and `seed` of the table `train`; `output` is its folder."""


class Train(Protocol):
    """Trains, or goes on training: the trained model is to lie in `output / "model"`.

    `settings` is the recipe's table `train`, `start` the folder of a whole model.
    """

    def __call__(
        self, settings: Mapping[str, Any], training_set: TrainingSet, start: str, output: Path
    ) -> Figures:
        """Do it; returns figures for people, as JSON."""


class Average(Protocol):
    """Averages models of one architecture."""

    def __call__(self, models: Sequence[str], shares: Sequence[float], output: Path) -> Figures:
        """Do it; shares add up to 1, `output` is the folder of the result."""


class Export(Protocol):
    """Writes the encoder folder of a model."""

    def __call__(self, model: str, quantize: str, output: Path) -> Figures:
        """Do it; `quantize` is "int8", "float32" or "both", `output` the encoder folder."""


@dataclass(frozen=True)
class Doers:
    """What makes the first model, trains, averages and exports."""

    start: Start
    train: Train
    average: Average
    export: Export


def plan(
    recipe: LoopRecipe, output: str | Path, doers: Doers, *, progress: bool = False
) -> list[Stage]:
    """The stages of a recipe, in order.

    Args:
        recipe: What is wanted.
        output: The folder that the stages' folders are in.
        doers: What trains, averages and exports.
        progress: Show progress bars.

    Raises:
        CorpusError: A collection is missing.
        ModelError: A model is missing.
    """
    return _Plan(recipe, Path(output), doers, progress).stages


class _Plan:
    def __init__(self, recipe: LoopRecipe, output: Path, doers: Doers, progress: bool) -> None:
        self._recipe, self._output, self._doers = recipe, output, doers
        self._progress = progress
        self.stages: list[Stage] = []
        self._add("mine", self._mine, [], recipe.mine, collections=self._inputs())
        self._teacher, needs = self._plan_teacher()
        self._plan_score(needs)
        self._plan_rounds()

    def _plan_teacher(self) -> tuple[str, list[str]]:
        """Plan what makes the teacher; returns its source and the stages that scoring needs."""
        given = self._recipe.teacher
        if given.model:
            return given.model, ["mine"]
        large, needs = given.large, ["mine"]
        if given.labels_from:
            large, needs = self._model("labels"), ["mine", "labels"]
            learn = self._distilling("mine", given.labels_from, given.labels)
            start = of_model(given.labels_from)
            self._add("labels", learn, ["mine"], given.labels, start=start)
        if not given.student:
            return large, needs
        judge = self._scoring("mine", large, Selection())
        digest = of_model(given.large) if given.large else None
        self._add("judge", judge, needs, self._recipe.scoring, large=digest)
        learn = self._distilling("judge", given.student, given.distil)
        self._add("distil", learn, ["judge"], given.distil, start=of_model(given.student))
        return self._model("distil"), ["mine", "distil"]

    def _plan_score(self, needs: list[str]) -> None:
        recipe = self._recipe
        run = self._scoring("mine", self._teacher, recipe.selection)
        model = recipe.teacher.model or recipe.teacher.large
        self._add(
            "score",
            run,
            needs,
            recipe.selection,
            scoring=asdict(recipe.scoring),
            teacher=of_model(model) if model else None,
        )

    def _plan_rounds(self) -> None:
        weights = {"weights": given} if (given := self._weights()) else {}
        recipe, tuples, before, train = self._recipe, "score", "start", dict(self._recipe.train)
        self._add("start", self._start, [], None, **self._first(), source=of_model(recipe.start))
        for number in range(1, recipe.rounds + 2):
            name = f"train-{number}"
            run = self._training(tuples, self._model(before))
            self._add(name, run, [tuples, before], None, train=train, **weights)
            before = name
            if number <= recipe.rounds:
                run = self._refreshing(tuples, self._model(name))
                refreshed = f"refresh-{number}"
                selection = asdict(recipe.selection)
                self._add(refreshed, run, [tuples, name], recipe.refresh, selection=selection)
                tuples = refreshed
        last = [f"train-{n}" for n in range(recipe.rounds + 2 - recipe.average.models, number + 1)]
        needs = ["start", *last] if recipe.average.base else last
        self._add("average", self._averaging(last), needs, recipe.average)
        self._add("export", self._export, ["average"], None, quantize=recipe.quantize)

    def _add(
        self,
        name: str,
        run: Callable[[Path], Figures],
        needs: Sequence[str],
        settings: object,
        **more: Any,
    ) -> None:
        """Add a stage; `settings` is a dataclass or None, `more` what else decides."""
        values = asdict(settings) if is_dataclass(settings) else {}  # type: ignore[arg-type]
        self.stages.append(Stage(name, {**values, **more}, list(needs), run))

    def _model(self, name: str) -> str:
        return str(stage_folder(self._output, name) / MODEL)

    def _inputs(self) -> list[Any]:
        """What the collections are: their names and splits, and their files' digest."""
        return [  # 1.0 keeps the keys of runs from when weights stood here
            [each.name, each.split, 1.0, of_collection(each.folder())]
            for each in self._recipe.collections
        ]

    def _weights(self) -> dict[str, float]:
        """How often tuples are trained on, by their collection; empty if each is once."""
        given = {each.name: each.weight for each in self._recipe.collections}
        return given if len(given) > 1 and set(given.values()) != {1.0} else {}

    @cached_property
    def _texts(self) -> TrainingSet:
        store = self._output / "texts" if self._recipe.store else None
        return read_collections(self._recipe.collections, store=store)

    def _with_tuples(self, stage: str) -> TrainingSet:
        """The texts and the tuples that a stage has left."""
        path, texts = stage_folder(self._output, stage) / TUPLES, self._texts
        return checked_set(texts, list(read_tuples(path)), str(path))

    def _load_teacher(self, source: str) -> Teacher:
        return load_teacher(source, **asdict(self._recipe.scoring))

    def _mine(self, folder: Path) -> Figures:
        report = mine(self._texts, folder / TUPLES, self._recipe.mine, progress=self._progress)
        return asdict(report)

    def _scoring(
        self, tuples: str, teacher: str, selection: Selection
    ) -> Callable[[Path], Figures]:
        def run(folder: Path) -> Figures:
            report = score(
                self._with_tuples(tuples),
                self._load_teacher(teacher),
                folder / TUPLES,
                selection=selection,
                progress=self._progress,
            )
            return asdict(report)

        return run

    def _distilling(self, tuples: str, start: str, settings: Any) -> Callable[[Path], Figures]:
        def run(folder: Path) -> Figures:
            examples = self._with_tuples(tuples)
            report = distil(examples, start, folder / MODEL, settings, progress=self._progress)
            return asdict(report)

        return run

    def _start(self, folder: Path) -> Figures:
        recipe = self._recipe
        return self._doers.start(self._first(), self._texts, recipe.start, folder / MODEL)

    def _first(self) -> dict[str, Any]:
        """What of the table `train` decides about the model before training."""
        return {name: self._recipe.train[name] for name in _FIRST if name in self._recipe.train}

    def _training(self, tuples: str, start: str) -> Callable[[Path], Figures]:
        def run(folder: Path) -> Figures:
            examples = self._with_tuples(tuples)
            examples = replace(examples, tuples=weighted(examples, self._weights()))
            return self._doers.train(self._recipe.train, examples, start, folder)

        return run

    def _refreshing(self, tuples: str, model: str) -> Callable[[Path], Figures]:
        def run(folder: Path) -> Figures:
            report = refresh(
                load_token_encoder(model),
                self._with_tuples(tuples),
                folder / TUPLES,
                self._recipe.refresh,
                teacher=self._load_teacher(self._teacher),
                selection=self._recipe.selection,
                progress=self._progress,
            )
            return asdict(report)

        return run

    def _averaging(self, stages: Sequence[str]) -> Callable[[Path], Figures]:
        def run(folder: Path) -> Figures:
            base = self._recipe.average.base
            models = [self._model(each) for each in stages]
            shares = [(1 - base) / len(models)] * len(models)
            if base:
                models, shares = [self._model("start"), *models], [base, *shares]
            return self._doers.average(models, shares, folder / MODEL)

        return run

    def _export(self, folder: Path) -> Figures:
        model, quantize = self._model("average"), self._recipe.quantize
        return self._doers.export(model, quantize, folder / MODEL)
