"""Small random checkpoints in every layout, and what they must give, by plain torch.

The references know nothing of the package, of sentence-transformers and of the checkpoint's files:
they use the modules that the files were written from, the `tokenizers` library and explicit masks.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import save_file
from tokenizers import pre_tokenizers

import tiny_models

Array = NDArray[np.float32]
HIDDEN, DIM, POSITIONS = 32, 16, 64
TEXTS = [
    "the red fox",
    "The foxs, running over (the) red fox! 12.5%",
    "x",
    "RED Foxs running: over 9 foxs - and the fox_run",
    "the red fox running over the foxs " * 30,  # longer than any model here takes
]


@dataclass(frozen=True)
class Made:
    """A checkpoint, and the embeddings (n_tokens, dim) of a text by its reference."""

    folder: Path
    reference: Callable[[str, str], Array]  # text, "query" or "document"


def unigram() -> tokenizers.Tokenizer:
    """As `tiny_models.unigram`; white space is split off first, as T5's tokenizer does."""
    tokenizer = tiny_models.unigram()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    return tokenizer


def bert(vocabulary: int) -> Any:
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
        initializer_range=0.3,  # far from the next model's vectors, whatever is masked
    )
    return transformers.BertModel(config).eval()


def t5(vocabulary: int) -> Any:
    torch.manual_seed(2)
    config = transformers.T5Config(
        vocab_size=vocabulary,
        d_model=HIDDEN,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=20,
        feed_forward_proj="gated-gelu",
    )
    encoder = transformers.T5EncoderModel(config).eval()
    with torch.no_grad():  # distances matter
        bias = encoder.encoder.block[0].layer[0].SelfAttention.relative_attention_bias
        bias.weight.normal_(0, 2)
    return encoder


def modern_bert(vocabulary: int) -> Any:
    torch.manual_seed(3)
    config = transformers.ModernBertConfig(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=POSITIONS,
        local_attention=8,
        initializer_range=0.3,
        pad_token_id=0,
        cls_token_id=1,
        sep_token_id=2,
        bos_token_id=1,
        eos_token_id=2,
    )
    return transformers.ModernBertModel(config).eval()


def matrix(seed: int = 4) -> torch.Tensor:
    return torch.randn(DIM, HIDDEN, generator=torch.Generator().manual_seed(seed))


def vectors(
    encoder: Any, weight: torch.Tensor, ids: list[int], attention: list[int], *, unit: bool = True
) -> torch.Tensor:
    """Every token's embedding, (n_tokens, dim)."""
    with torch.no_grad():
        hidden = encoder(
            input_ids=torch.tensor([ids]), attention_mask=torch.tensor([attention])
        ).last_hidden_state[0]
    projected = hidden @ weight.T
    return torch.nn.functional.normalize(projected, dim=1) if unit else projected


def framed(
    tokenizer: tokenizers.Tokenizer, text: str, head: list[int], tail: list[int], length: int
) -> list[int]:
    body = tokenizer.encode(text, add_special_tokens=False).ids
    return head + body[: length - len(head) - len(tail)] + tail


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_tokenizer(folder: Path, tokenizer: tokenizers.Tokenizer, kind: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {
        "BertTokenizer": ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        "PreTrainedTokenizerFast": ("[PAD]", None, "[CLS]", "[SEP]", "[MASK]"),
    }
    if kind == "T5Tokenizer":
        named = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>", "extra_ids": 0}
    else:
        keys = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
        named = {k: v for k, v in zip(keys, special[kind], strict=True) if v is not None}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": kind, **named})


def write_encoder(folder: Path, encoder: Any, prefix: str = "", **more: torch.Tensor) -> None:
    """config.json and model.safetensors; `more` are further tensors of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder.config.save_pretrained(folder)
    tensors = {f"{prefix}{name}": value for name, value in encoder.state_dict().items()}
    tensors |= {name.replace("__", "."): value for name, value in more.items()}
    if "encoder.embed_tokens.weight" in tensors:
        del tensors["encoder.embed_tokens.weight"]  # the same as shared.weight
    save_file({k: v.clone() for k, v in tensors.items()}, folder / "model.safetensors")


def change_json(path: Path, **changes: Any) -> None:
    write_json(path, {**json.loads(path.read_text()), **changes})


def colbert(
    tokenizer: tokenizers.Tokenizer,
    encoder: Any,
    weight: torch.Tensor,
    *,
    markers: tuple[str, str],
    lengths: tuple[int, int],
    expand: bool = True,
    attend: bool = False,
    punctuation: bool = True,
) -> Callable[[str, str], Array]:
    """ColBERT by its paper: marker behind [CLS], queries filled with [MASK]."""
    cls, sep, mask = (tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]", "[MASK]"))
    dropped = {tokenizer.token_to_id(symbol) for symbol in string.punctuation}

    def embed(text: str, task: str) -> Array:
        marker = tokenizer.token_to_id(markers[task == "document"])
        length = lengths[task == "document"]
        ids = framed(tokenizer, text, [cls, marker], [sep], length)
        attention = [1] * len(ids)
        if task == "query" and expand:
            attention += [int(attend)] * (length - len(ids))
            ids += [mask] * (length - len(ids))
        rows = vectors(encoder, weight, ids, attention)
        drops = dropped if task == "document" and punctuation else set()
        return rows[[i not in drops for i in ids]].numpy()

    return embed


def stanford(folder: Path, *, attend: bool = False, metadata: bool = True) -> Made:
    tokenizer = tiny_models.wordpiece()
    encoder, weight = bert(tokenizer.get_vocab_size()), matrix()
    write_tokenizer(folder, tokenizer, "BertTokenizer")
    write_encoder(folder, encoder, prefix="bert.", linear__weight=weight)
    change_json(folder / "config.json", architectures=["HF_ColBERT"])
    if metadata:
        settings = {
            "query_token_id": "[unused0]",
            "doc_token_id": "[unused1]",
            "query_maxlen": 20,
            "doc_maxlen": 40,
            "mask_punctuation": not attend,
            "attend_to_mask_tokens": attend,
        }
        write_json(folder / "artifact.metadata", settings)
    reference = colbert(
        tokenizer,
        encoder,
        weight,
        markers=("[unused0]", "[unused1]"),
        lengths=(20, 40) if metadata else (32, 220),
        attend=attend,
        punctuation=not attend,
    )
    return Made(folder, reference)


def pylate(folder: Path, *, attend: bool = True, expand: bool = True) -> Made:
    tokenizer = tiny_models.wordpiece()
    added = [tokenizers.AddedToken(t, normalized=True) for t in ("[Q] ", "[D] ")]
    tokenizer.add_tokens(added)
    encoder, weight = bert(tokenizer.get_vocab_size()), matrix()
    write_tokenizer(folder, tokenizer, "BertTokenizer")
    write_encoder(folder, encoder)
    identity = "torch.nn.modules.linear.Identity"
    dense = {"in_features": HIDDEN, "out_features": DIM, "bias": False}
    write_json(folder / "1_Dense" / "config.json", {**dense, "activation_function": identity})
    save_file({"linear.weight": weight}, folder / "1_Dense" / "model.safetensors")
    kinds = ["sentence_transformers.models.Transformer", "pylate.models.Dense.Dense"]
    paths = ["", "1_Dense"]
    write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": kind}
            for i, (path, kind) in enumerate(zip(paths, kinds, strict=True))
        ],
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False})
    settings = {
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "MaxSim",
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 20,
        "document_length": 40,
        "attend_to_expansion_tokens": attend,
        "do_query_expansion": expand,
        "skiplist_words": list(string.punctuation),
    }
    write_json(folder / "config_sentence_transformers.json", settings)
    reference = colbert(
        tokenizer,
        encoder,
        weight,
        markers=("[Q] ", "[D] "),
        lengths=(20, 40),
        attend=attend,
        expand=expand,
    )
    return Made(folder, reference)


def xtr(folder: Path) -> Made:
    """As google/xtr-base-en: a pickled head, read safely; lower-cased; the final </s> kept."""
    tokenizer = unigram()
    encoder, weight = t5(tokenizer.get_vocab_size()), matrix()
    write_tokenizer(folder, tokenizer, "T5Tokenizer")
    write_encoder(folder, encoder)
    dense = {"in_features": HIDDEN, "out_features": DIM, "bias": False}
    identity = "torch.nn.modules.linear.Identity"
    write_json(folder / "2_Dense" / "config.json", {**dense, "activation_function": identity})
    torch.save({"linear.weight": weight}, folder / "2_Dense" / "pytorch_model.bin")

    def embed(text: str, task: str) -> Array:
        length = 64 if task == "query" else 512
        ids = framed(tokenizer, text.lower(), [], [tokenizer.token_to_id("</s>")], length)
        return vectors(encoder, weight, ids, [1] * len(ids)).numpy()

    return Made(folder, embed)


def primeqa(folder: Path, prefix: str = "") -> Made:
    tokenizer = unigram()
    encoder, weight = t5(tokenizer.get_vocab_size()), matrix()
    write_tokenizer(folder, tokenizer, "T5Tokenizer")
    encoder.config.save_pretrained(folder)
    tensors = {f"{prefix}{name}": value for name, value in encoder.state_dict().items()}
    torch.save(tensors | {"bottleneck.weight": weight}, folder / "pytorch_model.bin")

    def embed(text: str, task: str) -> Array:
        length = 64 if task == "query" else 512
        text = ("Query: " if task == "query" else "Document: ") + text
        ids = framed(tokenizer, text, [], [tokenizer.token_to_id("</s>")], length)
        rows = vectors(encoder, weight, ids, [1] * len(ids), unit=False).numpy()
        return np.concatenate([rows[:-1], rows.mean(0, keepdims=True)])

    return Made(folder, embed)


def sentence_transformers_6(folder: Path) -> Made:
    """Text prefixes, special tokens dropped from documents, no expansion: not PyLate's."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.base.modules.dense import Dense
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    tokenizer = tiny_models.wordpiece()
    encoder, weight = bert(tokenizer.get_vocab_size()), matrix()
    write_tokenizer(folder / "base", tokenizer, "BertTokenizer")
    write_encoder(folder / "base", encoder)
    model = MultiVectorEncoder(
        modules=[
            Transformer(str(folder / "base"), query_length=20, document_length=40),
            Dense(HIDDEN, DIM, bias=False, activation_function=torch.nn.Identity(),
                  init_weight=weight, module_input_name="token_embeddings"),
            MultiVectorMask(skiplist_words=["[CLS]", "[SEP]", "."]),
            Normalize(module_input_name="token_embeddings"),
        ],
        prompts={"query": "query: ", "document": "over the "},
        device="cpu",
    )  # fmt: skip
    model.save(str(folder / "saved"), create_model_card=False)
    cls, sep, dot = (tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]", "."))

    def embed(text: str, task: str) -> Array:
        prefix, length = ("query: ", 20) if task == "query" else ("over the ", 40)
        ids = framed(tokenizer, prefix + text, [cls], [sep], length)
        rows = vectors(encoder, weight, ids, [1] * len(ids))
        drops = {cls, sep, dot} if task == "document" else set()
        return rows[[i not in drops for i in ids]].numpy()

    return Made(folder / "saved", embed)


def plain(folder: Path, kind: str) -> tuple[Path, Callable[[torch.Tensor], Callable[..., Array]]]:
    """An encoder alone; the reference takes the projection that the loader made."""
    made = {
        "bert": (tiny_models.wordpiece, bert, "BertTokenizer"),
        "t5": (unigram, t5, "T5Tokenizer"),
        "modernbert": (tiny_models.byte_level, modern_bert, "PreTrainedTokenizerFast"),
    }
    make_tokenizer, make_encoder, name = made[kind]
    tokenizer = make_tokenizer()
    encoder = make_encoder(tokenizer.get_vocab_size())
    write_tokenizer(folder, tokenizer, name)
    write_encoder(folder, encoder)
    probe = tokenizer.encode("x")
    head = [probe.ids[0]] if probe.special_tokens_mask[0] else []

    def with_projection(weight: torch.Tensor) -> Callable[[str, str], Array]:
        def embed(text: str, task: str) -> Array:
            limit = 512 if kind == "t5" else POSITIONS
            length = min(limit, 48 if task == "query" else 220)
            ids = framed(tokenizer, text, head, [probe.ids[-1]], length)
            return vectors(encoder, weight, ids, [1] * len(ids)).numpy()

        return embed

    return folder, with_projection


def assert_alike(actual: Array, expected: Array, least: float = 0.9999) -> None:
    """The same tokens, all with a cosine above `least`, and of the same length."""
    assert actual.shape == expected.shape
    lengths = np.linalg.norm(actual, axis=1), np.linalg.norm(expected, axis=1)
    cosines = (actual * expected).sum(1) / (lengths[0] * lengths[1])
    assert cosines.min() > least
    np.testing.assert_allclose(lengths[0], lengths[1], rtol=1e-3)
