"""The vector of the final token replaced by the mean of all: PrimeQA's ColXTR, at inference.

A module of a MultiVectorEncoder. Sentence-transformers does not have it; `save.py` says how a model
with it is saved.
"""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers.base.modules.module import Module


class EosMean(Module):
    """Puts the mean of a text's token embeddings where its last token (EOS) is.

    The mean is over all attended tokens, the EOS among them. While the model trains, nothing is
    changed. Texts must be padded on the right.
    """

    config_keys: list[str] = []  # noqa: RUF012 - the library's way

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library has no types

    def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Change `features["token_embeddings"]`, (batch, length, dim)."""
        if not self.training:
            x = features["token_embeddings"]
            mask = features["attention_mask"].to(x.dtype)  # (batch, length)
            count = mask.sum(1, keepdim=True)
            mean = (x * mask.unsqueeze(2)).sum(1) / count.clamp(min=1)  # (batch, dim)
            last = (mask.cumsum(1) == count) & (mask > 0)
            features["token_embeddings"] = torch.where(last.unsqueeze(2), mean.unsqueeze(1), x)
        return features

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write nothing: there is nothing to set."""
        del output_path, args, kwargs
