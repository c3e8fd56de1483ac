"""Batches spread over processes: documents gathered with their gradients, gradients averaged.

Each process has queries and documents of its own; a query is compared with the documents of all.
With one process nothing happens. Knows nothing of models or losses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.autograd.function import once_differentiable

from colxtr.training.matching import Tokens

_NO_KEY = -1


def n_processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def process_number() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if n_processes() > 1 else 0


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if n_processes() > 1:
        dist.barrier()


def from_first(value: float) -> float:
    """A number of the first process, on all of them."""
    if n_processes() == 1:
        return value
    sent = [value]
    dist.broadcast_object_list(sent, src=0)
    return float(sent[0])


def share_first(tensors: Iterable[Tensor]) -> None:
    """Give tensors the values that they have on the first process, in place."""
    if n_processes() > 1:
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether a flag is set on some process."""
    if n_processes() == 1:
        return flag
    count = torch.tensor(int(flag), device=device)
    dist.all_reduce(count)
    return bool(count.item())


def gather_tokens(tokens: Tokens) -> Tokens:
    """The texts of all processes, those of the first one first.

    Gradients flow back to the process that a text came from, added up over all that used it.
    Processes with fewer or shorter texts are filled up with masked tokens.
    """
    if n_processes() == 1:
        return tokens
    n_texts, length = _largest(tokens.mask.shape, tokens.mask.device)
    missing = (0, length - tokens.mask.shape[1], 0, n_texts - tokens.mask.shape[0])
    embeddings = F.pad(tokens.embeddings, (0, 0, *missing)).contiguous()
    mask = F.pad(tokens.mask.byte(), missing).contiguous()
    gathered = _AllGather.apply(embeddings)  # type: ignore[no-untyped-call]
    return Tokens(gathered, torch.cat(_all_gathered(mask)).bool())


def gather_keys(keys: Tensor) -> Tensor:
    """The keys, (n,) int64, of the texts of all processes, filled up as `gather_tokens` does."""
    if n_processes() == 1:
        return keys
    (n_texts,) = _largest(keys.shape, keys.device)
    return torch.cat(_all_gathered(F.pad(keys, (0, n_texts - len(keys)), value=_NO_KEY)))


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient by its mean over the processes."""
    if n_processes() == 1:
        return
    for parameter in parameters:
        if parameter.grad is not None:  # a pooler, say, has none on any process
            dist.all_reduce(parameter.grad)
            parameter.grad /= n_processes()


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of a tensor over the processes, without gradient."""
    values = values.detach().clone()
    if n_processes() > 1:
        dist.all_reduce(values)
        values /= n_processes()
    return values


def _largest(shape: tuple[int, ...], device: torch.device) -> list[int]:
    sizes = torch.tensor(shape, device=device)
    dist.all_reduce(sizes, op=dist.ReduceOp.MAX)
    return [int(size) for size in sizes]


def _all_gathered(tensor: Tensor) -> list[Tensor]:
    parts = [torch.empty_like(tensor) for _ in range(n_processes())]
    dist.all_gather(parts, tensor)
    return parts


class _AllGather(torch.autograd.Function):
    """All processes' tensors, one after the other; the gradient is the sum over the processes."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        ctx.n_rows = len(tensor)
        return torch.cat(_all_gathered(tensor))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        start = process_number() * ctx.n_rows
        return gradient[start : start + ctx.n_rows]
