from __future__ import annotations

import numpy as np
import pytest

from colxtr.codec import Codec
from colxtr.quantiser import dealt_out, shape_coder, train_codebook
from made import native_segment, unit

# What 256 codewords, each for a group of its own, lose of a standard normal: 0.34, 0.104, 0.0095.
# A trellis of 16 states reaches 0.285, 0.078, 0.0057 with as many bytes.
SHARES = {1: 0.29, 2: 0.08, 4: 0.0061, 8: 1e-4}


def error(codebook: np.ndarray, scale: np.float32, shapes: np.ndarray) -> float:
    """The mean squared error of shapes, (n, dim)."""
    n_bits = 8 // codebook.shape[1]
    coder = shape_coder(codebook, scale, shapes.shape[1])
    codes = coder.encode(shapes, np.zeros(len(shapes), np.uint32))[0].astype(int)
    if n_bits < 8:
        codes = codes << 4 | np.roll(codes, 1, axis=1) >> 4
    return float(np.square(shapes - (codebook * scale)[codes].reshape(shapes.shape)).mean())


def gaussian(n: int, dim: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)
    return values / np.sqrt(np.square(values).mean(axis=1, keepdims=True))


@pytest.mark.parametrize(("n_bits", "share"), SHARES.items())
def test_codebook_of_a_gaussian(n_bits: int, share: float) -> None:
    codebook, scale = train_codebook(gaussian(8000, 128, seed=1), n_bits)
    assert codebook.shape == (256 if n_bits == 8 else 4096, 8 // n_bits)
    assert error(codebook, scale, gaussian(2000, 128, seed=2)) < share


@pytest.mark.parametrize("n_bits", [2, 8])
def test_codebook_of_few_tokens_serves_others(n_bits: int) -> None:
    codebook, scale = train_codebook(np.ones((3, 128), np.float32), n_bits)
    assert error(codebook, scale, gaussian(2000, 128, seed=2)) < 1.02 * SHARES[n_bits]


def test_a_codec_of_few_tokens_serves_others() -> None:
    tokens = np.random.default_rng(3).standard_normal((7000, 64), dtype=np.float32)
    tokens = unit(tokens + 4)
    errors = []
    for n in (30, 5000):
        codec = Codec.train(tokens[:n], n_bits=2, n_centroids=1)
        segment = native_segment(codec, [tokens[5000:]])
        decoded = codec.rotated_back(segment.decode_document(codec.native, 0)[0])
        errors.append(np.square(decoded - tokens[5000:]).sum(axis=1).mean())
    assert errors[0] < 1.1 * errors[1]


def test_codebook_does_not_depend_on_threads() -> None:
    shapes = gaussian(9000, 32, seed=4)
    one, many = (train_codebook(shapes, 2, threads=threads) for threads in (1, 3))
    assert np.array_equal(one[0], many[0])
    assert one[1] == many[1]


def test_directions_are_dealt_out_there_and_back() -> None:
    groups = dealt_out(16, 4).reshape(4, 4).tolist()
    assert groups == [[0, 7, 8, 15], [1, 6, 9, 14], [2, 5, 10, 13], [3, 4, 11, 12]]
