"""Exported folders against the references of the layouts, through `colxtr.Encoder`; the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import made_checkpoints as made
import numpy as np
import onnx
import pytest
from made_checkpoints import TEXTS, Made, assert_alike

import colxtr
from colxtr.encoder_config import EncoderConfig
from colxtr.errors import InputError, ModelError
from colxtr.training.checkpoints import load_model
from colxtr.training.export import export, export_onnx
from colxtr.training.export.agreement import token_cosine


def modern_bert(folder: Path) -> Any:
    return load_model(made.plain(folder, "modernbert")[0], dim=made.DIM, device="cpu")


def t5(folder: Path) -> Any:
    return load_model(made.xtr(folder).folder, device="cpu")


LAYOUTS: dict[str, Callable[[Path], Made]] = {
    "stanford": made.stanford,
    "sentence-transformers": made.sentence_transformers_6,
    "xtr": made.xtr,
    "primeqa": made.primeqa,
}


@dataclass(frozen=True)
class Exported:
    made: Made
    folder: Path
    encoder: colxtr.Encoder


@pytest.fixture(scope="module", params=LAYOUTS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("export")
    checkpoint = LAYOUTS[request.param](folder / "checkpoint")
    target = export_onnx(checkpoint.folder, folder / "encoder", quantize=None)
    return Exported(checkpoint, target, colxtr.Encoder.load(target))


def check(encoder: colxtr.Encoder, reference: Callable[[str, str], made.Array]) -> None:
    for task, encode in (
        ("query", encoder.encode_queries),
        ("document", encoder.encode_documents),
    ):
        for text, rows in zip(TEXTS, encode(TEXTS), strict=True):  # batches with padding
            assert_alike(rows, reference(text, task))
            assert_alike(encode([text])[0], reference(text, task))


def test_float32_gives_what_the_reference_gives(exported: Exported) -> None:
    check(exported.encoder, exported.made.reference)


def test_titles_stand_before_texts(exported: Exported) -> None:
    (rows,) = exported.encoder.encode_documents([{"id": "a", "title": "The red", "text": "fox"}])
    assert_alike(rows, exported.made.reference("The red fox", "document"))


def test_an_empty_text_has_no_embeddings(exported: Exported) -> None:
    queries = exported.encoder.encode_queries(["", "fox", " "])
    documents = exported.encoder.encode_documents(["", "fox", " "])
    for rows in (queries[0], queries[2], documents[0], documents[2]):
        assert rows.shape == (0, made.DIM)
    assert_alike(queries[1], exported.made.reference("fox", "query"))


def test_a_folder_holds_what_the_format_says(exported: Exported) -> None:
    names = {path.name for path in exported.folder.iterdir()}
    assert names == {"colxtr.json", "tokenizer.json", "model.onnx", "MODEL_CARD.md"}
    model = onnx.load(exported.folder / "model.onnx")
    assert [node.name for node in model.graph.input] == ["input_ids", "attention_mask"]
    assert [node.name for node in model.graph.output] == ["token_embeddings"]
    sizes = model.graph.output[0].type.tensor_type.shape.dim
    assert sizes[2].dim_value == made.DIM
    assert not sizes[0].dim_value
    assert not sizes[1].dim_value


def test_settings_of_a_colbert(tmp_path: Path) -> None:
    from colxtr.training.export.settings import encoder_config

    model = load_model(made.stanford(tmp_path / "s").folder, device="cpu")
    config = encoder_config(model, "fox")
    assert config.query_prefix_token == "[unused0]"
    assert config.document_prefix_token == "[unused1]"
    assert (config.query_prefix, config.document_prefix) == ("", "")
    assert (config.query_length, config.document_length) == (20, 40)
    assert (config.query_expansion, config.expansion_token) == (True, "[MASK]")
    assert not config.attend_to_expansion_tokens
    assert len(config.skip_tokens) == 32
    assert config.skip_query_tokens == ()
    assert config.normalize


def refused(change: Callable[[Any], None], folder: Path, words: str) -> None:
    model = load_model(made.stanford(folder).folder, device="cpu")
    change(model)
    with pytest.raises(ModelError, match=words):
        export_onnx(model, folder / "out")
    assert not (folder / "out").exists()


def test_what_a_folder_cannot_say(tmp_path: Path) -> None:
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    def pad_left(model: Any) -> None:
        model.tokenizer.padding_side = "left"

    def pool(model: Any) -> None:
        model.append(HierarchicalTokenPooling())

    def expand(model: Any) -> None:
        model[0].query_expansion = {"strategy": "min", "length": 9}

    def allow(model: Any) -> None:
        model[2].keep_only_token_ids = [7]

    refused(pad_left, tmp_path / "1", "on the left")
    refused(pool, tmp_path / "2", "HierarchicalTokenPooling")
    refused(expand, tmp_path / "3", '"min"')

    def lengthen(model: Any) -> None:
        model[0].document_length = 999

    refused(allow, tmp_path / "4", "keep_only_token_ids")
    refused(lengthen, tmp_path / "5", "document_length=64")


def test_a_network_that_disagrees_is_not_handed_over(exported: Exported) -> None:
    model = load_model(exported.made.folder, device="cpu")
    assert token_cosine(model, exported.folder, exact=True) > 0.99999
    model[1].linear.weight.data[0] *= 1.1
    with pytest.raises(ModelError, match="disagrees with the model"):
        token_cosine(model, exported.folder, exact=True)
    model[1].linear.weight.data.normal_()
    with pytest.raises(ModelError, match="export it in float32"):
        token_cosine(model, exported.folder, exact=False)


# -- int8 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("attends", [False, True])
def test_both_kinds_with_calibration(attends: bool, tmp_path: Path) -> None:
    checkpoint = made.pylate(tmp_path / "c", attend=attends)
    report = export(
        checkpoint.folder,
        tmp_path / "out",
        quantize="both",
        calibration=[text[:200] for text in TEXTS] * 3,
        calibration_queries=TEXTS[:3],
    )
    assert report.cosines["float32"] > 0.99999
    assert 0.96 < report.cosines["int8"] < 0.99999
    assert {path.name for path in report.folder.iterdir()} == {"float32", "int8"}
    network = onnx.load(tmp_path / "out" / "int8" / "model.onnx")
    inputs = [node.name for node in network.graph.input]
    assert inputs == (["input_ids"] if attends else ["input_ids", "attention_mask"])
    small, exact = (colxtr.Encoder.load(tmp_path / "out" / kind) for kind in ("int8", "float32"))
    assert small.name != exact.name
    check(exact, checkpoint.reference)
    text = "the red fox running over 9 foxs"
    alone, beside = small.encode_queries([text])[0], small.encode_queries([text, *TEXTS])[0]
    assert_alike(alone, beside)  # nothing else in the batch moves a range
    assert_alike(alone, exact.encode_queries([text])[0], least=0.95)


@pytest.mark.parametrize("build", [t5, modern_bert])
def test_int8_of_any_network(build: Callable[[Path], Any], tmp_path: Path) -> None:
    model = build(tmp_path / "c").train()
    attention = model[0].model.config._attn_implementation
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = export(model, tmp_path / "out", quantize="both")
    assert report.cosines["float32"] > 0.99999
    assert 0.97 < report.cosines["int8"] < 0.99999
    kinds = {
        node.op_type for node in onnx.load(tmp_path / "out" / "int8" / "model.onnx").graph.node
    }
    assert "MatMulInteger" in kinds or "DynamicQuantizeMatMul" in kinds

    assert model.training  # and nothing else of the model has changed
    assert model[0].model.config._attn_implementation == attention
    assert all(bool((value == before[name]).all()) for name, value in model.state_dict().items())


def test_large_tables_become_int8_by_rows(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper

    from colxtr.training.export.dynamic_int8 import write_dynamic_int8

    table = np.random.default_rng(0).standard_normal((1500, 16), dtype=np.float32)
    table *= np.geomspace(1e-3, 1e3, 1500, dtype=np.float32)[:, None]  # no scale fits all rows
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["rows"])],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["b", "n"])],
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["b", "n", 16])],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "float.onnx")
    write_dynamic_int8(tmp_path / "float.onnx", tmp_path / "int8.onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "int8.onnx"))
    (rows,) = session.run(None, {"ids": np.arange(1500, dtype=np.int64)[None]})
    error = np.abs(rows[0] - table).max(1) / np.abs(table).max(1)
    assert 0 < error.max() < 0.5 / 127 * 1.01
    assert (tmp_path / "int8.onnx").stat().st_size < 0.4 * (tmp_path / "float.onnx").stat().st_size


def test_calibration_is_for_bert(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="written for BERT"):
        export_onnx(made.xtr(tmp_path / "x").folder, tmp_path / "out", calibration=TEXTS)
    with pytest.raises(InputError, match="no texts"):
        export_onnx(made.stanford(tmp_path / "s").folder, tmp_path / "out", calibration=[])


def test_arguments_that_cannot_be(tmp_path: Path) -> None:
    folder = made.stanford(tmp_path / "s").folder
    with pytest.raises(InputError, match="int4"):
        export_onnx(folder, tmp_path / "out", quantize="int4")  # type: ignore[arg-type]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(InputError, match="is there already"):
        export_onnx(folder, tmp_path / "out")
    assert (tmp_path / "out" / "mine").exists()


# -- credit, and the command ---------------------------------------------------------------------


def test_the_card_names_licence_and_origin(tmp_path: Path) -> None:
    from colxtr.training.export.card import write_credit

    (tmp_path / "README.md").write_text("---\ntags: [x]\nlicense: apache-2.0\n---\n# Fox model")
    (tmp_path / "LICENSE").write_text("the licence")
    target = tmp_path / "out"
    target.mkdir()
    config = EncoderConfig("fox", 16)
    write_credit(target, config, origin=tmp_path, layout="PyLate", weights="float32")
    card = (target / "MODEL_CARD.md").read_text()
    for words in ("# fox", "Licence: apache-2.0", "PyLate", "# Fox model", "float32"):
        assert words in card
    assert "tags:" not in card
    assert (target / "LICENSE").read_text() == "the licence"
    write_credit(target, config, origin=None, layout="made in memory", weights="float32")
    assert "ask its authors" in (target / "MODEL_CARD.md").read_text()


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    from colxtr.cli import main

    monkeypatch.setattr("sys.argv", ["colxtr", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = str(made.stanford(tmp_path / "fox").folder), str(tmp_path / "out")
    assert run(monkeypatch, "export", source, "-o", target, "--float32", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["layout"].startswith("Stanford")
    assert (result["name"], result["dim"]) == ("fox", 16)
    assert result["cosines"]["float32"] > 0.9999
    assert colxtr.Encoder.load(target).name == "fox"

    assert run(monkeypatch, "export", source, "-o", target) == 1
    assert "is there already" in capsys.readouterr().err
    assert run(monkeypatch, "export", source, "-o", target, "--int8", "--both") == 2
    assert run(monkeypatch, "export", str(tmp_path / "no"), "-o", target, "--overwrite") == 1
    assert "neither a folder" in capsys.readouterr().err


def test_a_checkpoint_is_no_encoder_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    folder = made.stanford(tmp_path / "s").folder
    with pytest.raises(ModelError, match=r"colxtr export .* --output FOLDER"):
        colxtr.Encoder.load(folder)


def test_the_examples_of_the_documentation_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import re

    page = Path(__file__).parents[2] / "docs" / "models.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    made.stanford(tmp_path / "my-checkpoint")
    made.plain(tmp_path / "my-encoder", "bert")
    monkeypatch.chdir(tmp_path)
    exec("\n".join(blocks), {})  # our own page
    assert len(blocks) == 4
    assert (tmp_path / "my-encoder-folder" / "colxtr.json").is_file()
