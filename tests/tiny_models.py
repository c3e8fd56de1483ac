"""Tiny real models in our layout: a table of embeddings as an ONNX network, a small vocabulary."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tokenizers
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

DIM = 16
WORDS = ["the", "red", "fox", "run", "##s", "##ning", "over", "[unused0]", "[unused1]"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def wordpiece(*, lowercase: bool = True) -> tokenizers.Tokenizer:
    """BERT's kind: words, then single characters of ASCII."""
    letters = string.ascii_letters + string.digits
    vocabulary = [*SPECIAL, *WORDS, *letters, *(f"##{c}" for c in letters), *string.punctuation]
    ids = {token: i for i, token in enumerate(dict.fromkeys(vocabulary))}
    tokenizer = tokenizers.Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def unigram() -> tokenizers.Tokenizer:
    """T5's kind: word beginnings marked with a bar, one special token at the end."""
    pieces = ["▁the", "▁red", "▁fox", "▁run", "ning", "s", "▁over", "▁", "▁query:", "▁document:"]
    letters = [*string.ascii_letters, *string.digits, *string.punctuation]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(piece, -2.0) for piece in pieces]
    vocabulary += [(letter, -6.0) for letter in letters if letter not in pieces]
    tokenizer = tokenizers.Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return tokenizer


def byte_level() -> tokenizers.Tokenizer:
    """ModernBERT's kind: merges of bytes; a character may be several tokens."""
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["[PAD]", "[CLS]", "[SEP]", "[MASK]"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the red foxs running over"] * 3, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return tokenizer


def save_network(
    path: Path,
    table: NDArray[np.float32],
    *,
    inputs: tuple[str, ...] = ("input_ids", "attention_mask"),
    output: str = "token_embeddings",
    static_dim: bool = True,
) -> None:
    """Write a network that looks ids up in `table` and adds the mean of the attended ones.

    The mean makes an embedding depend on its context, and on the attention mask being right; of
    all, where that is not among the inputs.
    """
    attended = "attention_mask" if "attention_mask" in inputs else "all"
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["looked_up"]),
        helper.make_node("Equal", ["input_ids", "input_ids"], ["all"]),
        helper.make_node("Cast", [attended], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["mask3"]),
        helper.make_node("Mul", ["looked_up", "mask3"], ["attended"]),
        helper.make_node("ReduceSum", ["attended", "middle"], ["total"], keepdims=1),
        helper.make_node("ReduceSum", ["mask3", "middle"], ["count"], keepdims=1),
        helper.make_node("Div", ["total", "count"], ["mean"]),
        helper.make_node("Add", ["looked_up", "mean"], [output]),
    ]
    constants = {
        "table": table,
        "last": np.array([-1], np.int64),
        "middle": np.array([1], np.int64),
    }
    if "token_type_ids" in inputs:  # must be fed zeros: anything else would show
        nodes[-1].output[0] = "without_types"
        nodes += [
            helper.make_node("Cast", ["token_type_ids"], ["types"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["types", "last"], ["types3"]),
            helper.make_node("Add", ["without_types", "types3"], [output]),
        ]
    dim: Any = table.shape[1] if static_dim else "dim"
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["b", "n"]) for name in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["b", "n", dim])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


def random_table(n_tokens: int, dim: int = DIM) -> NDArray[np.float32]:
    return np.random.default_rng(7).standard_normal((n_tokens, dim), dtype=np.float32)


def make_encoder_folder(
    folder: Path, inner: tokenizers.Tokenizer | None = None, **settings: Any
) -> Path:
    """Write a whole encoder folder; `settings` are keys of colxtr.json."""
    folder.mkdir(parents=True, exist_ok=True)
    inner = inner or wordpiece()
    inner.save(str(folder / "tokenizer.json"))
    save_network(folder / "model.onnx", random_table(inner.get_vocab_size()))
    write_settings(folder, **settings)
    return folder


def write_settings(folder: Path, **settings: Any) -> None:
    content = {"format": "colxtr-encoder", "version": 1, "name": "tiny", "dim": DIM, **settings}
    (folder / "colxtr.json").write_text(json.dumps(content), encoding="utf-8")
