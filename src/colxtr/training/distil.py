"""Distillation: a small cross-encoder learns the scores of a large one, by KL over n-way tuples.

The same loop makes a cross-encoder from judgements alone (`labels`): the relevant document of a
tuple is to have all the probability. On the trainer of sentence-transformers; after an
interruption the same call goes on from the last checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colxtr.errors import InputError
from colxtr.progress import progress_bar
from colxtr.training.checkpoint_folders import begin, finish, finished, last_checkpoint, marking
from colxtr.training.fingerprints import of_value
from colxtr.training.libraries import imported, quiet
from colxtr.training.sampling import sampled
from colxtr.training.sets import NWayTuple, TrainingSet
from colxtr.training.teachers import CrossEncoderTeacher, load_cross_encoder

_PURPOSE = "training a cross-encoder"


@dataclass(frozen=True, slots=True)
class DistilSettings:
    """How a cross-encoder is trained.

    Attributes:
        labels: Learn that the first document is the relevant one, instead of learning scores.
        n_way: Documents of each tuple, the relevant one included; more are drawn from.
        batch_size: Tuples in a step.
        epochs: How often each tuple is seen.
        max_steps: Stop after so many steps; None: when the epochs are over.
        learning_rate: At its peak; linear warm-up, linear decay.
        warmup: Share of the steps in which it rises.
        temperature: Scores of teacher and student are divided by it.
        max_length: Tokens of a pair.
        bf16: Mixed precision (bfloat16), on CPUs too.
        held_out: Tuples kept for the figures of the report, at most a tenth of all.
        save_steps: Steps between two checkpoints.
        seed: Of the head, the order of the tuples and dropout.

    Raises:
        InputError: A value is out of range.
    """

    labels: bool = False
    n_way: int = 8
    batch_size: int = 8
    epochs: float = 1.0
    max_steps: int | None = None
    learning_rate: float = 4e-5
    warmup: float = 0.1
    temperature: float = 1.0
    max_length: int = 256
    bf16: bool = False
    held_out: int = 200
    save_steps: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_way", "batch_size", "epochs", "learning_rate", "temperature", "save_steps"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.n_way < 2:
            raise InputError("n_way is 1; a relevant document and one other are the least")
        if not 0 <= self.warmup < 1:
            raise InputError(f"warmup is {self.warmup}; it must be from 0 to below 1")


@dataclass(frozen=True, slots=True)
class DistilReport:
    """What training a cross-encoder came to, on the tuples held out.

    Attributes:
        tuples: Tuples it was trained on.
        steps: Steps of the optimizer.
        held_out: Tuples it was not trained on.
        kl_before: Mean KL(teacher || student) over these before training, in nats.
        kl_after: The same afterwards.
        positive_first_before: Share of these whose relevant document the student put first.
        positive_first_after: The same afterwards.
    """

    tuples: int
    steps: int
    held_out: int
    kl_before: float
    kl_after: float
    positive_first_before: float
    positive_first_after: float


def distil(
    training_set: TrainingSet,
    student: str,
    output: str | Path,
    settings: DistilSettings | None = None,
    *,
    key: object = None,
    progress: bool = False,
) -> DistilReport:
    """Train a cross-encoder and save it in the layout of sentence-transformers.

    Args:
        training_set: Its tuples carry the teacher's scores, unless labels are learnt.
        student: Folder or hub id of the cross-encoder to go on with, or of a plain encoder, which
            gets a new head.
        output: The folder of the trained model; appears when it is finished. Checkpoints are in
            `<output>.work/` until then. If it is there, of the same settings, nothing is done.
        settings: How.
        key: Anything in JSON that tells which set and student these are.
        progress: Show a progress bar.

    Raises:
        InputError: A tuple has no scores, or no negatives, or there are too few tuples.
        ModelError: The student cannot be loaded.
        MissingDependencyError: The extra `train` is not installed.
    """
    settings = settings or DistilSettings()
    output = Path(output)
    examples = [_narrowed(example, settings) for example in training_set.tuples]
    held_out, trained = _split(examples, settings)
    about = {**asdict(settings), "tuples": _digest(examples), "student": student, "input": key}
    if (done := finished(output, about)) is not None:
        return DistilReport(**done)
    work = begin(output, about)
    last = last_checkpoint(work)
    model = load_cross_encoder(student, max_length=settings.max_length, seed=settings.seed)
    before = _measured(model, held_out, training_set, settings)
    data = _dataset(work / "tuples.arrow", trained, training_set, settings)
    trainer = _trainer(model, data, work, settings)
    total = _total_steps(len(trained), settings)
    with progress_bar("Distilling", total, "steps", progress) as advance, quiet():
        trainer.add_callback(marking(advance))
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    after = _measured(model, held_out, training_set, settings)
    report = DistilReport(
        tuples=len(trained),
        steps=int(trainer.state.global_step),
        held_out=len(held_out),
        kl_before=before[0],
        kl_after=after[0],
        positive_first_before=before[1],
        positive_first_after=after[1],
    )
    with quiet():
        finish(output, about, asdict(report), model.save_pretrained)
    return report


def _narrowed(example: NWayTuple, settings: DistilSettings) -> NWayTuple:
    """The tuple with at most `n_way` documents."""
    if len(example.document_ids) < 2:
        raise InputError(f"the tuple of query {example.query_id!r} has no negatives")
    if example.scores is None and not settings.labels:
        raise InputError(
            f"the tuple of query {example.query_id!r} has no scores; give the tuples some with "
            "colxtr score, or learn from the labels (--labels)"
        )
    seed = f"{settings.seed}:{example.query_id}:{example.document_ids[0]}"
    chosen = [
        0,
        *sampled(range(1, len(example.document_ids)), settings.n_way - 1, "uniform", seed),
    ]
    return NWayTuple(
        example.query_id,
        tuple(example.document_ids[i] for i in chosen),
        None if example.scores is None else tuple(example.scores[i] for i in chosen),
    )


def _split(
    examples: Sequence[NWayTuple], settings: DistilSettings
) -> tuple[list[NWayTuple], list[NWayTuple]]:
    """Tuples held out and tuples to train on; no query is in both."""
    queries = list(dict.fromkeys(example.query_id for example in examples))
    if len(queries) < 2:
        raise InputError(f"{len(queries)} queries with tuples; at least 2 are needed to train on")
    most = min(settings.held_out, max(1, len(queries) // 10))
    generator = np.random.default_rng(settings.seed)
    out = {queries[i] for i in generator.permutation(len(queries))[:most]}
    held = [example for example in examples if example.query_id in out]
    return held, [example for example in examples if example.query_id not in out]


def _digest(examples: Sequence[NWayTuple]) -> str:
    return of_value([(t.query_id, t.document_ids, t.scores) for t in examples])


def targets(example: NWayTuple, settings: DistilSettings) -> NDArray[np.float64]:
    """The probabilities that the student is to give the documents of a tuple, (n_way,)."""
    if settings.labels:
        return np.eye(1, len(example.document_ids), dtype=np.float64).reshape(-1)
    scores = np.array(example.scores) / settings.temperature
    exponentials = np.exp(scores - scores.max())
    return np.asarray(exponentials / exponentials.sum(), np.float64)


def _measured(
    model: Any, examples: Sequence[NWayTuple], texts: TrainingSet, settings: DistilSettings
) -> tuple[float, float]:
    """Mean KL, and the share of tuples whose relevant document is first. No tuples: (0, 0)."""
    if not examples:
        return 0.0, 0.0
    pairs = [
        (texts.queries[t.query_id], texts.documents[each])
        for t in examples
        for each in t.document_ids
    ]
    scores = iter(CrossEncoderTeacher(model).score(pairs))
    kl, first = 0.0, 0
    for example in examples:
        own = np.array([next(scores) for _ in example.document_ids], np.float64)
        first += int(own[0] >= own.max())
        logs = own / settings.temperature
        logs -= logs.max() + np.log(np.exp(logs - logs.max()).sum())
        wanted = targets(example, settings)
        some = wanted > 0
        kl += float((wanted[some] * (np.log(wanted[some]) - logs[some])).sum())
    return kl / len(examples), first / len(examples)


def _dataset(
    path: Path, examples: Sequence[NWayTuple], texts: TrainingSet, settings: DistilSettings
) -> Any:
    """The texts of the tuples as a memory-mapped table, so that they need not be in memory."""
    arrow = imported("pyarrow", _PURPOSE)
    datasets = imported("datasets", _PURPOSE)
    schema = arrow.schema(
        [
            ("query", arrow.string()),
            ("documents", arrow.list_(arrow.string())),
            ("labels", arrow.list_(arrow.float32())),
        ]
    )
    with arrow.OSFile(str(path), "wb") as file, arrow.ipc.new_stream(file, schema) as writer:
        for rows in _rows(examples, texts, settings):
            writer.write_batch(arrow.RecordBatch.from_pylist(rows, schema))
    return datasets.Dataset.from_file(str(path))


def _rows(
    examples: Sequence[NWayTuple], texts: TrainingSet, settings: DistilSettings
) -> Iterator[list[dict[str, Any]]]:
    most = 10 * settings.max_length  # characters: the tokenizer would read all before it cuts
    for start in range(0, len(examples), 100):
        yield [
            {
                "query": texts.queries[t.query_id][:most],
                "documents": [texts.documents[each][:most] for each in t.document_ids],
                "labels": targets(t, settings).tolist(),
            }
            for t in examples[start : start + 100]
        ]


def _total_steps(n_tuples: int, settings: DistilSettings) -> int:
    of_epoch = -(-n_tuples // settings.batch_size)
    return settings.max_steps or max(1, -(-round(of_epoch * settings.epochs * 1000) // 1000))


def _trainer(model: Any, data: Any, work: Path, settings: DistilSettings) -> Any:
    library = imported("sentence_transformers.cross_encoder", _PURPOSE)
    losses = imported("colxtr.training.kl_loss", _PURPOSE)
    torch = imported("torch", _PURPOSE)
    total = _total_steps(len(data), settings)
    arguments = library.CrossEncoderTrainingArguments(
        output_dir=str(work),
        per_device_train_batch_size=settings.batch_size,
        max_steps=total,
        learning_rate=settings.learning_rate,
        warmup_steps=round(total * settings.warmup),
        bf16=settings.bf16,
        use_cpu=not torch.cuda.is_available(),
        save_strategy="steps",
        save_steps=settings.save_steps,
        save_total_limit=2,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=settings.seed,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    with quiet():
        trainer = library.CrossEncoderTrainer(
            model=model,
            args=arguments,
            train_dataset=data,
            loss=losses.NWayKLLoss(model, temperature=settings.temperature),
        )
    trainer.remove_callback(imported("transformers", _PURPOSE).PrinterCallback)
    return trainer
