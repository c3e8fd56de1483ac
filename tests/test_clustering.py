"""The nearest of many centroids, and the k-means that uses it."""

from __future__ import annotations

import numpy as np
import pytest

from colxtr import clustering, kernels, reference
from colxtr.clustering import nearest_of, spherical_kmeans, unit_length
from colxtr.progress import Meter
from made import Clustered

AWKWARD = [1, 7, 8, 9, 31, 33, 64, 129]


def grouped(vectors: np.ndarray, n_groups: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A group of each vector, and the groups' centres; some groups are empty."""
    random = np.random.default_rng(seed)
    centres = unit_length(random.standard_normal((n_groups, vectors.shape[1])))
    return kernels.Panels(centres).nearest(vectors), centres


@pytest.mark.parametrize("n", AWKWARD)
@pytest.mark.parametrize("dim", [16, 24, 128])
@pytest.mark.parametrize("n_groups", [1, 5, 40])
def test_all_groups_give_the_nearest(instruction_set: str, n: int, dim: int, n_groups: int) -> None:
    random = np.random.default_rng(n * dim)
    vectors = random.standard_normal((3 * n, dim), dtype=np.float32)
    rows = random.standard_normal((n, dim), dtype=np.float32)
    found = kernels.Groups(vectors, *grouped(vectors, n_groups)).nearest(rows, n_groups)
    assert found.tolist() == reference.nearest_centroid(rows, vectors).tolist()


@pytest.mark.parametrize("n_groups", [1, 16, 33, 70])
@pytest.mark.parametrize("n_probe", [1, 3, 16])
def test_few_groups_are_those_of_the_nearest_centres(
    instruction_set: str, n_groups: int, n_probe: int
) -> None:
    random = np.random.default_rng(n_groups)
    vectors = random.standard_normal((500, 32), dtype=np.float32)
    rows = random.standard_normal((100, 32), dtype=np.float32)
    group_of, centres = grouped(vectors, n_groups)
    n_probe = min(n_probe, n_groups)
    seen = np.argsort(-(rows @ centres.T), axis=1)[:, :n_probe]
    found = kernels.Groups(vectors, group_of, centres).nearest(rows, n_probe)
    for row, groups, best in zip(rows, seen, found, strict=True):
        members = np.flatnonzero(np.isin(group_of, groups))
        if len(members):
            assert best == members[np.argmax(vectors[members] @ row)]


def test_rows_do_not_depend_on_each_other() -> None:
    made = Clustered(seed=1)
    vectors, rows = made.tokens(700), made.tokens(300)
    groups = kernels.Groups(vectors, *grouped(vectors, 30))
    together = groups.nearest(rows, 4)
    assert together.tolist() == [int(groups.nearest(row[None], 4)[0]) for row in rows]


def test_rows_without_rank_get_some_vector(instruction_set: str) -> None:
    vectors = Clustered(seed=1).tokens(100)
    groups = kernels.Groups(vectors, *grouped(vectors, 30))
    rows = np.full((3, 32), np.nan, np.float32)
    assert (groups.nearest(rows, 4) < 100).all()


def test_groups_refuse_what_does_not_fit() -> None:
    vectors = np.ones((3, 16), np.float32)
    centres = vectors[:2]
    with pytest.raises(ValueError, match="below the number"):
        kernels.Groups(vectors, np.array([0, 1, 2], np.uint32), centres)
    groups = kernels.Groups(vectors, np.zeros(3, np.uint32), centres)
    for n_probe in (0, 3):
        with pytest.raises(ValueError, match="1 to 2"):
            groups.nearest(vectors, n_probe)
    with pytest.raises(ValueError, match="expected 16"):
        groups.nearest(np.ones((1, 24), np.float32), 1)


def test_few_centroids_are_all_compared() -> None:
    made = Clustered(seed=2)
    centroids, rows = made.tokens(300), made.tokens(200)
    expected = reference.nearest_centroid(rows, centroids)
    assert nearest_of(centroids)(rows).tolist() == expected.tolist()


def test_of_many_centroids_nearly_always_the_nearest_is_found() -> None:
    made = Clustered(seed=3, n_topics=500)
    centroids, rows = made.tokens(clustering.MOST_COMPARED + 1), made.tokens(2000)
    found = nearest_of(centroids)(rows)
    best = reference.nearest_centroid(rows, centroids)
    assert (found == best).mean() > 0.95
    cosines = np.einsum("ij,ij->i", rows, centroids[found])
    assert cosines.mean() > 0.995 * np.einsum("ij,ij->i", rows, centroids[best]).mean()
    assert nearest_of(centroids)(rows).tolist() == found.tolist()


@pytest.mark.parametrize("n_centroids", [40, 5000])
def test_the_number_of_threads_changes_nothing(n_centroids: int) -> None:
    sample = Clustered(seed=4, dim=16).tokens(40_000).astype(np.float16)
    results = [
        spherical_kmeans(sample, n_centroids, rounds=(2, 1), threads=threads)
        for threads in (1, 3, 3)
    ]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[1], results[2])
    assert np.linalg.norm(results[0], axis=1) == pytest.approx(1, abs=1e-5)


def test_rows_count_alike_whatever_their_length() -> None:
    sample = Clustered(seed=5).tokens(500)
    scaled = sample * np.linspace(0.1, 9, 500, dtype=np.float32)[:, None]
    expected = spherical_kmeans(sample, 10)
    assert spherical_kmeans(scaled, 10) == pytest.approx(expected, abs=1e-4)


def test_rounds_may_see_a_part_of_a_large_sample_only() -> None:
    class Noting(Meter):
        counts: list[int] = []  # noqa: RUF012

        def part(self, description: str, total: int | None, unit: str):
            self.counts.append(total or 0)
            return super().part(description, total, unit)

    meter = Noting("", None, "", None)
    for n in (10, 79, 80, 160, 1000):
        spherical_kmeans(Clustered(seed=6).tokens(n), 10, rounds=(4, 2, 1), meter=meter)
    assert meter.counts == [30, 237, 240, 80 + 80 + 160, 250 + 500 + 1000]


def test_counting_sort() -> None:
    places, counts = kernels.counting_sort(np.array([2, 0, 2, 1, 0], np.uint32), 4)
    assert places.tolist() == [3, 0, 4, 2, 1]
    assert counts.tolist() == [2, 1, 2, 0]
    with pytest.raises(ValueError, match="below n_keys"):
        kernels.counting_sort(np.array([4], np.uint32), 4)
