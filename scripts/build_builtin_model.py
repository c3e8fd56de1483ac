"""Builds the built-in encoder: all-MiniLM-L6-v2, projected to 128 dimensions, as int8 ONNX.

Nothing is trained. The projection is the span of the strongest directions of real token embeddings;
the int8 scales come from the ranges that activations take on real text. Same base folder and same
data folder, same bytes (up to the float rounding of the machine that runs it).

    python scripts/build_builtin_model.py --base MODEL_FOLDER --data DATA_FOLDER --output FOLDER

It knows nothing of the package: only the folder layout (colxtr.json) is shared with it.
"""

import argparse
import gzip
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

Array = NDArray[np.float32]
Weights = dict[str, Array]
Point = tuple[int, str]  # where an activation enters a matrix product: (layer, name)

LAYERS, HEADS, HIDDEN, DIM = 6, 12, 384, 128
QUERY_LENGTH, DOCUMENT_LENGTH = 48, 220
# Cranfield, Vaswani and SciFact stay out: they judge the result.
ENGLISH_SETS = [
    "awsdocs",
    "clapnq",
    "covidqa",
    "fairytaleqa",
    "medquad",
    "pubmedqa",
    "selqa",
    "squadshifts",
]
PROJECTION_TEXTS = 150  # documents, and as many queries, of every set
CALIBRATION_TEXTS = 15
WHITENING = -0.25  # power of an eigenvalue by which its direction is scaled
# Which matrices read the activation at each point of a layer.
READERS = {
    "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "context": ("attention.output.dense",),
    "hidden": ("intermediate.dense",),
    "gelu": ("output.dense",),
}
# How much of a channel's range moves from the activation into the weights (SmoothQuant's alpha),
# and the share of activations clipped at either end: the best of a grid by the product's error.
MIGRATION = {"qkv": 0.8, "context": 0.8, "hidden": 0.8, "gelu": 1.0}
CLIPPED = {"qkv": 1e-5, "context": 1e-4, "hidden": 1e-5, "gelu": 1e-4}


@dataclass(frozen=True)
class Quantisation:
    """An activation x enters as uint8 round((x - shift) / smooth / scale) + zero_point."""

    shift: Array  # (channels,)
    smooth: Array  # (channels,)
    scale: float
    zero_point: int


def read_safetensors(path: Path) -> Weights:
    """The float32 tensors of a safetensors file (8 bytes header length, JSON header, data)."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], np.float32).reshape(entry["shape"])
    return tensors


class Graph:
    """ONNX nodes and constants, named as they come."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: object, dtype: type = np.float32) -> str:
        """The name of a new constant."""
        name = f"c{len(self.constants)}"
        array = np.ascontiguousarray(np.asarray(value, dtype)).reshape(np.shape(value))
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        """The name of the output of a new node."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name

    def model(self, outputs: dict[str, int]) -> onnx.ModelProto:
        """The finished model; outputs maps a value's name to its number of columns."""
        ids_and_mask = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
            for name in ("input_ids", "attention_mask")
        ]
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "length", columns])
            for name, columns in outputs.items()
        ]
        graph = helper.make_graph(self.nodes, "colxtr", ids_and_mask, values, self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="colxtr")
        onnx.checker.check_model(model)
        return model


class Bert:
    """Writes the encoder as a graph: float32, or int8 products where `quantisation` is given.

    Plain Transpose/MatMul/Softmax attention and Add + LayerNormalization: onnxruntime's CPU kernels
    for the fused MultiHeadAttention and SkipLayerNormalization are slower.
    """

    def __init__(self, weights: Weights, quantisation: dict[Point, Quantisation] | None) -> None:
        self.graph = Graph()
        self.weights = weights
        self.quantisation = quantisation
        self.entering: dict[str, int] = {}  # in the float model: every activation to calibrate

    def build(self, projection: Array | None) -> onnx.ModelProto:
        """The whole model, with the projection (HIDDEN, DIM) where there is one."""
        graph = self.graph
        self.mask = self._mask()
        x, entering = self._normalised(self._embed(), "embeddings.LayerNorm", (0, "qkv"))
        for layer in range(LAYERS):
            attended = graph.node("Add", self._attention(layer, entering), x)
            norm = f"encoder.layer.{layer}.attention.output.LayerNorm"
            x, entering = self._normalised(attended, norm, (layer, "hidden"))
            changed = graph.node("Add", self._feed_forward(layer, entering), x)
            norm = f"encoder.layer.{layer}.output.LayerNorm"
            x, entering = self._normalised(changed, norm, (layer + 1, "qkv"))
        if projection is not None:
            x = graph.node("MatMul", x, graph.constant(projection))
        graph.nodes[-1].output[0] = "token_embeddings"
        columns = HIDDEN if projection is None else projection.shape[1]
        return graph.model({"token_embeddings": columns} | self.entering)

    def _mask(self) -> str:
        """0 for a token, -10000 for padding; adds to scores (batch, heads, length, length)."""
        graph = self.graph
        mask = graph.node("Cast", "attention_mask", to=TensorProto.FLOAT)
        mask = graph.node("Sub", mask, graph.constant(1.0))
        mask = graph.node("Mul", mask, graph.constant(10_000.0))
        return graph.node("Unsqueeze", mask, graph.constant([1, 2], np.int64))

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
        if self.quantisation is None or point[0] == LAYERS:
            return residual, self._entering(residual, point)
        q = self.quantisation[point]
        shifted = self._layer_norm(x, gain / q.smooth, (bias - q.shift) / q.smooth)
        return residual, self._entering(shifted, point)

    def _layer_norm(self, x: str, gain: Array, bias: Array) -> str:
        inputs = x, self.graph.constant(gain), self.graph.constant(bias)
        return self.graph.node("LayerNormalization", *inputs, axis=-1, epsilon=1e-12)

    def _entering(self, x: str, point: Point) -> str:
        """Marks an activation (already shifted and smoothed) as entering a product; to uint8."""
        if point[0] == LAYERS:
            return x
        if self.quantisation is None:
            self.entering[x] = 4 * HIDDEN if point[1] == "gelu" else HIDDEN
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

    def _heads(self, x: str, order: list[int]) -> str:
        shape = self.graph.constant([0, 0, HEADS, HIDDEN // HEADS], np.int64)
        return self.graph.node("Transpose", self.graph.node("Reshape", x, shape), perm=order)

    def _attention(self, layer: int, entering: str) -> str:
        graph, point, context = self.graph, (layer, "qkv"), (layer, "context")
        query, key, value = (self._dense(layer, name, point) for name in READERS["qkv"])
        scaling = np.float32((HIDDEN // HEADS) ** -0.5)
        query = query[0] * scaling, query[1] * scaling
        if self.quantisation is not None:  # attention averages values: shift and smooth there
            q = self.quantisation[context]
            value = value[0] / q.smooth[:, None], (value[1] - q.shift) / q.smooth
        q_heads = self._heads(self._product(entering, *query, point), [0, 2, 1, 3])
        k_heads = self._heads(self._product(entering, *key, point), [0, 2, 3, 1])
        v_heads = self._heads(self._product(entering, *value, point), [0, 2, 1, 3])
        scores = graph.node("Add", graph.node("MatMul", q_heads, k_heads), self.mask)
        mixed = graph.node("MatMul", graph.node("Softmax", scores, axis=-1), v_heads)
        mixed = graph.node("Transpose", mixed, perm=[0, 2, 1, 3])
        mixed = graph.node("Reshape", mixed, graph.constant([0, 0, HIDDEN], np.int64))
        dense = self._dense(layer, *READERS["context"], context)
        return self._product(self._entering(mixed, context), *dense, context)

    def _feed_forward(self, layer: int, entering: str) -> str:
        graph, point = self.graph, (layer, "gelu")
        weight, bias = self._dense(layer, *READERS["hidden"], (layer, "hidden"))
        x = self._product(entering, weight, None, (layer, "hidden"))
        x = graph.node("BiasGelu", x, graph.constant(bias), domain="com.microsoft")
        if self.quantisation is not None:
            x = graph.node("Mul", x, graph.constant(1 / self.quantisation[point].smooth))
        dense = self._dense(layer, *READERS["gelu"], point)
        return self._product(self._entering(x, point), *dense, point)


def texts(data: Path, name: str, count: int) -> Iterator[tuple[str, int]]:
    """The first documents and training queries of a set, with the length each is cut to."""
    judgements = (data / name / "qrels" / "train.tsv").read_text(encoding="utf-8").splitlines()
    trained = {line.split("\t")[0] for line in judgements[1:]}
    for file, length in (("corpus", DOCUMENT_LENGTH), ("queries", QUERY_LENGTH)):
        with gzip.open(data / name / f"{file}.jsonl.gz", "rt", encoding="utf-8") as lines:
            entries = map(json.loads, lines)
            wanted = (e for e in entries if file == "corpus" or e["_id"] in trained)
            for entry in islice(wanted, count):
                yield f"{entry.get('title') or ''} {entry['text']}".strip(), length


def run(
    session: onnxruntime.InferenceSession, tokenizer: Tokenizer, text: str, length: int
) -> list[Array]:
    """All outputs of the model for one text, each (n_tokens, columns)."""
    tokenizer.enable_truncation(length)
    ids = np.array([tokenizer.encode(text).ids], np.int64)
    outputs = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    return [output[0] for output in outputs]


def unit(x: Array) -> Array:
    """Rows of length 1."""
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def compute_projection(
    session: onnxruntime.InferenceSession, tokenizer: Tokenizer, data: Path
) -> Array:
    """The strongest 128 directions (uncentred) of unit token embeddings, partly whitened.

    Documents and queries count the same, and so does every set. Whitening by a quarter power keeps
    the few strongest directions, shared by all tokens, from filling every similarity.
    """
    moments = np.zeros((HIDDEN, HIDDEN))
    for name in ENGLISH_SETS:
        rows: dict[int, list[Array]] = {DOCUMENT_LENGTH: [], QUERY_LENGTH: []}
        for text, length in texts(data, name, PROJECTION_TEXTS):
            rows[length].append(unit(run(session, tokenizer, text, length)[0]))
        for side in rows.values():
            x = np.concatenate(side).astype(np.float64)
            moments += x.T @ x / len(x)
    strengths, directions = np.linalg.eigh(moments / moments.trace())
    strongest = directions[:, ::-1][:, :DIM]
    strongest = strongest * np.sign(strongest.sum(0)) * strengths[::-1][:DIM] ** WHITENING
    return strongest.astype(np.float32)


def calibrate(
    weights: Weights, session: onnxruntime.InferenceSession, tokenizer: Tokenizer, data: Path
) -> dict[Point, Quantisation]:
    """The shift, smoothing and range of every activation that enters a product."""
    points = [(layer, name) for layer in range(LAYERS) for name in READERS]
    seen: dict[Point, list[Array]] = {point: [] for point in points}
    for name in ENGLISH_SETS:
        for text, length in texts(data, name, CALIBRATION_TEXTS):
            for point, x in zip(points, run(session, tokenizer, text, length)[1:], strict=True):
                seen[point].append(x)
    return {point: quantise(weights, point, np.concatenate(seen.pop(point))) for point in points}


def quantise(weights: Weights, point: Point, x: Array) -> Quantisation:
    """Static int8 for one activation x (n_tokens, channels): SmoothQuant with a shift."""
    layer, name = point
    readers = [weights[f"encoder.layer.{layer}.{reader}.weight"] for reader in READERS[name]]
    # GELU's bias cannot take a shift, so its output keeps its own zero.
    shift = np.zeros(x.shape[1], np.float32) if name == "gelu" else x.mean(0)
    strength = np.abs(np.concatenate(readers)).max(0)
    smooth = (np.abs(x - shift).max(0) + 1e-6) ** MIGRATION[name]
    smooth /= strength ** (1 - MIGRATION[name])
    smooth /= np.exp(np.log(smooth).mean())
    clip = CLIPPED[name]
    low, high = np.quantile((x - shift) / smooth, [clip, 1 - clip])
    scale = (high - low) / 255
    zero_point = int(np.clip(np.rint(-low / scale), 0, 255))
    return Quantisation(shift, smooth.astype(np.float32), float(scale), zero_point)


def write_settings(folder: Path, tokenizer: Tokenizer) -> None:
    """tokenizer.json without padding and truncation, and colxtr.json."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    settings = {
        "format": "colxtr-encoder",
        "version": 1,
        "name": "colxtr-minilm-l6-128",
        "dim": DIM,
        "onnx": "model.onnx",
        "tokenizer": "tokenizer.json",
        "lowercase": False,
        "query_prefix": "",
        "document_prefix": "",
        "query_prefix_token": None,
        "document_prefix_token": None,
        "query_length": QUERY_LENGTH,
        "document_length": DOCUMENT_LENGTH,
        "query_expansion": False,
        "expansion_token": "[MASK]",
        "attend_to_expansion_tokens": False,
        "skip_tokens": ["[CLS]", "[SEP]"],
        "skip_query_tokens": [],
        "skip_punctuation": True,
        "title_separator": " ",
        "normalize": True,
        "pad_token": "[PAD]",
    }
    text = json.dumps(settings, indent=2) + "\n"
    (folder / "colxtr.json").write_text(text, encoding="utf-8")


def main() -> None:
    """Reads the arguments and builds the folder (model card and licence are written by hand)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--base", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--data", type=Path, required=True, help="folder of BEIR-layout sets")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--float", action="store_true", help="write float32, to measure int8 by")
    arguments = parser.parse_args()

    weights = read_safetensors(arguments.base / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(arguments.base / "tokenizer.json"))
    tokenizer.no_padding()
    float_model = Bert(weights, None).build(None).SerializeToString()
    session = onnxruntime.InferenceSession(float_model, providers=["CPUExecutionProvider"])
    projection = compute_projection(session, tokenizer, arguments.data)
    quantisation = calibrate(weights, session, tokenizer, arguments.data)

    arguments.output.mkdir(parents=True, exist_ok=True)
    model = Bert(weights, None if arguments.float else quantisation).build(projection)
    if arguments.float:  # only the embeddings: nobody calibrates on this one
        del model.graph.output[1:]
    onnx.save(model, str(arguments.output / "model.onnx"))
    write_settings(arguments.output, tokenizer)


if __name__ == "__main__":
    main()
