"""TACHIOM's index file: read what training made of it, encode tokens as it does, write it whole.

One document after the other, little-endian, lengths as uint64 (n = values that follow):

    graph            over the centroids; how it is coded is TACHIOM's own affair
    lists            n, uint32 document ordinals: those with a token at a centroid, each once
    list offsets     n = n_centroids + 1, uint64
    documents        n bytes; of each: centroids (uint32 per token), codes (32 bytes per token),
                     lengths of the residuals (float16 per token)
    document offsets n = n_documents + 1, uint64, in bytes
    quantiser        dim, dim / 32, centroids, 32 codebooks of 256, a byte: lengths are there
    longest          uint64, tokens of the longest document
    mean             a byte: 0, or 1 and n, float32

A token is its centroid and a residual; the residual is its length and a direction, and the
direction is cut into 32 parts, each the nearest of 256. (TACHIOM 0.4.0, src/fast_load.rs.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PARTS = 32  # of a residual
CODES = 256  # of a part
TOKEN_BYTES = 4 + PARTS + 2

Integers = NDArray[np.integer]


@dataclass(frozen=True)
class Trained:
    """What an index has before its documents.

    Attributes:
        graph: Over the centroids, as the file has it.
        quantiser: As the file has it.
        centroids: float32 (n_centroids, dim).
        books: float32 (32, 256, dim / 32).
    """

    graph: bytes
    quantiser: bytes
    centroids: NDArray[np.float32]
    books: NDArray[np.float32]


def read_trained(
    path: Path, n_centroids: int, n_documents: int, n_tokens: int, dim: int
) -> Trained:
    """Read an index that was made without a mean; from its end, as the graph's size is not said.

    Raises:
        ValueError: The file is not as described above.
    """
    raw = np.memmap(path, np.uint8, "r")
    book_bytes = 4 * CODES * dim // PARTS
    quantiser_size = 16 + (24 + 4 * n_centroids * dim) + 8 + PARTS * (24 + book_bytes) + 1

    def number(position: int) -> int:
        return int(raw[position : position + 8].view(np.uint64)[0])

    quantiser = len(raw) - 9 - quantiser_size
    document_offsets = quantiser - 8 * (n_documents + 1) - 8
    documents = document_offsets - TOKEN_BYTES * n_tokens - 8
    list_offsets = documents - 8 * (n_centroids + 1) - 8
    lists = list_offsets - 4 * number(documents - 8) - 8
    found = [number(at) for at in (quantiser, quantiser + 16, document_offsets, documents)]
    found += [number(list_offsets), number(documents - 8)]
    expected = [dim, n_centroids, n_documents + 1, TOKEN_BYTES * n_tokens]
    expected += [n_centroids + 1, number(lists)]
    if found != expected or raw[-1] != 0:
        raise ValueError(f"{path}: has {found} where a TACHIOM index would have {expected}")
    start = quantiser + 32
    end = start + 4 * n_centroids * dim
    books = raw[end + 16 : end + 16 + PARTS * (24 + book_bytes)].reshape(PARTS, -1)
    return Trained(
        graph=raw[:lists].tobytes(),
        quantiser=raw[quantiser : quantiser + quantiser_size].tobytes(),
        centroids=raw[start:end].view(np.float32).reshape(-1, dim),
        books=books[:, 16:-8].copy().view(np.float32).reshape(PARTS, CODES, -1),
    )


def encode(
    tokens: NDArray[np.floating], assigned: Integers, trained: Trained
) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Codes (n, 32) and lengths (n,) of the residuals of tokens (n, dim) with known centroids."""
    residuals = tokens - trained.centroids[assigned]
    lengths = np.linalg.norm(residuals, axis=1)
    residuals /= np.maximum(lengths, 1e-12)[:, None]
    width = residuals.shape[1] // PARTS
    part = np.ones((len(tokens), width + 1), np.float32)
    codes = np.empty((len(tokens), PARTS), np.uint8)
    for number, book in enumerate(trained.books):
        part[:, :width] = residuals[:, number * width : (number + 1) * width]
        nearness = np.column_stack([book, -np.square(book).sum(axis=1) / 2])
        codes[:, number] = (part @ nearness.T).argmax(axis=1)
    return codes, lengths.astype(np.float16)


def inverted(assigned: Integers, doclens: Integers, n_centroids: int) -> tuple[Integers, Integers]:
    """Lists, uint32, and their offsets, uint64 (n_centroids + 1,)."""
    pairs = assigned.astype(np.uint64) << np.uint64(32)
    pairs |= np.repeat(np.arange(len(doclens), dtype=np.uint64), doclens)
    pairs.sort()
    pairs = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])]
    sizes = np.bincount((pairs >> np.uint64(32)).astype(np.int64), minlength=n_centroids)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64)
    return pairs.astype(np.uint32), offsets


def document_bytes(
    doclens: Integers, assigned: Integers, codes: NDArray[np.uint8], lengths: NDArray[np.float16]
) -> NDArray[np.uint8]:
    """Some documents as the file has them."""
    words = np.empty(TOKEN_BYTES // 2 * len(assigned), np.uint16)
    starts = np.cumsum(doclens, dtype=np.int64) - doclens
    inside = np.arange(len(assigned)) - np.repeat(starts, doclens)
    first, many = np.repeat(starts, doclens) * (TOKEN_BYTES // 2), np.repeat(doclens, doclens)
    before = 0  # words of each token in the blocks before
    for block in (assigned.astype(np.uint32), codes, lengths):
        values = np.ascontiguousarray(block).view(np.uint16).reshape(len(assigned), -1)
        width = values.shape[1]
        places = first + before * many + width * inside
        words[places[:, None] + np.arange(width)] = values
        before += width
    return words.view(np.uint8)


def write(
    path: Path,
    trained: Trained,
    lists: tuple[Integers, Integers],
    doclens: Integers,
    documents: Iterable[NDArray[np.uint8]],
) -> None:
    """Write an index.

    Args:
        path: The file.
        trained: What comes before its documents.
        lists: What `inverted` returns.
        doclens: Tokens of each document.
        documents: What `document_bytes` returns, of some documents after the other.
    """

    def array(values: Integers) -> bytes:
        return len(values).to_bytes(8, "little") + values.tobytes()

    ends = TOKEN_BYTES * np.concatenate([[0], np.cumsum(doclens, dtype=np.uint64)])
    with path.open("wb") as file:
        file.write(trained.graph)
        for values in lists:
            file.write(array(values))
        file.write(int(ends[-1]).to_bytes(8, "little"))
        for some in documents:
            file.write(some.tobytes())
        file.write(array(ends.astype(np.uint64)))
        file.write(trained.quantiser)
        file.write(int(doclens.max()).to_bytes(8, "little") + b"\0")
