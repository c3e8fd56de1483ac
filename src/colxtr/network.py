"""One ONNX network: ids and maybe an attention mask in, token embeddings out.

Knows nothing of text. ONNX Runtime is imported when a network is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colxtr.cpus import adds_byte_products_exactly
from colxtr.errors import ModelError

_IDS, _MASK, _TYPES = "input_ids", "attention_mask", "token_type_ids"
_OUTPUT = "token_embeddings"
_REMEDY = "copy it again, or export the model again (colxtr export)"


class Network:
    """An ONNX network that is ready to run: in any thread, in several at once, and after a fork.

    A run uses no thread but its caller's.

    Args:
        path: The ONNX file.
        dim: What the embeddings must have.

    Attributes:
        masked: Whether texts of a batch may differ in length, because tokens can be hidden.

    Raises:
        ModelError: The file is damaged, or its inputs, output or dimension are not ours.
    """

    def __init__(self, path: Path, *, dim: int) -> None:
        self._path, self._dim = path, dim
        self._session = _open_session(path)
        inputs = {node.name: node.type for node in self._session.get_inputs()}
        _check_graph(path, inputs, self._session.get_outputs())
        self.masked = _MASK in inputs
        self._with_token_types = _TYPES in inputs
        self.run(np.zeros((1, 1), np.int64), np.ones((1, 1), np.int64))

    def run(self, ids: NDArray[np.int64], attention: NDArray[np.int64]) -> NDArray[np.float32]:
        """Run one batch.

        Args:
            ids: Vocabulary ids, (batch, length).
            attention: 1 for tokens to attend to, else 0; (batch, length). All 1 where the network
                is not `masked`.

        Returns:
            Token embeddings as the network makes them, (batch, length, dim).

        Raises:
            ModelError: The network fails, or its output has another shape.
        """
        feed = {_IDS: ids}
        if self.masked:
            feed[_MASK] = attention
        if self._with_token_types:
            feed[_TYPES] = np.zeros_like(ids)
        try:
            output: NDArray[np.float32] = self._session.run([_OUTPUT], feed)[0]
        except Exception as error:  # noqa: BLE001 - the runtime's errors share no base
            raise ModelError(
                f"{self._path} failed on a batch of {ids.shape[0]} x {ids.shape[1]} tokens: "
                f"{error}; see that tokenizer and lengths in colxtr.json belong to this network"
            ) from None
        if output.shape != (*ids.shape, self._dim):
            raise ModelError(
                f'{self._path}: "{_OUTPUT}" has the shape {output.shape} for {ids.shape} ids, not '
                f'{(*ids.shape, self._dim)}; correct "dim" in colxtr.json, or {_REMEDY}'
            )
        return output


def _open_session(path: Path) -> Any:
    import onnxruntime  # noqa: PLC0415 - loaded when a model is, not with the package

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # several batches at once need less waiting than one in parts
    options.inter_op_num_threads = 1
    # The way round sums that saturate takes 1.7 times as long, also where nothing saturates.
    if not adds_byte_products_exactly():
        options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 4  # failures are raised; nothing is printed besides
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - the runtime's errors share no base
        raise ModelError(f"{path} is not an ONNX network: {error}; {_REMEDY}") from None


def _check_graph(path: Path, inputs: dict[str, str], outputs: list[Any]) -> None:
    if not {_IDS} <= inputs.keys() <= {_IDS, _MASK, _TYPES}:
        raise ModelError(
            f"{path} has the inputs {sorted(inputs)}; it needs input_ids, and may have "
            f"attention_mask and token_type_ids; {_REMEDY}"
        )
    if wrong := [name for name, kind in inputs.items() if kind != "tensor(int64)"]:
        raise ModelError(
            f'{path}: the input "{wrong[0]}" is {inputs[wrong[0]]}, not tensor(int64); {_REMEDY}'
        )
    kinds = {node.name: node.type for node in outputs}
    if kinds.get(_OUTPUT) != "tensor(float)":
        raise ModelError(
            f'{path} has the outputs {kinds or "none"}; it needs "{_OUTPUT}" of tensor(float); '
            f"{_REMEDY}"
        )
