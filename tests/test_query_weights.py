"""Weights of query tokens: in the file, in the encoder, and in a search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tiny_models
from colxtr import Encoder
from colxtr.errors import ModelError
from colxtr.query_weights import QUERY_WEIGHTS_FILE, read_query_weights, write_query_weights

TEXT = "the red fox"


def weighted(folder: Path, weights: np.ndarray) -> Path:
    tiny_models.make_encoder_folder(folder)
    write_query_weights(folder / QUERY_WEIGHTS_FILE, weights)
    tiny_models.write_settings(folder, query_weights=QUERY_WEIGHTS_FILE)
    return folder


def some_weights(seed: int = 0) -> np.ndarray:
    n_tokens = tiny_models.wordpiece().get_vocab_size()
    return np.random.default_rng(seed).uniform(0.1, 9, n_tokens).astype(np.float32)


def test_queries_are_multiplied_and_documents_are_not(tmp_path: Path) -> None:
    weights = some_weights()
    plain = Encoder.load(tiny_models.make_encoder_folder(tmp_path / "plain"))
    encoder = Encoder.load(weighted(tmp_path / "weighted", weights))
    of_tokens = weights[tiny_models.wordpiece().encode(TEXT).ids]
    expected = plain.encode_queries([TEXT])[0] * (of_tokens / of_tokens.mean())[:, None]
    np.testing.assert_allclose(encoder.encode_queries(["", TEXT, ""])[1], expected, rtol=1e-6)
    for ours, theirs in zip(
        encoder.encode_documents([TEXT, ""]), plain.encode_documents([TEXT, ""]), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_the_mean_is_over_tokens_that_are_kept(tmp_path: Path) -> None:
    folder = weighted(tmp_path / "weighted", some_weights())
    tiny_models.write_settings(
        folder, query_weights=QUERY_WEIGHTS_FILE, skip_query_tokens=["[CLS]", "the"]
    )
    made = Encoder.load(folder).encode_queries([TEXT])[0]
    assert len(made) == 3
    assert np.linalg.norm(made, axis=1).mean() == pytest.approx(1, abs=1e-6)


def test_a_query_of_which_nothing_is_kept(tmp_path: Path) -> None:
    folder = weighted(tmp_path / "weighted", some_weights())
    skipped = ["[CLS]", "[SEP]", "the"]
    tiny_models.write_settings(folder, query_weights=QUERY_WEIGHTS_FILE, skip_query_tokens=skipped)
    assert Encoder.load(folder).encode_queries(["the"])[0].shape == (0, 16)


def test_weights_belong_to_what_an_encoder_is(tmp_path: Path) -> None:
    encoders = [
        Encoder.load(tiny_models.make_encoder_folder(tmp_path / "plain")),
        Encoder.load(weighted(tmp_path / "one", some_weights(1))),
        Encoder.load(weighted(tmp_path / "two", some_weights(2))),
    ]
    assert len({encoder.fingerprint for encoder in encoders}) == 3
    (tmp_path / "one" / QUERY_WEIGHTS_FILE).rename(tmp_path / "one" / "w.npy")
    tiny_models.write_settings(tmp_path / "one", query_weights="w.npy")
    assert Encoder.load(tmp_path / "one").fingerprint == encoders[1].fingerprint


def test_what_is_no_file_of_weights(tmp_path: Path) -> None:
    path = tmp_path / QUERY_WEIGHTS_FILE
    with pytest.raises(ModelError, match="cannot be read"):
        read_query_weights(path, 2)
    for content, message in (
        (np.ones((2, 2), np.float32), "no float32 of one dimension"),
        (np.ones(2), "no float32 of one dimension"),
        (np.ones(1, np.float32), "for 1 tokens, the vocabulary has 2"),
        (np.array([1, 0], np.float32), "not above 0"),
        (np.array([1, np.nan], np.float32), "not above 0"),
        (np.array([1, np.inf], np.float32), "up to 1000"),
    ):
        np.save(path, content)
        with pytest.raises(ModelError, match=message):
            read_query_weights(path, 2)
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ModelError, match="damaged"):
        read_query_weights(path, 1)
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="damaged"):
        read_query_weights(path, 1)


def test_a_file_that_the_settings_name_must_be_there(tmp_path: Path) -> None:
    folder = weighted(tmp_path / "weighted", some_weights())
    (folder / QUERY_WEIGHTS_FILE).unlink()
    with pytest.raises(ModelError, match=r"'query_weights\.npy', which is not in"):
        Encoder.load(folder)
    tiny_models.write_settings(folder, query_weights="../w.npy")
    with pytest.raises(ModelError, match=r"plain name of a \.npy file"):
        Encoder.load(folder)
