"""From a checkpoint to the ONNX folder that `colxtr.Encoder.load` reads (docs/encoder-folder.md).

    folder.py         `export_onnx`: the whole folder or nothing
    settings.py       what colxtr.json says of a model
    graph.py          torch to ONNX, float32
    dynamic_int8.py   any network in int8, ranges of activations found as it runs
    static_int8.py    BERT in int8, ranges found beforehand on texts: faster
    bert_graph.py     BERT written as ONNX nodes, for the former
    agreement.py      does the folder do what the model does?
    card.py           licence and credit

Knows nothing of training. Importing it does not import torch.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ExportReport", "export", "export_onnx"]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from colxtr.training.export import folder  # noqa: PLC0415

    return getattr(folder, name)
