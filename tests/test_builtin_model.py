"""The built-in model's folder: complete, small, valid, close to the float model it came from.

Runs onnxruntime and tokenizers directly; the Encoder has tests of its own.
"""

import json
import os
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

FOLDER = Path(__file__).parents[1] / "src" / "colxtr" / "models" / "builtin"
EXPECTED = Path(__file__).parent / "data" / "builtin_float_embeddings.json"
SHORT = "Aspirin lowers the risk of a heart attack."
LONG = "The index keeps a centroid and a quantised residual for every token of a document. " * 12


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        str(FOLDER / "model.onnx"), providers=["CPUExecutionProvider"]
    )


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


def encode(
    session: onnxruntime.InferenceSession, tokenizer: Tokenizer, texts: list[str]
) -> NDArray[np.float32]:
    """The raw embeddings (text, n_tokens, dim) of texts of one length that travel in one batch."""
    ids = np.array([tokenizer.encode(text).ids for text in texts], np.int64)
    (output,) = session.run(None, {"input_ids": ids})
    return output


def unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_folder_is_complete():
    names = {path.name for path in FOLDER.iterdir() if path.is_file()}
    assert names >= {"LICENSE", "MODEL_CARD.md", "colxtr.json", "model.onnx", "tokenizer.json"}
    assert "query_weights.npy" in names


def test_folder_is_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 25_000_000


def test_licence_is_that_of_the_repository():
    root = Path(__file__).parents[1]
    assert (FOLDER / "LICENSE").read_text() == (root / "LICENSE").read_text()


def test_card_names_origin_licence_and_changes():
    card = (FOLDER / "MODEL_CARD.md").read_text()
    for words in ("all-MiniLM-L6-v2", "Apache-2.0", "How it was trained", "build_builtin_model.py"):
        assert words in card


def test_settings():
    settings = json.loads((FOLDER / "colxtr.json").read_text())
    assert settings["format"] == "colxtr-encoder"
    assert settings["version"] == 1
    assert settings["dim"] == 128
    assert (FOLDER / settings["onnx"]).is_file()
    assert (FOLDER / settings["tokenizer"]).is_file()


def test_settings_name_tokens_of_the_vocabulary(tokenizer):
    settings = json.loads((FOLDER / "colxtr.json").read_text())
    named = [settings["pad_token"], settings["expansion_token"], *settings["skip_tokens"]]
    assert [token for token in named if tokenizer.token_to_id(token) is None] == []
    assert tokenizer.token_to_id(settings["pad_token"]) == 0


def test_tokenizer_neither_pads_nor_cuts(tokenizer):
    assert tokenizer.padding is None
    assert tokenizer.truncation is None


def test_inputs_and_output(session):
    inputs = {value.name: (value.type, value.shape) for value in session.get_inputs()}
    shape = ["batch", "length"]
    assert inputs == {"input_ids": ("tensor(int64)", shape)}
    (output,) = session.get_outputs()
    assert output.name == "token_embeddings"
    assert output.type == "tensor(float)"
    assert output.shape == [*shape, 128]


@pytest.mark.parametrize("length", [1, 2, 511, 512])
def test_lengths_up_to_the_number_of_positions(session, length):
    ids = np.full((1, length), 2003, np.int64)
    (output,) = session.run(None, {"input_ids": ids})
    assert output.shape == (1, length, 128)
    assert np.isfinite(output).all()


def test_a_text_does_not_depend_on_its_batch(session, tokenizer):
    # Static int8: nothing is rounded by what else is in the batch. Only the order of float sums
    # may differ, which can move an activation across a rounding step.
    for text, word in ((SHORT, "heart"), (LONG, "document")):
        others = [text.replace(word, other) for other in ("water", "music", "tree")]
        (alone,) = encode(session, tokenizer, [text])
        beside = encode(session, tokenizer, [*others, text])[-1]
        assert (unit(alone) * unit(beside)).sum(1).min() > 0.9999


def test_int8_stays_close_to_float(session, tokenizer):
    expected = json.loads(EXPECTED.read_text())
    assert tokenizer.encode(expected["text"]).tokens == expected["tokens"]
    (actual,) = encode(session, tokenizer, [expected["text"]])
    cosines = (unit(actual) * unit(np.array(expected["embeddings"], np.float32))).sum(1)
    assert cosines.min() > 0.98
    assert cosines.mean() > 0.99
