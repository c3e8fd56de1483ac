"""The nearest centroid with torch, on its CPU device: what a GPU runs, without one."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from colxtr import clustering, clustering_gpu, kernels
from colxtr.errors import InputError
from made import Clustered

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


@needs_torch
@pytest.mark.parametrize("products", [1, 1000, 1 << 28])
def test_the_nearest(monkeypatch: pytest.MonkeyPatch, products: int) -> None:
    monkeypatch.setattr(clustering_gpu, "PRODUCTS", products)
    made = Clustered(seed=0)
    centroids, rows = made.tokens(300), made.tokens(70)
    found = clustering_gpu.nearest_on("cpu", centroids)(rows)
    exact = kernels.Panels(centroids).nearest(rows)
    assert found.dtype == np.uint32
    products_of = lambda which: np.einsum("ij,ij->i", rows, centroids[which])  # noqa: E731
    assert products_of(found) == pytest.approx(products_of(exact), abs=1e-6)
    assert (found == exact).mean() > 0.95


@needs_torch
def test_kmeans_as_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "MOST_COMPARED", 10)
    monkeypatch.setattr(clustering, "chosen_device", lambda n: "cpu")
    sample = Clustered(seed=1).tokens(3000)
    made = clustering.spherical_kmeans(sample, 50)
    monkeypatch.setattr(clustering, "MOST_COMPARED", 100)
    expected = clustering.spherical_kmeans(sample, 50)
    cosines = np.einsum("ij,ij->i", made, expected)
    assert np.median(cosines) > 0.999


@needs_torch
def test_a_device_that_torch_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLXTR_DEVICE", "abacus")
    with pytest.raises(InputError, match=r"'abacus', but torch says"):
        clustering_gpu.chosen_device(1)


def test_a_device_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering_gpu, "find_spec", lambda name: None)
    assert clustering_gpu.chosen_device(10**6) is None
    monkeypatch.setenv("COLXTR_DEVICE", "cuda")
    with pytest.raises(InputError, match="torch is not installed"):
        clustering_gpu.chosen_device(1)


def test_the_processor_may_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLXTR_DEVICE", "cpu")
    assert clustering_gpu.chosen_device(10**6) is None
