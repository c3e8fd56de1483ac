"""Segments as they are written: coded batches in the order of their lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from colxtr import kernels
from colxtr.clustering import number_of_centroids
from colxtr.codec import Codec, EncodedTokens
from colxtr.documents import Document
from colxtr.storage import segment
from colxtr.storage.arrays import Streamed, read_arrays, write_arrays
from colxtr.storage.segment import Batch, SegmentBuilder, segment_arrays
from made import native_segment_of_codes, trained, unit

COUNTS = [[3, 0, 4], [0], [120], [1] * 40]  # tokens of the documents of each batch


def coded_batches() -> list[Batch]:
    random = np.random.default_rng(0)
    batches = []
    for counts in COUNTS:
        n = sum(counts)
        centroids = random.integers(0, 50, n).astype(np.uint32)
        codes, gains = (random.integers(0, 256, s).astype(np.uint8) for s in ((n, 8), (n,)))
        encoded = EncodedTokens(centroids, codes, gains)
        documents = [Document(str(len(batches) * 100 + i), "text") for i in range(len(counts))]
        batches.append(Batch(documents, counts, encoded))
    return batches


@pytest.mark.parametrize("piece_bytes", [1, 8 * 7, 8 * 167, 1 << 20])
def test_arrays_are_those_of_a_stable_sort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    monkeypatch.setattr(segment, "PIECE_BYTES", piece_bytes)
    batches = coded_batches()
    centroids = np.concatenate([batch.encoded.centroids for batch in batches])
    counts = np.concatenate(COUNTS)
    order = np.argsort(centroids, kind="stable")

    streamed, widths = segment_arrays(batches)
    write_arrays(tmp_path / "f", streamed, widths)
    arrays = read_arrays(tmp_path / "f").arrays

    assert arrays["list_centroids"].tolist() == np.unique(centroids).tolist()
    sizes = np.unique(centroids, return_counts=True)[1]
    assert np.diff(arrays["list_offsets"]).tolist() == sizes.tolist()
    assert np.diff(arrays["document_offsets"]).tolist() == counts.tolist()
    for name in ("codes", "gains"):
        joined = np.concatenate([getattr(batch.encoded, name) for batch in batches])
        assert np.array_equal(arrays[name], joined[order]), name
    n = len(order)
    positions = kernels.unpack(arrays["positions"], n, widths["position_bits"])
    assert np.array_equal(order[positions], np.arange(n))
    ordinals = kernels.unpack(arrays["ordinals"], n, widths["ordinal_bits"])
    assert np.array_equal(ordinals, np.repeat(np.arange(len(counts)), counts)[order])


@pytest.mark.parametrize(
    "sizes",
    [
        [1] * 300,  # as many as fit a table that is as fine as it gets
        [1] * 40 + [5_000],  # very many in one block of a coarse table
        [5_000] + [1, 2, 3, 4] * 5 + [700, 1, 1, 1, 1, 700],
        [128, 128, 127, 1, 129],
        [3],
    ],
)
@pytest.mark.parametrize("n_unused", [0, 7])  # centroids without a list
def test_every_token_is_found_in_its_list(sizes: list[int], n_unused: int) -> None:
    tokens = np.random.default_rng(0).standard_normal((64, 16)).astype(np.float32)
    few = trained(unit(tokens), n_bits=2, n_centroids=1).arrays
    n_centroids = len(sizes) + n_unused
    arrays = {
        **few,
        "centroids": np.tile(few["centroids"], (n_centroids, 1)),
        "centroid_scales": np.tile(few["centroid_scales"], n_centroids),
    }
    centroids = np.repeat(np.arange(len(sizes), dtype=np.uint32) + n_unused, sizes)
    codec, n = Codec(2, arrays), len(centroids)
    encoded = EncodedTokens(centroids, np.zeros((n, 4), np.uint8), np.zeros(n, np.uint8))
    made = native_segment_of_codes(codec, encoded, [n])
    assert np.array_equal(made.decode_document(codec.native, 0)[1], centroids)


def test_a_builder_knows_what_it_holds() -> None:
    builder = SegmentBuilder()
    assert not builder
    for batch in coded_batches():
        builder.add(batch)
    assert builder
    assert builder.n_tokens == 167
    assert len(builder.documents()) == 45
    assert builder.n_bytes > 167 * (8 + 1 + 4) + 45 * 4


def test_sizes_beyond_2_to_the_31() -> None:
    assert number_of_centroids(2**36) == 16 * 2**18
    large = Streamed((2**33, 32), np.dtype(np.uint8), lambda: iter(()))
    assert large.nbytes == 2**38
    for sizes in (np.array([2**54, 1], np.uint64), np.array([2**54, 1])):
        assert segment.offsets(sizes).tolist() == [0, 2**54, 2**54 + 1]
