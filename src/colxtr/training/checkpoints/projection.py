"""New projections from an encoder's dimensions to a few, and a start for them without training.

Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from sentence_transformers.base.modules.dense import Dense

from colxtr.errors import InputError, ModelError

PROJECTIONS = ("linear", "mlp", "residual")
WHITENING = -0.25  # the best of a few on eight development sets, see the built-in model's card

_TOKENS = "token_embeddings"


def make_projection(kind: str, hidden: int, dim: int) -> list[Any]:
    """The modules of a new head from `hidden` to `dim` dimensions, with random weights.

    Args:
        kind: "linear": one matrix, as in ColBERT and XTR; "mlp": a layer as wide as the encoder,
            GELU, a matrix; "residual": a matrix, and beside it one with SiLU.
        hidden: Dimensions of the encoder.
        dim: Dimensions of a token embedding.

    Raises:
        InputError: There is no such head, or `dim` is below 1.
    """
    if dim < 1:
        raise InputError(f"dim is {dim}; a token embedding has 1 dimension or more (128 is usual)")
    if kind == "linear":
        return [_dense(hidden, dim, torch.nn.Identity())]
    if kind == "mlp":
        return [_dense(hidden, hidden, torch.nn.GELU(), bias=True), _dense(hidden, dim, None)]
    if kind == "residual":
        return [_dense(hidden, dim, torch.nn.SiLU(), use_residual=True)]
    raise InputError(f"projection is {kind!r}; it can be one of {', '.join(PROJECTIONS)}")


def initialise_projection(
    model: Any,
    texts: Iterable[str],
    *,
    queries: Iterable[str] = (),
    whitening: float = WHITENING,
    batch_size: int = 32,
) -> None:
    """Start a linear projection from the strongest directions of token embeddings (in place).

    The directions are those of the uncentred second moments of unit token embeddings, in front of
    the projection; each is scaled by its eigenvalue (a share of all) to the power `whitening`, so
    that the few that all tokens share do not fill every similarity. Nothing is trained: with
    all-MiniLM-L6-v2 and 128 dimensions SciFact stays within 0.02 of all 384 (docs/log.md).

    Args:
        model: A MultiVectorEncoder whose head is one matrix without bias (`projection="linear"`).
        texts: Documents of the kind to be searched; some thousands are plenty.
        queries: Queries; as a whole they count as much as the documents.
        whitening: 0 keeps the directions as they are (plain PCA); -0.5 makes them equally strong.
        batch_size: Texts encoded at once.

    Raises:
        ModelError: The model has another head, or one with more dimensions than the encoder.
        InputError: There is no text.
    """
    head = linear_head(model)
    sides = [(texts, "document"), (queries, "query")]
    parts = [second_moments(model, side, task, batch_size=batch_size) for side, task in sides]
    seen = [part for part in parts if part is not None]
    if not seen:
        raise InputError("there are no texts to start a projection from; give some hundreds")
    set_directions(head, torch.stack(seen).sum(0), whitening)


def linear_head(model: Any) -> Any:
    """The one Dense of a model that is a plain matrix with fewer dimensions than the encoder."""
    heads = [module for module in model if isinstance(module, Dense)]
    if len(heads) != 1 or heads[0].bias or heads[0].use_residual or not _is_identity(heads[0]):
        raise ModelError(
            "only a head of one matrix without bias and activation can be started from texts; load "
            'the model with projection="linear"'
        )
    if heads[0].out_features > heads[0].in_features:
        raise ModelError(
            f"the projection has {heads[0].out_features} dimensions, the encoder only "
            f"{heads[0].in_features}; pass a smaller dim"
        )
    return heads[0]


def second_moments(
    model: Any, texts: Iterable[str], task: str, *, batch_size: int = 32
) -> torch.Tensor | None:
    """Mean outer product of the unit token embeddings that the encoder makes of texts.

    Returns:
        float64 (hidden, hidden) with trace 1, or None where there is no text.
    """
    total, count = None, 0
    for x in _token_embeddings(model, texts, task, batch_size):  # (n_tokens, hidden)
        unit = torch.nn.functional.normalize(x.double(), dim=1)
        total = unit.T @ unit if total is None else total + unit.T @ unit
        count += len(unit)
    return None if total is None else total / count


def set_directions(head: Any, moments: torch.Tensor, whitening: float = WHITENING) -> None:
    """Fill a linear head with the strongest directions of second moments, (hidden, hidden)."""
    strengths, directions = torch.linalg.eigh(moments / moments.trace())
    n = head.out_features
    strongest = directions.flip(1)[:, :n]  # (hidden, dim)
    # The library leaves the signs to chance: the largest component is to be positive. (Not the sum:
    # behind a layer norm it is about zero.)
    largest = strongest.gather(0, strongest.abs().argmax(0, keepdim=True))
    signs = torch.where(largest < 0, -1.0, 1.0)
    scales = strengths.flip(0)[:n].clamp(min=1e-12) ** whitening
    weight = (strongest * signs * scales).T.contiguous()
    with torch.no_grad():
        head.linear.weight.copy_(weight)


def _token_embeddings(
    model: Any, texts: Iterable[str], task: str, batch_size: int
) -> Iterator[torch.Tensor]:
    prompt = (model.prompts or {}).get(task) or None
    was_training = model.training
    model.eval()
    try:
        for batch in _batches(texts, batch_size):
            features = model.preprocess(batch, prompt=prompt, task=task)
            features = {
                key: value.to(model.device) if isinstance(value, torch.Tensor) else value
                for key, value in features.items()
            }
            with torch.inference_mode():
                output = model[0](features)
            yield output[_TOKENS][output["attention_mask"].bool()]
    finally:
        model.train(was_training)


def _batches(texts: Iterable[str], size: int) -> Iterator[list[str]]:
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _is_identity(head: Any) -> bool:
    return isinstance(head.activation_function, torch.nn.Identity)


def _dense(
    n_in: int,
    n_out: int,
    activation: torch.nn.Module | None,
    *,
    bias: bool = False,
    use_residual: bool = False,
) -> Any:
    return Dense(
        n_in,
        n_out,
        bias=bias,
        activation_function=activation or torch.nn.Identity(),
        module_input_name=_TOKENS,
        use_residual=use_residual,
    )
