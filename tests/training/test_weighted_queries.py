"""Weights of query tokens in a model: from texts, through saving and export, in the losses."""

from __future__ import annotations

import math
from pathlib import Path

import brute_force
import made_checkpoints as made
import numpy as np
import pytest
import torch
from made_checkpoints import TEXTS, assert_alike

import colxtr
from colxtr.errors import InputError
from colxtr.training.checkpoints import (
    Layout,
    detect_layout,
    initialise_query_weights,
    load_model,
    save_model,
)
from colxtr.training.checkpoints.save import SavingWarning
from colxtr.training.export import export_onnx
from colxtr.training.matching import Tokens, best_matches
from colxtr.training.objectives import xtr_scores
from colxtr.training.texts import TextModel

DOCUMENTS = ["the fox", "the red fox", "the the dog", "the end"]
QUERIES = ["the fox", "red"]


def start(folder: Path) -> object:
    return load_model(made.sentence_transformers_6(folder).folder, device="cpu")


def test_weights_are_inverse_document_frequencies(tmp_path: Path) -> None:
    model = start(tmp_path / "m")
    weights = initialise_query_weights(model, DOCUMENTS, QUERIES)
    ids = [model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in DOCUMENTS]
    for token in {token for row in ids for token in row} - set(model.tokenizer.all_special_ids):
        df = sum(token in row for row in ids)
        assert weights[token].item() == pytest.approx(math.log(5 / (df + 0.5)), abs=1e-6)
    asked = [
        token
        for text in QUERIES
        for token in model.tokenizer(text, add_special_tokens=False)["input_ids"]
    ]
    own = [t for t in asked if t not in model.tokenizer.all_special_ids]
    if own == asked:
        mean = weights[asked].mean().item()
        assert weights[model.tokenizer.cls_token_id].item() == pytest.approx(mean, abs=1e-6)
    again = initialise_query_weights(model, DOCUMENTS[:2], QUERIES)
    assert not torch.equal(weights, again)
    assert sum(type(module).__name__ == "QueryWeights" for module in model) == 1


def test_without_texts_there_are_no_weights(tmp_path: Path) -> None:
    model = start(tmp_path / "m")
    for documents, queries in (([], QUERIES), (DOCUMENTS, []), (DOCUMENTS, [""])):
        with pytest.raises(InputError, match="documents and queries"):
            initialise_query_weights(model, documents, queries)


def test_a_model_multiplies_queries_only(tmp_path: Path) -> None:
    checkpoint = made.sentence_transformers_6(tmp_path / "m")
    model = load_model(checkpoint.folder, device="cpu")
    weights = initialise_query_weights(model, DOCUMENTS, QUERIES)
    for text in TEXTS:
        rows = model.encode_query([text], convert_to_numpy=True)[0]
        plain = checkpoint.reference(text, "query")
        lengths = np.linalg.norm(rows, axis=1)
        assert lengths.mean() == pytest.approx(1, abs=1e-5)
        assert_alike(rows / lengths[:, None], plain)
        assert_alike(
            model.encode_document([text], convert_to_numpy=True)[0],
            checkpoint.reference(text, "document"),
        )
    assert weights.min() > 0


def test_saved_and_exported_they_are_the_same(tmp_path: Path) -> None:
    model = start(tmp_path / "m")
    initialise_query_weights(model, DOCUMENTS, QUERIES)
    with pytest.warns(SavingWarning, match="it weighs all query tokens alike"):
        save_model(model, tmp_path / "saved")
    assert detect_layout(tmp_path / "saved") is Layout.COLXTR
    loaded = load_model(tmp_path / "saved", device="cpu")
    export_onnx(tmp_path / "saved", tmp_path / "encoder", quantize=None)
    encoder = colxtr.Encoder.load(tmp_path / "encoder")
    expected = model.encode_query(TEXTS, convert_to_numpy=True)
    for rows, theirs, ours in zip(
        expected,
        loaded.encode_query(TEXTS, convert_to_numpy=True),
        encoder.encode_queries(TEXTS),
        strict=True,
    ):
        np.testing.assert_array_equal(theirs, rows)
        np.testing.assert_allclose(ours, rows, atol=1e-4)
        assert np.ptp(np.linalg.norm(rows, axis=1)) > 0.01


def test_training_sees_the_weights(tmp_path: Path) -> None:
    model = start(tmp_path / "m")
    initialise_query_weights(model, DOCUMENTS, QUERIES)
    texts = TextModel(model, tokens_per_forward=16)  # several groups
    tokens = texts.encode(texts.tokenize(TEXTS, "query"), "query")
    assert tokens.weights is not None
    lengths = tokens.embeddings.norm(dim=-1)
    torch.testing.assert_close(lengths * tokens.mask, tokens.weights * tokens.mask)
    assert texts.encode(texts.tokenize(TEXTS, "document"), "document").weights is None


def test_z_is_the_sum_of_the_weights_that_retrieved() -> None:
    generator = torch.Generator().manual_seed(7)
    unit = torch.nn.functional.normalize(
        torch.randn(3, 4, 8, generator=generator, dtype=torch.float64), dim=-1
    )
    weights = torch.rand(3, 4, generator=generator, dtype=torch.float64) + 0.1
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[1, 2:] = False
    documents = torch.nn.functional.normalize(
        torch.randn(5, 6, 8, generator=generator, dtype=torch.float64), dim=-1
    )
    d_mask = torch.ones(5, 6, dtype=torch.bool)
    queries = Tokens(unit * weights[..., None], mask, weights)
    found = xtr_scores(best_matches(queries, Tokens(documents, d_mask), 4), queries.weights)
    expected = brute_force.xtr(
        unit.numpy(), mask.numpy(), documents.numpy(), d_mask.numpy(), 4, weights.numpy()
    )
    np.testing.assert_allclose(found, expected, atol=1e-12)
    ones = Tokens(unit, mask, torch.ones_like(weights))
    matches = best_matches(ones, Tokens(documents, d_mask), 4)
    torch.testing.assert_close(xtr_scores(matches, ones.weights), xtr_scores(matches))
