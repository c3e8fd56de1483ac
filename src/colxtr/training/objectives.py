"""What training makes smaller: from token embeddings of a batch to a loss.

Scores (design: section 2): MaxSim (ColBERT) and XTR's over the tokens that a batch retrieves.
Losses: cross-entropy over all documents of the batch, KL divergence from a teacher over the
documents of a query's tuple (ColBERTv2), KL divergence from the untrained model over the batch.
docs/training.md has the formulas. Knows nothing of texts, files, processes or optimizers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from colxtr.training.matching import Matches, Tokens, best_matches
from colxtr.training.settings import ObjectiveSettings

NO_DOCUMENT = -1  # fills up rows of columns and keys


def maxsim_scores(matches: Matches, query_mask: Tensor) -> Tensor:
    """MaxSim, the mean over a query's tokens: (1/n) sum_i max_j s_ij (Khattab & Zaharia 2020).

    Args:
        matches: Made without `k_train`.
        query_mask: (n_queries, query_length).

    Returns:
        (n_queries, n_documents); 0 for a query or a document without valid tokens.
    """
    n_tokens = query_mask.sum(dim=1, keepdim=True).clamp(min=1)
    return matches.similarities.sum(dim=1) / n_tokens


def xtr_scores(matches: Matches, weights: Tensor | None = None) -> Tensor:
    """XTR's training score: (1/Z) sum_i max_j A_ij s_ij (Lee et al. 2023, equation 5).

    Z is the number of query tokens that retrieved a token of the document. A document that nothing
    retrieved has the score 0 and no gradient.

    Args:
        matches: Made with `k_train`.
        weights: (n_queries, query_length), with which the similarities were multiplied; Z is then
            the sum of those that retrieved a token, so that the score stays a mean.

    Returns:
        (n_queries, n_documents).
    """
    if weights is None:
        z = matches.matched.sum(dim=1).clamp(min=1)
    else:
        z = (matches.matched * weights[..., None]).sum(dim=1)
        z = z.masked_fill(~matches.matched.any(dim=1), 1)
    return matches.similarities.sum(dim=1) / z


def contrastive_loss(
    scores: Tensor, positives: Tensor, allowed: Tensor, temperature: Tensor | float
) -> Tensor:
    """Cross-entropy of each query's relevant document among those it is compared with.

    Args:
        scores: (n_queries, n_documents).
        positives: (n_queries,), the column of the relevant document.
        allowed: (n_queries, n_documents) bool; which columns count. A positive always does.
        temperature: Scores are divided by it.

    Returns:
        The mean over the queries.
    """
    allowed = allowed.scatter(1, positives[:, None], value=True)
    logits = (scores / temperature).masked_fill(~allowed, -torch.inf)
    return F.cross_entropy(logits, positives)


def distillation_loss(
    student: Tensor,
    teacher: Tensor,
    valid: Tensor,
    *,
    student_temperature: float | Tensor = 1.0,
    teacher_temperature: float = 1.0,
    normalisation: str = "none",
) -> Tensor:
    """KL(teacher || student) over some documents of each query (Santhanam et al. 2022, 3.2).

    Args:
        student: (n_queries, n_ways) scores; gradients flow to them.
        teacher: The same shape.
        valid: The same shape, bool; which of them are documents and not padding.
        student_temperature: The student's scores are divided by it.
        teacher_temperature: The teacher's are, after they are normalised.
        normalisation: Of the teacher's scores of a query: "none", "min-max" (to 0..1) or
            "z-score" (mean 0, variance 1).

    Returns:
        The mean over the queries with two valid documents or more: of one there is nothing to
        learn. 0 where there is no such query. Not multiplied by the temperature's square.
    """
    useful = valid.sum(dim=1, keepdim=True) > 1
    teacher = normalised(teacher, valid, normalisation) / teacher_temperature
    student = student / student_temperature
    expected = teacher.masked_fill(~valid, -torch.inf).masked_fill(~useful, 0).log_softmax(dim=1)
    found = student.masked_fill(~valid, -torch.inf).masked_fill(~useful, 0).log_softmax(dim=1)
    counted = valid & useful
    terms = expected.exp() * (expected - found).masked_fill(~counted, 0)
    return terms.masked_fill(~counted, 0).sum() / useful.sum().clamp(min=1)


def normalised(scores: Tensor, valid: Tensor, normalisation: str) -> Tensor:
    """Scores, (n_queries, n_ways), in a common scale; what is not valid becomes 0.

    A query whose valid scores are all equal gets zeros from "min-max" and "z-score".
    """
    if normalisation == "none":
        return scores.masked_fill(~valid, 0)
    if normalisation == "min-max":
        lowest = scores.masked_fill(~valid, torch.inf).amin(dim=1, keepdim=True)
        spread = scores.masked_fill(~valid, -torch.inf).amax(dim=1, keepdim=True) - lowest
    else:
        count = valid.sum(dim=1, keepdim=True).clamp(min=1)
        lowest = scores.masked_fill(~valid, 0).sum(dim=1, keepdim=True) / count
        centred = (scores - lowest).masked_fill(~valid, 0)
        spread = (centred.square().sum(dim=1, keepdim=True) / count).sqrt()
    flat = spread <= 1e-9
    return ((scores - lowest) / spread.masked_fill(flat, 1)).masked_fill(~valid | flat, 0)


class Targets(NamedTuple):
    """What a batch is to learn; documents are named by integer keys, equal on all processes.

    Attributes:
        own: (n_queries, n_ways), keys of each tuple's documents, the relevant one first; filled up
            with `NO_DOCUMENT`.
        relevant: (n_queries, any), keys of all documents known to be relevant; filled up likewise.
        scores: (n_queries, n_ways), the teacher's; None without a teacher.
    """

    own: Tensor
    relevant: Tensor
    scores: Tensor | None = None


class Losses(NamedTuple):
    """The loss and what it is made of, before the weights; parts that are switched off are None."""

    total: Tensor
    contrastive: Tensor | None
    distillation: Tensor | None
    self_distillation: Tensor | None


class Objective(nn.Module):
    """The weighted sum of the losses that the settings ask for.

    The temperature of the cross-entropy is its only parameter, kept as a logarithm.
    """

    def __init__(self, settings: ObjectiveSettings) -> None:
        super().__init__()
        self.settings = settings
        logarithm = torch.tensor(math.log(settings.temperature))
        self.log_temperature = nn.Parameter(logarithm, requires_grad=settings.learn_temperature)

    @property
    def temperature(self) -> Tensor:
        """The temperature of the cross-entropy."""
        return self.log_temperature.exp()

    def forward(
        self,
        queries: Tokens,
        documents: Tokens,
        keys: Tensor,
        targets: Targets,
        *,
        k_train: int | None = None,
        untrained: tuple[Tokens, Tokens] | None = None,
    ) -> Losses:
        """The losses of a batch.

        Args:
            queries: Of this process.
            documents: Of all processes.
            keys: (n_documents,), their keys. A document that comes twice counts once.
            targets: Of the queries.
            k_train: For XTR; see `k_train_at`.
            untrained: The same queries and documents, encoded by the model as it was.
        """
        documents = Tokens(documents.embeddings, documents.mask & ~repeated(keys)[:, None])
        scores = self._scores(queries, documents, k_train)
        present = documents.mask.any(dim=1)
        settings, zero = self.settings, scores.new_zeros(())
        contrastive = distillation = self_distillation = None
        if settings.contrastive:
            contrastive = self._contrastive(scores, keys, targets, present)
        if settings.distillation:
            distillation = self._distillation(scores, keys, targets)
        if settings.self_distillation and untrained is not None:
            self_distillation = self._self_distillation(queries, documents, scores, untrained)
        parts = (contrastive, distillation, self_distillation)
        weights = (settings.contrastive, settings.distillation, settings.self_distillation)
        total = sum(
            (
                weight * part
                for weight, part in zip(weights, parts, strict=True)
                if part is not None
            ),
            start=zero,
        )
        return Losses(total, *parts)

    def _scores(self, queries: Tokens, documents: Tokens, k_train: int | None) -> Tensor:
        if self.settings.scoring == "xtr":
            return xtr_scores(best_matches(queries, documents, k_train), queries.weights)
        return maxsim_scores(best_matches(queries, documents), queries.mask)

    def _contrastive(
        self, scores: Tensor, keys: Tensor, targets: Targets, present: Tensor
    ) -> Tensor:
        excluded = _holds(targets.relevant, keys)  # other relevant documents are no negatives
        if not self.settings.own_negatives:
            excluded |= _holds(targets.own, keys)
        positives = columns(targets.own[:, 0], keys)
        return contrastive_loss(scores, positives, present & ~excluded, self.temperature)

    def _distillation(self, scores: Tensor, keys: Tensor, targets: Targets) -> Tensor:
        assert targets.scores is not None, "the trainer sees that tuples have scores"
        own = scores.gather(1, columns(targets.own, keys))
        return distillation_loss(
            own,
            targets.scores.to(own.dtype),
            targets.own != NO_DOCUMENT,
            student_temperature=self.settings.student_temperature,
            teacher_temperature=self.settings.teacher_temperature,
            normalisation=self.settings.teacher_normalisation,
        )

    def _self_distillation(
        self, queries: Tokens, documents: Tokens, scores: Tensor, untrained: tuple[Tokens, Tokens]
    ) -> Tensor:
        """Towards the MaxSim structure of the untrained model, over the documents of the batch."""
        if self.settings.scoring == "xtr":
            scores = maxsim_scores(best_matches(queries, documents), queries.mask)
        before, texts = untrained
        with torch.no_grad():
            teacher = maxsim_scores(best_matches(before, texts), before.mask)
        return distillation_loss(
            scores,
            teacher.to(scores.dtype),
            documents.mask.any(dim=1).expand_as(scores),
            student_temperature=self.settings.self_temperature,
            teacher_temperature=self.settings.self_temperature,
        )


def repeated(keys: Tensor) -> Tensor:
    """Which of the keys, (n,), have come before. (n,) bool."""
    return (keys[:, None] == keys).tril(diagonal=-1).any(dim=1)


def columns(wanted: Tensor, keys: Tensor) -> Tensor:
    """Where each wanted key first stands among the keys; 0 for `NO_DOCUMENT`. Shape of `wanted`."""
    return (wanted[..., None] == keys).byte().argmax(dim=-1)


def _holds(rows: Tensor, keys: Tensor) -> Tensor:
    """Whether each row of keys, (n, any), holds each of the keys, (m,). (n, m) bool."""
    return (rows[:, :, None] == keys).any(dim=1)


def k_train_at(settings: ObjectiveSettings, step: int, n_valid_tokens: int) -> int | None:
    """How many tokens a query token retrieves at a step; None unless XTR scores are used.

    From `k_train` to `k_train_end` in a straight line over `k_train_steps`; numbers below 1 are
    fractions of the valid document tokens of the batch. Clamped to 1 and their number.

    Args:
        settings: Of the objective.
        step: Steps already done.
        n_valid_tokens: Valid document tokens of the batch, on all processes.
    """
    if settings.scoring != "xtr":
        return None
    start = _as_number(settings.k_train, n_valid_tokens)
    end = (
        start if settings.k_train_end is None else _as_number(settings.k_train_end, n_valid_tokens)
    )
    progress = min(1.0, step / settings.k_train_steps) if settings.k_train_steps else 0.0
    return max(1, min(n_valid_tokens, round(start + progress * (end - start))))


def _as_number(k_train: float, n_valid_tokens: int) -> float:
    return k_train * n_valid_tokens if k_train < 1 else float(k_train)
