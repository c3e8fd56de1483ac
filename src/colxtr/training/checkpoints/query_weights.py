"""Weights of query tokens in a model: a rare word counts for more in a score than "the".

MaxSim is a sum over the tokens of a query, and to it all are alike; BM25 knows better. With
weights the sum becomes sum_i w_i max_j s_ij, which is the same search with longer vectors: an index
does not know of it. A module of a MultiVectorEncoder; sentence-transformers does not have it, and
`save.py` says how a model with it is saved.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers.base.modules.module import Module

from colxtr.errors import InputError, ModelError
from colxtr.query_weights import QUERY_WEIGHTS_FILE, read_query_weights, write_query_weights


class QueryWeights(Module):
    """Multiplies the embeddings of a query's tokens by weights; documents pass unchanged.

    Within each query the weights of the tokens that are scored are scaled to a mean of 1, so that
    MaxSim over n tokens stays a mean. They are left in `features["token_weights"]`, (batch,
    length). Comes behind all other modules.

    Args:
        weights: Of each token of the vocabulary, (n_tokens,), above 0; only their proportions
            matter. Not trained: a buffer.
    """

    config_keys: list[str] = []  # noqa: RUF012 - the library's way
    forward_kwargs = {"task"}  # noqa: RUF012 - likewise

    weights: torch.Tensor

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library has no types
        self.register_buffer("weights", weights.to(torch.float32))

    def forward(
        self, features: dict[str, Any], task: str | None = None, **_: Any
    ) -> dict[str, Any]:
        """Change `features["token_embeddings"]`, (batch, length, dim), of queries."""
        if task == "query":
            scored = features["attention_mask"].bool()
            weights = self.weights[features["input_ids"]].masked_fill(~scored, 0)
            mean = weights.sum(1, keepdim=True) / scored.sum(1, keepdim=True).clamp(min=1)
            weights = weights / mean.clamp(min=torch.finfo(weights.dtype).tiny)
            embeddings = features["token_embeddings"]
            features["token_embeddings"] = embeddings * weights[..., None].to(embeddings.dtype)
            features["token_weights"] = weights
        return features

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write the weights into a folder."""
        del args, kwargs
        write_query_weights(Path(output_path) / QUERY_WEIGHTS_FILE, self.weights.cpu().numpy())


def load_query_weights(folder: Path, tokenizer: Any) -> QueryWeights:
    """The module that a saved model had.

    Raises:
        ModelError: Its file is missing or damaged.
    """
    weights = read_query_weights(folder / QUERY_WEIGHTS_FILE, len(tokenizer))
    return QueryWeights(torch.from_numpy(weights))


def query_weights_of(model: Any) -> QueryWeights | None:
    """A model's weights of query tokens, if it has some."""
    return next((module for module in model if isinstance(module, QueryWeights)), None)


def initialise_query_weights(
    model: Any, documents: Iterable[str], queries: Iterable[str]
) -> torch.Tensor:
    """Give a model weights by inverse document frequency, in the place of those it has.

    A token that df of N documents hold weighs ln((N + 1) / (df + 1/2)) (BM25's, as Lucene has it).
    Special tokens, prefixes and [MASK] weigh as much as the mean token of the queries.

    Args:
        model: A MultiVectorEncoder.
        documents: Texts of the kind to be searched: some ten thousand, of many sources.
        queries: Queries of the kind to be asked.

    Returns:
        The weights, (n_tokens of the vocabulary,).

    Raises:
        InputError: There are no documents or no queries, or none with a token.
        ModelError: The model has no tokenizer of the `tokenizers` library.
    """
    tokenizer = model.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError("the model's tokenizer is not a fast one; convert it with transformers")
    lower = model[0].do_lower_case
    n_documents, frequencies = 0, np.zeros(len(tokenizer))
    for ids in _token_ids(tokenizer, documents, lower=lower):
        n_documents += 1
        frequencies[np.unique(ids)] += 1
    weights = np.log((n_documents + 1) / (frequencies + 0.5))
    counts = np.zeros(len(tokenizer))
    for ids in _token_ids(tokenizer, queries, lower=lower):
        np.add.at(counts, ids, 1)
    if not n_documents or not counts.sum():
        raise InputError("weights of query tokens want documents and queries that have tokens")
    special = sorted({*tokenizer.all_special_ids, *_prefix_ids(model)})
    weights[special] = np.average(weights, weights=counts)
    found = query_weights_of(model)
    if found is None:
        found = QueryWeights(torch.empty(0)).to(next(model.parameters()).device)
        model.append(found)
    found.weights = torch.from_numpy(weights.astype(np.float32)).to(found.weights.device)
    return found.weights


def _token_ids(tokenizer: Any, texts: Iterable[str], *, lower: bool) -> Iterable[list[int]]:
    """Tokens of each text, without special ones."""
    for text in texts:
        made = tokenizer.backend_tokenizer.encode(
            text.lower() if lower else text, add_special_tokens=False
        )
        yield made.ids


def _prefix_ids(model: Any) -> list[int]:
    """Tokens of the texts that the model puts before queries."""
    prompt = (model.prompts or {}).get("query") or ""
    return list(model.tokenizer.backend_tokenizer.encode(prompt, add_special_tokens=False).ids)
