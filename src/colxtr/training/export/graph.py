"""Torch to ONNX: encoder and head as one float32 network with any batch and any length.

Knows nothing of text and of settings.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from colxtr.errors import MissingDependencyError, ModelError

_OPSET = 18
_EXAMPLE = 2, 7  # batch and length; neither 1, which the exporter would take for a constant


class _Network(torch.nn.Module):
    """ids and mask (batch, length) to token embeddings (batch, length, dim)."""

    def __init__(self, encoder: torch.nn.Module, head: list[torch.nn.Module]) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = torch.nn.ModuleList(head)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        output = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        features: dict[str, torch.Tensor] = {
            "token_embeddings": output.last_hidden_state,
            "attention_mask": attention_mask,
        }
        for module in self.head:
            features = module(features)
        return features["token_embeddings"]


def write_float_graph(encoder: Any, head: list[torch.nn.Module], path: Path) -> None:
    """Write encoder and head as a float32 ONNX file (weights over 2 GB beside it).

    Attention is written out ("eager"): the exporter cannot take apart the fused kinds of T5.

    Raises:
        MissingDependencyError: onnxscript is not installed.
        ModelError: The exporter cannot write the encoder.
    """
    device = next(encoder.parameters()).device
    ids = torch.ones(_EXAMPLE, dtype=torch.int64, device=device)
    mask = torch.ones_like(ids)
    mask[1, -2:] = 0
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    with _eager(encoder), _silent():
        try:
            program = torch.onnx.export(
                _Network(encoder, head).eval(),
                (ids, mask),
                dynamo=True,
                input_names=["input_ids", "attention_mask"],
                output_names=["token_embeddings"],
                dynamic_shapes=(axes, axes),
                opset_version=_OPSET,
                verbose=False,
            )
        except ImportError as error:
            raise MissingDependencyError(
                f'exporting needs "{error.name}": pip install "colxtr[train]"'
            ) from error
        except Exception as error:
            raise ModelError(
                f"the {type(encoder).__name__} cannot be written as ONNX: "
                f"{str(error).strip().partition(chr(10))[0]}"
            ) from error
        assert program is not None  # dynamo=True always returns one
        program.save(str(path), external_data=_bytes(encoder, head) > 1.9e9)


def _bytes(encoder: Any, head: list[torch.nn.Module]) -> int:
    parameters = [*encoder.parameters(), *(p for module in head for p in module.parameters())]
    return sum(parameter.numel() * 4 for parameter in parameters)


@contextlib.contextmanager
def _eager(encoder: Any) -> Iterator[None]:
    before = encoder.config._attn_implementation
    encoder.set_attn_implementation("eager")
    try:
        yield
    finally:
        encoder.set_attn_implementation(before)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the exporter's notes about itself from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
