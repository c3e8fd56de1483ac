"""Every layout against its own reference; saving; what cannot be loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_checkpoints as made
import numpy as np
import pytest
import tokenizers
import torch
from made_checkpoints import TEXTS, Made, assert_alike
from safetensors.torch import load_file, save_file

from colxtr.errors import InputError, ModelError
from colxtr.training.checkpoints import (
    Layout,
    detect_layout,
    initialise_projection,
    load_model,
    save_model,
)
from colxtr.training.checkpoints.save import SavingWarning

LAYOUTS: dict[str, tuple[Layout, Callable[[Path], Made]]] = {
    "pylate, masks attended": (Layout.PYLATE, made.pylate),
    "pylate, not attended": (Layout.PYLATE, lambda f: made.pylate(f, attend=False)),
    "pylate, no expansion": (Layout.PYLATE, lambda f: made.pylate(f, expand=False)),
    "sentence-transformers": (Layout.SENTENCE_TRANSFORMERS, made.sentence_transformers_6),
    "stanford": (Layout.STANFORD, made.stanford),
    "stanford, attended": (Layout.STANFORD, lambda f: made.stanford(f, attend=True)),
    "xtr": (Layout.XTR, made.xtr),
    "primeqa": (Layout.PRIMEQA, made.primeqa),
    "primeqa, wrapped": (Layout.PRIMEQA, lambda f: made.primeqa(f, prefix="bert.")),
}


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Layout, Made]:
    name, build = LAYOUTS[request.param]
    return name, build(tmp_path / "checkpoint")


def check(model: Any, reference: Callable[[str, str], made.Array]) -> None:
    """All texts in one padded batch, and each alone."""
    for task, encode in (("query", model.encode_query), ("document", model.encode_document)):
        together = encode(TEXTS, convert_to_numpy=True)
        for text, rows in zip(TEXTS, together, strict=True):
            assert_alike(rows, reference(text, task))
            assert_alike(encode([text], convert_to_numpy=True)[0], reference(text, task))


def test_a_layout_gives_what_its_reference_gives(layout: tuple[Layout, Made]) -> None:
    name, checkpoint = layout
    assert detect_layout(checkpoint.folder) is name
    model = load_model(checkpoint.folder, device="cpu")
    assert model.colxtr_origin.layout is name
    assert not model.training
    check(model, checkpoint.reference)


@pytest.mark.parametrize("kind", ["bert", "t5", "modernbert"])
def test_a_plain_encoder_gets_a_projection(kind: str, tmp_path: Path) -> None:
    folder, reference = made.plain(tmp_path / "plain", kind)
    assert detect_layout(folder) is Layout.PLAIN
    model = load_model(folder, dim=made.DIM, device="cpu")
    check(model, reference(model[1].linear.weight.detach()))


@pytest.mark.parametrize("projection", ["mlp", "residual"])
def test_other_heads(projection: str, tmp_path: Path) -> None:
    folder, _ = made.plain(tmp_path / "plain", "bert")
    model = load_model(folder, dim=24, projection=projection, device="cpu")
    (rows,) = model.encode_document(["the red fox"], convert_to_numpy=True)
    assert rows.shape == (5, 24)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_the_encoder_and_prompts_of_a_dense_model_are_kept(tmp_path: Path) -> None:
    folder, reference = made.plain(tmp_path / "dense", "bert")
    types = ["models.Transformer", "models.Pooling", "models.Normalize"]
    paths = ["", "1_Pooling", "2_Normalize"]
    made.write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.{kind}"}
            for i, (path, kind) in enumerate(zip(paths, types, strict=True))
        ],
    )
    prompts = {"query": "red ", "passage": "fox "}
    made.write_json(folder / "config_sentence_transformers.json", {"prompts": prompts})
    assert detect_layout(folder) is Layout.DENSE
    model = load_model(folder, dim=made.DIM, device="cpu")
    embed = reference(model[1].linear.weight.detach())
    check(model, lambda text, task: embed(("red " if task == "query" else "fox ") + text, task))


def test_loading_and_saving_print_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for build in (made.stanford, made.primeqa):
        model = load_model(build(tmp_path / build.__name__).folder, device="cpu")
        save_model(model, tmp_path / f"{build.__name__} saved", warn=False)
    assert capfd.readouterr() == ("", "")


def test_naming_the_room_imports_no_torch() -> None:
    import subprocess
    import sys

    program = (
        "import sys, colxtr.training.checkpoints as c, colxtr.training.export, colxtr.cli.export;"
        "c.detect_layout; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_stanford_without_metadata_has_the_lengths_of_its_code(tmp_path: Path) -> None:
    model = load_model(made.stanford(tmp_path / "s", metadata=False).folder, device="cpu")
    assert model[0].query_expansion["length"] == 32
    assert model[0].document_length == 220


def test_distances_matter_to_t5(tmp_path: Path) -> None:
    checkpoint = made.xtr(tmp_path / "xtr")
    model = load_model(checkpoint.folder, device="cpu")
    a, b = model.encode_document(["red fox red", "fox red red"], convert_to_numpy=True)
    assert abs(float(a[0] @ b[1])) < 0.999  # the same token, elsewhere


def test_weights_are_float32_unless_asked_otherwise(tmp_path: Path) -> None:
    folder = made.xtr(tmp_path / "xtr").folder
    half = {k: v.half() for k, v in load_file(folder / "model.safetensors").items()}
    save_file(half, folder / "model.safetensors")
    made.change_json(folder / "config.json", dtype="float16")
    assert {p.dtype for p in load_model(folder, device="cpu").parameters()} == {torch.float32}
    model = load_model(folder, device="cpu", dtype=torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_lengths_and_prefixes_can_be_set(tmp_path: Path) -> None:
    folder = made.stanford(tmp_path / "s").folder
    model = load_model(folder, device="cpu", query_length=12, document_length=9, query_prefix="")
    (query,), (document,) = model.encode_query(TEXTS[:1]), model.encode_document(TEXTS[-1:])
    assert (len(query), len(document)) == (12, 9)
    assert model.preprocess(["fox"], prompt=model.prompts["query"], task="query")["input_ids"][
        0, 1
    ] == model.tokenizer.convert_tokens_to_ids("fox")


def test_a_tokenizer_that_is_not_its_file_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = made.xtr(tmp_path / "xtr").folder
    load_model(folder, device="cpu")
    assert not caplog.records
    file = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    file.normalizer = tokenizers.normalizers.Replace("fox", "red")  # T5's class knows of none
    file.save(str(folder / "tokenizer.json"))
    load_model(folder, device="cpu")
    (record,) = caplog.records
    assert "PreTrainedTokenizerFast" in record.getMessage()
    made.change_json(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    caplog.clear()
    load_model(folder, device="cpu")
    assert not caplog.records


# -- projections ---------------------------------------------------------------------------------


def test_a_projection_started_from_texts_spans_the_strongest_directions(tmp_path: Path) -> None:
    folder, _ = made.plain(tmp_path / "plain", "bert")
    model = load_model(folder, dim=8, device="cpu")
    initialise_projection(model, TEXTS, whitening=0.0)
    weight = model[1].linear.weight.detach()
    np.testing.assert_allclose(weight @ weight.T, np.eye(8), atol=1e-5)

    rows = []  # by definition: right singular vectors of all unit vectors
    for text in TEXTS:
        features = model.preprocess([text], task="document")
        with torch.no_grad():
            hidden = model[0].model(features["input_ids"]).last_hidden_state[0]
        rows.append(torch.nn.functional.normalize(hidden, dim=1))
    _, _, directions = torch.linalg.svd(torch.cat(rows), full_matrices=False)
    overlap = (weight @ directions[:8].T).abs()
    np.testing.assert_allclose(overlap, np.eye(8), atol=1e-3)


def test_queries_count_as_much_as_documents(tmp_path: Path) -> None:
    folder, _ = made.plain(tmp_path / "plain", "bert")
    model, twin = (load_model(folder, dim=8, device="cpu") for _ in range(2))
    initialise_projection(model, ["the red fox"] * 50, queries=["running over 9"])
    initialise_projection(twin, ["the red fox"], queries=["running over 9"] * 7)
    torch.testing.assert_close(model[1].linear.weight, twin[1].linear.weight, atol=1e-4, rtol=1e-3)


def test_only_plain_matrices_are_started_from_texts(tmp_path: Path) -> None:
    folder, _ = made.plain(tmp_path / "plain", "bert")
    with pytest.raises(ModelError, match='projection="linear"'):
        initialise_projection(load_model(folder, projection="mlp", device="cpu"), TEXTS)
    with pytest.raises(ModelError, match="128 dimensions, the encoder only 32"):
        initialise_projection(load_model(folder, device="cpu"), TEXTS)
    with pytest.raises(InputError, match="no texts"):
        initialise_projection(load_model(folder, dim=8, device="cpu"), [])


# -- saving --------------------------------------------------------------------------------------


def saved(model: Any, folder: Path) -> tuple[Path, str]:
    """Save; the folder, and the warning, "" where there is none."""
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SavingWarning)
        save_model(model, folder)
    texts = [str(each.message) for each in caught if each.category is SavingWarning]
    return folder, " ".join(texts)


def test_a_saved_model_is_the_same(layout: tuple[Layout, Made], tmp_path: Path) -> None:
    from sentence_transformers import MultiVectorEncoder

    name, checkpoint = layout
    folder, warning = saved(load_model(checkpoint.folder, device="cpu"), tmp_path / "saved")
    check(load_model(folder, device="cpu"), checkpoint.reference)
    pylate = name in (Layout.PYLATE, Layout.STANFORD)
    assert bool(warning) != pylate
    assert detect_layout(folder) is {
        Layout.PYLATE: Layout.PYLATE,
        Layout.STANFORD: Layout.PYLATE,
        Layout.PRIMEQA: Layout.COLXTR,
    }.get(name, Layout.SENTENCE_TRANSFORMERS)
    theirs = MultiVectorEncoder(str(folder), device="cpu")
    if name is Layout.PRIMEQA:
        assert "vector of the last" in warning
        (rows,) = theirs.encode_query(TEXTS[:1], convert_to_numpy=True)
        assert_alike(rows[:-1], checkpoint.reference(TEXTS[0], "query")[:-1])
    else:
        check(theirs, checkpoint.reference)


def test_pylates_layout_has_pylates_keys(tmp_path: Path) -> None:
    model = load_model(made.stanford(tmp_path / "s").folder, device="cpu")
    folder, _ = saved(model, tmp_path / "saved")
    modules = json.loads((folder / "modules.json").read_text())
    assert [module["path"] for module in modules] == ["", "1_Dense"]
    assert modules[1]["type"] == "pylate.models.Dense.Dense"
    settings = json.loads((folder / "config_sentence_transformers.json").read_text())
    assert settings["model_type"] == "ColBERT"
    assert settings["query_prefix"].strip() == "[unused0]"
    assert settings["document_prefix"].strip() == "[unused1]"
    assert (settings["query_length"], settings["document_length"]) == (20, 40)
    assert settings["do_query_expansion"] is True
    assert settings["attend_to_expansion_tokens"] is False
    assert "!" in settings["skiplist_words"]
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"1_Dense"}


def test_saving_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(made.stanford(tmp_path / "s").folder, device="cpu")
    target = tmp_path / "saved"
    save_model(model, target)
    before = (target / "config_sentence_transformers.json").read_bytes()
    with pytest.raises(InputError, match="is there already"):
        save_model(model, target)

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(model[1]), "save", fail)
    with pytest.raises(KeyboardInterrupt):
        save_model(model, target, overwrite=True)
    assert (target / "config_sentence_transformers.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "saved"]
    monkeypatch.undo()
    save_model(model, target, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "saved"]


def test_licence_and_card_go_along(tmp_path: Path) -> None:
    folder = made.stanford(tmp_path / "s").folder
    (folder / "LICENSE").write_text("Apache")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Fox")
    target = save_model(load_model(folder, device="cpu"), tmp_path / "saved")
    assert (target / "LICENSE").read_text() == "Apache"
    assert "# Fox" in (target / "MODEL_CARD.md").read_text()


# -- what cannot be loaded -----------------------------------------------------------------------


def refused(folder: Path, *words: str, **arguments: Any) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(folder, device="cpu", **arguments)
    for word in words:
        assert word in str(caught.value)


def test_no_checkpoint(tmp_path: Path) -> None:
    refused(tmp_path, "modules.json", "config.json")
    refused(tmp_path / "no such folder", "neither a folder")
    (tmp_path / "colxtr.json").write_text("{}")
    refused(tmp_path, "exported encoder")


def test_two_layouts_at_once(tmp_path: Path) -> None:
    folder = made.xtr(tmp_path / "x").folder
    change = {"architectures": ["HF_ColBERT"]}
    made.change_json(folder / "config.json", **change)
    refused(folder, "several layouts", "Stanford", "XTR")


def test_stanford_weights_that_do_not_say_so(tmp_path: Path) -> None:
    folder = made.stanford(tmp_path / "s").folder
    made.change_json(folder / "config.json", architectures=["BertModel"])
    refused(folder, "HF_ColBERT", "config.json")


def test_a_marker_that_is_not_in_the_vocabulary(tmp_path: Path) -> None:
    folder = made.stanford(tmp_path / "s").folder
    made.change_json(folder / "artifact.metadata", query_token_id="[unused77]")
    refused(folder, "[unused77]", "artifact.metadata")


def test_layers_that_would_be_random(tmp_path: Path) -> None:
    for build in (made.stanford, made.xtr):
        folder = build(tmp_path / build.__name__).folder
        tensors = load_file(folder / "model.safetensors")
        (name, *_) = [n for n in tensors if ".1." in n]
        del tensors[name]
        save_file(tensors, folder / "model.safetensors")
        refused(folder, "would be random", name.removeprefix("bert."))


def test_primeqa_with_a_tensor_missing(tmp_path: Path) -> None:
    folder = made.primeqa(tmp_path / "p").folder
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    name = "encoder.block.1.layer.1.DenseReluDense.wo.weight"
    del tensors[name]
    torch.save(tensors, folder / "pytorch_model.bin")
    refused(folder, name)


def test_damaged_weights(tmp_path: Path) -> None:
    folder = made.stanford(tmp_path / "s").folder
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    refused(folder, "model.safetensors", "copy the checkpoint again")


def test_pickles_are_not_run(tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    folder = made.primeqa(tmp_path / "p").folder
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"bottleneck.weight": Bomb()}))
    refused(folder, "pytorch_model.bin", "safely")
    folder = made.xtr(tmp_path / "x").folder
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(pickle.dumps({"linear.weight": Bomb()}))
    refused(folder, "XTR")
    assert not (tmp_path / "exploded").exists()


def test_code_of_checkpoints_is_not_run(tmp_path: Path) -> None:
    folder = made.pylate(tmp_path / "p").folder
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "modeling_fox.Fox"
    made.write_json(folder / "modules.json", modules)
    (folder / "modeling_fox.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    refused(folder, "modeling_fox.Fox", "never run")
    folder = made.pylate(tmp_path / "p2").folder
    made.change_json(folder / "1_Dense" / "config.json", activation_function="fox.Activation")
    refused(folder, "fox.Activation", "never run")
    assert not (tmp_path / "ran").exists()


def test_a_projection_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    folder = made.stanford(tmp_path / "s").folder
    assert load_model(folder, dim=16, device="cpu").get_embedding_dimension() == 16
    refused(folder, "16 dimensions", "dim=32", dim=32)
    refused(folder, "projection", projection="mlp")


def test_arguments_that_cannot_be(tmp_path: Path) -> None:
    folder, _ = made.plain(tmp_path / "plain", "bert")
    with pytest.raises(InputError, match="linear, mlp, residual"):
        load_model(folder, projection="fox")
    with pytest.raises(InputError, match="dim is 0"):
        load_model(folder, dim=0)
    with pytest.raises(InputError, match="query_length is 0"):
        load_model(folder, query_length=0)
