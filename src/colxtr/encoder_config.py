"""The settings of an encoder folder: `colxtr.json`, read strictly.

A "colxtr encoder folder" holds `colxtr.json`, a `tokenizer.json` and ONNX weights. This module
knows which keys the first of them has; it opens neither of the others.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from colxtr.errors import ModelError

CONFIG_FILE = "colxtr.json"
FORMAT = "colxtr-encoder"
VERSION = 1

_MIN_DIM, _MAX_DIM, _DIM_STEP = 16, 1024, 8  # what the codec and its kernels are written for
_MAX_LENGTH = 32_768  # tokens; above every encoder that exists
_EXAMPLE = "see EncoderConfig for every key and what it may be"


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """What an encoder does with text before and after its network.

    Attributes:
        name: A name for people, as "all-MiniLM-L6-v2-colxtr".
        dim: Dimensions of a token embedding: a multiple of 8 from 16 to 1,024.
        onnx: File name of the network: int64 `input_ids` (and maybe `attention_mask` and
            `token_type_ids`), all (batch, length), to float32 `token_embeddings`
            (batch, length, dim).
        tokenizer: File name of the tokenizer, in the format of the `tokenizers` library.
        lowercase: Lower-case the text first (XTR).
        query_prefix: Text put before every query.
        document_prefix: Text put before every document.
        query_prefix_token: Vocabulary token inserted after the first special token of a query
            (`[unused0]` in Stanford's ColBERT).
        document_prefix_token: The same for documents (`[unused1]`).
        query_length: Most tokens of a query, special tokens and prefix included.
        document_length: Most tokens of a document, or of one window of it.
        query_expansion: Pad queries with `expansion_token` up to `query_length`; the padding is
            scored like any token (ColBERT's query augmentation).
        expansion_token: Vocabulary token to pad with.
        attend_to_expansion_tokens: Whether the other tokens attend to the padding.
        skip_tokens: Vocabulary tokens whose embeddings are dropped from documents.
        skip_query_tokens: Vocabulary tokens whose embeddings are dropped from queries.
        skip_punctuation: Drop ASCII punctuation from documents (ColBERT's `mask_punctuation`).
        title_separator: Put between the title and the text of a document.
        normalize: Scale every token embedding to length 1.
        query_weights: File name of the weights of query tokens (docs/encoder-folder.md), with which
            their embeddings are multiplied after that; None: all are 1.
        pad_token: Vocabulary token that fills up the shorter texts of a batch.

    Raises:
        ModelError: A value has the wrong type or is out of range.
    """

    name: str
    dim: int
    onnx: str = "model.onnx"
    tokenizer: str = "tokenizer.json"
    lowercase: bool = False
    query_prefix: str = ""
    document_prefix: str = ""
    query_prefix_token: str | None = None
    document_prefix_token: str | None = None
    query_length: int = 48
    document_length: int = 220
    query_expansion: bool = False
    expansion_token: str = "[MASK]"
    attend_to_expansion_tokens: bool = False
    skip_tokens: tuple[str, ...] = ()
    skip_query_tokens: tuple[str, ...] = ()
    skip_punctuation: bool = False
    title_separator: str = " "
    normalize: bool = True
    query_weights: str | None = None
    pad_token: str = "[PAD]"

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_type(field.name, str(field.type), getattr(self, field.name))
        if not self.name:
            raise ModelError('"name" is empty; give the model a name')
        if not _MIN_DIM <= self.dim <= _MAX_DIM or self.dim % _DIM_STEP:
            raise ModelError(
                f'"dim" is {self.dim}; it must be a multiple of {_DIM_STEP} '
                f"from {_MIN_DIM} to {_MAX_DIM}"
            )
        for name in ("query_length", "document_length"):
            if not 1 <= getattr(self, name) <= _MAX_LENGTH:
                raise ModelError(
                    f'"{name}" is {getattr(self, name)}; it must be 1 to {_MAX_LENGTH} tokens'
                )
        _check_file_name("onnx", self.onnx, ".onnx")
        _check_file_name("tokenizer", self.tokenizer, ".json")
        if self.query_weights is not None:
            _check_file_name("query_weights", self.query_weights, ".npy")

    @property
    def hides_tokens(self) -> bool:
        """Whether there are tokens, besides padding of batches, that others do not attend to."""
        return self.query_expansion and not self.attend_to_expansion_tokens

    @classmethod
    def read(cls, folder: Path) -> EncoderConfig:
        """Read `colxtr.json` of an encoder folder and see that the files it names are there.

        Raises:
            ModelError: The file is missing or damaged, has an unknown key, lacks one, holds a
                value that is not allowed, or names a file that is not in the folder.
        """
        path = folder / CONFIG_FILE
        values = _read_object(path)
        _check_header(path, values)
        known = {field.name for field in fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise ModelError(f"{path}: unknown key {unknown[0]!r}; remove it ({_EXAMPLE})")
        if missing := [name for name in ("name", "dim") if name not in values]:
            raise ModelError(f'{path}: the key "{missing[0]}" is missing; add it ({_EXAMPLE})')
        try:
            config = cls(**{key: _frozen(value) for key, value in values.items()})
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None
        for name in config.files:
            if not (folder / name).is_file():
                raise ModelError(
                    f"{path} names the file {name!r}, which is not in {folder}; "
                    "copy it there or export the model again (colxtr export)"
                )
        return config

    @property
    def files(self) -> list[str]:
        """Names of the files that decide about embeddings, beside this one."""
        return [self.tokenizer, self.onnx, *([self.query_weights] if self.query_weights else [])]

    def write(self, folder: Path) -> None:
        """Write `colxtr.json` into an existing folder.

        Raises:
            ModelError: The file cannot be written.
        """
        path = folder / CONFIG_FILE
        content = {"format": FORMAT, "version": VERSION, **asdict(self)}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ModelError(f"{path} cannot be written: {error.strerror}") from error


def _read_object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {error}; export the model again") from None
    if not isinstance(values, dict):
        raise ModelError(f"{path} holds a {type(values).__name__}, not a JSON object ({_EXAMPLE})")
    return values


def _check_header(path: Path, values: dict[str, Any]) -> None:
    """Take "format" and "version" out of `values`, and see that they are ours."""
    kind, version = values.pop("format", None), values.pop("version", None)
    if kind != FORMAT:
        raise ModelError(f'{path}: "format" is {kind!r}, not {FORMAT!r}; this is no colxtr encoder')
    if type(version) is not int or version != VERSION:
        raise ModelError(
            f'{path}: "version" is {version!r}; this colxtr reads version {VERSION}: '
            "export the model again, or upgrade colxtr"
        )


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "str | None": (str, type(None)),
    "tuple[str, ...]": (tuple,),
}
_WORDS = {
    "str": "a string",
    "int": "an integer",
    "bool": "true or false",
    "str | None": "a string or null",
    "tuple[str, ...]": "a list of strings",
}


def _check_type(name: str, kind: str, value: object) -> None:
    # type() and not isinstance(): true is no integer here
    items = value if isinstance(value, tuple) else ()
    if type(value) not in _KINDS[kind] or any(type(item) is not str for item in items):
        raise ModelError(f'"{name}" is {value!r}; it must be {_WORDS[kind]}')
    for text in (value, *items):
        if isinstance(text, str) and not _is_unicode(text):
            raise ModelError(f'"{name}" is {text!r}, which holds half a surrogate pair; remove it')


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_file_name(key: str, name: str, suffix: str) -> None:
    """Accept plain names inside the folder only: a model must not reach for other files."""
    if any(character in name for character in '/\\:\0"') or not name.endswith(suffix):
        raise ModelError(
            f'"{key}" is {name!r}; it must be the plain name of a {suffix} file inside the folder'
        )
