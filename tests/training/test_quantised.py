from __future__ import annotations

import numpy as np
import pytest
import torch

from colxtr import reference
from colxtr.training.matching import Tokens
from colxtr.training.quantised import round_trip, through_codec, train_codec


def unit(n: int, dim: int = 16, seed: int = 0) -> torch.Tensor:
    rows = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=-1)


@pytest.mark.parametrize("n_bits", [1, 2, 4, 8])
def test_the_code_is_that_of_an_index(n_bits: int) -> None:
    codec = train_codec(unit(2000), n_bits=n_bits, n_centroids=32, seed=0)
    rows = unit(50, seed=1).numpy()
    expected = reference.decode(reference.encode(rows, codec.arrays), codec.arrays)
    errors = np.linalg.norm(round_trip(rows, codec) - expected, axis=1)
    assert (errors < 1e-4).mean() > 0.9  # the others: a tie that float32 decides otherwise
    kept = np.square(round_trip(rows, codec) - rows).sum(axis=1).mean()
    assert kept < {1: 0.35, 2: 0.08, 4: 0.01, 8: 0.001}[n_bits]


def test_embeddings_of_any_length() -> None:
    rows = unit(2000) * torch.linspace(0.5, 3, 2000)[:, None]
    codec = train_codec(rows, n_bits=8, n_centroids=32, seed=0)
    np.testing.assert_allclose(round_trip(rows.numpy(), codec), rows, atol=0.05)


def test_gradients_pass_and_padding_stays() -> None:
    codec = train_codec(unit(2000), n_bits=2, n_centroids=32, seed=0)
    embeddings = unit(12).view(3, 4, 16).requires_grad_()
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[0, 3] = False
    coded = through_codec(Tokens(embeddings, mask), codec)
    assert torch.equal(coded.embeddings[0, 3], embeddings[0, 3])
    difference = (coded.embeddings - embeddings)[mask].norm(dim=-1)
    assert (difference > 1e-3).all()
    weights = torch.randn(3, 4, 16)
    (coded.embeddings * weights).sum().backward()
    torch.testing.assert_close(embeddings.grad, weights)


def test_no_tokens() -> None:
    codec = train_codec(unit(100), n_bits=2, n_centroids=8, seed=0)
    nothing = Tokens(torch.zeros(1, 2, 16), torch.zeros(1, 2, dtype=torch.bool))
    assert torch.equal(through_codec(nothing, codec).embeddings, nothing.embeddings)
