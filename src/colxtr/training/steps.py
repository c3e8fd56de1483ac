"""One step's gradients: texts of a batch through the model, the objective, and back.

With the gradient cache (GradCache, Gao et al. 2021) the batch is encoded group by group without
gradients, the loss is differentiated as far as the token embeddings, and each group is encoded
again, with the same dropout, to take its part further. Knows nothing of optimizers or files.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from colxtr.codec import Codec
from colxtr.training.batches import Batch
from colxtr.training.gathering import gather_keys, gather_tokens
from colxtr.training.matching import Tokens
from colxtr.training.objectives import NO_DOCUMENT, Losses, Objective, Targets, k_train_at
from colxtr.training.quantised import through_codec
from colxtr.training.texts import Features, TextModel, joined

_LARGE_SHARE = 0.2  # of the batch's tokens: XTR's retrieval hardly chooses then


@dataclass(frozen=True)
class Prepared:
    """A batch in token ids.

    Attributes:
        queries: Features of each query.
        documents: Features of each document.
        keys: (n_documents,) int64.
        targets: What is to be learnt.
    """

    queries: list[Features]
    documents: list[Features]
    keys: Tensor
    targets: Targets

    @property
    def n_tokens(self) -> int:
        """Tokens of all texts, without padding."""
        return sum(len(text["input_ids"]) for text in (*self.queries, *self.documents))


def prepare(batch: Batch, model: TextModel) -> Prepared:
    """Tokenise a batch; safe to be called by another thread than the one that trains."""
    scores = None
    if all(each is not None for each in batch.scores):
        scores = _padded([list(each or ()) for each in batch.scores], 0.0, torch.float32)
    return Prepared(
        model.tokenize(batch.queries, "query"),
        model.tokenize(batch.documents, "document"),
        torch.tensor(batch.document_keys),
        Targets(
            _padded(batch.own, NO_DOCUMENT, torch.int64),
            _padded(batch.relevant, NO_DOCUMENT, torch.int64),
            scores,
        ),
    )


def _padded(rows: Sequence[Sequence[float]], value: float, dtype: torch.dtype) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows], dtype=dtype)


def untrained_model(model: TextModel, *, projected: bool) -> TextModel:
    """A frozen copy of a model as it is now, with its projection or without."""
    from sentence_transformers import MultiVectorEncoder  # noqa: PLC0415 (heavy)
    from sentence_transformers.base.modules import Dense  # noqa: PLC0415

    frozen = copy.deepcopy(model.model)
    if not projected:
        modules = [module for module in frozen if not isinstance(module, Dense)]
        frozen = MultiVectorEncoder(
            modules=modules, device=str(model.device), prompts=model.model.prompts
        )
    frozen.requires_grad_(False).eval()
    return TextModel(frozen, model.tokens_per_forward, model.precision)


class Step:
    """Computes losses and leaves gradients.

    Attributes:
        model: What is trained.
        objective: The loss, and its temperature.
        untrained: For the self-distillation; None without.
        codec: For training through the codec; None without, or before it is trained.
        gradient_cache: Encode twice rather than keep all activations.
        k_train_share: The share of the batch's tokens that the last step's `k_train` was.
    """

    def __init__(
        self,
        model: TextModel,
        objective: Objective,
        *,
        untrained: TextModel | None = None,
        gradient_cache: bool = False,
    ) -> None:
        self.model = model
        self.objective = objective
        self.untrained = untrained
        self.codec: Codec | None = None
        self.gradient_cache = gradient_cache
        self.k_train_share = 0.0

    def backward(self, batch: Prepared, number: int, share: float = 1.0) -> Losses:
        """Add the gradients of a batch's loss, times `share`, to those that are there.

        Args:
            batch: In token ids.
            number: Steps already done, for the course of `k_train`.
            share: 1 / batches of a step.
        """
        if not self.gradient_cache:
            queries = self.model.encode(batch.queries, "query")
            documents = self.model.encode(batch.documents, "document")
            losses = self.losses(queries, documents, batch, number)
            (losses.total * share).backward()
            return losses
        cached = [
            _Cached(self.model, batch.queries, "query"),
            _Cached(self.model, batch.documents, "document"),
        ]
        losses = self.losses(cached[0].tokens, cached[1].tokens, batch, number)
        (losses.total * share).backward()
        for each in cached:
            each.backward()
        return losses

    def losses(self, queries: Tokens, documents: Tokens, batch: Prepared, number: int) -> Losses:
        """The losses of encoded texts."""
        device = queries.mask.device
        if self.codec is not None:
            documents = through_codec(documents, self.codec)
        documents = gather_tokens(documents)
        n_valid = int(documents.mask.sum())
        k_train = k_train_at(self.objective.settings, number, n_valid)
        self.k_train_share = (k_train or 0) / max(1, n_valid)
        targets = Targets(*(None if each is None else each.to(device) for each in batch.targets))  # type: ignore[arg-type]
        losses: Losses = self.objective(
            queries,
            documents,
            gather_keys(batch.keys.to(device)),
            targets,
            k_train=k_train,
            untrained=self._untrained(batch),
        )
        return losses

    def _untrained(self, batch: Prepared) -> tuple[Tokens, Tokens] | None:
        if self.untrained is None:
            return None
        with torch.no_grad():
            queries = self.untrained.encode(batch.queries, "query")
            return queries, gather_tokens(self.untrained.encode(batch.documents, "document"))

    @property
    def retrieves_too_much(self) -> bool:
        """Whether `k_train` was more than a fifth of the batch's tokens."""
        return self.k_train_share > _LARGE_SHARE


class _Cached:
    """Texts encoded without gradients, to be encoded once more when theirs are known.

    Attributes:
        tokens: What was encoded; a leaf that collects gradients.
    """

    def __init__(self, model: TextModel, texts: Sequence[Features], task: str) -> None:
        self._model, self._texts, self._task = model, texts, task
        self._groups = model.groups(texts)
        self._random: list[Any] = []
        parts = []
        with torch.no_grad():
            for group in self._groups:
                self._random.append(_random_state(model.device))
                parts.append(model.forward([texts[i] for i in group], task))
        tokens = joined(parts, self._groups)
        self.tokens = tokens._replace(embeddings=tokens.embeddings.requires_grad_())

    def backward(self) -> None:
        """Take the gradients of `tokens` on into the weights."""
        gradient = self.tokens.embeddings.grad
        assert gradient is not None, "the loss depends on all texts"
        after = _random_state(self._model.device)
        for group, state in zip(self._groups, self._random, strict=True):
            _restore(state, self._model.device)
            made = self._model.forward([self._texts[i] for i in group], self._task).embeddings
            made.backward(gradient[group, : made.shape[1]])
        _restore(after, self._model.device)


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return torch.get_rng_state(), on_device


def _restore(state: tuple[Tensor, Tensor | None], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)
