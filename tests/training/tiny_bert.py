"""Tiny models with random weights that sentence-transformers loads: BERT and T5 encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from tiny_models import unigram, wordpiece

HIDDEN = 32


def save_bert(folder: Path, dropout: float = 0.1) -> Path:
    """A plain BERT encoder of two layers."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=wordpiece(),
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=64,
    )
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    torch.manual_seed(0)
    return _save(BertModel(config), tokenizer, folder)


def save_t5(folder: Path) -> Path:
    """A plain T5 encoder of two layers."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=unigram(), pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    config = T5Config(
        vocab_size=len(tokenizer), d_model=HIDDEN, d_kv=16, d_ff=64, num_layers=2, num_heads=2
    )
    torch.manual_seed(0)
    return _save(T5EncoderModel(config), tokenizer, folder)


def _save(model: Any, tokenizer: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
