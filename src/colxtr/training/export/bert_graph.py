"""BERT written as ONNX nodes: float32, or int8 products with ranges fixed beforehand.

A graph of our own, because shift and smoothing of an activation go into the gain and bias of the
normalisation before it, where they cost nothing. Knows nothing of texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.float32]
Weights = dict[str, Array]
Point = tuple[int, str]  # where an activation enters a matrix product: (layer, name)

# Which matrices read the activation at each point of a layer.
READERS = {
    "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "context": ("attention.output.dense",),
    "hidden": ("intermediate.dense",),
    "gelu": ("output.dense",),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a BERT."""

    layers: int
    heads: int
    hidden: int
    epsilon: float  # of LayerNorm


@dataclass(frozen=True)
class Quantisation:
    """An activation x enters as uint8 round((x - shift) / smooth / scale) + zero_point."""

    shift: Array  # (channels,)
    smooth: Array  # (channels,)
    scale: float
    zero_point: int


class Graph:
    """ONNX nodes and constants, named as they come."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        """The name of a new constant."""
        name = f"c{len(self.constants)}"
        array: NDArray[Any] = np.ascontiguousarray(np.asarray(value, dtype))
        array = array.reshape(np.shape(value))
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """The name of the output of a new node."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name

    def model(self, inputs: Sequence[str], outputs: dict[str, int]) -> onnx.ModelProto:
        """The finished model; outputs maps a value's name to its number of columns."""
        entering = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
            for name in inputs
        ]
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "length", columns])
            for name, columns in outputs.items()
        ]
        graph = helper.make_graph(self.nodes, "colxtr", entering, values, self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="colxtr")
        onnx.checker.check_model(model)
        return model


class Bert:
    """Writes the encoder as a graph: float32, or int8 products where `quantisation` is given.

    `masked`: with an attention mask. Without one texts in a batch must be of one length, and
    onnxruntime's attention goes through the scores tile by tile: a fifth faster for long texts.
    Its fused SkipLayerNormalization is slower than Add + LayerNormalization.
    """

    def __init__(
        self,
        weights: Weights,
        shape: Shape,
        quantisation: dict[Point, Quantisation] | None,
        *,
        masked: bool,
    ) -> None:
        self.graph = Graph()
        self.shape = shape
        self.weights = weights
        self.quantisation = quantisation
        self.inputs = ["input_ids", *(["attention_mask"] if masked else [])]
        self.entering: dict[str, int] = {}  # in the float model: every activation to calibrate

    def build(self, projection: Array | None) -> onnx.ModelProto:
        """The whole model, with the projection (hidden, dim) where there is one."""
        graph = self.graph
        self.mask = self._mask()
        x, entering = self._normalised(self._embed(), "embeddings.LayerNorm", (0, "qkv"))
        for layer in range(self.shape.layers):
            attended = graph.node("Add", self._attention(layer, entering), x)
            norm = f"encoder.layer.{layer}.attention.output.LayerNorm"
            x, entering = self._normalised(attended, norm, (layer, "hidden"))
            changed = graph.node("Add", self._feed_forward(layer, entering), x)
            norm = f"encoder.layer.{layer}.output.LayerNorm"
            x, entering = self._normalised(changed, norm, (layer + 1, "qkv"))
        if projection is not None:
            x = graph.node("MatMul", x, graph.constant(projection))
        graph.nodes[-1].output[0] = "token_embeddings"
        columns = self.shape.hidden if projection is None else projection.shape[1]
        return graph.model(self.inputs, {"token_embeddings": columns} | self.entering)

    def _mask(self) -> list[str]:
        """What attention gets after queries, keys, values: no bias and the mask, or nothing."""
        if "attention_mask" not in self.inputs:
            return []
        return ["", self.graph.node("Cast", "attention_mask", to=TensorProto.INT32)]

    def _embed(self) -> str:
        """Word rows from an int8 table with one scale per row, plus position and type rows."""
        graph, table = self.graph, self.weights["embeddings.word_embeddings.weight"]
        scales = np.maximum(np.abs(table).max(1, keepdims=True) / 127, 1e-12)
        rows = graph.node("Gather", graph.constant(np.rint(table / scales), np.int8), "input_ids")
        rows = graph.node("Cast", rows, to=TensorProto.FLOAT)
        rows = graph.node("Mul", rows, graph.node("Gather", graph.constant(scales), "input_ids"))
        positions = (
            self.weights["embeddings.position_embeddings.weight"]
            + self.weights["embeddings.token_type_embeddings.weight"][0]
        )
        length = graph.node("Slice", graph.node("Shape", "input_ids"), *self._span(1, 2))
        start = graph.constant([0], np.int64)
        return graph.node(
            "Add", rows, graph.node("Slice", graph.constant(positions), start, length)
        )

    def _span(self, begin: int, end: int) -> tuple[str, str]:
        return self.graph.constant([begin], np.int64), self.graph.constant([end], np.int64)

    def _normalised(self, x: str, name: str, point: Point) -> tuple[str, str]:
        """LayerNormalization for the residual path, and the same ready to enter a product.

        The second carries the shift and smoothing in its own gain and bias: cheaper than a Mul.
        """
        gain, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        residual = self._layer_norm(x, gain, bias)
        if self.quantisation is None or point[0] == self.shape.layers:
            return residual, self._entering(residual, point)
        q = self.quantisation[point]
        shifted = self._layer_norm(x, gain / q.smooth, (bias - q.shift) / q.smooth)
        return residual, self._entering(shifted, point)

    def _layer_norm(self, x: str, gain: Array, bias: Array) -> str:
        inputs = x, self.graph.constant(gain), self.graph.constant(bias)
        return self.graph.node("LayerNormalization", *inputs, axis=-1, epsilon=self.shape.epsilon)

    def _entering(self, x: str, point: Point) -> str:
        """Marks an activation (already shifted and smoothed) as entering a product; to uint8."""
        if point[0] == self.shape.layers:
            return x
        if self.quantisation is None:
            gelu = len(self.weights["encoder.layer.0.intermediate.dense.bias"])
            self.entering[x] = gelu if point[1] == "gelu" else self.shape.hidden
            return x
        q = self.quantisation[point]
        scale, zero = self.graph.constant(q.scale), self.graph.constant(q.zero_point, np.uint8)
        return self.graph.node("QuantizeLinear", x, scale, zero)

    def _product(self, x: str, weight: Array, bias: Array | None, point: Point) -> str:
        """The dense layer x @ weight.T + bias; int8 where the model is quantised."""
        graph = self.graph
        if self.quantisation is None:
            product = graph.node("MatMul", x, graph.constant(weight.T))
            return product if bias is None else graph.node("Add", product, graph.constant(bias))
        q = self.quantisation[point]
        smoothed = weight * q.smooth
        scales = np.abs(smoothed).max(1) / 127
        inputs = [
            x,
            graph.constant(np.rint(smoothed / scales[:, None]).T, np.int8),
            graph.constant(q.scale),
            graph.constant(scales),
            graph.constant(q.zero_point, np.uint8),
            graph.constant(np.zeros(len(scales)), np.int8),
        ]
        if bias is not None:
            inputs.append(graph.constant(bias))
        return graph.node("MatMulIntegerToFloat", *inputs, domain="com.microsoft")

    def _dense(self, layer: int, name: str, point: Point) -> tuple[Array, Array]:
        """Weight and bias of a dense layer; the bias takes back what the shift took away."""
        weight = self.weights[f"encoder.layer.{layer}.{name}.weight"]
        bias = self.weights[f"encoder.layer.{layer}.{name}.bias"]
        if self.quantisation is None:
            return weight, bias
        return weight, bias + weight @ self.quantisation[point].shift

    def _attention(self, layer: int, entering: str) -> str:
        graph, point, context = self.graph, (layer, "qkv"), (layer, "context")
        query, key, value = (self._dense(layer, name, point) for name in READERS["qkv"])
        if self.quantisation is not None:  # attention averages values: shift and smooth there
            q = self.quantisation[context]
            value = value[0] / q.smooth[:, None], (value[1] - q.shift) / q.smooth
        inputs = [self._product(entering, *dense, point) for dense in (query, key, value)]
        mixed = graph.node(
            "MultiHeadAttention",
            *inputs,
            *self.mask,
            domain="com.microsoft",
            num_heads=self.shape.heads,
        )
        dense = self._dense(layer, READERS["context"][0], context)
        return self._product(self._entering(mixed, context), *dense, context)

    def _feed_forward(self, layer: int, entering: str) -> str:
        graph, point = self.graph, (layer, "gelu")
        weight, bias = self._dense(layer, READERS["hidden"][0], (layer, "hidden"))
        x = self._product(entering, weight, None, (layer, "hidden"))
        x = graph.node("BiasGelu", x, graph.constant(bias), domain="com.microsoft")
        if self.quantisation is not None:
            x = graph.node("Mul", x, graph.constant(1 / self.quantisation[point].smooth))
        dense = self._dense(layer, READERS["gelu"][0], point)
        return self._product(self._entering(x, point), *dense, point)
