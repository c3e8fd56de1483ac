"""Made-up collections, and segments of them without files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from colxtr import Index, kernels, reference
from colxtr.codec import Codec, EncodedTokens, quantised
from colxtr.storage.arrays import Streamed
from colxtr.storage.segment import Batch, segment_arrays


def unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows of length 1."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Clustered:
    """Random documents whose tokens gather round topics, as those of real text do."""

    def __init__(self, seed: int, dim: int = 32, n_topics: int = 40) -> None:
        self.random = np.random.default_rng(seed)
        self.topics = unit(self.random.standard_normal((n_topics, dim)))

    def tokens(self, n: int) -> NDArray[np.float32]:
        topics = self.topics[self.random.integers(0, len(self.topics), n)]
        noise = self.random.standard_normal(topics.shape) / np.sqrt(topics.shape[1])
        return unit(topics + 0.6 * noise)

    def documents(self, n: int, most_tokens: int = 30) -> list[NDArray[np.float32]]:
        return [self.tokens(int(m)) for m in self.random.integers(1, most_tokens, n)]


def trained(sample: NDArray[np.floating], *, n_bits: int, n_centroids: int) -> Codec:
    """`Codec.train` with the fastest instructions, whichever the test is about."""
    before = kernels.instruction_set()
    kernels.use_instruction_set(kernels.instruction_sets()[-1])
    codec = Codec.train(sample, n_bits=n_bits, n_centroids=n_centroids)
    kernels.use_instruction_set(before)
    return codec


def native_segment_of_codes(
    codec: Codec, encoded: EncodedTokens, token_counts: list[int]
) -> kernels.Segment:
    streamed, widths = segment_arrays([Batch([], token_counts, encoded)])
    arrays = {
        name: np.concatenate(list(array.pieces())) if isinstance(array, Streamed) else array
        for name, array in streamed.items()
    }
    return kernels.Segment(codec.native, "made", 0, **arrays, **widths)


def native_segment(codec: Codec, documents: list[NDArray[np.float32]]) -> kernels.Segment:
    encoded = codec.encode(np.concatenate(documents))
    return native_segment_of_codes(codec, encoded, [len(document) for document in documents])


def native_collection(codec: Codec, *segments: kernels.Segment) -> kernels.Collection:
    return kernels.Collection(codec.native, list(segments))


def in_eight_bits(index: Index, query: NDArray[np.float32]) -> NDArray[np.float32]:
    """A query that is searched as it is: in eight bits nothing of it is lost."""
    codec = index._generation.codec
    assert codec is not None
    return codec.rotated_back(quantised(codec.rotated(query)))


def decompressed(index: Index) -> tuple[reference.Collection, list[NDArray[np.float32]]]:
    """What an index holds, in memory: for `reference`, and document by document."""
    generation = index._generation
    assert generation.codec is not None
    parts = [
        segment.decompress(i)
        for segment in generation.with_tokens()
        for i in range(segment.n_documents)
    ]
    decoded = [embeddings for embeddings, _ in parts]
    return (
        reference.Collection(
            np.concatenate(decoded),
            np.repeat(np.arange(len(decoded)), [len(d) for d in decoded]),
            np.concatenate([centroids for _, centroids in parts]),
            generation.codec.centroids,
        ),
        decoded,
    )
