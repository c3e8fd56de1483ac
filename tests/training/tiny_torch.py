"""Tiny models with random weights, of all kinds that training starts from; what they can learn."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Transformer
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizerFast,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from colxtr.training.sets import TrainingSet
from tiny_models import unigram, wordpiece

HIDDEN = 32
TOPICS = ["red fox", "cat mat", "sun hill", "tea cup", "old map", "big oak", "wet dog", "new key"]


def save_bert(folder: Path, *, dropout: float = 0.1, seed: int = 0) -> Path:
    """A plain BERT encoder of one layer."""
    torch.manual_seed(seed)
    return _save(BertModel(_bert_config(dropout)), _bert_tokenizer(), folder)


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


def cross_encoder(folder: Path, seed: int = 0) -> Path:
    """A cross-encoder with one logit."""
    torch.manual_seed(seed)
    model = BertForSequenceClassification(_bert_config(num_labels=1))
    _save(model, _bert_tokenizer(), folder)
    CrossEncoder(str(folder), device="cpu").save_pretrained(str(folder))
    return folder


def multi_vector(folder: Path, seed: int = 0, dim: int = 16) -> Path:
    """A multi-vector encoder on a plain one, as sentence-transformers saves it."""
    inner = save_bert(folder.with_name(f"{folder.name}-inner"), seed=seed)
    torch.manual_seed(seed)
    transformer = Transformer(str(inner))
    head = Dense(HIDDEN, dim, bias=False, module_input_name="token_embeddings",
                 activation_function=torch.nn.Identity(),
                 module_output_name="token_embeddings")  # fmt: skip
    normal = Normalize(module_input_name="token_embeddings")
    model = MultiVectorEncoder(modules=[transformer, head, MultiVectorMask(), normal], device="cpu")
    model.save_pretrained(str(folder))
    return folder


def topical(n_queries: int = 24, n_documents: int = 64, seed: int = 0) -> TrainingSet:
    """Queries and documents about topics; relevant is the document with the query's number."""
    generator = random.Random(seed)
    documents = {
        f"d{i}": f"{TOPICS[i % len(TOPICS)]} {' '.join(generator.choices(TOPICS, k=2))} n{i}"
        for i in range(n_documents)
    }
    queries = {f"q{i}": f"{TOPICS[i % len(TOPICS)]} n{i}" for i in range(n_queries)}
    positives = {f"q{i}": frozenset({f"d{i}"}) for i in range(n_queries)}
    return TrainingSet(queries, documents, (), positives)


def _bert_tokenizer() -> BertTokenizerFast:
    """BERT's own class: it tells the two texts of a pair apart."""
    return BertTokenizerFast(
        tokenizer_object=wordpiece(), model_max_length=64, pad_token="[PAD]", unk_token="[UNK]"
    )


def _bert_config(dropout: float = 0.1, **more: int) -> BertConfig:
    return BertConfig(
        vocab_size=len(_bert_tokenizer()),
        hidden_size=HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        **more,
    )


def _save(model: Any, tokenizer: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
