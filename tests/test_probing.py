"""Which centroids a query token looks into, where they are in groups (native/probing.h)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from colxtr import Index, clustering, kernels, reference
from colxtr.codec import Codec, quantised
from colxtr.errors import CorruptIndexError
from colxtr.storage.segment import read_codec, write_codec
from made import Clustered, native_collection, native_segment, trained

N_CENTROIDS = 600
GROUPED, KEPT = 0, 1 << 30  # bytes: products are found when they are needed, or all kept


@pytest.fixture
def few_grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clustering, "LEAST_GROUPED", 64)
    monkeypatch.setattr(clustering, "SEARCHED_GROUPS_PER_ROOT", 5)


def make_codec(dim: int, n_bits: int = 2, factor: float = 1) -> tuple[Codec, Clustered]:
    made = Clustered(seed=dim, dim=dim, n_topics=200)
    return trained(factor * made.tokens(6_000), n_bits=n_bits, n_centroids=N_CENTROIDS), made


def groups_in(codec: Codec) -> list[NDArray[np.uint32]]:
    return np.split(codec.arrays["grouped"], codec.arrays["group_ends"][:-1])


def integers(codec: Codec, query: NDArray[np.float32]) -> NDArray[np.float32]:
    """A query of which nothing is lost in eight bits."""
    return codec.rotated_back(quantised(codec.rotated(query)))


# -- groups --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("few_grouped")
@pytest.mark.parametrize("n_bits", [2, 16])
def test_groups_hold_each_centroid_once(n_bits: int) -> None:
    codec, _ = make_codec(32, n_bits)
    groups = groups_in(codec)
    assert len(groups) == pytest.approx(5 * N_CENTROIDS**0.5, rel=0.2)
    assert min(map(len, groups)) > 0
    assert sorted(np.concatenate(groups).tolist()) == list(range(N_CENTROIDS))
    assert all((np.diff(group.astype(int)) > 0).all() for group in groups)
    cosines = codec.centroids @ codec.centroids.T
    within = np.mean([cosines[np.ix_(group, group)].mean() for group in groups])
    assert within > cosines.mean() + 0.3


@pytest.mark.usefixtures("few_grouped")
def test_groups_do_not_depend_on_threads() -> None:
    centroids = Clustered(seed=1, dim=16, n_topics=90).tokens(500)
    one, two = (clustering.groups_of(centroids, seed=3, threads=n) for n in (1, 2))
    assert all((one[name] == two[name]).all() for name in ("grouped", "group_ends"))


def test_few_centroids_are_not_grouped() -> None:
    codec, _ = make_codec(16)
    assert "grouped" not in codec.arrays


# -- probes --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("few_grouped")
@pytest.mark.parametrize("dim", [16, 128])
@pytest.mark.parametrize("n_tokens", [1, 16, 37])
@pytest.mark.parametrize("n_probe", [1, 3, 8])
def test_probes(instruction_set: str, dim: int, n_tokens: int, n_probe: int) -> None:
    codec, made = make_codec(dim)
    lengths = np.linspace(0.2, 3, n_tokens)[:, None]
    query = integers(codec, (made.tokens(n_tokens) * lengths).astype(np.float32))
    found = codec.query(query, n_probe, most_kept=GROUPED).probes()
    expected = reference.probes_in_groups(query, codec.centroids, groups_in(codec), n_probe)
    assert (found == expected).mean() > 0.98  # an estimate between two steps may go either way
    every = codec.query(query, n_probe, most_kept=KEPT).probes()
    nearest = reference.probes(query, codec.centroids, n_probe)
    assert (every == nearest).mean() > 0.98
    assert np.mean([np.isin(a, b).mean() for a, b in zip(nearest, found, strict=True)]) > 0.8


@pytest.mark.usefixtures("few_grouped")
def test_where_groups_spare_nothing_all_are_met() -> None:
    codec, made = make_codec(32)
    query = made.tokens(5)
    for n_probe in (10, 100, N_CENTROIDS):
        expected = codec.query(query, n_probe, most_kept=KEPT).probes()
        assert (codec.query(query, n_probe, most_kept=GROUPED).probes() == expected).all()


@pytest.mark.usefixtures("few_grouped")
def test_a_token_without_direction_gets_as_many_probes() -> None:
    codec, made = make_codec(32)
    query = made.tokens(3)
    query[1] = 0
    found = codec.query(query, 4, most_kept=GROUPED).probes()
    assert found.shape == (3, 4)
    assert found[1].tolist() == [0, 1, 2, 3]
    assert (found == codec.query(query, 4, most_kept=KEPT).probes()).all()


# -- products that are found when they are needed ------------------------------------------------


def everything(
    codec: Codec, collection: kernels.Collection, query: NDArray[np.float32], **options: Any
) -> dict[str, list[Any]]:
    """All that products with centroids go into."""
    ordinals = np.random.default_rng(1).permutation(80).astype(np.uint64)
    levels = codec.has_levels
    prepared = codec.query(query, 4, levels=levels, **options)
    found = {"probes": prepared.probes(), "maxsim": prepared.maxsim(collection, ordinals)}
    if levels:
        found["levels"] = prepared.levels()
        found["skimmed"] = prepared.skim(collection, ordinals)
        estimates = np.sort(found["maxsim"])[::-1].copy()
        best = prepared.best_promising(collection, ordinals, estimates, 5, 20, 1.0)
        found["ordinals"], found["scores"] = best
    for name, pooling in {"own": {"own_lists": True}, "pooled": {}}.items():
        made = kernels.Candidates(prepared, collection, 60, **pooling)
        found[name], found[f"{name} scores"] = made.best_imputed(80)
    return {name: array.tolist() for name, array in found.items()}


@pytest.mark.parametrize(("n_bits", "factor"), [(2, 1), (4, 3), (16, 1)])
@pytest.mark.parametrize("n_tokens", [1, 17, 130])
def test_it_matters_for_time_alone(n_bits: int, factor: float, n_tokens: int) -> None:
    """Without groups: the probes are the same then."""
    codec, made = make_codec(32, n_bits, factor)
    lengths = np.resize([3, 80, 300, 11], 80)
    documents = [(factor * made.tokens(n)).astype(np.float32) for n in lengths]
    collection = native_collection(codec, native_segment(codec, documents))
    query = made.tokens(n_tokens)
    expected = everything(codec, collection, query, most_kept=KEPT)
    for threads in (1, 2, 3):
        for most_kept in (GROUPED, KEPT):
            found = everything(codec, collection, query, threads=threads, most_kept=most_kept)
            assert found == expected


@pytest.mark.usefixtures("few_grouped")
def test_neither_threads_nor_instructions_matter() -> None:
    codec, made = make_codec(32)
    collection = native_collection(codec, native_segment(codec, made.documents(80, 90)))
    query = made.tokens(20)
    before, found = kernels.instruction_set(), []
    for name in kernels.instruction_sets():
        kernels.use_instruction_set(name)
        for threads in (1, 2, 3):
            options = {"threads": threads, "most_kept": GROUPED}
            found.append(everything(codec, collection, query, **options))
    kernels.use_instruction_set(before)
    assert all(each == found[0] for each in found)


# -- in an index ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("few_grouped")
def test_an_index_with_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("colxtr.search.EXHAUSTIVE_BELOW", 0)
    monkeypatch.setattr("colxtr.codec.MOST_KEPT", GROUPED)
    made = Clustered(seed=5, dim=32, n_topics=300)
    documents = made.documents(900)
    with Index.create(tmp_path / "i", dim=32, n_centroids=N_CENTROIDS) as index:
        index.add_embeddings(map(str, range(900)), documents)
    with Index.open(tmp_path / "i") as index:
        shares = []
        for target in documents[:20]:
            exact = {hit.id for hit in index.search_embeddings(target, method="exact")}
            found = {hit.id for hit in index.search_embeddings(target)}
            shares.append(len(exact & found) / len(exact))
        assert np.mean(shares) > 0.9
        for method in ("xtr", "colbertv2", "colbert"):
            assert index.search_embeddings(documents[3], method=method)[0].id == "3"
        index.verify()


@pytest.mark.usefixtures("few_grouped")
@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("grouped", lambda a: np.where(a == 5, 6, a), "does not hold each centroid once"),
        ("grouped", lambda a: np.where(a == 5, N_CENTROIDS, a), "each centroid once"),
        ("grouped", lambda a: a[:-1], "grouped"),
        ("group_ends", lambda a: a[::-1].copy(), "does not ascend"),
        ("group_ends", lambda a: a[:-1], "does not end with the last centroid"),
        ("group_ends", lambda _: None, "goes with"),
    ],
)
def test_damaged_groups(tmp_path: Path, name: str, change: Any, problem: str) -> None:
    codec, _ = make_codec(16)
    path = tmp_path / "codec"
    write_codec(path, codec)
    assert (groups_in(read_codec(path))[3] == groups_in(codec)[3]).all()
    arrays = dict(codec.arrays) | {name: change(codec.arrays[name])}
    arrays = {key: array for key, array in arrays.items() if array is not None}
    (tmp_path / "codec").unlink()
    write_codec(path, Codec(codec.n_bits, {k: a.astype(a.dtype) for k, a in arrays.items()}))
    with pytest.raises(CorruptIndexError, match=problem):
        read_codec(path)
