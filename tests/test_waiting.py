"""Items that wait for the codec: in memory, in a file, and nowhere afterwards."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from colxtr import Document, Index
from colxtr.build import BuildSettings
from colxtr.errors import DiskFullError, EmbeddingError
from colxtr.waiting import Item, Room, Waiting
from made import Clustered, unit
from test_build import stored_ids, tiny_builder

DIM = 16


def items(n: int, *, given: bool = True) -> list[Item]:
    arrays = Clustered(seed=0, dim=DIM).documents(n)
    arrays[1] = arrays[1][:0]
    return [
        Item(
            Document(f"d{i}", f"Täxt {i} 文\n", 'A "title"', {"year": i, "in": [None, "x"]}),
            array.astype(np.float16) if given else None,
        )
        for i, array in enumerate(arrays)
    ]


def assert_same(one: Item, other: Item) -> None:
    assert one.document == other.document
    assert one.counted == other.counted
    if other.embeddings is None:
        assert one.embeddings is None
    else:
        assert one.embeddings is not None
        assert one.embeddings.dtype == np.float16
        assert one.embeddings.shape == other.embeddings.shape
        assert (one.embeddings == other.embeddings).all()


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("memory_bytes", [0, 3_000, 10**9], ids=["file", "both", "memory"])
def test_items_are_what_they_were(tmp_path: Path, given: bool, memory_bytes: int) -> None:
    made = items(40, given=given)
    with Waiting(tmp_path, DIM, Room(memory_bytes, 10**9)) as waiting:
        assert waiting.fill(iter(made))
        assert len(waiting) == 40
        for i in (39, 0, 1, 20, 3):
            assert_same(waiting[i], made[i])
        made[5] = waiting[5] = Item(Document("new", ""), made[7].embeddings, counted=True)
        made[30] = waiting[30] = Item(Document("newer", ""), made[7].embeddings)
        for one, other in zip(waiting.released(), made, strict=True):
            assert_same(one, other)
    assert list(tmp_path.iterdir()) == []


class TestRoom:
    def test_the_rest_of_the_stream_stays(self, tmp_path: Path) -> None:
        made = items(40)
        for room in (Room(3_000, 0), Room(0, 3_000), Room(1_500, 1_500), Room(documents=11)):
            stream = iter(made)
            with Waiting(tmp_path, DIM, room) as waiting:
                assert not waiting.fill(stream)
                there = list(waiting.released())
            assert 5 < len(there) < 20
            for one, other in zip([*there, *stream], made, strict=True):
                assert one.document == other.document

    def test_half_of_what_is_free(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        Usage = type("Usage", (), {"free": 4_000})
        monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage)
        with Waiting(tmp_path, DIM, Room(0, 10**9)) as waiting:
            assert not waiting.fill(iter(items(40)))
            assert sum(8 + item.weight() for item in waiting.released()) < 4_000

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was committed stays, and nothing else is left."""
        full = OSError(errno.ENOSPC, "No space left on device")

        class Full:
            def write(self, _: bytes) -> None:
                raise full

            def close(self) -> None: ...

        monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
        with Waiting(tmp_path, DIM, Room(0, 10**9)) as waiting, pytest.raises(DiskFullError):
            waiting.fill(iter(items(40)))


def of_two_kinds(n: int) -> list[NDArray[np.float32]]:
    """Documents of other topics in the second half, in other directions."""
    arrays = []
    for half in range(2):
        made = Clustered(seed=half, dim=DIM, n_topics=200)
        mask = np.arange(DIM) // (DIM // 2) == half
        for array in made.documents(n // 2):
            arrays.append(unit(array * mask + 0.01 * made.tokens(len(array))))
    return arrays


def errors_of_halves(
    folder: Path, arrays: list[NDArray[np.float32]], settings: BuildSettings
) -> list[float]:
    """The mean squared error of the decompressed tokens of each half."""
    with pytest.MonkeyPatch.context() as patch:
        tiny_builder(patch, settings)
        with Index.create(folder, dim=DIM, n_bits=2, n_centroids=128) as index:
            index.add_embeddings(map(str, range(len(arrays))), iter(arrays), total=len(arrays))
            (segment,) = index._generation.with_tokens()
            squares = [
                np.square(segment.decompress(i)[0] - array).sum(axis=1)
                for i, array in enumerate(arrays)
            ]
    middle = len(arrays) // 2
    return [float(np.concatenate(half).mean()) for half in (squares[:middle], squares[middle:])]


def test_the_codec_suits_the_end_of_a_stream(tmp_path: Path) -> None:
    """It is drawn from all that waits, in memory or not; not from the head that fits memory."""
    arrays = of_two_kinds(400)
    half = sum(array.nbytes for array in arrays) // 4  # in half precision
    first, second = errors_of_halves(
        tmp_path / "all", arrays, BuildSettings(room=Room(half // 2, 10**9))
    )
    assert second == pytest.approx(first, rel=0.3)
    first, second = errors_of_halves(tmp_path / "head", arrays, BuildSettings(room=Room(half, 0)))
    assert second > 3 * first


class TestBrokenStreams:
    """Embeddings are dear: what came before an error is kept, though no codec was there yet."""

    def test_of_embeddings(self, tmp_path: Path) -> None:
        arrays = Clustered(seed=0, dim=DIM).documents(50)
        arrays[33] = np.full_like(arrays[33], np.nan)
        with Index.create(tmp_path / "i", dim=DIM) as index:
            with pytest.raises(EmbeddingError, match="'33'"):
                index.add_embeddings(map(str, range(50)), arrays)
            assert stored_ids(tmp_path / "i") == [str(i) for i in range(33)]
            assert index.search_embeddings(arrays[20], 1)[0].id == "20"

    def test_interrupted(self, tmp_path: Path) -> None:
        """Who presses Ctrl-C does not want to wait for a training."""

        def interrupted() -> Iterator[NDArray[np.float32]]:
            yield from Clustered(seed=0, dim=DIM).documents(5)
            raise KeyboardInterrupt

        with Index.create(tmp_path / "i", dim=DIM) as index:
            with pytest.raises(KeyboardInterrupt):
                index.add_embeddings(map(str, range(50)), interrupted())
            assert len(index) == 0
