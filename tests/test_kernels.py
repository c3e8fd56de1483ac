from __future__ import annotations

import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from colxtr import kernels, reference
from colxtr.codec import Codec, EncodedTokens
from colxtr.errors import CorruptIndexError, InputError
from colxtr.storage.segment import Batch, segment_arrays
from made import (
    Clustered,
    native_collection,
    native_segment,
    native_segment_of_codes,
    trained,
    unit,
)

AWKWARD = [1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 127, 128, 129]


@pytest.mark.parametrize("n", AWKWARD)
@pytest.mark.parametrize("dim", [16, 24, 128, 1024])
def test_nearest_is_the_largest_product(instruction_set: str, n: int, dim: int) -> None:
    random = np.random.default_rng(n * dim)
    for n_vectors in (1, n, 2 * n + 1):
        vectors = random.standard_normal((n_vectors, dim), dtype=np.float32)
        rows = random.standard_normal((n, dim), dtype=np.float32)
        found = kernels.Panels(vectors).nearest(rows)
        assert found.tolist() == reference.nearest_centroid(rows, vectors).tolist()


def test_nearest_takes_the_first_of_equals(instruction_set: str) -> None:
    vectors = np.ones((100, 16), np.float32)
    assert kernels.Panels(vectors).nearest(np.ones((5, 16), np.float32)).tolist() == [0] * 5
    vectors[70] = vectors[99] = 2
    assert kernels.Panels(vectors).nearest(np.ones((5, 16), np.float32)).tolist() == [70] * 5


def test_nearest_when_all_products_are_negative(instruction_set: str) -> None:
    vectors = -np.ones((3, 16), np.float32)  # the panel's empty columns would give 0
    vectors[1] /= 2
    assert kernels.Panels(vectors).nearest(np.ones((1, 16), np.float32)).tolist() == [1]


def test_blocks_of_rows_come_back_in_order() -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((50, 16), dtype=np.float32)
    rows = random.standard_normal((3 * kernels.ROW_BLOCK + 5, 16), dtype=np.float32)
    panels = kernels.Panels(vectors)
    parallel = kernels.in_row_blocks(panels.nearest, rows, threads=3)
    assert np.array_equal(parallel, panels.nearest(rows))
    assert len(kernels.in_row_blocks(panels.nearest, rows[:0], threads=3)) == 0


@pytest.mark.parametrize("n_query_tokens", [1, 22, 32, 33, 512])
@pytest.mark.parametrize("n_bits", [1, 2, 4, 8, 16])
def test_maxsim_of_a_query_of_any_length(
    instruction_set: str, n_query_tokens: int, n_bits: int
) -> None:
    made = Clustered(seed=n_query_tokens)
    documents = made.documents(20, most_tokens=150)
    tokens = np.concatenate(documents)
    codec = trained(tokens, n_bits=n_bits, n_centroids=16)
    segment = native_segment(codec, documents)
    query = made.tokens(n_query_tokens)
    scores = codec.query(query).maxsim(
        native_collection(codec, segment), np.arange(20, dtype=np.uint64)
    )
    decoded = [codec.rotated_back(segment.decode_document(codec.native, i)[0]) for i in range(20)]
    expected = reference.exact(codec.as_searched(query), decoded)
    assert scores == pytest.approx([expected[i] for i in range(20)], abs=2e-6)


def test_probes_are_sorted_and_equals_by_number(instruction_set: str) -> None:
    made = Clustered(seed=1)
    codec = trained(made.tokens(3000), n_bits=2, n_centroids=200)
    query = made.tokens(9)
    for n_probe in (1, 10, 200):
        found = codec.query(query, n_probe).probes()
        searched = codec.as_searched(query)
        assert found.tolist() == reference.probes(searched, codec.centroids, n_probe).tolist()


def large_store(n_tokens: int) -> tuple[Codec, kernels.Collection, NDArray[np.float32]]:
    """Many tokens in few documents, and the tokens decompressed."""
    made = Clustered(seed=n_tokens, dim=16)
    tokens = made.tokens(n_tokens)
    codec = trained(tokens[:5000], n_bits=2, n_centroids=32)
    counts = [100] * (n_tokens // 100)
    segment = native_segment_of_codes(codec, codec.encode(tokens), counts)
    decoded = np.concatenate(
        [segment.decode_document(codec.native, i)[0] for i in range(len(counts))]
    )
    return codec, native_collection(codec, segment), codec.rotated_back(decoded)


@pytest.mark.parametrize("k_prime", [1, 3, 500, 9_999, 19_999, 20_000])
def test_thresholds_of_many_tokens(instruction_set: str, k_prime: int) -> None:
    """Estimated from a sample, narrowed down, exact."""
    codec, collection, decoded = large_store(20_000)
    query = Clustered(seed=1, dim=16).tokens(40)
    found = kernels.Candidates(codec.query(query), collection, k_prime, all_lists=True)
    similarities = codec.as_searched(query) @ decoded.T
    expected = np.sort(similarities, axis=1)[:, -k_prime]
    assert found.thresholds() == pytest.approx(expected, abs=2e-6)


def test_thresholds_of_equal_tokens(instruction_set: str) -> None:
    codec, _, _ = large_store(5_000)
    tokens = np.repeat(Clustered(seed=2, dim=16).tokens(2), [9_000, 3_000], axis=0)
    collection = native_collection(
        codec, native_segment_of_codes(codec, codec.encode(tokens), [12_000])
    )
    query = codec.query(tokens[:1])
    best, second = np.sort(
        codec.as_searched(tokens[:1])[0]
        @ codec.rotated_back(
            native_segment(codec, [tokens[8_999:9_001]]).decode_document(codec.native, 0)[0]
        ).T
    )[::-1]
    for k_prime, expected in ((8_999, best), (9_000, best), (9_001, second), (12_000, second)):
        found = kernels.Candidates(query, collection, k_prime, all_lists=True)
        assert found.thresholds() == pytest.approx([expected], abs=2e-6)


def test_rows_that_do_not_fit_are_dropped_or_given_room() -> None:
    """512 query tokens and 40,000 tokens are 80 MB of similarities, more than are kept at first."""
    codec, collection, decoded = large_store(40_000)
    query = Clustered(seed=3, dim=16).tokens(512)
    similarities = np.sort(codec.as_searched(query) @ decoded.T, axis=1)
    for k_prime in (2, 39_000):  # nearly all rows are dropped, or none can be
        found = kernels.Candidates(codec.query(query), collection, k_prime, all_lists=True)
        assert found.thresholds() == pytest.approx(similarities[:, -k_prime], abs=2e-6)


def everything(codec: Codec, collection: kernels.Collection, threads: int) -> list[list[float]]:
    query = codec.query(Clustered(seed=4, dim=16).tokens(33), 3, threads)
    pooled = kernels.Candidates(query, collection, 700)
    own = kernels.Candidates(query, collection, 700, own_lists=True)
    return [
        each.tolist()
        for each in (
            query.probes(),
            pooled.thresholds(),
            *pooled.best_imputed(50),
            *pooled.best_lower_bounds(50),
            own.thresholds(),
            *own.best_imputed(50, retrieved_only=True),
            np.sort(own.retrieved()),
            query.maxsim(collection, np.arange(100, dtype=np.uint64)),
        )
    ]


def test_all_instruction_sets_and_numbers_of_threads_agree_to_the_bit() -> None:
    codec, collection, _ = large_store(20_000)
    expected = everything(codec, collection, 1)
    before = kernels.instruction_set()
    try:
        for name in kernels.instruction_sets():
            kernels.use_instruction_set(name)
            for threads in (1, 2, 3, 7):
                assert everything(codec, collection, threads) == expected, (name, threads)
    finally:
        kernels.use_instruction_set(before)


def test_threads_survive_a_fork() -> None:
    """The child of a process that has searched has a pool of its own."""
    program = """
import os, sys
sys.path.insert(0, sys.argv[1])
from test_kernels import everything, large_store
codec, collection, _ = large_store(10_000)
expected = everything(codec, collection, 2)
child = os.fork()
if child == 0:
    os._exit(0 if everything(codec, collection, 2) == expected else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    folder = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", program, folder], check=True, timeout=120)


def test_many_callers_share_the_pool() -> None:
    codec, collection, _ = large_store(10_000)
    expected = everything(codec, collection, 1)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: everything(codec, collection, 2), range(20)):
            assert found == expected


def test_eight_bits_of_a_query_lose_little(instruction_set: str) -> None:
    """At most half a step per dimension: |q - q'|_inf <= max|q| / 254."""
    made = Clustered(seed=5, dim=128)
    documents = made.documents(50)
    codec = trained(np.concatenate(documents), n_bits=4, n_centroids=64)
    segment = native_segment(codec, documents)
    decoded = [segment.decode_document(codec.native, i)[0] for i in range(50)]
    query = made.tokens(32)
    rotated = codec.rotated(query)
    steps = np.abs(rotated).max(axis=1) / 254
    bound = float(steps.mean() * max(np.abs(d).sum(axis=1).max() for d in decoded))
    scores = codec.query(query).maxsim(
        native_collection(codec, segment), np.arange(50, dtype=np.uint64)
    )
    exact = reference.exact(rotated, decoded)
    errors = np.abs(scores - [exact[i] for i in range(50)])
    assert errors.max() <= bound
    assert errors.max() < 5e-4  # errors of the dimensions cancel


def test_half_precision_of_every_value(instruction_set: str) -> None:
    """All 65,536 halves pass through a 16-bit store unchanged (infinities and NaN left out)."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].reshape(-1, 32)
    codec = trained(np.eye(32, dtype=np.float32), n_bits=16, n_centroids=1)
    encoded = EncodedTokens(np.zeros(len(halves), np.uint32), halves.view(np.uint8), None)
    segment = native_segment_of_codes(codec, encoded, [len(halves)])
    decoded, _ = segment.decode_document(codec.native, 0)
    assert np.array_equal(decoded, halves.astype(np.float32))


@given(
    st.integers(0, 56).flatmap(
        lambda width: st.tuples(st.just(width), st.lists(st.integers(0, 2**width - 1), max_size=50))
    )
)
def test_packed_integers_come_back(case: tuple[int, list[int]]) -> None:
    width, values = case
    packed, least = kernels.pack(np.array(values, np.uint64))
    assert least <= width
    assert len(packed) == (len(values) * least + 7) // 8 + 8
    assert kernels.unpack(packed, len(values), least).tolist() == values
    some = kernels.unpack(packed, len(values), least, len(values) // 3, len(values) // 2)
    assert some.tolist() == values[len(values) // 3 : len(values) // 2]


def test_packing_is_the_documented_one() -> None:
    packed, width = kernels.pack(np.array([1, 2, 7], np.uint64))
    assert width == 3
    assert packed.tolist()[:2] == [0b11_010_001, 0b1]


def test_packed_integers_beyond_2_to_the_32() -> None:
    values = np.array([2**31, 2**33 + 5, 2**55], np.uint64)
    packed, width = kernels.pack(values)
    assert width == 56
    assert kernels.unpack(packed, 3, width).tolist() == values.tolist()


def test_packing_refuses_values_that_are_too_wide() -> None:
    with pytest.raises(ValueError, match=r"57 bits|0 to 56"):
        kernels.pack(np.array([2**56], np.uint64))


def test_unpacking_refuses_a_wrong_length() -> None:
    with pytest.raises(ValueError, match="expected 11"):
        kernels.unpack(np.zeros(10, np.uint8), 8, 3)


def test_unpacking_refuses_a_count_whose_bits_overflow() -> None:
    with pytest.raises(ValueError, match="fit a memory"):
        kernels.unpack(np.zeros(8, np.uint8), 2**61, 8)


@pytest.mark.parametrize(("begin", "end"), [(0, 4), (3, 2), (4, 4)])
def test_unpacking_refuses_values_that_are_not_there(begin: int, end: int) -> None:
    packed, width = kernels.pack(np.arange(3, dtype=np.uint64))
    with pytest.raises(ValueError, match="of 3 values"):
        kernels.unpack(packed, 3, width, begin, end)


def test_vectors_without_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        kernels.Panels(np.empty((3, 0), np.float32))


def test_what_is_not_a_number_has_no_rank(instruction_set: str) -> None:
    """A damaged store of halves: NaN among the values would break the order of all."""
    tokens = Clustered(seed=12).tokens(3000)
    codec = trained(tokens, n_bits=16, n_centroids=1)
    query = kernels.Query(codec.native, tokens[:5])
    damaged = tokens.copy()
    damaged[::3] = np.nan
    for k_prime in (7, 1999, 2000, 2**63):
        thresholds = []
        for rows in (damaged, np.delete(tokens, np.s_[::3], axis=0)):
            halves = rows.astype(np.float16).view(np.uint8)
            encoded = EncodedTokens(np.zeros(len(rows), np.uint32), halves, None)
            segment = native_segment_of_codes(codec, encoded, [len(rows)])
            found = kernels.Candidates(
                query, native_collection(codec, segment), k_prime, all_lists=True
            )
            thresholds.append(found.thresholds().tolist())
        assert thresholds[0] == pytest.approx(thresholds[1], abs=1e-6)
    codec.arrays["centroid_scales"][:] = np.nan
    query = kernels.Query(kernels.Codec(16, **codec.arrays), tokens[:5], 1)
    assert query.probes().tolist() == [[0]] * 5


def test_arrays_live_as_long_as_what_uses_them() -> None:
    made = Clustered(seed=13)
    documents = made.documents(10)

    def query_and_collection() -> tuple[kernels.Query, kernels.Collection]:
        codec = trained(np.concatenate(documents), n_bits=2, n_centroids=8)
        segment = native_segment(codec, documents)
        return codec.query(made.tokens(3), 2), native_collection(codec, segment)

    found = kernels.Candidates(*query_and_collection(), 5)
    gc.collect()
    assert np.isfinite(found.best_imputed(10)[1]).all()
    query, collection = query_and_collection()
    gc.collect()
    assert np.isfinite(query.maxsim(collection, np.arange(10, dtype=np.uint64))).all()


def test_a_constructor_that_fails_leaves_nothing_to_destroy() -> None:
    codec = trained(np.eye(16, dtype=np.float32), n_bits=2, n_centroids=2)
    for _ in range(3):
        with pytest.raises(ValueError, match="expected 16"):
            kernels.Query(codec.native, np.ones((1, 24), np.float32))
        with pytest.raises(ValueError, match="codebook is missing"):
            kernels.Codec(2, codec.arrays["centroids"], codec.arrays["centroid_scales"])
    gc.collect()


def test_rows_are_added_to_their_groups() -> None:
    sums = np.zeros((3, 4), np.float32)
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    kernels.add_rows(sums, rows, np.array([2, 0, 2], np.uint32))
    assert sums.tolist() == [[4, 5, 6, 7], [0, 0, 0, 0], [8, 10, 12, 14]]
    with pytest.raises(ValueError, match="below"):
        kernels.add_rows(sums, rows, np.array([3, 0, 0], np.uint32))
    with pytest.raises(TypeError):  # sums of another type would be summed in a copy
        kernels.add_rows(sums.astype(np.float64), rows, np.array([0, 0, 0], np.uint32))


def test_unknown_instruction_set() -> None:
    with pytest.raises(InputError, match=r"'mmx'.*it runs scalar"):
        kernels.use_instruction_set("mmx")


@pytest.mark.parametrize("name", kernels.instruction_sets())
def test_environment_forces_an_instruction_set(name: str) -> None:
    program = "from colxtr import kernels; print(kernels.instruction_set())"
    environment = os.environ | {"COLXTR_INSTRUCTION_SET": name}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    assert result.stdout.strip() == name


class TestDamagedSegments:
    """What a kernel must never follow: checked when a segment is made, or when it is read."""

    @pytest.fixture
    def parts(self) -> dict[str, object]:
        codec = trained(unit(np.eye(16, dtype=np.float32)[:4]), n_bits=2, n_centroids=4)
        zeros, _ = kernels.pack(np.zeros(4, np.uint64))
        positions, bits = kernels.pack(np.arange(4, dtype=np.uint64))
        return {
            "codec": codec.native,
            "name": "some/file",
            "first_ordinal": 0,
            "list_centroids": np.arange(4, dtype=np.uint32),
            "list_offsets": np.arange(5, dtype=np.uint64),
            "document_offsets": np.array([0, 4], np.uint64),
            "ordinals": zeros,
            "ordinal_bits": 0,
            "positions": positions,
            "position_bits": bits,
            "codes": np.zeros((4, 4), np.uint8),
            "gains": np.zeros(4, np.uint8),
        }

    def test_sound_one_is_taken(self, parts: dict) -> None:
        kernels.Segment(**parts)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("list_centroids", np.array([0, 1, 2, 4], np.uint32)),
            ("list_centroids", np.array([0, 1, 1, 2], np.uint32)),
            ("list_offsets", np.array([0, 1, 2, 3, 5], np.uint64)),
            ("list_offsets", np.array([0, 3, 2, 3, 4], np.uint64)),
            ("list_offsets", np.array([1, 1, 2, 3, 4], np.uint64)),
            ("document_offsets", np.array([0, 9], np.uint64)),
            ("document_offsets", np.array([0, 9, 4], np.uint64)),
            ("codes", np.zeros((4, 3), np.uint8)),
            ("gains", None),
            ("lengths", np.zeros(4, np.uint8)),
        ],
    )
    def test_contradictions(self, parts: dict, name: str, value: object) -> None:
        with (
            pytest.raises(CorruptIndexError, match="some/file: damaged"),
            kernels.damage_reported(),
        ):
            kernels.Segment(**parts | {name: value})

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("list_offsets", np.arange(4, dtype=np.uint64)),
            ("document_offsets", np.empty(0, np.uint64)),
            ("ordinals", np.zeros(7, np.uint8)),
            ("position_bits", 60),
            ("gains", np.zeros(3, np.uint8)),
        ],
    )
    def test_sizes_that_do_not_fit(self, parts: dict, name: str, value: object) -> None:
        with pytest.raises(ValueError, match=r"entries|bits|empty"):
            kernels.Segment(**parts | {name: value})

    def test_halves_must_be_aligned(self) -> None:
        codec = trained(np.eye(16, dtype=np.float32), n_bits=16, n_centroids=1)
        codes = np.zeros(33, np.uint8)[1:].reshape(1, 32)
        encoded = EncodedTokens(np.zeros(1, np.uint32), codes, None)
        arrays, widths = segment_arrays([Batch([], [1], encoded)])
        with pytest.raises(ValueError, match="not aligned"):
            kernels.Segment(codec.native, "made", 0, **arrays | {"codes": codes}, **widths)

    def test_positions_and_ordinals_out_of_range(self, parts: dict) -> None:
        far, bits = kernels.pack(np.array([0, 1, 2, 4], np.uint64))
        query = kernels.Query(parts["codec"], np.eye(16, dtype=np.float32)[:2])
        segment = kernels.Segment(**parts | {"positions": far, "position_bits": bits})
        collection = kernels.Collection(parts["codec"], [segment])
        with (
            pytest.raises(CorruptIndexError, match="some/file: damaged: a position"),
            kernels.damage_reported(),
        ):
            query.maxsim(collection, np.zeros(1, np.uint64))
        segment = kernels.Segment(**parts | {"ordinals": far, "ordinal_bits": bits})
        collection = kernels.Collection(parts["codec"], [segment])
        with (
            pytest.raises(CorruptIndexError, match="some/file: damaged: an ordinal"),
            kernels.damage_reported(),
        ):
            kernels.Candidates(query, collection, 0, all_lists=True)

    def test_ordinals_asked_for_must_exist(self, parts: dict) -> None:
        collection = kernels.Collection(parts["codec"], [kernels.Segment(**parts)])
        query = kernels.Query(parts["codec"], np.eye(16, dtype=np.float32)[:2])
        with pytest.raises(ValueError, match="ordinal 1"):
            query.maxsim(collection, np.ones(1, np.uint64))

    def test_codecs_must_be_the_same(self, parts: dict) -> None:
        collection = kernels.Collection(parts["codec"], [kernels.Segment(**parts)])
        other = trained(unit(np.eye(16, dtype=np.float32)[:4]), n_bits=2, n_centroids=4)
        query = other.query(np.eye(16, dtype=np.float32)[:2])
        for use in (
            lambda: query.maxsim(collection, np.zeros(1, np.uint64)),
            lambda: kernels.Candidates(query, collection, 0),
        ):
            with pytest.raises(ValueError, match="another codec"):
                use()
