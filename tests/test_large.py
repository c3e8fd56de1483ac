"""Beyond 2^31 tokens: a segment whose arrays are sparse files, with tokens only at the far end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from colxtr import kernels, reference
from made import Clustered, native_collection, trained

FAR = 2**31 + 64  # tokens before those that are looked at
DIM = 16


def sparse(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Zeros that take no room on the disk."""
    return np.memmap(path, np.uint8, "w+", shape=shape)


def write_bits(
    packed: NDArray[np.uint8], first: int, values: NDArray[np.uint64], width: int
) -> None:
    """Write packed integers from place `first` on, which begins on a byte."""
    bits, rest = divmod(first * width, 8)
    assert rest == 0
    narrow, used = kernels.pack(np.append(values, np.uint64(2**width - 1)))  # the last one fits
    assert used == width
    n_bytes = len(values) * width // 8
    packed[bits : bits + n_bytes] = narrow[:n_bytes]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="files are not sparse by default")
def test_a_segment_of_more_than_2_to_the_31_tokens(tmp_path: Path) -> None:
    made = Clustered(seed=1, dim=DIM)
    codec = trained(made.tokens(3000), n_bits=2, n_centroids=2)
    document = np.concatenate([t[None] for t in made.tokens(400) if codec.encode(t[None])[0] == 1])
    document = document[:64]
    encoded = codec.encode(document)
    assert encoded.gains is not None
    n = FAR + len(document)
    codes = sparse(tmp_path / "codes", (n, DIM // 4))
    gains = sparse(tmp_path / "gains", (n,))
    ordinals = sparse(tmp_path / "ordinals", ((n + 7) // 8 + 8,))
    positions = sparse(tmp_path / "positions", (n * 32 // 8 + 8,))
    codes[FAR:], gains[FAR:] = encoded.codes, encoded.gains
    write_bits(ordinals, FAR, np.ones(len(document), np.uint64), 1)
    places = np.arange(FAR, n, dtype=np.uint64)
    write_bits(positions, FAR, places[::-1].copy(), 32)
    arrays: dict[str, Any] = {
        "list_centroids": np.array([0, 1], np.uint32),
        "list_offsets": np.array([0, FAR, n], np.uint64),
        "document_offsets": np.array([0, FAR, n], np.uint64),
        "codes": codes,
        "gains": gains,
        "ordinals": ordinals,
        "positions": positions,
    }
    segment = kernels.Segment(codec.native, "far", 0, ordinal_bits=1, position_bits=32, **arrays)
    decoded, centroids = segment.decode_document(codec.native, 1)
    assert (centroids == 1).all()
    query = made.tokens(5) + 5 * codec.centroids[1]  # its nearest centroid is the far list's
    prepared = codec.query(query, 1)
    assert set(prepared.probes().ravel().tolist()) == {1}
    collection = native_collection(codec, segment)
    expected = reference.maxsim(codec.as_searched(query), codec.rotated_back(decoded))
    ordinals_found, scores = kernels.Candidates(prepared, collection, 10).best_imputed(5)
    assert ordinals_found.tolist() == [1]
    assert scores == pytest.approx([expected], abs=1e-6)
    assert prepared.maxsim(collection, np.ones(1, np.uint64)) == pytest.approx([expected], abs=1e-6)
