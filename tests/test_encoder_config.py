import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import tiny_models
from colxtr.encoder_config import EncoderConfig
from colxtr.errors import ModelError


def test_a_config_survives_writing_and_reading(tmp_path: Path) -> None:
    tiny_models.make_encoder_folder(tmp_path)
    config = EncoderConfig(
        name="Ünïcode", dim=96, query_prefix="query: ", query_prefix_token="fox", skip_tokens=("s",)
    )
    config.write(tmp_path)
    assert EncoderConfig.read(tmp_path) == config


def test_what_is_left_out_has_the_default(tmp_path: Path) -> None:
    config = EncoderConfig.read(tiny_models.make_encoder_folder(tmp_path))
    assert config == EncoderConfig(name="tiny", dim=16)


def test_every_key_is_documented() -> None:
    assert EncoderConfig.__doc__ is not None
    for field in fields(EncoderConfig):
        assert f"        {field.name}: " in EncoderConfig.__doc__


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dims": 128}, "unknown key 'dims'"),
        ({"name": ""}, '"name" is empty'),
        ({"dim": 20}, '"dim" is 20; it must be a multiple of 8 from 16 to 1024'),
        ({"dim": 8}, '"dim" is 8'),
        ({"dim": 1032}, '"dim" is 1032'),
        ({"dim": 128.0}, '"dim" is 128.0; it must be an integer'),
        ({"dim": True}, '"dim" is True; it must be an integer'),
        ({"dim": None}, '"dim" is None'),
        ({"lowercase": "yes"}, "\"lowercase\" is 'yes'; it must be true or false"),
        ({"lowercase": 1}, '"lowercase" is 1'),
        ({"query_length": 0}, '"query_length" is 0; it must be 1 to 32768 tokens'),
        ({"document_length": 10**9}, '"document_length" is 1000000000'),
        ({"query_prefix": None}, '"query_prefix" is None; it must be a string'),
        ({"query_prefix": "\ud800"}, "half a surrogate pair"),
        ({"query_prefix_token": 3}, '"query_prefix_token" is 3; it must be a string or null'),
        ({"skip_tokens": "[CLS]"}, "\"skip_tokens\" is '[CLS]'; it must be a list of strings"),
        ({"skip_tokens": [1]}, '"skip_tokens" is (1,)'),
        ({"skip_tokens": {"[CLS]": 1}}, "it must be a list of strings"),
        ({"skip_query_tokens": ["\udfff"]}, "half a surrogate pair"),
        ({"onnx": "../model.onnx"}, "plain name of a .onnx file inside the folder"),
        ({"onnx": "..\\model.onnx"}, "plain name"),
        ({"onnx": "/etc/model.onnx"}, "plain name"),
        ({"onnx": "C:model.onnx"}, "plain name"),
        ({"onnx": "model.bin"}, "plain name of a .onnx file"),
        ({"onnx": "other.onnx"}, "names the file 'other.onnx', which is not in"),
        ({"tokenizer": "sub/tokenizer.json"}, "plain name of a .json file"),
        ({"tokenizer": "none.json"}, "names the file 'none.json'"),
        ({"format": "other"}, "\"format\" is 'other'"),
        ({"version": 2}, '"version" is 2; this colxtr reads version 1'),
        ({"version": True}, '"version" is True'),
    ],
)
def test_a_bad_value_is_named_with_file_and_remedy(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    tiny_models.make_encoder_folder(tmp_path, **settings)
    with pytest.raises(ModelError) as caught:
        EncoderConfig.read(tmp_path)
    assert message in str(caught.value)
    assert str(tmp_path / "colxtr.json") in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1]", "holds a list, not a JSON object"),
        (b"{}", '"format" is None'),
        (b'{"format": "colxtr-encoder", "version": 1, "dim": 16}', 'key "name" is missing'),
        (b'{"format": "colxtr-encoder", "version": 1, "name": "x"}', 'key "dim" is missing'),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "colxtr.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"colxtr\.json") as caught:
        EncoderConfig.read(tmp_path)
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"colxtr\.json cannot be read: No such file"):
        EncoderConfig.read(tmp_path)


def test_writing_into_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be written"):
        EncoderConfig(name="x", dim=16).write(tmp_path / "none")


def test_written_files_are_for_people(tmp_path: Path) -> None:
    EncoderConfig(name="x", dim=16).write(tmp_path)
    text = (tmp_path / "colxtr.json").read_text(encoding="utf-8")
    assert list(json.loads(text))[:4] == ["format", "version", "name", "dim"]
    assert text.count("\n") > len(fields(EncoderConfig))
