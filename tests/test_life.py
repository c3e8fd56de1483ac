"""The life of an index: whatever was done to it, it answers as one built of what it holds."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import colxtr
from colxtr.errors import InputError, ReadOnlyError
from colxtr.storage import merged_arrays, merging
from colxtr.storage.merging import MERGE_WIDTH
from torture import machine

DIM = 16


def embeddings(seed: int, n_tokens: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((n_tokens, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def document(seed: int) -> NDArray[np.float32]:
    """Between 0 and 12 tokens."""
    return embeddings(seed, seed % 13)


QUERY = embeddings(1_000_003, 5)


def answers(index: colxtr.Index, **options: object) -> dict[str, float]:
    hits = index.search_embeddings(QUERY, k=1_000, threads=1, **options)
    return {hit.id: hit.score for hit in hits}


def test_any_history() -> None:
    machine.run(8, 0, steps=20).check()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[colxtr.Index]:
    with colxtr.Index.create(tmp_path / "index", dim=DIM) as index:
        index.add_embeddings([f"d{i}" for i in range(20)], [document(i + 1) for i in range(20)])
        yield index


def files(index: colxtr.Index) -> set[str]:
    return {path.name for path in index._path.iterdir()}


def test_deleted_documents_are_gone_at_once(index: colxtr.Index) -> None:
    before = answers(index)
    assert index.delete(["d3", "d4", "nothing", "d3"]) == 2
    assert "d3" not in index
    assert index.get("d3") is None
    assert len(index) == 18
    assert answers(index) == {k: v for k, v in before.items() if k not in {"d3", "d4"}}
    with pytest.raises(InputError, match="'d3' is not in"):
        index.explain_embeddings(QUERY, "d3")
    assert index.delete(["d3"]) == 0
    assert index.info().n_deleted == 2


def test_a_deleted_id_can_be_added_again(index: colxtr.Index) -> None:
    index.delete(["d3"])
    index.add_embeddings(["d3"], [document(77)])
    index.delete(["d3"])
    index.add_embeddings([{"id": "d3", "text": "third"}], [document(78)])
    assert index.get("d3").text == "third"
    assert len(index) == 20
    assert index.verify()


def test_one_string_is_no_list_of_ids(index: colxtr.Index) -> None:
    with pytest.raises(InputError, match=r"pass \['d3'\]"):
        index.delete("d3")


def test_an_id_that_is_no_string(index: colxtr.Index) -> None:
    with pytest.raises(InputError, match="the id 3 is a int, not a string"):
        index.delete(["d1", 3])
    assert "d1" in index


def test_a_segment_without_documents_leaves_the_disk(index: colxtr.Index) -> None:
    index.add_embeddings(["more"], [document(5)])
    index.delete([f"d{i}" for i in range(20)])
    assert index.info().n_segments == 1
    assert sum(name.endswith(".sqlite") for name in files(index)) == 1
    index.delete(["more"])
    assert answers(index) == {}
    index.add_embeddings(["again"], [document(5)])
    assert set(answers(index)) == {"again"}


def test_ids_given_by_position_are_not_given_twice(tmp_path: Path) -> None:
    with colxtr.Index.create(tmp_path / "index", dim=DIM) as index:
        for _ in range(3):
            index.add_embeddings([{"text": "a"}, {"text": "b"}], [document(3), document(4)])
            index.delete([str(index.info().n_documents + index.info().n_deleted - 1)])
            index.optimize()
        assert index.verify()
        assert len(index) == 3


def test_an_update_replaces(index: colxtr.Index) -> None:
    new = [{"id": "d2", "text": "two"}, {"id": "new", "text": "more"}]
    assert index.update_embeddings(new, [document(50), document(51)]) == 2
    assert len(index) == 21
    assert index.get("d2").text == "two"
    found = index.search_embeddings(document(50), k=1, method="exact")
    assert found[0].id == "d2"


def test_small_segments_are_merged_while_one_adds(tmp_path: Path) -> None:
    with colxtr.Index.create(tmp_path / "index", dim=DIM) as index:
        for i in range(3 * MERGE_WIDTH):
            index.add_embeddings([f"d{i}"], [document(i)])
            assert index.info().n_segments <= 2 * MERGE_WIDTH
        assert [hit.id for hit in index.search_embeddings(document(5), k=1)] == ["d5"]
        assert index.verify()


def test_merged_segments_are_those_that_would_have_been_written(tmp_path: Path) -> None:
    """Byte for byte: a merge changes nothing but where things lie."""
    texts = [{"id": f"d{i}", "text": f"text {i}"} for i in range(40)]
    # What is read ahead is kept in half precision: let that lose nothing.
    arrays = [document(i).astype(np.float16).astype(np.float32) for i in range(40)]
    with colxtr.Index.create(tmp_path / "whole", dim=DIM) as index:
        index.add_embeddings(texts, arrays)
        whole = index._generation.manifest.segments[0].name
    with colxtr.Index.create(tmp_path / "parts", dim=DIM) as index:
        index.add_embeddings(texts, arrays)
        codec = index._generation.manifest.codec
        index.delete([f"d{i}" for i in range(40)])
        for start in range(0, 40, 7):
            index.add_embeddings(
                [{"id": f"gone{start}", "text": ""}, *texts[start : start + 7]],
                [document(900 + start), *arrays[start : start + 7]],
            )
        index.delete([f"gone{start}" for start in range(0, 40, 7)])
        index.optimize()
        assert index._generation.manifest.codec == codec
        merged = index._generation.manifest.segments[0].name
    one = (tmp_path / "whole" / f"{whole}.safetensors").read_bytes()
    other = (tmp_path / "parts" / f"{merged}.safetensors").read_bytes()
    assert one == other


@pytest.mark.parametrize("deleted", [[], ["d3", "d111"], [f"d{i}" for i in range(95, 125)]])
def test_a_merge_in_pieces_loses_nothing(
    index: colxtr.Index, monkeypatch: pytest.MonkeyPatch, deleted: list[str]
) -> None:
    """The same file as in one piece, where pieces end within lists and documents."""
    for first in range(100, 200, 20):
        ids = [f"d{i}" for i in range(first, first + 20)]
        index.add_embeddings(ids, [document(i) for i in range(first, first + 20)])
    index.add_embeddings(["none"], [document(0)[:0]])
    index.delete(deleted)
    before = answers(index, method="exact")
    n_documents = len(index)
    other = index._path.with_name("other")
    shutil.copytree(index._path, other)
    with colxtr.Index.open(other, read_only=False) as whole:
        whole.optimize(retrain=False)
        (entry,) = whole._generation.manifest.segments
        expected = (other / f"{entry.name}.safetensors").read_bytes()
    monkeypatch.setattr(merged_arrays, "PIECE_TOKENS", 64)
    index.optimize(retrain=False)
    (entry,) = index._generation.manifest.segments
    assert entry.n_tokens > 4 * 64
    assert (index._path / f"{entry.name}.safetensors").read_bytes() == expected
    with colxtr.Index.open(index._path) as reader:
        assert reader.info().n_deleted == 0
        assert len(reader) == n_documents
        assert answers(reader, method="exact") == before
        assert reader.verify()


def test_small_segments_are_merged_before_larger_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "LEVELS", (200, 10_000, 100_000))

    def add(first: int, count: int) -> None:
        numbers = range(first, first + count)
        index.add_embeddings([f"d{i}" for i in numbers], [document(i) for i in numbers])

    with colxtr.Index.create(tmp_path / "index", dim=DIM) as index:
        add(0, 20)
        for i in range(MERGE_WIDTH - 1):
            add(20 + i, 1)
        add(100, 20)
        index.delete([f"d{i}" for i in range(18)])  # now the first is small, too
        assert index.info().n_segments == MERGE_WIDTH + 1
        before = answers(index, method="exact")
        add(30, 1)
        assert index.info().n_segments == 3
        assert len(index) == 2 + (MERGE_WIDTH - 1) + 20 + 1
        after = answers(index, method="exact")
        assert {doc_id: after[doc_id] for doc_id in before} == before
        assert index.verify()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="tells maps on Linux only")
def test_a_reader_that_refreshes_lets_go_of_what_it_searched(index: colxtr.Index) -> None:
    """Also if it does not search again: the space on the disk comes back."""
    index.add_embeddings(["more"], [document(5)])
    before = {name for name in files(index) if name.startswith("segment-")}
    with colxtr.Index.open(index._path) as reader:
        reader.search_embeddings(document(3))
        reader.search_embeddings(document(3), filter={"year": {"$exists": False}})
        index.optimize()
        gone = before - files(index)
        assert any(name.endswith(".safetensors") for name in gone)
        assert mapped(index, gone)
        assert reader.refresh()
        assert not mapped(index, gone)
        assert reader.search_embeddings(document(3))


def mapped(index: colxtr.Index, names: set[str]) -> set[str]:
    """Which of some files of an index this process has mapped."""
    maps = Path("/proc/self/maps").read_text()
    return {name for name in names if f"{index._path / name}" in maps}


def test_readers_see_one_generation_until_they_refresh(index: colxtr.Index) -> None:
    with colxtr.Index.open(index._path) as reader:
        before = answers(reader)
        index.delete(["d7"])
        index.optimize()
        assert "d7" in reader
        assert answers(reader) == before
        assert reader.get("d7") is not None
        assert reader.refresh()
        assert "d7" not in reader
        assert answers(reader) == answers(index)
        assert not reader.refresh()
        with pytest.raises(ReadOnlyError):
            reader.delete(["d1"])
        with pytest.raises(ReadOnlyError):
            reader.optimize()


def test_a_reader_follows_an_index_made_anew(index: colxtr.Index) -> None:
    folder = index._path
    index.close()
    with colxtr.Index.open(folder) as reader:
        for path in folder.iterdir():
            path.unlink()
        with colxtr.Index.create(folder, dim=DIM) as again:
            again.add_embeddings(["other"], [document(9)])
            again.add_embeddings(["one"], [document(10)])
            again.delete(["one"])
            wanted = answers(again)
        assert reader.refresh()
        assert answers(reader) == wanted == answers(reader)


def test_outgrown_centroids_are_trained_anew(tmp_path: Path) -> None:
    with colxtr.Index.create(tmp_path / "index", dim=DIM) as index:
        index.add_embeddings(["first"], [document(12)])
        few = index.info().n_centroids
        index.add_embeddings([f"d{i}" for i in range(200)], [embeddings(i, 20) for i in range(200)])
        index.delete(["d0"])
        index.optimize(retrain=False)
        assert index.info().n_centroids == few
        index.optimize()
        assert index.info().n_centroids > 4 * few
        assert len(index) == 200
        assert index.search_embeddings(embeddings(7, 20), k=1)[0].id == "d7"
        generation = index.info().generation
        index.optimize()  # nothing is left to do
        assert index.info().generation == generation
        assert index.verify()
        index.add_embeddings([{"text": "a"}], [document(3)])
        assert "201" in index


def test_verify_names_file_and_place(index: colxtr.Index) -> None:
    found = index.verify()
    assert found
    assert found.n_files == 3
    segment = next(index._path.glob("segment-*.safetensors"))
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 4
    segment.unlink()  # the reader has the old one mapped
    segment.write_bytes(content)
    found = index.verify()
    assert not found
    assert len(found.problems) == 1
    assert segment.name in found.problems[0]
    assert "damaged between bytes 0 and 1,048,576" in found.problems[0]


STREAM = """
import sys, time
from dataclasses import replace
import numpy as np
from colxtr import Index, build

within = build.BuildSettings.within.__func__  # small segments, so that commits come soon
build.BuildSettings.within = classmethod(
    lambda cls, *a, **k: replace(within(cls, *a, **k), segment_bytes=30_000, batch_documents=8)
)
path, pause = sys.argv[1], float(sys.argv[2])

def stream():
    for i in range(400):
        time.sleep(pause)
        yield np.eye(16)[: 1 + i % 12]

with Index.open(path, read_only=False) as index:
    print(index.add_embeddings((f"d{i}" for i in range(400)), stream(), skip_existing=True))
    assert index.verify() and len(index) == 400
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills as POSIX has them")
def test_a_killed_stream_goes_on_where_it_was_committed(tmp_path: Path) -> None:
    with colxtr.Index.create(tmp_path / "index", dim=DIM) as index:
        index.add_embeddings(["first"], [embeddings(1, 12)])  # the codec is there before the stream
        index.delete(["first"])
    command = [sys.executable, "-c", STREAM, str(tmp_path / "index")]
    with (
        colxtr.Index.open(tmp_path / "index") as reader,
        subprocess.Popen([*command, "0.01"]) as process,
    ):
        while process.poll() is None and len(reader) < 50:
            time.sleep(0.01)
            reader.refresh()
        process.kill()
        process.wait()
        reader.refresh()
        done = len(reader)
    assert 50 <= done < 400
    said = subprocess.run([*command, "0"], check=True, capture_output=True)
    assert int(said.stdout) == 400 - done
