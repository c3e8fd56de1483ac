"""Recipes: all settings of a training run, read strictly from a TOML file and from flags.

Each table of the file is a frozen dataclass here. An unknown key, a value of the wrong type or out
of its range is an error that names the file, the key and what is allowed. Knows nothing of models,
data or torch.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from colxtr.errors import InputError


def _range(default: Any, low: float, high: float = float("inf"), *, above: bool = False) -> Any:
    """A field with a number from `low` (or above it) to `high`."""
    return field(default=default, metadata={"low": low, "high": high, "above": above})


def _choice(default: str | None, *choices: str) -> Any:
    return field(default=default, metadata={"choices": choices})


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Where training begins.

    Attributes:
        source: A folder or hub id in any layout that `load_model` knows.
        dim: Dimensions of a new projection; None: 128, or the model's own.
        projection: Kind of a new projection; None: "linear".
        start_from_texts: Start a new linear projection from the strongest directions of token
            embeddings of so many documents and as many queries; 0: from random weights.
        query_length: Most tokens of a query; None keeps the model's own.
        document_length: Most tokens of a document; likewise.
    """

    source: str = ""
    dim: int | None = _range(None, 16, 1024)
    projection: str | None = _choice(None, "linear", "mlp", "residual")
    start_from_texts: int = _range(0, 0)
    query_length: int | None = _range(None, 2, 32_768)
    document_length: int | None = _range(None, 2, 32_768)


@dataclass(frozen=True, slots=True)
class DataSettings:
    """What is trained on. Paths are relative to the folder that the command runs in.

    Attributes:
        tuples: A file of tuples, or a collection that brings its own. Empty: each judged pair of
            the collections is an example, and all its negatives are those of the batch.
        collections: Where the texts are: folders or hub ids, `name=folder` where there are several.
        split: Of their judgements.
        store: A folder for texts that are to be read from the disk; empty: they are in memory.
    """

    tuples: str = ""
    collections: tuple[str, ...] = ()
    split: str = "train"
    store: str = ""


@dataclass(frozen=True, slots=True)
class ObjectiveSettings:
    """The loss (objectives.py; formulas in docs/training.md).

    Attributes:
        scoring: "colbert" (MaxSim) or "xtr" (tokens retrieved in the batch).
        contrastive: Weight of the cross-entropy over the documents of the batch.
        distillation: Weight of the KL divergence from the teacher's scores of a tuple.
        self_distillation: Weight of the KL divergence from the untrained model's MaxSim.
        temperature: Of the cross-entropy, where it starts.
        learn_temperature: Whether it is learnt.
        own_negatives: Whether a query's own hard negatives are in its cross-entropy (ColBERTv2
            leaves them to the distillation).
        k_train: Document tokens that a query token retrieves in the batch (XTR): a number, or
            below 1 a fraction of all valid ones.
        k_train_end: What it becomes over `k_train_steps`; None: it stays.
        k_train_steps: Steps of that.
        student_temperature: Of the distillation. Scores are means over query tokens, so that 1/32
            is what ColBERTv2's sums of 32 tokens with temperature 1 are; 0.5 for XTR scores.
        teacher_temperature: Of the teacher's scores.
        teacher_normalisation: Of the teacher's scores of a tuple.
        self_temperature: Of the self-distillation, on both sides.
        self_projected: Whether the untrained model speaks through its projection; without it, all
            dimensions of its encoder do.
        n_bits: Train through the codec of an index of so many bits (straight-through); 0: without.
        n_centroids: Of that codec.
        codec_documents: Documents from whose tokens it is trained.
        codec_steps: Steps after which it is trained again.
    """

    scoring: str = _choice("xtr", "colbert", "xtr")
    contrastive: float = _range(1.0, 0)
    distillation: float = _range(0.0, 0)
    self_distillation: float = _range(0.0, 0)
    temperature: float = _range(0.05, 0, above=True)
    learn_temperature: bool = True
    own_negatives: bool = True
    k_train: float = _range(320, 0, above=True)
    k_train_end: float | None = _range(None, 0, above=True)
    k_train_steps: int = _range(0, 0)
    student_temperature: float = _range(0.5, 0, above=True)
    teacher_temperature: float = _range(1.0, 0, above=True)
    teacher_normalisation: str = _choice("none", "none", "min-max", "z-score")
    self_temperature: float = _range(0.05, 0, above=True)
    self_projected: bool = False
    n_bits: int = field(default=0, metadata={"choices": (0, 1, 2, 4, 8)})
    n_centroids: int = _range(1024, 1)
    codec_documents: int = _range(512, 1)
    codec_steps: int = _range(500, 1)


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """What a step sees.

    Attributes:
        size: Tuples to a batch, on each process.
        n_ways: Documents taken of a tuple, the relevant one included; None: all.
        negatives: Which, of more: the "first" ones, or a "sample" that differs in each epoch.
        accumulate: Batches to a step. In-batch negatives are those of one batch.
        tokens_per_forward: Padded tokens that go through the encoder at once: texts of like length
            together, so that little of it is padding. 2,048 to 8,192 suits processors; a GPU
            wants 65,536 or more.
        gradient_cache: Encode twice, once without gradients, so that the memory is that of
            `tokens_per_forward` and not of the batch (GradCache, Gao et al. 2021).
        precision: "float32", or "bfloat16": products in half precision, weights in float32.
    """

    size: int = _range(48, 1)
    n_ways: int | None = _range(None, 1)
    negatives: str = _choice("first", "first", "sample")
    accumulate: int = _range(1, 1)
    tokens_per_forward: int = _range(8192, 1)
    gradient_cache: bool = False
    precision: str = _choice("float32", "float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """AdamW and the course of its learning rate.

    Attributes:
        steps: How many.
        learning_rate: Of the encoder.
        projection_learning_rate: Of all behind the encoder, and of the temperature; None: the same.
        weight_decay: Not for biases, norms and the temperature.
        warmup_steps: Steps in which the learning rate rises from 0.
        schedule: How it falls then: "linear" or "cosine" to 0 at the last step, or "constant".
        max_gradient: Gradients longer than this are shortened; 0: never.
    """

    steps: int = _range(1000, 1)
    learning_rate: float = _range(2e-5, 0)
    projection_learning_rate: float | None = _range(None, 0)
    weight_decay: float = _range(0.01, 0)
    warmup_steps: int = _range(0, 0)
    schedule: str = _choice("linear", "linear", "cosine", "constant")
    max_gradient: float = _range(1.0, 0)


@dataclass(frozen=True, slots=True)
class CheckpointSettings:
    """What is kept while training, and what becomes of it at the end.

    Attributes:
        every: Steps between checkpoints.
        keep: How many of the newest stay.
        average_last: The final weights are the mean of so many of the newest checkpoints.
        trained_share: The final weights are this share of the trained and the rest of the untrained
            ones: below 1 it keeps the breadth of the base (docs/log.md).
        log_every: Steps between lines of the history.
    """

    every: int = _range(500, 1)
    keep: int = _range(2, 1)
    average_last: int = _range(1, 1)
    trained_share: float = _range(1.0, 0, 1)
    log_every: int = _range(10, 1)


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """Measuring while training, with an index of our own.

    Attributes:
        folders: BEIR folders; the mean over them counts. Empty: nothing is measured.
        split: Which of their qrels.
        every: Steps between measurements; they are done at checkpoints too near to be apart.
        queries: At most so many of a folder, drawn by the seed.
        documents: At most so many: the relevant ones and others drawn by the seed.
        n_bits: Of the index.
        patience: Stop after so many measurements without a new best one; 0: never. With
            `patience` the best weights become the final ones.
    """

    folders: tuple[str, ...] = ()
    split: str = "dev"
    every: int = _range(500, 1)
    queries: int = _range(200, 1)
    documents: int = _range(5000, 1)
    n_bits: int = field(default=2, metadata={"choices": (1, 2, 4, 8, 16)})
    patience: int = _range(0, 0)


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """A recipe.

    Attributes:
        model: Where training begins.
        data: What is trained on.
        objective: The loss.
        batches: What a step sees.
        optimizer: How weights change.
        checkpoints: What is kept.
        evaluation: What is measured meanwhile.
        seed: Of everything random: weights of a new projection, order of the data, dropout.
    """

    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)
    batches: BatchSettings = field(default_factory=BatchSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    checkpoints: CheckpointSettings = field(default_factory=CheckpointSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    seed: int = _range(0, 0, 2**63 - 1)


def read_recipe(path: str | Path | None, overrides: Iterable[str] = ()) -> TrainSettings:
    """Read a recipe.

    Args:
        path: A TOML file; None: all defaults.
        overrides: `table.key=value`, each instead of what the file says; values as in TOML, and a
            word that is no TOML is a string. "none" is the default of keys that may be None.

    Raises:
        InputError: The file is missing or no TOML, or a key or value is not allowed; names file,
            key and what is.
    """
    name, values = "the recipe", {}
    if path is not None:
        name, values = str(path), _parsed(Path(path))
    for override in overrides:
        _apply(values, override)
    return settings_from(values, name)


def settings_from(values: Mapping[str, Any], name: str) -> TrainSettings:
    """Make settings of nested mappings, as TOML or JSON gives them; errors as `read_recipe`."""
    settings = _dataclass_from(TrainSettings, values, name, "")
    _check_together(settings, name)
    return settings


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such recipe; recipes/ has some to copy") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}") from None


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise InputError(f"{override!r} is no setting; write it as optimizer.steps=1000")
    table = values
    for name in names[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise InputError(f"{override!r}: {name} is a value, not a table")
    table[names[-1]] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _dataclass_from(kind: type, values: Mapping[str, Any], name: str, prefix: str) -> Any:
    known = {each.name: each for each in fields(kind)}
    types = get_type_hints(kind)
    made = {}
    for key, value in values.items():
        full = prefix + key
        if key not in known:
            raise InputError(f"{name}: unknown key {full!r}; known are {', '.join(known)}")
        if hasattr(types[key], "__dataclass_fields__"):
            if not isinstance(value, Mapping):
                raise InputError(f"{name}: {full!r} is {value!r}; it must be a table, [{full}]")
            made[key] = _dataclass_from(types[key], value, name, f"{full}.")
        else:
            where = f"{name}: {full!r} is {value!r}"
            made[key] = _checked(value, types[key], known[key].metadata, where)
    return kind(**made)


def _checked(value: Any, kind: Any, limits: Mapping[str, Any], where: str) -> Any:
    if type(None) in get_args(kind):
        if value is None or value == "none":  # TOML has no word for it
            return None
        kind = next(each for each in get_args(kind) if each is not type(None))
    value = _typed(value, kind, where)
    if "choices" in limits and value not in limits["choices"]:
        raise InputError(f"{where}; it must be one of {', '.join(map(repr, limits['choices']))}")
    if "low" in limits:
        low, high, above = limits["low"], limits["high"], limits["above"]
        if not (low < value if above else low <= value) or not value <= high:
            most = "" if high == float("inf") else f" and at most {high}"
            raise InputError(f"{where}; it must be {'above' if above else 'at least'} {low}{most}")
    return value


def _typed(value: Any, kind: Any, where: str) -> Any:
    if get_origin(kind) is tuple:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(each, str) for each in items):
            raise InputError(f"{where}; it must be a list of strings")
        return tuple(items)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind or value != value:  # NaN
        raise InputError(f"{where}; it must be of type {kind.__name__}")
    return value


def _check_together(settings: TrainSettings, name: str) -> None:
    objective, batches = settings.objective, settings.batches
    if not (objective.contrastive or objective.distillation or objective.self_distillation):
        raise InputError(f"{name}: all weights of [objective] are 0; set one of them above")
    if objective.distillation and batches.n_ways == 1:
        raise InputError(f"{name}: batches.n_ways is 1; distillation needs 2 or more")
    if objective.k_train >= 1 and objective.k_train % 1:
        raise InputError(
            f"{name}: 'objective.k_train' is {objective.k_train}; it must be a whole number, or a "
            "fraction below 1"
        )
    if settings.checkpoints.average_last > settings.checkpoints.keep:
        raise InputError(
            f"{name}: checkpoints.average_last is {settings.checkpoints.average_last}, more than "
            f"the checkpoints kept; set checkpoints.keep to as many"
        )
    if settings.evaluation.patience and not settings.evaluation.folders:
        raise InputError(f"{name}: evaluation.patience needs evaluation.folders to measure on")
