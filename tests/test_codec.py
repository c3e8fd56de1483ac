from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from colxtr import kernels, reference
from colxtr.clustering import number_of_centroids, spherical_kmeans
from colxtr.codec import Codec, check_embeddings, contradiction
from colxtr.errors import EmbeddingError
from made import Clustered, native_segment, trained, unit

RESIDUAL_BITS = [1, 2, 4, 8]
DIMS = [16, 24, 40, 128, 1024]


def round_trip(codec: Codec, tokens: NDArray[np.float32]) -> NDArray[np.float32]:
    return codec.rotated_back(native_segment(codec, [tokens]).decode_document(codec.native, 0)[0])


@cache
def documented(dim: int, n_bits: int) -> tuple[Codec, NDArray[np.float32], reference.Code]:
    """A codec, tokens and their codes by the definition; made once for all instruction sets."""
    made = Clustered(seed=dim, dim=dim)
    codec = trained(made.tokens(3 * dim), n_bits=n_bits, n_centroids=16)
    tokens = made.tokens(20 if dim == 1024 else 150)
    return codec, tokens, reference.encode(tokens, codec.arrays)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("n_bits", RESIDUAL_BITS)
def test_codes_are_the_documented_ones(instruction_set: str, dim: int, n_bits: int) -> None:
    codec, tokens, expected = documented(dim, n_bits)
    encoded = codec.encode(tokens)
    assert np.array_equal(encoded.centroids, expected.centroids)
    assert encoded.codes.shape == expected.codes.shape == (len(tokens), dim * n_bits // 8)
    # A coordinate halfway between two integers may change with the order of summation.
    assert (encoded.codes == expected.codes).all(axis=1).mean() >= 0.95
    assert encoded.gains is not None
    assert np.abs(encoded.gains.astype(int) - expected.gains).max() <= 1
    assert encoded.lengths is None


@pytest.mark.parametrize("n_bits", RESIDUAL_BITS)
def test_decompression_is_the_documented_one(instruction_set: str, n_bits: int) -> None:
    codec, tokens, _ = documented(40, n_bits)
    table = np.geomspace(0.5, 6, 256).astype(np.float32)
    for arrays in (codec.arrays, codec.arrays | {"lengths": table}):
        codec = Codec(n_bits, arrays)
        if "lengths" in arrays:
            tokens = tokens * np.linspace(1, 5, len(tokens), dtype=np.float32)[:, None]
        encoded = codec.encode(tokens)
        assert encoded.gains is not None
        code = reference.Code(
            encoded.centroids.astype(np.int64),
            encoded.codes.astype(np.int64),
            encoded.gains.astype(np.int64),
            None if encoded.lengths is None else encoded.lengths.astype(np.int64),
        )
        assert (code.lengths is None) == ("lengths" not in arrays)
        expected = reference.decode(code, codec.arrays)
        assert round_trip(codec, tokens) == pytest.approx(expected, abs=3e-6)


def coder(n_bits: int, dim: int, codebook: NDArray[np.int8]) -> kernels.Codec:
    """A codec that codes shapes: its one centroid is zero."""
    return kernels.Codec(
        n_bits,
        np.zeros((1, dim), np.int8),
        np.ones(1, np.float32),
        codebook=codebook,
        codebook_scale=np.full(1, 1 / 32, np.float32),
        rotation=np.eye(dim, dtype=np.float32),
        gains=np.linspace(0, 1, 256, dtype=np.float32),
    )


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("n_bits", [1, 2, 4])
def test_all_instruction_sets_find_the_same_codes(
    instruction_set: str, dim: int, n_bits: int
) -> None:
    """Also where costs are as large as they get, and where many are equal."""
    random = np.random.default_rng(dim)
    width = 8 // n_bits
    ordinary = (40 * random.standard_normal((4096, width))).clip(-127, 127).astype(np.int8)
    largest = random.choice([-128, 127], (4096, width)).astype(np.int8)
    few = random.integers(-1, 2, (4096, width)).astype(np.int8)
    rows = random.standard_normal((37, dim), dtype=np.float32)
    rows[-5:] = np.where(random.random((5, dim)) < 2 / dim, 10, 1e-3)  # far beyond a codeword
    nothing = np.zeros(len(rows), np.uint32)
    for codebook in (ordinary, largest, few):
        made = coder(n_bits, dim, codebook)
        codes, gains, _ = made.encode(rows, nothing)
        kernels.use_instruction_set("scalar")
        expected, expected_gains, _ = made.encode(rows, nothing)
        kernels.use_instruction_set(instruction_set)
        assert np.array_equal(codes, expected)
        assert np.array_equal(gains, expected_gains)


@pytest.mark.parametrize("n_bits", RESIDUAL_BITS)
def test_a_code_does_not_depend_on_the_rows_beside(n_bits: int) -> None:
    codec, tokens, _ = documented(24, n_bits)
    codes = codec.encode(tokens).codes
    for first, last in ((0, 1), (1, 3), (2, 7), (3, 11), (149, 150)):
        assert np.array_equal(codec.encode(tokens[first:last]).codes, codes[first:last])


def test_the_definition_finds_the_cheapest_code() -> None:
    """Of two bytes: all 65,536 codes are tried."""
    random = np.random.default_rng(0)
    codebook = (40 * random.standard_normal((4096, 8))).clip(-127, 127)
    shapes = np.rint(300 * random.standard_normal((20, 16)))
    codes = np.arange(65_536)
    first, second = codes >> 8, codes & 255
    entries = first << 4 | second >> 4, second << 4 | first >> 4
    squares = 4 * np.square(codebook).sum(axis=1)
    costs = sum(
        (squares - shapes[:, 8 * g : 8 * g + 8] @ codebook.T)[:, entries[g]] for g in (0, 1)
    )
    found = reference.trellis_code(shapes, codebook)
    for row, (before, last) in zip(costs, found, strict=True):
        cost = row[before << 8 | last]
        assert cost == row[second >> 4 == last >> 4].min()
        assert (row < cost).mean() < 1e-3  # the end is not always the best one


@pytest.mark.parametrize("n_bits", RESIDUAL_BITS)
def test_gains_have_the_least_weighted_error(n_bits: int) -> None:
    codec, tokens, _ = documented(128, n_bits)
    encoded = codec.encode(tokens)
    rotated = codec.rotated(tokens)
    codewords = reference.unpack(encoded.codes.astype(np.int64), codec.arrays)
    residuals = rotated - codec.rotated(codec.centroids)[encoded.centroids]
    table = codec.arrays["gains"][:, None, None]
    errors = residuals - table * codewords  # (256, n, dim)
    along = (errors * rotated).sum(axis=2)
    weighted = np.square(errors).sum(axis=2) + 128 / 4 * np.square(along)
    assert encoded.gains is not None
    chosen = weighted[encoded.gains, np.arange(len(tokens))]
    assert chosen == pytest.approx(weighted.min(axis=0), rel=1e-3, abs=1e-9)


def test_centroids_are_as_long_as_their_tokens_reach() -> None:
    """One factor for all, so that the nearest one stays the nearest."""
    tokens = Clustered(seed=9, n_topics=4000).tokens(60_000)
    codec = Codec.train(tokens[:50_000], n_bits=8, n_centroids=2000)
    lengths = np.linalg.norm(codec.centroids, axis=1)
    assert np.ptp(lengths) < 0.02
    unseen = tokens[50_000:]
    directions = codec.centroids / lengths[:, None]
    cosines = (unseen @ directions.T).max(axis=1)
    assert lengths.mean() == pytest.approx(cosines.mean(), abs=0.01)
    assert np.abs(codec.arrays["centroids"]).max(axis=1).tolist() == [127] * 2000


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


def test_codecs_that_contradict_themselves() -> None:
    codec, *_ = documented(16, 8)
    assert contradiction(codec) is None
    for name, value, message in (
        ("gains", np.full(256, np.nan, np.float32), "gains holds NaN"),
        ("gains", codec.arrays["gains"][::-1], "gains descends"),
        ("codebook_scale", np.zeros(1, np.float32), "codebook_scale is not positive"),
        ("codebook", np.zeros((256, 1), np.int8), "not the integers of 8 bits"),
        ("rotation", np.eye(8, dtype=np.float32), r"rotation has shape \(8, 8\)"),
    ):
        problem = contradiction(Codec(8, codec.arrays | {name: value}))
        assert problem
        assert re.search(message, problem)


@pytest.mark.parametrize(
    ("n_bits", "shape"), [(2, (256, 4)), (2, (4096, 8)), (1, (4095, 8)), (8, (4096, 1))]
)
def test_codebooks_of_another_size_are_refused(n_bits: int, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="codebook has"):
        coder(n_bits, 16, np.zeros(shape, np.int8))
