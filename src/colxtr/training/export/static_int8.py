"""BERT in int8 with ranges of activations found beforehand, on texts (SmoothQuant with a shift).

An embedding does not depend on what else is in its batch, and nothing is measured while the network
runs. Knows nothing of folders.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from sentence_transformers.base.modules.dense import Dense

from colxtr.errors import InputError, ModelError
from colxtr.training.export.bert_graph import (
    READERS,
    Array,
    Bert,
    Point,
    Quantisation,
    Shape,
    Weights,
)
from colxtr.training.export.settings import head_of

# How much of a channel's range moves from the activation into the weights (SmoothQuant's alpha),
# and the share of activations clipped at either end: the best of a grid by the product's error,
# for all-MiniLM-L6-v2.
_MIGRATION = {"qkv": 0.8, "context": 0.8, "hidden": 0.8, "gelu": 1.0}
_CLIPPED = {"qkv": 1e-5, "context": 1e-4, "hidden": 1e-5, "gelu": 1e-4}


def check_static(model: Any) -> None:
    """Raise `ModelError` unless the model is a BERT with a head of one matrix."""
    config, head = model[0].config, head_of(model)
    plain = (
        len(head) == 1
        and isinstance(head[0], Dense)
        and not head[0].bias
        and not head[0].use_residual
        and isinstance(head[0].activation_function, torch.nn.Identity)
    )
    if config.model_type != "bert" or config.hidden_act != "gelu" or not plain:
        raise ModelError(
            "int8 with ranges found beforehand is written for BERT with GELU and one matrix as "
            f"its head; this is {config.model_type} with {len(head)} modules behind it: leave the "
            "calibration texts out"
        )


def write_static_int8(
    model: Any, documents: list[str], queries: list[str], target: Path, *, masked: bool
) -> None:
    """Write the int8 network of a BERT; `check_static` has been passed.

    Args:
        model: A MultiVectorEncoder.
        documents: Texts to find the ranges of activations on.
        queries: The same.
        target: The ONNX file.
        masked: Whether there are tokens that others do not attend to.

    Raises:
        InputError: There is no text.
    """
    if not documents and not queries:
        raise InputError("there are no texts to calibrate int8 on; give some hundreds")
    config = model[0].config
    shape = Shape(
        config.num_hidden_layers,
        config.num_attention_heads,
        config.hidden_size,
        config.layer_norm_eps,
    )
    weights = {
        name: tensor.detach().float().cpu().numpy()
        for name, tensor in model[0].model.state_dict().items()
    }
    quantisation = _calibrate(weights, shape, _inputs(model, documents, queries))
    head: Any = head_of(model)[0]
    projection = head.linear.weight.detach().float().cpu().numpy().T
    network = Bert(weights, shape, quantisation, masked=masked).build(projection)
    onnx.save(network, str(target))


def _inputs(model: Any, documents: list[str], queries: list[str]) -> Iterator[dict[str, Any]]:
    """Ids and mask of each text, (1, length), as the model encodes it."""
    for texts, task in ((documents, "document"), (queries, "query")):
        prompt = (model.prompts or {}).get(task) or None
        for text in texts:
            features = model.preprocess([text], prompt=prompt, task=task)
            yield {name: features[name].numpy() for name in ("input_ids", "attention_mask")}


def _calibrate(
    weights: Weights, shape: Shape, inputs: Iterator[dict[str, Any]]
) -> dict[Point, Quantisation]:
    """The shift, smoothing and range of every activation that enters a product."""
    session = onnxruntime.InferenceSession(
        Bert(weights, shape, None, masked=True).build(None).SerializeToString(),
        providers=["CPUExecutionProvider"],
    )
    points = [(layer, name) for layer in range(shape.layers) for name in READERS]
    seen: dict[Point, list[Array]] = {point: [] for point in points}
    for feed in inputs:
        outputs = session.run(None, feed)
        for point, x in zip(points, outputs[1:], strict=True):
            seen[point].append(x[0])
    return {point: _quantise(weights, point, np.concatenate(seen.pop(point))) for point in points}


def _quantise(weights: Weights, point: Point, x: Array) -> Quantisation:
    """Static int8 for one activation x (n_tokens, channels): SmoothQuant with a shift."""
    layer, name = point
    readers = [weights[f"encoder.layer.{layer}.{reader}.weight"] for reader in READERS[name]]
    # GELU's bias cannot take a shift, so its output keeps its own zero.
    shift = np.zeros(x.shape[1], np.float32) if name == "gelu" else x.mean(0)
    strength = np.abs(np.concatenate(readers)).max(0)
    smooth = (np.abs(x - shift).max(0) + 1e-6) ** _MIGRATION[name]
    smooth /= np.maximum(strength, 1e-6) ** (1 - _MIGRATION[name])
    smooth /= np.exp(np.log(smooth).mean())
    clip = _CLIPPED[name]
    low, high = np.quantile((x - shift) / smooth, [clip, 1 - clip])
    low, high = min(low, 0.0), max(high, 0.0)  # zero must have a code
    scale = max(float(high - low), 1e-6) / 255
    zero_point = int(np.clip(np.rint(-low / scale), 0, 255))
    return Quantisation(shift, smooth.astype(np.float32), scale, zero_point)
