"""Training through the codec: documents as an index would store them, gradients as if it did not.

The straight-through estimator (Bengio et al. 2013): forwards, a document token is what is left of
it after coding; backwards, coding is the identity. The code is that of an index (`codec.py`), not
an imitation. Knows nothing of models or losses.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from colxtr.codec import Codec
from colxtr.training.matching import Tokens

_EIGHT_BIT_CODEBOOK = 256


def through_codec(documents: Tokens, codec: Codec) -> Tokens:
    """Documents as they come back from an index with this codec; gradients pass unchanged.

    Args:
        documents: Token embeddings; those that are masked stay as they are.
        codec: With 1 to 8 bits.
    """
    embeddings = documents.embeddings
    kept = embeddings.detach()[documents.mask].float().cpu().numpy()
    coded = torch.from_numpy(round_trip(kept, codec)).to(embeddings)
    difference = torch.zeros_like(embeddings)
    difference[documents.mask] = coded - embeddings.detach()[documents.mask]
    return Tokens(embeddings + difference, documents.mask)


def train_codec(tokens: Tensor, *, n_bits: int, n_centroids: int, seed: int) -> Codec:
    """A codec for token embeddings, (n, dim), n >= 1; fewer centroids where there are few tokens.

    An eighth of the tokens is the most that become centroids: else the codec would know by heart
    what it is to code.
    """
    sample = tokens.detach().float().cpu().numpy()
    most = max(1, len(sample) // 8)
    return Codec.train(sample, n_bits=n_bits, n_centroids=min(n_centroids, most), seed=seed)


def round_trip(embeddings: NDArray[np.float32], codec: Codec) -> NDArray[np.float32]:
    """Embeddings, (n, dim), coded and decoded (docs/index-format.md, "Codec")."""
    if len(embeddings) == 0:
        return embeddings
    encoded, arrays = codec.encode(embeddings), codec.arrays
    assert encoded.gains is not None, "codecs here have residuals"
    centroids = arrays["centroids"][encoded.centroids].astype(np.float32)
    centroids *= arrays["centroid_scales"][encoded.centroids, None]
    rotated = centroids
    rotated += arrays["gains"][encoded.gains, None] * _codewords(encoded.codes, codec)
    if encoded.lengths is not None:
        rotated *= arrays["lengths"][encoded.lengths, None]
    return codec.rotated_back(rotated)


def _codewords(codes: NDArray[np.uint8], codec: Codec) -> NDArray[np.float32]:
    """What the bytes, (n, dim * n_bits / 8), stand for: (n, dim)."""
    codebook = codec.arrays["codebook"].astype(np.float32) * codec.arrays["codebook_scale"]
    entries = codes.astype(np.intp)
    if len(codebook) != _EIGHT_BIT_CODEBOOK:  # the upper half of the byte before counts, too
        entries = entries << 4 | np.roll(entries, 1, axis=1) >> 4
    words: NDArray[np.float32] = codebook[entries].reshape(len(codes), -1)
    return words
