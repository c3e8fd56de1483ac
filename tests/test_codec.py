from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from colxtr import reference
from colxtr.clustering import number_of_centroids, spherical_kmeans
from colxtr.codec import Codec, check_embeddings, train_codebook
from colxtr.errors import EmbeddingError
from made import Clustered, native_segment, unit

RESIDUAL_BITS = [1, 2, 4, 8]


def round_trip(codec: Codec, tokens: NDArray[np.float32]) -> NDArray[np.float32]:
    return codec.rotated_back(native_segment(codec, [tokens]).decode_document(codec.native, 0)[0])


@pytest.mark.parametrize("dim", [16, 24, 40, 128, 1024])
@pytest.mark.parametrize("n_bits", RESIDUAL_BITS)
def test_codes_are_the_documented_ones(instruction_set: str, dim: int, n_bits: int) -> None:
    made = Clustered(seed=dim, dim=dim)
    codec = Codec.train(made.tokens(3 * dim), n_bits=n_bits, n_centroids=16)
    tokens = made.tokens(300)
    encoded = codec.encode(tokens)
    expected = reference.encode(tokens, codec.arrays)
    assert np.array_equal(encoded.centroids, expected.centroids)
    assert encoded.codes.shape == expected.codewords.shape == (300, dim * n_bits // 8)
    # Equally near codewords may change with the order of summation, most so among 256 levels.
    assert (encoded.codes == expected.codewords).mean() > (0.95 if n_bits == 8 else 0.995)
    assert encoded.gains is not None
    assert np.abs(encoded.gains.astype(int) - expected.gains).max() <= 1
    assert encoded.lengths is None


@pytest.mark.parametrize("n_bits", RESIDUAL_BITS)
def test_decompression_is_the_documented_one(instruction_set: str, n_bits: int) -> None:
    for longest in (1, 5):
        tokens = Clustered(seed=2).tokens(300)
        tokens *= np.linspace(1, longest, 300, dtype=np.float32)[:, None]
        codec = Codec.train(tokens, n_bits=n_bits, n_centroids=16)
        encoded = codec.encode(tokens)
        assert encoded.gains is not None
        code = reference.Code(
            encoded.centroids.astype(np.int64),
            encoded.codes.astype(np.int64),
            encoded.gains.astype(np.int64),
            None if encoded.lengths is None else encoded.lengths.astype(np.int64),
        )
        assert (code.lengths is None) == (longest == 1)
        expected = reference.decode(code, codec.arrays)
        assert round_trip(codec, tokens) == pytest.approx(expected, abs=3e-6)


def test_error_falls_with_every_bit() -> None:
    """Less than any quantiser of single values can do on a Gaussian source."""
    tokens = Clustered(seed=3, dim=128).tokens(4000)
    errors = {}
    for n_bits in (1, 2, 4, 8, 16):
        codec = Codec.train(tokens, n_bits=n_bits, n_centroids=64)
        errors[n_bits] = float(np.square(round_trip(codec, tokens) - tokens).sum(axis=1).mean())
    means = codec.centroids[codec.encode(tokens).centroids]
    residual = float(np.square(tokens - means).sum(axis=1).mean())
    scalar = {1: 0.3634, 2: 0.1175, 4: 0.009497}  # a Gaussian source: Max 1960, table I
    for n_bits, share in scalar.items():
        assert errors[n_bits] < 0.95 * share * residual
    assert errors[8] < 5e-4 * residual
    assert errors[16] < 1e-6


def test_an_index_of_unit_length_takes_no_others() -> None:
    made = Clustered(seed=4)
    codec = Codec.train(made.tokens(1000), n_bits=2, n_centroids=16)
    with pytest.raises(EmbeddingError, match=r"length 2.*normalise all of them, or none"):
        codec.encode(2 * made.tokens(3))


@pytest.mark.parametrize("n_bits", [1, 2, 4, 8, 16])
def test_embeddings_of_any_length(n_bits: int) -> None:
    random = np.random.default_rng(5)
    tokens = Clustered(seed=5).tokens(1000) * random.uniform(0.5, 20, (1000, 1)).astype(np.float32)
    decoded = round_trip(Codec.train(tokens, n_bits=n_bits, n_centroids=16), tokens)
    errors = np.linalg.norm(decoded - tokens, axis=1) / np.linalg.norm(tokens, axis=1)
    assert errors.mean() < {1: 0.45, 2: 0.25, 4: 0.08, 8: 0.02, 16: 0.001}[n_bits]


@pytest.mark.parametrize("n_bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_fewer_tokens_than_centroids(n_bits: int, n: int) -> None:
    tokens = Clustered(seed=n).tokens(n)
    codec = Codec.train(tokens, n_bits=n_bits, n_centroids=1024)
    assert codec.n_centroids == n
    assert (round_trip(codec, tokens) * tokens).sum(axis=1).min() > 0.99


def test_equal_tokens() -> None:
    tokens = np.repeat(Clustered(seed=6).tokens(1), 100, axis=0)
    decoded = round_trip(Codec.train(tokens, n_bits=2, n_centroids=8), tokens)
    assert (decoded * tokens).sum(axis=1).min() > 0.99


def test_training_does_not_depend_on_threads() -> None:
    tokens = Clustered(seed=7).tokens(20_000)
    one = Codec.train(tokens, n_bits=2, n_centroids=64, threads=1)
    many = Codec.train(tokens, n_bits=2, n_centroids=64, threads=4)
    for name, array in one.arrays.items():
        assert np.array_equal(array, many.arrays[name]), name


def test_kmeans_finds_the_topics() -> None:
    made = Clustered(seed=8, n_topics=10)
    centroids = spherical_kmeans(made.tokens(5000), 40)
    assert np.linalg.norm(centroids, axis=1) == pytest.approx(np.ones(40), abs=1e-6)
    assert (made.topics @ centroids.T).max(axis=1).min() > 0.9


@pytest.mark.parametrize(
    ("n_tokens", "expected"),
    [(0, 1), (1, 1), (4, 1), (10, 2), (200, 32), (1_000, 224), (10**6, 16_000), (10**8, 160_000)],
)
def test_number_of_centroids(n_tokens: int, expected: int) -> None:
    assert number_of_centroids(n_tokens) == expected


@pytest.mark.parametrize(("width", "share"), [(1, 1e-4), (2, 0.0095), (4, 0.104), (8, 0.34)])
def test_codebook_of_a_gaussian(width: int, share: float) -> None:
    """What 256 codewords lose of a standard normal in 1, 2, 4 and 8 dimensions."""
    values = np.random.default_rng(1).standard_normal((100_000, width)).astype(np.float32)
    codebook, scale = train_codebook(values)
    assert codebook.shape == (256, width)
    codebook = codebook * scale
    distances = [np.square(values - codeword).mean(axis=1) for codeword in codebook]
    assert np.min(distances, axis=0).mean() < share


def test_codebook_of_few_values_serves_others() -> None:
    few = np.ones((3, 4), np.float32)
    codebook, scale = train_codebook(few)
    codebook = codebook * scale
    others = np.random.default_rng(2).standard_normal((1000, 4)).astype(np.float32)
    distances = [np.square(others - codeword).mean(axis=1) for codeword in codebook]
    assert np.min(distances, axis=0).mean() < 0.12


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        (np.zeros(16), r"shape \(16,\)"),
        (np.ones((2, 24)), r"shape \(2, 24\).*\(n_tokens, 16\)"),
        ([["a"] * 16], "type <U1"),
        (np.full((3, 16), np.nan), "NaN or infinity, first in row 0"),
        (np.vstack([np.ones((2, 16)), np.full((1, 16), np.inf)]), "first in row 2"),
        (np.vstack([np.ones((1, 16)), np.zeros((1, 16))]), "row 1 of document 'x' is zero"),
        (np.full((1, 16), 70_000.0), "hold 70000; values up to 65504"),
    ],
)
def test_unusable_embeddings(embeddings: object, message: str) -> None:
    with pytest.raises(EmbeddingError, match=message):
        check_embeddings(embeddings, 16, "document 'x'")


def test_embeddings_that_overflow_or_vanish_in_single_precision() -> None:
    for value, message in ((1e300, "infinity"), (1e-300, "zero"), (1e-7, "nearly so")):
        with pytest.raises(EmbeddingError, match=message):
            check_embeddings(np.full((2, 16), value), 16, "document 'x'")


def test_embeddings_that_are_not_aligned() -> None:
    tokens = unit(np.ones((2, 16)))
    given = np.frombuffer(b"x" + tokens.tobytes(), np.float32, offset=1).reshape(2, 16)
    checked = check_embeddings(given, 16, "x")
    assert checked.flags.aligned
    assert np.array_equal(checked, tokens)


def test_usable_embeddings_of_other_types() -> None:
    tokens = unit(np.ones((2, 16)))
    for given in (tokens.astype(np.float64), tokens.tolist(), tokens[:, ::-1], tokens[:0]):
        checked = check_embeddings(given, 16, "x")
        assert checked.dtype == np.float32
        assert checked.flags.c_contiguous


def test_gains_are_those_of_tokens_the_centroids_have_not_seen() -> None:
    """Coding unseen tokens loses no more than a quantiser made for them would."""
    tokens = Clustered(seed=9, n_topics=4000).tokens(60_000)
    codec = Codec.train(tokens[:50_000], n_bits=2, n_centroids=2000)
    unseen = tokens[50_000:]
    residuals = unseen - codec.centroids[codec.encode(unseen).centroids]
    error = np.square(round_trip(codec, unseen) - unseen).sum() / np.square(residuals).sum()
    assert error < 0.104
