"""Which document token each query token matches best, and how gradients flow through it.

Both scores that a model is trained on are sums over these matches: MaxSim takes the best token of
every document, XTR only those that are among the `k_train` best of the whole batch. Only an index
is kept for the way back, so that memory grows with queries x documents, never with the square of
their tokens. Knows nothing of losses, texts or models.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.autograd.function import once_differentiable

_BLOCK_ELEMENTS = 1 << 24  # similarities in memory at a time: 64 MB


class Tokens(NamedTuple):
    """Token embeddings of some texts, padded to one length.

    Attributes:
        embeddings: (n_texts, length, dim), any floating type.
        mask: (n_texts, length) bool; False is padding, or a token that is not scored.
        weights: (n_texts, length), what the embeddings were multiplied by (queries of a model with
            weights of query tokens: a mean of 1 within each); None: 1.
    """

    embeddings: Tensor
    mask: Tensor
    weights: Tensor | None = None


class Matches(NamedTuple):
    """Each query token's best token of each document.

    Attributes:
        similarities: (n_queries, query_length, n_documents), inner products; 0 where nothing
            matched. Gradients flow to the two tokens that matched, and to no other.
        matched: The same shape, bool: whether a token of the document was retrieved. False for
            tokens that are masked.
    """

    similarities: Tensor
    matched: Tensor


def best_matches(
    queries: Tokens,
    documents: Tokens,
    k_train: int | None = None,
    *,
    block_elements: int = _BLOCK_ELEMENTS,
) -> Matches:
    """Match every query token with every document.

    Args:
        queries: Of n_queries.
        documents: Of n_documents.
        k_train: None for MaxSim: all tokens count. Otherwise each query token retrieves its
            `k_train` most similar ones among all valid tokens of all documents (XTR, Lee et al.
            2023, section 3.1); clamped to their number. Tokens exactly as similar as the last of
            them are retrieved, too, so that the result does not depend on an order.
        block_elements: How many similarities are computed at a time.

    Returns:
        Similarities in float32 (float64 for float64 embeddings), and what was retrieved.
    """
    similarities, matched = _BestMatches.apply(  # type: ignore[no-untyped-call]
        _computed(queries.embeddings),
        _computed(documents.embeddings),
        queries.mask.bool(),
        documents.mask.bool(),
        k_train,
        block_elements,
    )
    return Matches(similarities, matched)


def _computed(embeddings: Tensor) -> Tensor:
    """Embeddings in the type of the computation: half precision would blur who is best."""
    return embeddings if embeddings.dtype == torch.float64 else embeddings.float()


class _BestMatches(torch.autograd.Function):
    """`best_matches` with a backward pass of its own."""

    @staticmethod
    def forward(  # noqa: PLR0917 (torch passes by position)
        ctx: Any,
        queries: Tensor,
        documents: Tensor,
        query_mask: Tensor,
        document_mask: Tensor,
        k_train: int | None,
        block_elements: int,
    ) -> tuple[Tensor, Tensor]:
        rows, tokens = queries.flatten(0, 1), documents.flatten(0, 1)
        shape = (*queries.shape[:2], documents.shape[0])
        values = rows.new_zeros(len(rows), len(documents))
        best = torch.zeros(values.shape, dtype=torch.int64, device=rows.device)
        matched = torch.zeros(values.shape, dtype=torch.bool, device=rows.device)
        with torch.autocast(rows.device.type, enabled=False):
            for block in _blocks(len(rows), len(tokens), block_elements):
                found = _match(rows[block], tokens, document_mask, k_train)
                values[block], best[block], matched[block] = found
            matched &= query_mask.flatten()[:, None]
            values.masked_fill_(~matched, 0)
        ctx.block_elements = block_elements
        ctx.save_for_backward(queries, documents, best, matched)
        matched = matched.view(shape)
        ctx.mark_non_differentiable(matched)
        return values.view(shape), matched

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        queries, documents, best, matched = ctx.saved_tensors
        rows, tokens = queries.flatten(0, 1), documents.flatten(0, 1)
        gradient = gradient.reshape(best.shape).masked_fill(~matched, 0)
        row_gradient = F.embedding_bag(best, tokens, per_sample_weights=gradient, mode="sum")
        token_gradient = torch.zeros_like(tokens)
        for block in _blocks(
            len(rows), documents.shape[0] * documents.shape[2], ctx.block_elements
        ):
            each = gradient[block, :, None] * rows[block, None, :]  # (n_rows, n_documents, dim)
            token_gradient += torch.ops.aten.embedding_dense_backward(
                each, best[block], len(tokens), -1, False
            )
        return (
            row_gradient.view_as(queries),
            token_gradient.view_as(documents),
            None,
            None,
            None,
            None,
        )


def _blocks(n_rows: int, width: int, elements: int) -> list[slice]:
    """Slices of rows, each of about so many elements."""
    step = max(1, elements // max(1, width))
    return [slice(start, start + step) for start in range(0, n_rows, step)]


def _match(
    rows: Tensor, tokens: Tensor, document_mask: Tensor, k_train: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Values, positions in `tokens`, and whether retrieved, all (n_rows, n_documents)."""
    n_documents, length = document_mask.shape
    similarities = rows @ tokens.T
    similarities.masked_fill_(~document_mask.flatten(), -torch.inf)
    values, within = similarities.view(-1, n_documents, length).max(dim=-1)
    retrieved = values > -torch.inf
    if k_train is not None:
        retrieved &= values >= _least_retrieved(similarities, values, document_mask, k_train)
    best = within + torch.arange(n_documents, device=rows.device) * length
    return values, best, retrieved


def _least_retrieved(
    similarities: Tensor, values: Tensor, document_mask: Tensor, k_train: int
) -> Tensor:
    """Each row's `k_train`-th largest similarity, (n_rows, 1): its retrieved are those from it."""
    k = min(k_train, int(document_mask.sum()))
    if k == 0:
        return values.new_full((len(values), 1), torch.inf)
    if similarities.device.type == "cpu":  # NumPy's selection takes a third of the time of topk
        place = similarities.shape[1] - k
        selected = np.partition(similarities.numpy(), place, axis=1)[:, place]
        return torch.from_numpy(selected)[:, None]
    return similarities.topk(k, dim=-1, sorted=False).values.amin(dim=-1, keepdim=True)
