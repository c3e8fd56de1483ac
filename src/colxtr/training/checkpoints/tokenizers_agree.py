"""Does the tokenizer that transformers builds read text as the checkpoint's tokenizer.json does?

Transformers takes the vocabulary of that file and, for some classes, builds the rest anew: what the
file says of normalisation and of splitting may be lost. Knows nothing of models.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import tokenizers

_PROBES = (
    "The Quick brown fox, 12.5% (of it) - doesn't jump!",
    "NAÏVE Zürich ﬁne x² 東京  two  spaces",
    "snake_case x=y+1;\tand a tab",
)
_log = logging.getLogger("colxtr")


def warn_of_other_tokens(folder: Path, tokenizer: Any, *, lowercase: bool) -> str | None:
    """Log a warning, and return the text, where the two make different tokens of a text.

    Args:
        folder: Where tokenizer.json is; without it there is nothing to compare.
        tokenizer: The one that transformers built.
        lowercase: Whether the model lower-cases text before its tokenizer sees it.
    """
    path = folder / "tokenizer.json"
    if not path.is_file() or not getattr(tokenizer, "is_fast", False):
        return None
    file = tokenizers.Tokenizer.from_file(str(path))
    for probe in _PROBES:
        text = probe.lower() if lowercase else probe
        theirs = file.encode(text, add_special_tokens=False).tokens
        ours = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).tokens
        if theirs != ours:
            message = (
                f"{path} makes {theirs} of {text!r}, the {type(tokenizer).__name__} that "
                f"transformers builds from it {ours}; if the model was made with the file, put "
                '"tokenizer_class": "PreTrainedTokenizerFast" in tokenizer_config.json'
            )
            _log.warning(message)
            return message
    return None
