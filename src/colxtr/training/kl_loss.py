"""KL(teacher || student) over the documents of a tuple. Imports torch.

Source: ColBERTv2 (Santhanam et al. 2022), section 3.2; with one-hot targets it is cross-entropy.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class NWayKLLoss(nn.Module):
    """For the trainer of cross-encoders: columns query, documents (a list), labels (a list).

    `labels` are the teacher's probabilities of the documents; they add up to 1. The loss is the
    mean over the batch of sum_j p_j (log p_j - log q_j), q = softmax(logits / temperature), times
    the temperature squared, so that gradients keep their size (Hinton et al. 2015). Tuples of a
    batch may differ in length.
    """

    def __init__(self, model: Any, temperature: float = 1.0) -> None:
        super().__init__()
        self.model, self.temperature = model, temperature

    def forward(self, inputs: list[Any], labels: list[Tensor], **options: Any) -> Tensor:
        """The loss of a batch, a scalar."""
        queries, documents = inputs
        pairs = [(q, d) for q, some in zip(queries, documents, strict=True) for d in some]
        tokens = self.model.preprocess(pairs, **options)
        tokens = {
            name: each.to(self.model.device) if isinstance(each, Tensor) else each
            for name, each in tokens.items()
        }
        logits = self.model(tokens)["scores"].view(-1).float()
        return n_way_kl(logits.split([len(some) for some in documents]), labels, self.temperature)


def n_way_kl(logits: Any, targets: list[Tensor], temperature: float) -> Tensor:
    """The mean of KL(target || softmax(logits / temperature)) over tuples, times temperature^2.

    Args:
        logits: One tensor (n_way,) for each tuple.
        targets: As many tensors of probabilities.
        temperature: Above 0.
    """
    losses = []
    for own, wanted in zip(logits, targets, strict=True):
        expected = wanted.to(own)
        logs = torch.log_softmax(own / temperature, dim=0)
        losses.append((torch.xlogy(expected, expected) - expected * logs).sum())
    return torch.stack(losses).mean() * temperature**2
