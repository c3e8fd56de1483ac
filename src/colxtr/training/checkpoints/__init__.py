"""Checkpoints of late-interaction models: every layout of the field in, one layout out.

    layouts.py      which layout a folder has, told from its files
    load.py         `load_model`: a folder or hub id becomes a MultiVectorEncoder
    builders.py     how each layout is put together
    weights.py      tensors of a checkpoint, and the proof that a model really has them
    tokenizers_agree.py  is text read as tokenizer.json says?
    projection.py   new projections, random or started from token embeddings
    eos_mean.py     a layer that sentence-transformers lacks (PrimeQA)
    query_weights.py  another: weights of query tokens
    prefixes.py     which part of a prompt is a vocabulary token
    credit.py       licence and card, which go with what is made of a checkpoint
    save.py         `save_model`: a folder for PyLate and sentence-transformers 6

Knows nothing of training and of ONNX. Importing it does not import torch.
"""

from __future__ import annotations

from typing import Any

from colxtr.training.checkpoints.layouts import Layout, detect_layout

__all__ = [
    "Layout",
    "detect_layout",
    "initialise_projection",
    "initialise_query_weights",
    "load_model",
    "save_model",
]

_HOMES = {
    "load_model": "colxtr.training.checkpoints.load",
    "save_model": "colxtr.training.checkpoints.save",
    "initialise_projection": "colxtr.training.checkpoints.projection",
    "initialise_query_weights": "colxtr.training.checkpoints.query_weights",
}


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES[name]), name)
