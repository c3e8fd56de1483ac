"""colxtr: late-interaction retrieval (ColBERTv2, XTR, ColXTR) over one small index.

    index = colxtr.Index.create("my.index")
    index.add(["The quick brown fox ...", {"id": "b", "title": "...", "text": "..."}])
    index.search("who jumps over the dog?")[0].text

Names are imported when they are first used, so that `import colxtr` costs next to nothing.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before anything imports onnxruntime

if TYPE_CHECKING:
    from colxtr.documents import Document
    from colxtr.encoder import Encoder
    from colxtr.encoder_config import EncoderConfig
    from colxtr.errors import ColxtrError
    from colxtr.evaluation.measures import Evaluation, evaluate
    from colxtr.hits import Explanation, Hit, TokenMatch
    from colxtr.index import Index
    from colxtr.info import IndexInfo
    from colxtr.tokens import Token

_HOMES = {
    "ColxtrError": "errors",
    "Document": "documents",
    "Encoder": "encoder",
    "EncoderConfig": "encoder_config",
    "Evaluation": "evaluation.measures",
    "Explanation": "hits",
    "Hit": "hits",
    "Index": "index",
    "IndexInfo": "info",
    "Token": "tokens",
    "TokenMatch": "hits",
    "evaluate": "evaluation.measures",
}

__all__ = [
    "ColxtrError",
    "Document",
    "Encoder",
    "EncoderConfig",
    "Evaluation",
    "Explanation",
    "Hit",
    "Index",
    "IndexInfo",
    "Token",
    "TokenMatch",
    "__version__",
    "evaluate",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - takes milliseconds

        return version("colxtr")
    if name not in _HOMES:
        raise AttributeError(f"module 'colxtr' has no attribute {name!r}")
    value = getattr(import_module(f"colxtr.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
