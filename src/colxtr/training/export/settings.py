"""What colxtr.json says of a model: prefixes, lengths, expansion, which tokens count.

Knows nothing of weights. What the runtime cannot do is refused, never left out.
"""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.base.modules.dense import Dense
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

from colxtr.encoder_config import EncoderConfig
from colxtr.errors import ModelError
from colxtr.query_weights import QUERY_WEIGHTS_FILE
from colxtr.training.checkpoints.eos_mean import EosMean
from colxtr.training.checkpoints.prefixes import split_prefix
from colxtr.training.checkpoints.query_weights import QueryWeights, query_weights_of

_LONGEST = 32_768  # tokens, as EncoderConfig


def encoder_config(model: Any, name: str) -> EncoderConfig:
    """The settings of the encoder folder of a model.

    Args:
        model: A MultiVectorEncoder.
        name: For people.

    Raises:
        ModelError: The model does something that an encoder folder cannot.
    """
    transformer, tokenizer = _checked(model)
    query = split_prefix(tokenizer, (model.prompts or {}).get("query"))
    document = split_prefix(tokenizer, (model.prompts or {}).get("document"))
    expansion = transformer.query_expansion
    masks = [module for module in model if isinstance(module, MultiVectorMask)]
    return EncoderConfig(
        name=name,
        dim=int(model.get_embedding_dimension() or 0),
        lowercase=bool(transformer.do_lower_case),
        query_prefix=query.text,
        document_prefix=document.text,
        query_prefix_token=query.token,
        document_prefix_token=document.token,
        query_length=_length(transformer, "query"),
        document_length=_length(transformer, "document"),
        query_expansion=expansion is not None,
        expansion_token=_expansion_token(tokenizer, expansion),
        attend_to_expansion_tokens=bool(expansion and expansion["attend"]),
        skip_tokens=_skipped(masks, tokenizer, "document"),
        skip_query_tokens=_skipped(masks, tokenizer, "query"),
        normalize=any(isinstance(module, Normalize) for module in model),
        query_weights=QUERY_WEIGHTS_FILE if query_weights_of(model) is not None else None,
        pad_token=tokenizer.pad_token,
    )


def head_of(model: Any) -> list[torch.nn.Module]:
    """The modules between encoder and mask, which become part of the network."""
    return [module for module in model if isinstance(module, Dense | EosMean)]


def _checked(model: Any) -> tuple[Any, Any]:
    transformer = model[0]
    if not isinstance(transformer, Transformer) or transformer.module_output_name != (
        "token_embeddings"
    ):
        raise ModelError("only models that begin with a Transformer for text can be exported")
    known = (Dense, EosMean, MultiVectorMask, Normalize, QueryWeights)
    others = [module for module in list(model)[1:] if not isinstance(module, known)]
    if others:
        raise ModelError(
            f"the model has a {type(others[0]).__name__}, which an encoder folder cannot hold; "
            "take it out of the model"
        )
    wrong = [m for m in model if isinstance(m, Normalize) and m.module_input_name[:5] != "token"]
    if wrong:
        raise ModelError("the model normalises sentence embeddings; only those of tokens can be")
    if any(m.keep_only_token_ids for m in model if isinstance(m, MultiVectorMask)):
        raise ModelError("keep_only_token_ids cannot be exported; use skiplist_words")
    tokenizer = transformer.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            "the model's tokenizer is not a fast one, so there is no tokenizer.json of it; convert "
            "it with transformers"
        )
    if tokenizer.pad_token is None or tokenizer.padding_side != "right":
        raise ModelError(
            f"the tokenizer pads with {tokenizer.pad_token!r} on the {tokenizer.padding_side}; set "
            "a pad token and padding on the right"
        )
    return transformer, tokenizer


def _length(transformer: Any, task: str) -> int:
    """Most tokens of a query or document: the model's setting, within the positions it has."""
    expansion = transformer.query_expansion if task == "query" else None
    if expansion is not None and expansion["strategy"] != "fixed":
        raise ModelError(
            f'queries are expanded by the strategy "{expansion["strategy"]}"; only "fixed" can be '
            "exported: set model[0].query_expansion"
        )
    length = expansion["length"] if expansion else getattr(transformer, f"{task}_length")
    length = length or transformer.max_seq_length or transformer.tokenizer.model_max_length
    if not length or length > _LONGEST:
        raise ModelError(f"the model has no {task}_length; load it with {task}_length=...")
    positions = getattr(transformer.config, "max_position_embeddings", None)
    if positions and length > (most := min(positions, transformer.tokenizer.model_max_length)):
        raise ModelError(
            f"{task}_length is {length}, and the encoder has positions for {most} tokens; load the "
            f"model with {task}_length={most}"
        )
    return int(length)


def _expansion_token(tokenizer: Any, expansion: dict[str, Any] | None) -> str:
    default = str(EncoderConfig.__dataclass_fields__["expansion_token"].default)
    if expansion is None:
        return default
    return str(expansion["token"] or tokenizer.mask_token or tokenizer.eos_token)


def _skipped(masks: list[Any], tokenizer: Any, task: str) -> tuple[str, ...]:
    """Tokens that are dropped; words that are no token of the vocabulary drop nothing."""
    vocabulary = tokenizer.get_vocab()
    words = [word for mask in masks if task in mask.skiplist_tasks for word in mask.skiplist_words]
    return tuple(word for word in dict.fromkeys(words) if word in vocabulary)
