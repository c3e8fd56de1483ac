"""Builds in bounded memory, and builds that break off at any line."""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import colxtr
from colxtr import Document, Index
from colxtr.build import BuildSettings, IndexBuilder
from colxtr.errors import DuplicateIdError, InputError
from colxtr.progress import Meter
from colxtr.storage.generation import Generation
from colxtr.storage.manifest import read_manifest
from colxtr.waiting import Item, Room
from made import Clustered

DIM = 32
SOURCES = str(Path(colxtr.__file__).parent)
TINY = BuildSettings(
    room=Room(memory_bytes=10_000, file_bytes=10_000),
    sample_bytes=64 * 2 * DIM,
    segment_bytes=4_000,
    batch_documents=7,
    batch_bytes=1_000,
    batch_tokens=100,
)


class Counting(Meter):
    """A meter that can be read."""

    done = 0

    def __call__(self, count: int) -> None:
        self.done += count


def tiny_builder(monkeypatch: pytest.MonkeyPatch, settings: BuildSettings = TINY) -> None:
    """Let every index be built with these bounds."""
    made = IndexBuilder.__init__

    def tiny(self: IndexBuilder, *arguments: Any, **options: Any) -> None:
        made(self, *arguments, **options | {"settings": settings})

    monkeypatch.setattr(IndexBuilder, "__init__", tiny)


def stored_ids(folder: Path) -> list[str]:
    """Ids of all segments, as a new reader finds them."""
    generation = Generation.newest(folder)
    found = generation.documents(range(generation.n_ordinals), ids_only=True)
    generation.close()
    return [document.id for document in found]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"LOCK"}


def named(folder: Path) -> set[str]:
    manifest = read_manifest(folder)
    return {manifest.file_name(), *manifest.files}


class TestBounds:
    @pytest.mark.parametrize("given", [True, False])
    @pytest.mark.parametrize("total", [None, 150])
    def test_many_segments_hold_every_document(
        self, tmp_path: Path, given: bool, total: int | None
    ) -> None:
        """Read ahead, sampled, in batches, in segments: each document with its own tokens."""
        made = Clustered(seed=1, dim=DIM)
        arrays = made.documents(150)
        arrays[3] = arrays[70] = arrays[3][:0]
        most = 0

        def encode(documents: Sequence[Document]) -> list[NDArray[np.float32]]:
            nonlocal most
            most = max(most, len(documents))
            return [arrays[int(document.id)] for document in documents]

        def items() -> Iterator[Item]:
            for i, array in enumerate(arrays):
                yield Item(Document(str(i), "x" * 300), array if given else None)

        meter = Counting("", None, "", None)
        with Index.create(tmp_path / "i", dim=DIM, n_bits=16) as index:
            manifest = index._generation.manifest
            builder = IndexBuilder(
                tmp_path / "i", manifest, None, encode, settings=TINY, meter=meter
            )
            builder.add(items(), total)
        assert meter.done == 150
        assert most <= (0 if given else TINY.batch_documents)
        generation = Generation.newest(tmp_path / "i")
        assert len(generation.segments) > 10
        assert stored_ids(tmp_path / "i") == [str(i) for i in range(150)]
        for segment in generation.segments:
            assert segment.tokens is not None
            for local in range(segment.n_documents):
                array = arrays[segment.first_ordinal + local]
                decoded, _ = segment.tokens.decompress(local)
                assert decoded == pytest.approx(array, abs=1e-3)
        generation.close()
        assert names(tmp_path / "i") == named(tmp_path / "i")

    def test_one_segment_or_many_search_alike(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = Clustered(seed=2, dim=DIM)
        arrays = [made.tokens(5) for _ in range(100)]
        query = made.tokens(4)
        found = []
        for name in ("one", "many"):
            with Index.create(tmp_path / name, dim=DIM, n_bits=8, n_centroids=16) as index:
                index.add_embeddings([str(i) for i in range(100)], arrays)
                found.append(index.search_embeddings(query, 100))
            tiny_builder(monkeypatch)
        one, many = ({hit.id: hit.score for hit in hits} for hits in found)
        assert many == pytest.approx(one, abs=0.02)


class TestMemoryLimit:
    def test_more_memory_gives_larger_bounds(self) -> None:
        bounds = [BuildSettings.within(n * 10**9, 128, encodes=False) for n in (1, 2, 8)]
        rooms = [each.room.memory_bytes for each in bounds]
        assert rooms == sorted(set(rooms))
        for name in ("sample_bytes", "centroid_bytes", "segment_bytes"):
            values = [getattr(each, name) for each in bounds]
            assert values == sorted(set(values)), name
        for limit, each in zip((1, 2, 8), bounds, strict=True):
            sample = each.room.memory_bytes + 2 * each.sample_bytes
            training = each.room.memory_bytes + each.sample_bytes + each.centroid_bytes
            assert max(sample, training, each.segment_bytes) < limit * 10**9

    def test_texts_are_stored_soon(self) -> None:
        texts = BuildSettings.within(100 * 10**9, 128, encodes=True)
        assert texts.segment_bytes <= 256 << 20
        assert texts.room.memory_bytes <= 64 << 20

    def test_too_little_is_refused(self, tmp_path: Path) -> None:
        message = r"memory_limit is 200 MB.* needs at least 250 MB"
        with pytest.raises(InputError, match=message):
            Index.create(tmp_path / "i", dim=DIM, memory_limit="200MB")
        assert not (tmp_path / "i").exists()
        with Index.create(tmp_path / "i", dim=DIM) as index:
            with pytest.raises(InputError, match=message):
                index.add_embeddings(["a"], [np.eye(DIM)], memory_limit=200_000_000)
            assert index.add_embeddings(["a"], [np.eye(DIM)], memory_limit="1GiB") == 1

    def test_too_many_centroids_are_refused(self, tmp_path: Path) -> None:
        tokens = Clustered(seed=3, dim=1024).tokens(2000)
        with Index.create(tmp_path / "i", dim=1024, n_centroids=1900) as index:
            with pytest.raises(InputError, match=r"1,900 centroids takes.*raise it by"):
                add_with_tight_training(index, tokens)
            assert index.add_embeddings(["a"], [tokens]) == 1  # without a limit it may

    def test_an_index_within_a_limit(self, tmp_path: Path) -> None:
        arrays = Clustered(seed=3, dim=DIM).documents(30)
        with Index.create(tmp_path / "i", dim=DIM) as index:
            index.add_embeddings([str(i) for i in range(30)], arrays, memory_limit="0.3 GB")
            assert [index.search_embeddings(a, 1)[0].id for a in arrays[:3]] == ["0", "1", "2"]


def add_with_tight_training(index: Index, tokens: NDArray[np.float32]) -> None:
    settings = replace(BuildSettings(), centroid_bytes=10**6)
    with pytest.MonkeyPatch.context() as patch:
        tiny_builder(patch, settings)
        index.add_embeddings(["a"], [tokens])


@pytest.mark.parametrize("distance", [1, 63, 64, 65, 200])
def test_an_id_that_comes_again_is_found_committed_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distance: int
) -> None:
    """Ids are looked up in blocks, and commits fall between a block's look-up and its use."""
    tiny_builder(monkeypatch)
    ids = [f"d{i}" for i in range(210)]
    ids[205] = ids[205 - distance]
    arrays = [Clustered(seed=4, dim=DIM).tokens(10)] * 210
    with Index.create(tmp_path / "i", dim=DIM) as index:
        with pytest.raises(DuplicateIdError, match=r"twice|already"):
            index.add_embeddings(ids, arrays)
        there = stored_ids(tmp_path / "i")
        assert there == ids[: len(there)]
        del ids[205]
        assert len(there) + index.add_embeddings(ids, arrays[1:], skip_existing=True) == 209


STARTS = [int(n) for n in os.environ.get("COLXTR_INTERRUPT_AT", "7").split()]  # 1 to 29: any line


class Interruption:
    """A KeyboardInterrupt at the n-th line that runs in the package, once."""

    def __init__(self, line: int) -> None:
        self.left = line

    def __call__(self, frame: FrameType, event: str, _: object) -> Interruption | None:
        code = frame.f_code
        # A tracer, unlike a signal, can raise between a block and the release of its lock.
        if not code.co_filename.startswith(SOURCES) or code.co_name == "_select":
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # open files
def test_an_interruption_at_any_line_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: int
) -> None:
    """Every 29th line of an add that writes two segments."""
    tiny_builder(monkeypatch, BuildSettings(segment_bytes=100, batch_documents=2))
    arrays = Clustered(seed=0, dim=DIM).documents(6, most_tokens=4)
    ids = [f"d{i}" for i in range(6)]
    line, interrupted = start, True
    while interrupted:
        folder = tmp_path / str(line)
        with Index.create(folder, dim=DIM, n_centroids=2) as index:
            index.add_embeddings(ids[:2], arrays[:2])
            sys.settrace(Interruption(line))
            try:
                index.add_embeddings(ids[2:], arrays[2:])
                interrupted = False
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(None)
            there = stored_ids(folder)
            assert there == ids[: len(there)]
            index.add_embeddings(ids, arrays, skip_existing=True)
            assert len(index) == 6
            for doc_id, array in zip(ids, arrays, strict=True):
                assert index.search_embeddings(array, 1)[0].id == doc_id
        assert stored_ids(folder) == ids
        assert names(folder) == named(folder)
        line += 29
    assert line > 300


STEPS = [
    "colxtr.codec.Codec.encode",
    "colxtr.storage.segment.write_documents",
    "colxtr.storage.segment.write_arrays",
    "colxtr.build.write_codec",
    "colxtr.build.commit",
    "colxtr.storage.manifest.write_atomically",
    "colxtr.storage.manifest.remove_unnamed",
    "colxtr.storage.generation.Generation.following",
]


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_an_error_in_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, late: bool
) -> None:
    """Once with the step undone, once with it done: what is on the disk is what the index shows."""
    owner, _, name = step.rpartition(".")
    target: Any = pkgutil.resolve_name(owner)
    real = getattr(target, name)
    failed = False

    def failing(*arguments: Any, **options: Any) -> Any:
        nonlocal failed
        result = real(*arguments, **options) if late or failed else None
        if not failed:
            failed = True
            raise KeyboardInterrupt
        return result

    arrays = Clustered(seed=0, dim=DIM).documents(20)
    ids = [f"d{i}" for i in range(20)]
    folder = tmp_path / "i"
    with Index.create(folder, dim=DIM) as index:
        with monkeypatch.context() as patch:
            patch.setattr(target, name, failing)
            with pytest.raises(KeyboardInterrupt):
                index.add_embeddings(ids[:10], arrays[:10])
        assert failed
        assert len(index) == len(stored_ids(folder))
        assert names(folder) == named(folder)
        index.add_embeddings(ids, arrays, skip_existing=True)
        assert stored_ids(folder) == ids
        assert [index.search_embeddings(array, 1)[0].id for array in arrays] == ids
