"""Texts to token embeddings with a model in training: tokens ahead, like lengths together.

Knows nothing of tuples, losses or optimizers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from colxtr.training.matching import Tokens

Features = dict[str, Tensor]  # of one text: input_ids, attention_mask, ...: (n_tokens,)

_CHARACTERS_PER_TOKEN = 64  # more than that of a text is not looked at
_DEFAULT_LENGTH = 512


class TextModel:
    """A sentence-transformers `MultiVectorEncoder` as training uses it.

    Args:
        model: The model; its device is where it computes.
        tokens_per_forward: Padded tokens that go through it at once.
        precision: "float32" or "bfloat16" (autocast).
    """

    def __init__(self, model: Any, tokens_per_forward: int = 8192, precision: str = "float32"):
        self.model = model
        self.tokens_per_forward = tokens_per_forward
        self.precision = precision

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.model.parameters()).device
        return device

    def tokenize(self, texts: Sequence[str], task: str) -> list[Features]:
        """Token ids of texts, cut to the model's length; task is "query" or "document"."""
        if not texts:
            return []
        most = _CHARACTERS_PER_TOKEN * self._length(task)
        prompt = (self.model.prompts or {}).get(task) or None
        features = self.model.preprocess([text[:most] for text in texts], prompt=prompt, task=task)
        batched = {
            name: value
            for name, value in features.items()
            if isinstance(value, Tensor) and value.ndim == 2 and len(value) == len(texts)
        }
        used = batched["attention_mask"].bool()
        if "query_expansion_positions" in batched:
            used = used | batched["query_expansion_positions"].bool()
        lengths = (used * torch.arange(1, used.shape[1] + 1)).amax(dim=1).tolist()
        return [
            {name: value[row, :length].clone() for name, value in batched.items()}
            for row, length in enumerate(lengths)
        ]

    def _length(self, task: str) -> int:
        first = self.model[0]
        length = first.query_length if task == "query" else first.document_length
        return int(length or self.model.max_seq_length or _DEFAULT_LENGTH)

    def groups(self, texts: Sequence[Features]) -> list[list[int]]:
        """Which texts go through the model together, the longest first."""
        lengths = [len(text["input_ids"]) for text in texts]
        order = sorted(range(len(texts)), key=lambda i: (-lengths[i], i))
        groups = []
        while order:
            n_rows = max(1, self.tokens_per_forward // max(1, lengths[order[0]]))
            group, order = order[:n_rows], order[n_rows:]
            groups.append(group)
        return groups

    def forward(self, texts: Sequence[Features], task: str) -> Tokens:
        """Token embeddings of one group."""
        features: dict[str, Any] = dict(self._padded(texts))
        with self.autocast():
            output = self.model(features | {"modality": "text"}, task=task)
        return Tokens(
            output["token_embeddings"].float(),
            output["attention_mask"].bool(),
            output.get("token_weights"),
        )

    def encode(self, texts: Sequence[Features], task: str) -> Tokens:
        """Token embeddings of texts, in their order, padded to the longest."""
        groups = self.groups(texts)
        return joined([self.forward([texts[i] for i in group], task) for group in groups], groups)

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str], task: str, batch: int = 256) -> Iterator[Tensor]:
        """Token embeddings of texts, (n_tokens, dim) each, without padding or dropout."""
        training = self.model.training
        self.model.eval()
        try:
            for start in range(0, len(texts), batch):
                tokens = self.encode(self.tokenize(texts[start : start + batch], task), task)
                for embeddings, mask in zip(tokens.embeddings, tokens.mask, strict=True):
                    yield embeddings[mask]
        finally:
            self.model.train(training)

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of the computation."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _padded(self, texts: Sequence[Features]) -> dict[str, Tensor]:
        padding = {"input_ids": self.model.tokenizer.pad_token_id or 0}
        return {
            name: torch.nn.utils.rnn.pad_sequence(
                [text[name] for text in texts],
                batch_first=True,
                padding_value=padding.get(name, 0),
            ).to(self.device)
            for name in texts[0]
        }


def joined(parts: Sequence[Tokens], groups: Sequence[Sequence[int]]) -> Tokens:
    """Groups of texts as one, in the order of the texts."""
    length = max(part.mask.shape[1] for part in parts)
    embeddings = [F.pad(p.embeddings, (0, 0, 0, length - p.mask.shape[1])) for p in parts]
    masks = [F.pad(p.mask, (0, length - p.mask.shape[1])) for p in parts]
    order = [i for group in groups for i in group]
    back = torch.empty(len(order), dtype=torch.int64)
    back[order] = torch.arange(len(order))
    back = back.to(parts[0].mask.device)
    weights = [
        F.pad(p.weights, (0, length - p.mask.shape[1])) for p in parts if p.weights is not None
    ]
    return Tokens(
        torch.cat(embeddings)[back],
        torch.cat(masks)[back],
        torch.cat(weights)[back] if weights else None,
    )
