"""A text in pieces, tokenised until there are enough tokens.

A tokenizer works through all of a text however few tokens are wanted of it: 8 MB take seconds.
So a text is handed to it piece by piece, cut before white space. The tokens of the pieces are
those of the whole text; only where a piece has no white space at all, thousands of characters, can
a token at the seam differ.

Knows nothing of special tokens and windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tokenizers

_CHARACTERS_PER_TOKEN = 8  # English has 4 to 5: most texts need one piece
_MIN_PIECE = 256  # characters
_MAX_PIECE = 16_384  # characters; pieces of a text whose tokens are all wanted


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """The tokens of prefix and text, without special tokens."""

    ids: NDArray[np.int64]  # (n_tokens,)
    offsets: NDArray[np.int64]  # (n_tokens, 2), in the text; the prefix at (0, 0)
    n_prefix: int  # how many tokens at the front belong to the prefix alone


class GrowingBody:
    """The tokens of one text so far, and how far into the text they reach.

    Args:
        prefix: Put before the text.
        text: The text; a blank one gets no tokens, whatever the prefix.
        limit: How many tokens of prefix and text are wanted; None wants all.
    """

    def __init__(self, prefix: str, text: str, limit: int | None) -> None:
        self._text = prefix + text if text and not text.isspace() else ""
        self._n_prefix_characters = len(prefix)
        self._limit = limit
        self._n_tokens = 0
        self._position = 0  # where the next piece starts
        self._piece_start = 0
        self._ids: list[NDArray[np.int64]] = []
        self._offsets: list[NDArray[np.int64]] = []  # each (n_tokens, 2), in prefix + text

    @property
    def wants_more(self) -> bool:
        """Whether tokens are missing, and text is left."""
        wanted = self._limit is None or self._n_tokens < self._limit
        return wanted and self._position < len(self._text)

    def next_piece(self) -> str:
        """The next piece of the text, for the tokenizer; it may be blank at the end."""
        size = _MAX_PIECE
        if self._limit is not None:
            missing = (self._limit - self._n_tokens) * _CHARACTERS_PER_TOKEN
            size = min(size, max(_MIN_PIECE, missing))
        self._piece_start, self._position = next_piece(self._text, self._position, size)
        return self._text[self._piece_start : self._position]

    def take(self, encoding: tokenizers.Encoding) -> None:
        """Add the tokens of the piece that was asked for last."""
        ids = encoding.ids
        if not ids:
            return
        self._n_tokens += len(ids)
        self._ids.append(np.array(ids, dtype=np.int64))
        offsets = np.array(encoding.offsets, dtype=np.int64)
        self._offsets.append(offsets + self._piece_start if self._piece_start else offsets)

    def finished(self) -> Body:
        """The tokens, cut to the limit."""
        if not self._ids:
            return Body(np.empty(0, np.int64), np.empty((0, 2), np.int64), 0)
        ids = np.concatenate(self._ids)[: self._limit]
        offsets = np.concatenate(self._offsets)[: self._limit]
        n_prefix = 0
        if self._n_prefix_characters:
            in_text = offsets[:, 1] > self._n_prefix_characters
            n_prefix = int(in_text.argmax()) if in_text.any() else len(ids)
            offsets = np.maximum(offsets - self._n_prefix_characters, 0)
        return Body(ids, offsets, n_prefix)


def next_piece(text: str, start: int, size: int) -> tuple[int, int]:
    """Where the next piece of a text starts and ends: about `size` characters from `start`.

    A piece ends before white space where there is some, so that no word is cut, and blanks at its
    start are passed over but for one.
    """
    while start + size < len(text):
        piece = text[start : start + size]
        words = piece.rsplit(maxsplit=1)
        if len(words) == 2:
            return start, start + len(words[0])
        n_blanks = len(piece) - len(piece.lstrip())
        if n_blanks <= 1:  # all one word
            return start, start + size
        start += n_blanks - 1
    return start, len(text)
