"""Text to token ids, and back to the place in the text where each token stands.

    title + text  ->  pieces  ->  tokens of the text  ->  windows: special, prefix, text tokens

What a text says is text: "[MASK]" in a document is a bracket, a word and a bracket, never the
special token. An empty text, or one of which the tokenizer makes no token, has no tokens at all,
not even special ones.

Knows nothing of networks and embeddings.
"""

from __future__ import annotations

import os
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from colxtr.documents import as_document
from colxtr.encoder_config import EncoderConfig
from colxtr.errors import InputError, ModelError
from colxtr.pieces import Body, GrowingBody
from colxtr.query_weights import read_query_weights
from colxtr.windows import Frame, TokenizedText, all_windows, not_in, one_window

if TYPE_CHECKING:
    import tokenizers

WINDOW_OVERLAP = 32  # tokens that neighbouring windows share, so that none is without context

_forked = False  # the tokenizer's threads stay with the parent: a child that waits for them hangs


def _note_fork() -> None:
    global _forked  # noqa: PLW0603 - a fact about the process
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)

_PROBES = ("a", "the", "1", ".", "中")  # a vocabulary that knows none of these is not a text's


class Token(NamedTuple):
    """One token as people see it.

    Attributes:
        text: Its characters in the text; of special, prefix and expansion tokens the name.
        start: Index of its first character in the text.
        end: Index behind its last character; equal to `start` where the token is not in the text.
    """

    text: str
    start: int
    end: int


class FieldSpan(NamedTuple):
    """Characters `start` to `end` of a document's title or text."""

    field: Literal["title", "text"]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class DocumentText:
    """The text of a document as it is encoded: title, separator, text.

    Attributes:
        title: The document's title, maybe empty.
        text: The document's text, maybe empty.
        separator: Stands between them where neither is empty.
    """

    title: str
    text: str
    separator: str

    @property
    def full(self) -> str:
        """The text that is tokenised; token spans refer to it."""
        return self.title + (self.separator if self.title and self.text else "") + self.text

    def locate(self, start: int, end: int) -> FieldSpan:
        """Find the field, and the characters in it, of a span of the full text.

        A span that reaches from the title into the text is cut to the text.
        """
        if end <= len(self.title):
            return FieldSpan("title", start, end)
        offset = len(self.full) - len(self.text)
        return FieldSpan("text", max(0, start - offset), max(0, end - offset))


class Tokenizer:
    """Makes token ids of queries and documents as an encoder's configuration says.

    Args:
        config: The encoder's configuration.
        folder: Where the tokenizer file is.
        parallel: Tokenise several texts at once on all processors.

    Raises:
        ModelError: The tokenizer file is damaged, lacks a token that the configuration names, or
            leaves no room for text in `query_length` or `document_length`; or the weights of query
            tokens are damaged.
    """

    def __init__(self, config: EncoderConfig, folder: Path, *, parallel: bool = True) -> None:
        self._config = config
        self._path = folder / config.tokenizer
        self._parallel = parallel
        self._tokenizer = _open_tokenizer(self._path, lowercase=config.lowercase)
        self.pad_id = self._id(config.pad_token, "pad_token")
        self._expansion_id = (
            self._id(config.expansion_token, "expansion_token") if config.query_expansion else -1
        )
        self._query_weights = (
            read_query_weights(folder / config.query_weights, self._tokenizer.get_vocab_size())
            if config.query_weights
            else None
        )
        head, tail = self._special_tokens()
        self._query_frame = self._frame("query", head, tail, config.skip_query_tokens)
        self._document_frame = self._frame("document", head, tail, config.skip_tokens)

    def queries(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Tokenise queries, each cut to `query_length` tokens.

        Raises:
            InputError: A query is not a string, or holds half a surrogate pair.
        """
        _check_texts(texts, "query")
        frame = self._query_frame
        bodies = self._bodies(texts, frame, limit=frame.capacity)
        return [self._weighted(self._expanded(one_window(body, frame))) for body in bodies]

    def documents(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Tokenise the full texts of documents, each cut to `document_length` tokens.

        Raises:
            InputError: A text is not a string, or holds half a surrogate pair.
        """
        _check_texts(texts, "document")
        frame = self._document_frame
        bodies = self._bodies(texts, frame, limit=frame.capacity)
        return [one_window(body, frame) for body in bodies]

    def document_windows(
        self, texts: Sequence[str], overlap: int = WINDOW_OVERLAP
    ) -> list[list[TokenizedText]]:
        """Tokenise whole documents as overlapping windows of `document_length` tokens.

        Every window has the special tokens and the prefix. Over all windows of a document each
        token of the text is kept once, in the window where it has more context; special tokens
        and prefix are kept once. The kept tokens stand in the order of the text.

        Args:
            texts: The full texts.
            overlap: Tokens that neighbouring windows share, at most half a window.

        Raises:
            InputError: A text is not a string, or holds half a surrogate pair; or the overlap is
                negative.
        """
        if overlap < 0:
            raise InputError(f"the overlap of windows is {overlap} tokens; 0 or more are possible")
        _check_texts(texts, "document")
        frame = self._document_frame
        bodies = self._bodies(texts, frame, limit=None)
        return [all_windows(body, frame, overlap) for body in bodies]

    def document_text(self, item: object, ordinal: int = 0) -> DocumentText:
        """Put together what is encoded of a document.

        Args:
            item: A string, a `Document`, or a mapping with "text" and maybe "title".
            ordinal: The document's position, for messages.

        Raises:
            InputError: The item is none of these.
        """
        if isinstance(item, str):
            return DocumentText("", item, "")
        document = as_document(item, ordinal)
        return DocumentText(document.title, document.text, self._config.title_separator)

    def kept_tokens(self, text: str, windows: Iterable[TokenizedText]) -> list[Token]:
        """List the tokens whose embeddings are kept, in the order of the embeddings.

        Args:
            text: The text that was tokenised.
            windows: What was made of it: one `TokenizedText`, or the windows of a document.
        """
        return [
            self._token(text, int(token_id), int(start), int(end))
            for window in windows
            for token_id, (start, end) in zip(
                window.ids[window.keep], window.offsets[window.keep], strict=True
            )
        ]

    def _id(self, token: str, key: str) -> int:
        token_id = self._tokenizer.token_to_id(token)
        if token_id is None:
            raise ModelError(
                f'{self._path}: the vocabulary has no token {token!r}; correct "{key}" in '
                f"{self._path.with_name('colxtr.json')}"
            )
        return int(token_id)

    def _special_tokens(self) -> tuple[list[int], list[int]]:
        """The ids that the tokenizer puts before and after a text."""
        for probe in _PROBES:
            encoding = self._tokenizer.encode(probe)
            text = [i for i, special in enumerate(encoding.special_tokens_mask) if not special]
            if text:
                return encoding.ids[: text[0]], encoding.ids[text[-1] + 1 :]
        raise ModelError(f"{self._path} makes no tokens of {_PROBES}; it is no tokenizer of text")

    def _frame(
        self,
        kind: Literal["query", "document"],
        head: list[int],
        tail: list[int],
        skip_tokens: tuple[str, ...],
    ) -> Frame:
        prefix: str = getattr(self._config, f"{kind}_prefix")
        prefix_token: str | None = getattr(self._config, f"{kind}_prefix_token")
        if prefix_token is not None:
            head = [*head[:1], self._id(prefix_token, f"{kind}_prefix_token"), *head[1:]]
        length: int = getattr(self._config, f"{kind}_length")
        taken = (
            len(head) + len(tail) + len(self._tokenizer.encode(prefix, add_special_tokens=False))
        )
        if length <= taken:
            raise ModelError(
                f'"{kind}_length" is {length}, of which special tokens and prefix take {taken}; '
                f"raise it in {self._path.with_name('colxtr.json')}"
            )
        key = "skip_tokens" if kind == "document" else "skip_query_tokens"
        skip = {self._id(token, key) for token in skip_tokens}
        if kind == "document" and self._config.skip_punctuation:
            skip |= self._punctuation_ids()
        return Frame(
            prefix=prefix,
            head=np.array(head, dtype=np.int64),
            tail=np.array(tail, dtype=np.int64),
            capacity=length - len(head) - len(tail),
            skip=np.array(sorted(skip), dtype=np.int64),
        )

    def _punctuation_ids(self) -> set[int]:
        """Ids of ASCII punctuation, alone or with the mark of a word's beginning or inside."""
        names = (mark + symbol for symbol in string.punctuation for mark in ("", "##", "▁", "Ġ"))
        ids = (self._tokenizer.token_to_id(name) for name in names)
        return {token_id for token_id in ids if token_id is not None}

    def _bodies(self, texts: Sequence[str], frame: Frame, limit: int | None) -> list[Body]:
        """Tokenise prefix and text, until there are `limit` tokens (None: to the end).

        One piece of every unfinished text goes to the tokenizer at a time, so that it can work on
        many texts in parallel.
        """
        growing = [GrowingBody(frame.prefix, text, limit) for text in texts]
        while unfinished := [body for body in growing if body.wants_more]:
            encodings = self._encode([body.next_piece() for body in unfinished])
            for body, encoding in zip(unfinished, encodings, strict=True):
                body.take(encoding)
        return [body.finished() for body in growing]

    def _encode(self, pieces: list[str]) -> list[tokenizers.Encoding]:
        if self._parallel and len(pieces) > 1 and not _forked:
            return self._tokenizer.encode_batch(pieces, add_special_tokens=False)
        return [self._tokenizer.encode(piece, add_special_tokens=False) for piece in pieces]

    def _expanded(self, query: TokenizedText) -> TokenizedText:
        """Pad a query that has tokens with the expansion token."""
        n_padding = self._config.query_length - len(query)
        if not self._config.query_expansion or not len(query) or not n_padding:
            return query
        ids = np.full(n_padding, self._expansion_id, dtype=np.int64)
        attention = np.full(n_padding, self._config.attend_to_expansion_tokens, dtype=np.int64)
        return TokenizedText(
            ids=np.concatenate([query.ids, ids]),
            attention=np.concatenate([query.attention, attention]),
            keep=np.concatenate([query.keep, not_in(ids, self._query_frame.skip)]),
            offsets=np.concatenate([query.offsets, np.zeros((n_padding, 2), dtype=np.int64)]),
        )

    def _weighted(self, query: TokenizedText) -> TokenizedText:
        if self._query_weights is None or not query.keep.any():
            return query
        weights = self._query_weights[query.ids]
        return replace(query, weights=weights / weights[query.keep].mean())

    def _token(self, text: str, token_id: int, start: int, end: int) -> Token:
        if start == end:
            return Token(self._tokenizer.id_to_token(token_id) or "", start, end)
        surface = text[start:end]
        if surface.isspace():
            return Token(surface, start, end)
        # SentencePiece and byte-level tokens own the space before a word
        start += len(surface) - len(surface.lstrip())
        surface = surface.strip()
        return Token(surface, start, start + len(surface))


def check_text(text: object, kind: str, ordinal: int) -> str:
    """See that something is a string of valid Unicode, and return it.

    Raises:
        InputError: It is not; names it as `kind` number `ordinal`.
    """
    if not isinstance(text, str):
        raise InputError(f"{kind} {ordinal} is a {type(text).__name__}; pass a string")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{kind} {ordinal} holds half a surrogate pair at character {error.start} "
            f"({text[error.start]!a}); remove it, as with text.encode('utf-8', 'replace').decode()"
        ) from None
    return text


def _check_texts(texts: Sequence[str], kind: str) -> None:
    for ordinal, text in enumerate(texts):
        check_text(text, kind, ordinal)


def _open_tokenizer(path: Path, *, lowercase: bool) -> tokenizers.Tokenizer:
    import tokenizers  # noqa: PLC0415 - loaded when a model is, not with the package

    # unset, it makes the library print a warning at every fork
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the library raises plain Exception
        raise ModelError(
            f"{path} is not a tokenizer: {error}; copy it again or export the model again"
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    if lowercase:  # the tokenizer's own lower-casing keeps count of characters: "İ" becomes two
        lower = tokenizers.normalizers.Lowercase()
        inner = [tokenizer.normalizer] if tokenizer.normalizer else []
        tokenizer.normalizer = tokenizers.normalizers.Sequence([lower, *inner])
    return tokenizer
