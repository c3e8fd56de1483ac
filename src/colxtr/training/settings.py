"""The settings of a training run: a frozen dataclass for each table of a recipe.

Limits and choices of a value stand beside it, in the field's metadata; `recipes.py` holds files and
flags to them. Knows nothing of models, data or torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


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
        query_weights_from: Weigh query tokens by inverse document frequency, counted in so many
            documents; 0: as the model does, if it does (docs/training.md).
        dropout: Of all layers that have one; None keeps the model's own. 0 saves a third of a
            step: attention without it is fused.
        query_length: Most tokens of a query; None keeps the model's own.
        document_length: Most tokens of a document; likewise.
    """

    source: str = ""
    dim: int | None = _range(None, 16, 1024)
    projection: str | None = _choice(None, "linear", "mlp", "residual")
    start_from_texts: int = _range(0, 0)
    query_weights_from: int = _range(0, 0)
    dropout: float | None = _range(None, 0, 0.9)
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
        from_one_collection: Whether the tuples of a batch are of one collection, so that in-batch
            negatives are about the same matters; what fills no batch is mixed.
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
    from_one_collection: bool = False
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
