"""Which part of a prompt is a vocabulary token, and which is text. Knows nothing of models."""

from __future__ import annotations

from typing import Any, NamedTuple

_PROBES = ("word", "Word", "1")


class Prefix(NamedTuple):
    """What stands before a text: a token of the vocabulary (ColBERT's marker), then text."""

    token: str | None
    text: str


def split_prefix(tokenizer: Any, prompt: str | None) -> Prefix:
    """Split a prompt of sentence-transformers, which is text, as the tokenizer reads it.

    Args:
        tokenizer: A fast tokenizer of transformers.
        prompt: "[unused0] ", "Query: ", None, ...

    Returns:
        The token at its start, if an added token is there; and the rest. White space behind a
        token is left out where it makes no difference.
    """
    if not prompt:
        return Prefix(None, "")
    for token in sorted(tokenizer.added_tokens_encoder, key=len, reverse=True):
        if prompt.startswith(token):
            rest = prompt[len(token) :]
            if rest.isspace() and _same_tokens(tokenizer, token, rest):
                rest = ""
            return Prefix(token, rest)
    return Prefix(None, prompt)


def _same_tokens(tokenizer: Any, token: str, blank: str) -> bool:
    return all(
        tokenizer.tokenize(token + blank + probe)[1:] == tokenizer.tokenize(probe)
        for probe in _PROBES
    )
