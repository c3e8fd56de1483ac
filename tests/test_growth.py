"""An index that grows gets more centroids; what it has keeps its codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import colxtr
from colxtr import Document, Index, build
from colxtr.clustering import number_of_centroids
from colxtr.codec import Codec
from colxtr.upkeep import sampled
from colxtr.waiting import Item
from made import Clustered, unit
from test_build import named, names

DIM = 16
N_BITS = (1, 2, 4, 8, 16)


def of_kind(kind: int, n: int) -> list[NDArray[np.float32]]:
    """Documents of topics in one half of the dimensions, roughly."""
    made = Clustered(seed=kind, dim=DIM, n_topics=300)
    mask = np.arange(DIM) // (DIM // 2) == kind
    return [unit(a * mask + 0.01 * made.tokens(len(a))) for a in made.documents(n)]


def add(index: Index, documents: Sequence[NDArray[np.float32]]) -> None:
    first = len(index)
    index.add_embeddings([f"d{first + i}" for i in range(len(documents))], iter(documents))


def n_tokens(*parts: Sequence[NDArray[np.float32]]) -> int:
    return sum(len(document) for part in parts for document in part)


@pytest.mark.parametrize("n_bits", N_BITS)
def test_codes_stay_valid(n_bits: int) -> None:
    made = Clustered(seed=3, dim=DIM)
    old, new = made.tokens(3_000), Clustered(seed=4, dim=DIM).tokens(1_000)
    codec = Codec.train(old, n_bits=n_bits, n_centroids=64)
    grown = codec.grown(new, 40, seed=1)
    assert (codec.n_centroids, grown.n_centroids) == (64, 104)
    assert (grown.centroids[:64] == codec.centroids).all()
    lengths = np.linalg.norm(grown.centroids, axis=1)
    assert lengths[64:] == pytest.approx(lengths[:64].mean(), rel=0.02)
    for name in set(codec.arrays) - {"centroids", "centroid_scales"}:
        assert grown.arrays[name] is codec.arrays[name]
    nearest = grown.encode(new).centroids
    assert (nearest >= 64).mean() > 0.8
    assert (nearest == (grown.rotated(new) @ grown.rotated(grown.centroids).T).argmax(axis=1)).all()


def test_a_growing_index(tmp_path: Path) -> None:
    first, others = of_kind(0, 150), of_kind(1, 306)
    second, few, fewer = others[:300], others[300:303], others[303:]
    with Index.create(tmp_path / "i", dim=DIM) as index:
        add(index, first)
        codec = index._generation.manifest.codec
        add(index, second)  # is not held up
        assert index.info().n_centroids == number_of_centroids(n_tokens(first))
        assert index._generation.manifest.codec == codec
        reader = Index.open(tmp_path / "i")
        before = reader.search_embeddings(first[7], 450)
        add(index, few)
        assert index.info().n_centroids == number_of_centroids(n_tokens(first, second))
        grown = index._generation.manifest.codec
        assert grown != codec
        add(index, fewer)  # no codec of its own
        assert index._generation.manifest.codec == grown
        assert reader.search_embeddings(first[7], 450) == before  # its codec is mapped
        assert names(tmp_path / "i") == named(tmp_path / "i")
        assert reader.refresh()
        for each in (index, reader):
            assert each.verify()
            for i in (0, 149):
                assert each.search_embeddings(first[i], 1)[0].id == f"d{i}"
            for i in (5, 299):  # coded before there were centroids for them
                found = each.search_embeddings(second[i], 20)
                assert f"d{150 + i}" in {hit.id for hit in found}
        after = {hit.id: hit.score for hit in reader.search_embeddings(first[7], 456)}
        assert {hit.id: after[hit.id] for hit in before} == {hit.id: hit.score for hit in before}
        reader.close()
        index.optimize()  # has not outgrown its centroids
        assert index._generation.manifest.codec == grown
        assert index.verify()
        assert index.search_embeddings(few[0], 1)[0].id == "d450"


def test_one_by_one(tmp_path: Path) -> None:
    """What is stored tells where centroids belong, where what comes is too little."""
    documents = of_kind(0, 120)
    with Index.create(tmp_path / "i", dim=DIM) as index:
        for document in documents:
            add(index, [document])
        due = number_of_centroids(n_tokens(documents))
        assert due / (1 + build.LEAST_GROWTH) <= index.info().n_centroids <= due
        for i in (0, 50, 119):
            assert index.search_embeddings(documents[i], 1)[0].id == f"d{i}"
        assert index.verify()


def test_a_number_that_was_asked_for_stays(tmp_path: Path) -> None:
    with Index.create(tmp_path / "i", dim=DIM, n_centroids=32) as index:
        add(index, of_kind(0, 20))
        add(index, of_kind(1, 300))
        assert index.info().n_centroids == 32


def test_what_is_new_is_stored_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = of_kind(1, 300)
    errors = []
    for name, least in (("grown", build.LEAST_GROWTH), ("fixed", 1e9)):
        monkeypatch.setattr(build, "LEAST_GROWTH", least)
        with Index.create(tmp_path / name, dim=DIM) as index:
            add(index, of_kind(0, 150))
            add(index, second[:150])
            add(index, second[150:])
            segment = index._generation.with_tokens()[-1]
            rest = [segment.decompress(i)[0] - array for i, array in enumerate(second[150:])]
            errors.append(float(np.square(np.concatenate(rest)).sum(axis=1).mean()))
    assert errors[0] < 0.6 * errors[1]


def test_texts(tmp_path: Path) -> None:
    """They are not held up: what is stored tells at the next addition."""
    arrays = {f"d{i}": array for i, array in enumerate(of_kind(0, 60) + of_kind(1, 302))}

    def encode(documents: Sequence[Document]) -> list[NDArray[np.float32]]:
        return [arrays[document.id] for document in documents]

    def stream(ids: Sequence[str]) -> Iterator[Item]:
        for i in ids:
            yield Item(Document(i, "text"))
        raise OSError("the stream broke off")

    with Index.create(tmp_path / "i", dim=DIM) as index:
        add(index, list(arrays.values())[:60])
        ids = list(arrays)
        few = index.info().n_centroids
        for some in (ids[60:360], ids[360:]):
            generation = index._generation
            builder = build.IndexBuilder(
                generation.folder,
                generation.manifest,
                generation.codec,
                encode,
                stored=lambda n, generation=generation: sampled(generation, n),  # type: ignore[misc]
            )
            with pytest.raises(OSError, match="broke off"):
                builder.add(stream(some), None)
            index.refresh()
            assert index.info().n_centroids == (few if some[0] == "d60" else due_of(arrays, 360))
        assert len(index) == 362
        assert index.search_embeddings(arrays["d361"], 1)[0].id == "d361"
        assert colxtr.Index.open(tmp_path / "i").verify()


def due_of(arrays: dict[str, NDArray[np.float32]], n: int) -> int:
    return number_of_centroids(n_tokens(list(arrays.values())[:n]))
