"""Tiny random models in torch, and tiny collections that they can learn."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Transformer
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

from colxtr.training.sets import TrainingSet
from tiny_models import wordpiece

TOPICS = ["red fox", "cat mat", "sun hill", "tea cup", "old map", "big oak", "wet dog", "new key"]


def tokenizer() -> BertTokenizerFast:
    return BertTokenizerFast(
        tokenizer_object=wordpiece(), model_max_length=64, pad_token="[PAD]", unk_token="[UNK]"
    )


def config(**more: int) -> BertConfig:
    return BertConfig(
        vocab_size=len(tokenizer()),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        **more,
    )


def plain_encoder(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    BertModel(config()).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def cross_encoder(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    BertForSequenceClassification(config(num_labels=1)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    CrossEncoder(str(folder), device="cpu").save_pretrained(str(folder))
    return folder


def multi_vector(folder: Path, seed: int = 0, dim: int = 16) -> Path:
    inner = plain_encoder(folder.with_name(f"{folder.name}-inner"), seed)
    torch.manual_seed(seed)
    transformer = Transformer(str(inner))
    head = Dense(32, dim, bias=False, module_input_name="token_embeddings",
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
