"""One run of one process: steps, measurements, snapshots, and going on from the newest of these.

Knows nothing of formulas (`objectives.py`), files of data or signals.
"""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from colxtr.errors import InputError, ModelError
from colxtr.training.batches import BatchOrder
from colxtr.training.finishing import final_weights
from colxtr.training.gathering import (
    any_process,
    average_gradients,
    from_first,
    mean_over_processes,
    n_processes,
    process_number,
    share_first,
    wait_for_all,
)
from colxtr.training.history import History
from colxtr.training.identity import check_same_run, identity_of
from colxtr.training.interruption import Interruption
from colxtr.training.objectives import Losses, Objective
from colxtr.training.quantised import train_codec
from colxtr.training.run_state import RunState
from colxtr.training.schedules import make_optimizer, rate_at, set_rates
from colxtr.training.sets import TrainingSet
from colxtr.training.settings import TrainSettings
from colxtr.training.snapshots import remove_snapshots, snapshots
from colxtr.training.steps import Prepared, Step, prepare, untrained_model
from colxtr.training.texts import TextModel
from colxtr.training.validation import Collection, evaluate, read_collection

_AHEAD = 2  # batches tokenised before they are needed


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: Steps done.
        steps: Of so many.
        loss: Of the last step; None before there is one.
        tokens_per_second: On this process, since it started; without padding.
        seconds_left: At that speed.
        measure: nDCG@10, if it was measured just now.
    """

    step: int
    steps: int
    loss: float | None
    tokens_per_second: float
    seconds_left: float
    measure: float | None = None


@dataclass(frozen=True)
class TrainResult:
    """What came of a run.

    Attributes:
        model: The folder of the trained model.
        steps: Steps done.
        loss: Of the last step; None if no step was left to do.
        measure: nDCG@10 of the final weights; None without evaluation.
        measure_before: nDCG@10 before the first step; likewise.
        best_step: The step with the best measurement; likewise.
    """

    model: Path
    steps: int
    loss: float | None
    measure: float | None
    measure_before: float | None
    best_step: int | None


class Run:
    """One run of one process."""

    def __init__(
        self,
        settings: TrainSettings,
        training_set: TrainingSet,
        output: Path,
        model: Any,
        report: Callable[[Progress], None],
    ) -> None:
        self.settings, self.output = settings, output
        self.report = report if process_number() == 0 else _tell_nobody
        batches = settings.batches
        _check_scores(settings, training_set)
        self.order = BatchOrder(
            training_set,
            batches,
            settings.seed,
            process=process_number(),
            processes=n_processes(),
        )
        self.measures = bool(settings.evaluation.folders)
        self.collections = _collections(settings)
        self.model = TextModel(model, batches.tokens_per_forward, batches.precision)
        share_first(model.state_dict().values())  # a projection may have come out otherwise there
        identity = identity_of(settings, training_set, model)
        self.start = {
            name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()
        }
        objective = Objective(settings.objective).to(self.model.device)
        untrained = (
            untrained_model(self.model, projected=settings.objective.self_projected)
            if settings.objective.self_distillation
            else None
        )
        self.step = Step(
            self.model, objective, untrained=untrained, gradient_cache=batches.gradient_cache
        )
        self.optimizer = make_optimizer(model, objective, settings.optimizer)
        self.state = RunState(identity)
        torch.manual_seed(settings.seed + process_number())
        self._resume()
        first = process_number() == 0
        self.history = History(output, self.state.step) if first else None
        self._started = time.monotonic()
        self._n_tokens, self._first_step, self._warned = 0, self.state.step, False

    @property
    def folder(self) -> Path:
        """Where the snapshots are."""
        return self.output / "checkpoints"

    def close(self) -> None:
        """Write what is left of the history."""
        if self.history is not None:
            self.history.close()

    def _resume(self) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        wait_for_all()
        if not (there := snapshots(self.folder)):
            return
        check_same_run(there[-1], self.state.identity)
        self.state.restore(there[-1], self.step, self.optimizer)

    def go(self, interruption: Interruption) -> None:
        """Do the steps that are left."""
        self.model.model.train()
        if self.state.step == 0 and self.state.before is None and self.measures:
            self.state.before = self._measure()
            self._write({"nDCG@10": self.state.before})
        with ThreadPoolExecutor(1) as pool, closing(_Ahead(self, pool)) as ahead:
            while self.state.step < self.settings.optimizer.steps and not self.state.stopped:
                losses = self._step(ahead)
                measure = self._after_step()
                self._report(losses, measure)
                if any_process(interruption.wanted, self.model.device):
                    self._snapshot()
                    raise KeyboardInterrupt

    def _step(self, ahead: _Ahead) -> Losses:
        settings, number = self.settings, self.state.step
        self._renew_codec()
        self.optimizer.zero_grad(set_to_none=True)
        parts = []
        for _ in range(settings.batches.accumulate):
            batch = ahead.next()
            self._n_tokens += batch.n_tokens
            parts.append(self.step.backward(batch, number, 1 / settings.batches.accumulate))
        losses = _mean(parts)
        if not torch.isfinite(losses.total):
            raise ModelError(
                f"the loss of step {number + 1} is {losses.total.item()}; lower "
                "optimizer.learning_rate, or set batches.precision to float32"
            )
        learnt = [each for group in self.optimizer.param_groups for each in group["params"]]
        average_gradients(learnt)
        if settings.optimizer.max_gradient:
            torch.nn.utils.clip_grad_norm_(learnt, settings.optimizer.max_gradient)
        set_rates(self.optimizer, rate_at(settings.optimizer, number))
        self.optimizer.step()
        self.state.advance(losses.total.item())
        self._warn()
        return losses

    def _after_step(self) -> float | None:
        """Measure and save where it is time to."""
        step, evaluation = self.state.step, self.settings.evaluation
        last = step == self.settings.optimizer.steps
        measure, best = None, False
        if self.measures and (step % evaluation.every == 0 or last):
            measure = self._measure()
            best = self.state.note(measure, evaluation.patience)
        if step % self.settings.checkpoints.every == 0 or last or best or self.state.stopped:
            self._snapshot()
        return measure

    def _measure(self) -> float:
        value = 0.0
        if process_number() == 0:
            n_bits = self.settings.evaluation.n_bits
            values = [evaluate(self.model, each, n_bits=n_bits) for each in self.collections]
            value = sum(values) / len(values)
        return from_first(value)

    def _renew_codec(self) -> None:
        objective, step = self.settings.objective, self.state.step
        if not objective.n_bits or step % objective.codec_steps:
            return
        texts = self.order.sample_documents(objective.codec_documents, step)
        tokens = torch.cat(list(self.model.encode_texts(texts, "document")))
        self.step.codec = train_codec(
            tokens,
            n_bits=objective.n_bits,
            n_centroids=objective.n_centroids,
            seed=self.settings.seed,
        )

    def _snapshot(self) -> None:
        self.state.write(self.folder, self.step, self.optimizer)
        if process_number() == 0:
            keep = self.settings.checkpoints.keep
            remove_snapshots(self.folder, keep, also=[self.state.best_step])

    def _report(self, losses: Losses, measure: float | None) -> None:
        step, steps = self.state.step, self.settings.optimizer.steps
        seconds = time.monotonic() - self._started
        figures = {name: part.item() for name, part in losses._asdict().items() if part is not None}
        figures["loss"] = figures.pop("total")
        if measure is not None:
            figures["nDCG@10"] = measure
        if step % self.settings.checkpoints.log_every == 0 or measure is not None or step == steps:
            figures["learning_rate"] = self.optimizer.param_groups[0]["lr"]
            figures["temperature"] = self.step.objective.temperature.item()
            figures["tokens_per_second"] = self._n_tokens / seconds
            self._write(figures)
        left = (steps - step) * seconds / (step - self._first_step)
        rate = self._n_tokens / seconds
        self.report(Progress(step, steps, figures["loss"], rate, left, measure))

    def _write(self, figures: dict[str, float]) -> None:
        if self.history is not None:
            self.history.add(self.state.step, figures)

    def _warn(self) -> None:
        if self.step.retrieves_too_much and not self._warned:
            self._warned = True
            warnings.warn(
                f"objective.k_train is {self.step.k_train_share:.0%} of the document tokens of a "
                "batch; above 20 % a query token retrieves nearly anything: take a lower number, a "
                "fraction such as 0.05, or larger batches",
                stacklevel=2,
            )

    def finish(self) -> TrainResult:
        """Save the final weights as a model, and measure it."""
        from colxtr.training.checkpoints import save_model  # noqa: PLC0415 (heavy)

        weights = final_weights(self.settings, self.folder, self.start, self.state.best_step)
        self.model.model.load_state_dict(weights)
        self.model.model.eval()
        target = self.output / "model"
        measure = self._measure() if self.measures else None
        if process_number() == 0:
            save_model(self.model.model, target, overwrite=True)
        wait_for_all()
        state = self.state
        return TrainResult(target, state.step, state.loss, measure, state.before, state.best_step)


def _tell_nobody(_: Progress) -> None:
    """What all processes but the first report."""


class _Ahead:
    """Batches in token ids, made by another thread before they are needed."""

    def __init__(self, run: Run, pool: ThreadPoolExecutor) -> None:
        self._run, self._pool = run, pool
        self._number = run.state.step * run.settings.batches.accumulate
        self._waiting: deque[Future[Prepared]] = deque()

    def next(self) -> Prepared:
        """The next batch."""
        while len(self._waiting) <= _AHEAD:
            self._waiting.append(self._pool.submit(self._prepare, self._number))
            self._number += 1
        return self._waiting.popleft().result()

    def _prepare(self, number: int) -> Prepared:
        return prepare(self._run.order[number], self._run.model)

    def close(self) -> None:
        """Forget what nobody will ask for."""
        for each in self._waiting:
            each.cancel()


def _mean(parts: list[Losses]) -> Losses:
    """The mean over batches and processes, without gradients."""
    means = [
        None
        if each[0] is None
        else mean_over_processes(torch.stack([value.detach() for value in each]).mean())
        for each in zip(*parts, strict=True)
    ]
    return Losses(*means)  # type: ignore[arg-type]


def _collections(settings: TrainSettings) -> list[Collection]:
    if process_number():
        return []
    evaluation = settings.evaluation
    return [read_collection(Path(each), evaluation, settings.seed) for each in evaluation.folders]


def _check_scores(settings: TrainSettings, training_set: TrainingSet) -> None:
    if not settings.objective.distillation:
        return
    for number, each in enumerate(training_set.tuples):
        if each.scores is None:
            raise InputError(
                f"objective.distillation is {settings.objective.distillation}, but tuple {number} "
                f"(query {each.query_id!r}) has no teacher scores; make them with colxtr score, or "
                "set objective.distillation to 0"
            )
