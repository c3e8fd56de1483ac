"""Tokens of a text in their frame: special tokens, prefix, and as many text tokens as fit.

    special [prefix token] | text prefix | tokens of the text | special

A text is cut to one window, or covered by several that overlap. Knows nothing of vocabularies.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from colxtr.pieces import Body


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedText:
    """One input of the network: a query, a document, or one window of a document.

    Attributes:
        ids: Vocabulary ids; int64 (n_tokens,).
        attention: 1 for tokens that others attend to, else 0; int64 (n_tokens,).
        keep: Tokens whose embeddings are wanted; bool (n_tokens,).
        offsets: Start and end of each token in the text, in characters; (0, 0) for special, prefix
            and expansion tokens; int64 (n_tokens, 2).
        weights: What the embedding of each token is multiplied by, float32 (n_tokens,); their mean
            over the tokens that are kept is 1. None: all are 1.
    """

    ids: NDArray[np.int64]
    attention: NDArray[np.int64]
    keep: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What stands round the text of a query or a document."""

    prefix: str
    head: NDArray[np.int64]  # special tokens before the text, and the prefix token
    tail: NDArray[np.int64]  # special tokens after it
    capacity: int  # most tokens of prefix and text
    skip: NDArray[np.int64]  # ids whose embeddings are dropped


def one_window(body: Body, frame: Frame) -> TokenizedText:
    """Put a body, cut to what fits, into its frame; keep all that is not on the skip list."""
    if len(body.ids) == body.n_prefix:  # no token of the text itself
        return _NOTHING
    body_ids, body_offsets = body.ids[: frame.capacity], body.offsets[: frame.capacity]
    ids = np.concatenate([frame.head, body_ids, frame.tail])
    offsets = np.zeros((len(ids), 2), dtype=np.int64)
    offsets[len(frame.head) : len(ids) - len(frame.tail)] = body_offsets
    return TokenizedText(ids, np.ones(len(ids), np.int64), not_in(ids, frame.skip), offsets)


def all_windows(body: Body, frame: Frame, overlap: int) -> list[TokenizedText]:
    """Cover a body with windows; each token is kept in one of them, the frame's in the first.

    The special tokens behind the text are kept in the last. A body that fits is one window.
    """
    if len(body.ids) <= frame.capacity:
        return [one_window(body, frame)]
    n_prefix = min(body.n_prefix, frame.capacity - 1)
    spans = _spans(len(body.ids) - n_prefix, frame.capacity - n_prefix, overlap)
    n_front = len(frame.head) + n_prefix
    made = []
    for i, (start, end, keep_start, keep_end) in enumerate(spans):
        window = one_window(_part(body, n_prefix, start, end), frame)
        if i > 0:
            window.keep[: n_front + keep_start - start] = False
        if i < len(spans) - 1:
            window.keep[n_front + keep_end - start :] = False
        made.append(window)
    return made


def not_in(ids: NDArray[np.int64], skip: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which ids are not on the skip list; bool (n_tokens,)."""
    return np.isin(ids, skip, invert=True) if len(skip) else np.ones(len(ids), np.bool_)


def _part(body: Body, n_prefix: int, start: int, end: int) -> Body:
    """The prefix, and tokens `start` to `end` of what follows it."""
    chosen = np.r_[0:n_prefix, n_prefix + start : n_prefix + end]
    return Body(body.ids[chosen], body.offsets[chosen], n_prefix)


def _spans(n_tokens: int, size: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """Start and end of each window, and of the tokens kept from it.

    Kept ranges meet in the middle of what two windows share: there a token has as much context on
    its poorer side in the one as in the other. The last window is as long as the others.
    """
    overlap = min(overlap, size // 2)
    starts = [*range(0, n_tokens - size, size - overlap), n_tokens - size]
    seams = [(left + size + right) // 2 for left, right in itertools.pairwise(starts)]
    return [
        (start, start + size, first, last)
        for start, first, last in zip(starts, [0, *seams], [*seams, n_tokens], strict=True)
    ]


_NOTHING = TokenizedText(
    ids=np.empty(0, np.int64),
    attention=np.empty(0, np.int64),
    keep=np.empty(0, np.bool_),
    offsets=np.empty((0, 2), np.int64),
)
