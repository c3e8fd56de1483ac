"""Any float32 network in int8: weights with a scale per output, activations as they come.

The range of an activation is found anew in each run, over the whole batch: an embedding depends a
little on what else is in its batch. Knows nothing of models.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from colxtr.training.libraries import only_errors

_SMALLEST_TABLE = 1_000  # rows; smaller ones (positions, T5's distances) stay as they are


def write_dynamic_int8(source: Path, target: Path) -> None:
    """Write the int8 form of a float32 network.

    Args:
        source: The float32 ONNX file.
        target: The int8 ONNX file; weights over 2 GB beside it.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    model = onnx.load(str(source))
    large = model.ByteSize() > 1.9e9
    with only_errors("root"):  # it advises a preparation that has nothing to do here
        quantize_dynamic(
            model,
            str(target),
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=large,
        )
    model = onnx.load(str(target))
    for table in _tables(model):
        _quantise_rows(model, table)
    target.with_name(target.name + ".data").unlink(missing_ok=True)
    onnx.save(model, str(target), save_as_external_data=model.ByteSize() > 1.9e9)


def _tables(model: onnx.ModelProto) -> list[str]:
    """Names of the float matrices that rows are taken from, and nothing else is done with."""
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return [
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT
        and len(tensor.dims) == 2
        and tensor.dims[0] >= _SMALLEST_TABLE
        and all(_takes_rows(node, tensor.name) for node in readers.get(tensor.name, []))
    ]


def _takes_rows(node: onnx.NodeProto, table: str) -> bool:
    axes = [attribute.i for attribute in node.attribute if attribute.name == "axis"]
    return node.op_type == "Gather" and node.input[0] == table and axes in ([], [0])


def _quantise_rows(model: onnx.ModelProto, name: str) -> None:
    """Replace a table by its int8 form with one scale per row (in place)."""
    graph = model.graph
    (tensor,) = (tensor for tensor in graph.initializer if tensor.name == name)
    table = numpy_helper.to_array(tensor)
    scales = np.maximum(np.abs(table).max(1, keepdims=True) / 127, np.float32(1e-12))
    codes = np.rint(table / scales).astype(np.int8)
    graph.initializer.remove(tensor)
    graph.initializer.append(numpy_helper.from_array(codes, f"{name}.codes"))
    graph.initializer.append(numpy_helper.from_array(scales.astype(np.float32), f"{name}.scales"))
    for node in [node for node in graph.node if name in node.input]:
        place = list(graph.node).index(node)
        rows, ids = node.output[0], node.input[1]
        new = [
            helper.make_node("Gather", [f"{name}.codes", ids], [f"{rows}.codes"]),
            helper.make_node("Cast", [f"{rows}.codes"], [f"{rows}.float"], to=TensorProto.FLOAT),
            helper.make_node("Gather", [f"{name}.scales", ids], [f"{rows}.scales"]),
            helper.make_node("Mul", [f"{rows}.float", f"{rows}.scales"], [rows]),
        ]
        graph.node.remove(node)
        for offset, each in enumerate(new):
            graph.node.insert(place + offset, each)
