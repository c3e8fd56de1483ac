"""The public interface of an index, on embeddings: no encoder is needed here."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import shutil
import sqlite3
import stat
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from colxtr import Document, Index
from colxtr.errors import (
    ColxtrError,
    CorruptIndexError,
    DiskFullError,
    DocumentError,
    DuplicateIdError,
    EmbeddingError,
    IndexExistsError,
    IndexLockedError,
    IndexNotFoundError,
    IndexVersionError,
    InputError,
    ReadOnlyError,
    StorageError,
)
from colxtr.storage.documents import DocumentStore
from colxtr.storage.lock import WriteLock
from colxtr.storage.manifest import Manifest, existing_generation, read_manifest
from made import Clustered

DIM = 32


@pytest.fixture
def made() -> Clustered:
    return Clustered(seed=0, dim=DIM)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "my.index"


@pytest.fixture
def index(folder: Path) -> Iterator[Index]:
    with Index.create(folder, dim=DIM) as index:
        yield index


def ids(n: int, start: int = 0) -> list[str]:
    return [f"d{i}" for i in range(start, start + n)]


class TestAdding:
    def test_documents_come_back(self, index: Index, made: Clustered) -> None:
        document = Document("a", "Some text", "A title", {"year": 2020, "tags": ["x"]})
        assert index.add_embeddings([document, "b"], made.documents(2)) == 2
        assert len(index) == 2
        assert "a" in index
        assert "c" not in index
        assert 5 not in index
        assert index.get("a") == document
        assert index.get("b") == Document("b", "")
        assert index.get("c") is None

    def test_hits_bring_the_document(self, index: Index, made: Clustered) -> None:
        tokens = made.documents(2)
        index.add_embeddings([Document("a", "Text", "Title", {"n": 1}), "b"], tokens)
        (hit, _) = index.search_embeddings(tokens[0])
        assert (hit.id, hit.text, hit.title, hit.metadata) == ("a", "Text", "Title", {"n": 1})
        assert 0.9 < hit.score < 1.01
        (bare, _) = index.search_embeddings(tokens[0], load_text=False)
        assert (bare.id, bare.text, bare.title, bare.metadata) == ("a", "", "", {})

    def test_reader_and_writer_see_the_same(
        self, index: Index, folder: Path, made: Clustered
    ) -> None:
        index.add_embeddings(ids(50), made.documents(50))
        query = made.tokens(4)
        with Index.open(folder) as reader:
            assert reader.search_embeddings(query) == index.search_embeddings(query)

    def test_adding_again_and_reopening(self, folder: Path, made: Clustered) -> None:
        documents = made.documents(60)
        with Index.create(folder, dim=DIM) as index:
            index.add_embeddings(ids(20), documents[:20])
            index.add_embeddings(ids(20, 20), documents[20:40])
        with Index.open(folder, read_only=False) as index:
            index.add_embeddings(ids(20, 40), documents[40:])
            assert len(index) == 60
        with Index.open(folder) as index:
            for i in (0, 25, 59):
                assert index.search_embeddings(documents[i], 1)[0].id == f"d{i}"

    def test_duplicate_ids(self, index: Index, made: Clustered) -> None:
        index.add_embeddings(["a"], made.documents(1))
        with pytest.raises(DuplicateIdError, match=r"'a' is already in .*my\.index"):
            index.add_embeddings(["a"], made.documents(1))
        with pytest.raises(DuplicateIdError, match="'b' occurs twice"):
            index.add_embeddings(["b", "b"], made.documents(2))
        assert index.add_embeddings(["a", "c"], made.documents(2), skip_existing=True) == 1

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            (Document("", "x"), "0 bytes"),
            (Document("x" * 1025, "x"), "1025 bytes"),
            (Document("a", 3), '"text" of document 0 is a int'),  # type: ignore[arg-type]
            (Document("a", "\ud800"), "not valid Unicode"),
            (Document("a", "x", metadata={"x": {1, 2}}), "not a JSON object"),
            (Document("a", "x", metadata={"x": float("nan")}), "not a JSON object"),
            (3, "document 0 is a int"),
            ({"title": "no text"}, 'has no "text"'),
        ],
    )
    def test_unusable_documents(
        self, index: Index, made: Clustered, document: object, message: str
    ) -> None:
        with pytest.raises(DocumentError, match=message):
            index.add_embeddings([document], made.documents(1))  # type: ignore[list-item]
        assert len(index) == 0

    def test_unusable_embeddings_leave_what_was_there(self, index: Index, made: Clustered) -> None:
        index.add_embeddings(["a"], made.documents(1))
        with pytest.raises(EmbeddingError, match=r"document 'b'.*\(n_tokens, 32\)"):
            index.add_embeddings(["b"], [np.ones((2, DIM + 8), np.float32)])
        with pytest.raises(EmbeddingError, match="NaN"):
            index.add_embeddings(["b"], [np.full((2, DIM), np.nan, np.float32)])
        assert len(index) == 1
        assert index.search_embeddings(made.tokens(2))[0].id == "a"

    def test_ids_and_embeddings_must_match(self, index: Index, made: Clustered) -> None:
        with pytest.raises(EmbeddingError, match="for 1 documents, but more ids"):
            index.add_embeddings(["a", "b"], made.documents(1))
        with pytest.raises(EmbeddingError, match="1 ids, but more embeddings"):
            index.add_embeddings(["c"], made.documents(2))

    def test_texts_need_an_encoder(self, index: Index) -> None:
        with pytest.raises(InputError, match="add_embeddings"):
            index.add(["a text"])
        with pytest.raises(InputError, match="search_embeddings"):
            index.search("a question")

    @pytest.mark.parametrize("n", [1, 2, 10])
    @pytest.mark.parametrize("n_bits", [1, 2, 4, 8, 16])
    def test_tiny_collections(self, folder: Path, made: Clustered, n: int, n_bits: int) -> None:
        documents = made.documents(n, most_tokens=3)
        with Index.create(folder, dim=DIM, n_bits=n_bits) as index:
            index.add_embeddings(ids(n), documents)
            for method in ("colxtr", "xtr", "colbertv2", "colbert", "exact"):
                hits = index.search_embeddings(documents[0], 100, method=method)
                assert len(hits) == n
                assert hits[0].id == "d0"

    def test_documents_without_tokens(self, folder: Path, made: Clustered) -> None:
        empty = np.empty((0, DIM), np.float32)
        with Index.create(folder, dim=DIM) as index:
            index.add_embeddings(["e0", "e1"], [empty, empty])
            assert index.search_embeddings(made.tokens(3)) == []
            assert len(index) == 2
            index.add_embeddings(["a", "e2", "b"], [made.tokens(1), empty, made.tokens(8000)])
            for method in ("colxtr", "xtr", "colbertv2", "colbert", "exact"):
                hits = index.search_embeddings(made.tokens(3), method=method, k_prime=10_000)
                assert {hit.id for hit in hits} == {"a", "b"}
        with Index.open(folder) as index:
            assert len(index) == 5
            assert index.get("e2") == Document("e2", "")
            with pytest.raises(InputError, match="'e2' has no token"):
                index.explain_embeddings(made.tokens(3), "e2")

    def test_stream_that_breaks_off_keeps_what_was_complete(
        self, index: Index, made: Clustered
    ) -> None:
        index.add_embeddings(ids(10), made.documents(10))

        def broken() -> Iterator[str]:
            yield from ids(600, 10)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            index.add_embeddings(broken(), iter(made.documents(1000)))
        assert len(index) == 10 + 2 * 256  # whole batches
        assert index.add_embeddings(ids(700), made.documents(700), skip_existing=True) == 178

    def test_metadata_is_taken_as_it_is_now(self, index: Index, made: Clustered) -> None:
        """A stream may fill the same dictionary again and again."""
        shared: dict[str, object] = {}

        def stream() -> Iterator[Document]:
            for i in range(3):
                shared["n"] = i
                yield Document(f"d{i}", "", metadata=shared)

        index.add_embeddings(stream(), made.documents(3))
        stored = [index.get(doc_id) for doc_id in ids(3)]
        assert [document.metadata for document in stored if document] == [
            {"n": 0}, {"n": 1}, {"n": 2}
        ]  # fmt: skip

    def test_metadata_without_bottom(self, index: Index, made: Clustered) -> None:
        deep: dict[str, object] = {}
        for _ in range(100_000):
            deep = {"x": deep}
        with pytest.raises(DocumentError, match="not a JSON object"):
            index.add_embeddings([Document("a", "", metadata=deep)], made.documents(1))


class TestSearching:
    def test_parameters_beyond_what_there_is_are_clamped(
        self, index: Index, made: Clustered
    ) -> None:
        index.add_embeddings(ids(30), made.documents(30))
        query = made.tokens(5)
        for method in ("colxtr", "xtr", "colbertv2", "colbert", "exact"):
            hits = index.search_embeddings(
                query, 10**6, method=method, n_probe=10**6, k_prime=10**6, rerank=10**6,
                n_candidates=10**6,
            )  # fmt: skip
            assert len(hits) == 30

    def test_k_beyond_rerank(self, index: Index, made: Clustered) -> None:
        index.add_embeddings(ids(30), made.documents(30))
        query = made.tokens(5)
        exact = index.search_embeddings(query, 30, method="exact")
        assert index.search_embeddings(query, 30, rerank=1) == exact

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"method": "plaid"}, "'plaid'; colxtr, xtr, colbertv2, colbert, exact"),
            ({"k": 0}, "k is 0"),
            ({"n_probe": 0}, "n_probe is 0; at least 1"),
            ({"k_prime": -1}, "k_prime is -1"),
            ({"rerank": -1}, "rerank is -1; at least 0"),
            ({"n_candidates": 0}, "n_candidates is 0"),
        ],
    )
    def test_impossible_parameters(
        self, index: Index, made: Clustered, options: dict, message: str
    ) -> None:
        index.add_embeddings(["a"], made.documents(1))
        with pytest.raises(InputError, match=message):
            index.search_embeddings(made.tokens(2), **options)

    @pytest.mark.parametrize("bad", [np.ones((2, 8)), np.full((1, DIM), np.nan), np.ones(DIM)])
    def test_unusable_queries(self, index: Index, bad: NDArray[np.float64]) -> None:
        with pytest.raises(EmbeddingError, match="the query"):
            index.search_embeddings(bad)

    def test_empty_query_and_empty_index(self, index: Index, made: Clustered) -> None:
        assert index.search_embeddings(made.tokens(2)) == []
        index.add_embeddings(["a"], made.documents(1))
        assert index.search_embeddings(np.empty((0, DIM))) == []
        with pytest.raises(InputError, match="query has no token"):
            index.explain_embeddings(np.empty((0, DIM)), "a")
        with pytest.raises(InputError, match="'zz' is not in"):
            index.explain_embeddings(made.tokens(2), "zz")

    def test_equal_scores_come_in_the_order_of_adding(self, index: Index, made: Clustered) -> None:
        tokens = made.tokens(4)
        index.add_embeddings(ids(40), [tokens] * 40)
        for method in ("colxtr", "xtr", "colbertv2", "colbert", "exact"):
            hits = index.search_embeddings(tokens, 7, method=method)
            assert [hit.id for hit in hits] == ids(7)

    def test_searching_from_many_threads(self, index: Index, made: Clustered) -> None:
        index.add_embeddings(ids(200), made.documents(200))
        queries = [made.tokens(6) for _ in range(40)]
        expected = [index.search_embeddings(query) for query in queries]
        results: dict[int, list] = {}

        def work(worker: int) -> None:
            results[worker] = [index.search_embeddings(query) for query in queries]

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(results[i] == expected for i in range(4))


class TestFolder:
    def test_nothing_there(self, folder: Path) -> None:
        with pytest.raises(IndexNotFoundError, match=r"my\.index: no colxtr index.*colxtr index"):
            Index.open(folder)
        with pytest.raises(IndexNotFoundError):
            Index.open(folder, read_only=False)
        assert not folder.exists()

    def test_something_there(self, folder: Path, made: Clustered) -> None:
        with Index.create(folder, dim=DIM) as index:
            index.add_embeddings(["a"], made.documents(1))
        with pytest.raises(IndexExistsError, match="already here"):
            Index.create(folder, dim=DIM)
        with Index.create(folder, dim=DIM, n_bits=4, overwrite=True) as index:
            assert len(index) == 0
            index.add_embeddings(["b"], made.documents(1))
        with Index.open(folder) as index:
            assert "a" not in index
            assert index.info().n_bits == 4

    def test_what_is_replaced_stays_until_there_is_something(
        self, folder: Path, made: Clustered
    ) -> None:
        with Index.create(folder, dim=DIM) as index:
            index.add_embeddings(["a"], made.documents(1))

        def broken() -> Iterator[str]:
            raise OSError("the stream broke off")
            yield "b"

        with (
            pytest.raises(OSError, match="broke off"),
            Index.create(folder, dim=DIM, n_bits=4, overwrite=True) as index,
        ):
            assert index.info().n_documents == len(index) == 0
            index.add_embeddings(broken(), made.documents(2))
        with Index.open(folder) as index:
            assert ("a" in index, index.info().n_bits) == (True, 2)
        Index.create(folder, dim=DIM, n_bits=4, overwrite=True).close()
        with Index.open(folder) as index:
            assert (len(index), index.info().n_bits) == (0, 4)

    def test_an_empty_index_is_no_loss(self, folder: Path) -> None:
        Index.create(folder, dim=DIM).close()
        Index.create(folder, dim=2 * DIM).close()
        with Index.open(folder) as index:
            assert index.info().dim == 2 * DIM

    def test_a_reader_measures_what_a_writer_replaces(self, index: Index, folder: Path) -> None:
        with Index.open(folder) as reader:
            before = reader.info()
            index.add_embeddings(["new"], [np.eye(DIM)])
            assert reader.info() == before

    def test_foreign_folders_are_never_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "precious.txt").write_text("mine")
        for overwrite in (False, True):
            with pytest.raises(IndexExistsError, match="is not an index"):
                Index.create(tmp_path, dim=DIM, overwrite=overwrite)
            with pytest.raises(IndexExistsError, match="is not an index"):
                Index.create(tmp_path / "precious.txt", dim=DIM, overwrite=overwrite)
        assert (tmp_path / "precious.txt").read_text() == "mine"

    def test_two_that_create_at_once(
        self, folder: Path, made: Clustered, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The slower of two must not replace the index of the faster one."""

        def slow(folder: Path) -> WriteLock:
            monkeypatch.undo()
            with Index.create(folder, dim=DIM) as faster:
                faster.add_embeddings(["a"], made.documents(1))
            return WriteLock(folder)

        monkeypatch.setattr("colxtr.writing.WriteLock", slow)
        with pytest.raises(IndexExistsError):
            Index.create(folder, dim=DIM)
        with Index.open(folder) as index:
            assert "a" in index

    def test_creation_that_died_can_be_repeated(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "LOCK").touch()
        (folder / "manifest-1.json.tmp").write_bytes(b"{")
        Index.create(folder, dim=DIM).close()
        assert sorted(path.name for path in folder.iterdir()) == ["LOCK", "manifest-1.json"]

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_readers_open_what_a_writer_replaces(
        self, index: Index, folder: Path, made: Clustered, monkeypatch: pytest.MonkeyPatch,
        overwrite: bool,
    ) -> None:  # fmt: skip
        """A commit between reading the manifest and opening its files."""
        index.add_embeddings(["a"], made.documents(1))

        def slow(folder: Path) -> Manifest:
            manifest = read_manifest(folder)
            monkeypatch.undo()
            if overwrite:
                index.close()
                with Index.create(folder, dim=DIM, n_bits=4, overwrite=True) as other:
                    other.add_embeddings(["b"], made.documents(1))
            else:
                index.add_embeddings(["b"], made.documents(1))
            return manifest

        monkeypatch.setattr("colxtr.storage.generation.read_manifest", slow)
        with Index.open(folder) as reader:
            assert ("b" in reader) == overwrite
            assert reader.search_embeddings(made.tokens(2))[0].id == ("b" if overwrite else "a")

    def test_readers_when_manifests_vanish(
        self, index: Index, folder: Path, made: Clustered, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A commit between finding the newest manifest and reading it."""

        def slow(folder: Path) -> int:
            found = existing_generation(folder)
            monkeypatch.undo()
            index.add_embeddings(["a"], made.documents(1))
            return found

        monkeypatch.setattr("colxtr.storage.manifest.existing_generation", slow)
        with Index.open(folder) as reader:
            assert "a" in reader

    def test_open_readers_outlive_overwriting(
        self, index: Index, folder: Path, made: Clustered
    ) -> None:
        index.add_embeddings(ids(30), made.documents(30))
        query = made.tokens(3)
        with Index.open(folder) as reader:
            before = reader.search_embeddings(query)
            index.close()
            for _ in range(3):
                with Index.create(folder, dim=DIM, overwrite=True) as other:
                    other.add_embeddings(ids(20), made.documents(20))
            assert reader.search_embeddings(query) == before

    def test_files_of_others_stay(self, index: Index, folder: Path, made: Clustered) -> None:
        strangers = ["notes.json.tmp", f"figures-{10**20}.txt"]
        for name in strangers:
            (folder / name).write_text("mine")
        index.add_embeddings(["a"], made.documents(1))
        index.close()
        with Index.create(folder, dim=DIM, overwrite=True) as other:
            other.add_embeddings(["a"], made.documents(1))
        assert all((folder / name).read_text() == "mine" for name in strangers)
        Index.open(folder).close()

    def test_folder_that_goes_while_it_is_open(
        self, index: Index, folder: Path, made: Clustered
    ) -> None:
        index.add_embeddings(["a"], made.documents(1))
        query = made.tokens(1)
        before = index.search_embeddings(query)
        shutil.move(folder, folder.with_name("moved"))
        with pytest.raises(StorageError, match=r"my\.index: was moved"):
            index.add_embeddings(["b"], made.documents(1))
        with Index.create(folder, dim=DIM) as other:
            with pytest.raises(StorageError, match=r"my\.index: was moved"):
                index.add_embeddings(["b"], made.documents(1))
            assert len(other) == 0
        assert index.search_embeddings(query) == before

    def test_folder_that_goes_while_it_is_written(
        self, index: Index, folder: Path, made: Clustered
    ) -> None:
        def stream() -> Iterator[str]:
            yield "a"
            shutil.rmtree(folder)

        with pytest.raises(StorageError, match=r"segment-1\.sqlite: cannot be written"):
            index.add_embeddings(stream(), iter(made.documents(1)))

    def test_disk_that_is_full(self, index: Index, folder: Path, made: Clustered) -> None:
        """Here: files that may not grow. What was committed is served, what was begun is gone."""
        resource = pytest.importorskip("resource")
        index.add_embeddings(["a"], made.documents(1))
        before = sorted(path.name for path in folder.iterdir())
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (45_000, limits[1]))
        try:
            with pytest.raises(DiskFullError, match=r"segment-\d+\.safetensors: .*free some space"):
                index.add_embeddings(ids(300), made.documents(300))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert sorted(path.name for path in folder.iterdir()) == before
        assert index.search_embeddings(made.tokens(1))[0].id == "a"
        index.add_embeddings(ids(300), made.documents(300))
        assert len(index) == 301

    def test_disk_that_fills_with_the_manifest(
        self, index: Index, folder: Path, made: Clustered, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        index.add_embeddings(["a"], made.documents(1))
        before = sorted(path.name for path in folder.iterdir())
        write_bytes = Path.write_bytes

        def full(path: Path, content: bytes) -> None:
            write_bytes(path, content[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            with pytest.raises(DiskFullError, match=r"manifest-3\.json"):
                index.add_embeddings(["b"], made.documents(1))
        assert sorted(path.name for path in folder.iterdir()) == before
        index.add_embeddings(["b"], made.documents(1))
        with Index.open(folder) as reader:
            assert len(reader) == 2

    def test_one_writer(self, index: Index, folder: Path) -> None:
        with pytest.raises(IndexLockedError, match=r"another process is writing.*process \d+"):
            Index.open(folder, read_only=False)
        with pytest.raises(IndexLockedError):
            Index.create(folder, dim=DIM, overwrite=True)
        Index.open(folder).close()
        index.close()
        Index.open(folder, read_only=False).close()

    def test_readers_do_not_write(self, index: Index, folder: Path, made: Clustered) -> None:
        with Index.open(folder) as reader, pytest.raises(ReadOnlyError, match="read_only=False"):
            reader.add_embeddings(["a"], made.documents(1))

    def test_read_only_folder(self, index: Index, folder: Path, made: Clustered) -> None:
        index.add_embeddings(["a"], made.documents(1))
        index.close()
        for path in folder.iterdir():
            path.chmod(stat.S_IRUSR)
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
        try:
            with Index.open(folder) as reader:
                assert reader.search_embeddings(made.tokens(1))[0].id == "a"
        finally:
            folder.chmod(stat.S_IRWXU)

    def test_moved_folder(self, index: Index, folder: Path, made: Clustered) -> None:
        index.add_embeddings(["a"], made.documents(1))
        index.close()
        moved = folder.with_name("elsewhere")
        shutil.move(folder, moved)
        with Index.open(moved) as reader:
            assert "a" in reader

    def test_closed(self, index: Index, made: Clustered) -> None:
        index.close()
        index.close()
        with pytest.raises(InputError, match="was closed"):
            len(index)
        with pytest.raises(InputError, match="was closed"):
            index.search_embeddings(made.tokens(1))
        assert "closed" in repr(index)

    def test_old_generations_and_strays_are_removed(
        self, index: Index, folder: Path, made: Clustered
    ) -> None:
        (folder / "segment-99.safetensors").write_bytes(b"of a build that died")
        for i in range(3):
            index.add_embeddings([f"d{i}"], made.documents(1))
        names = sorted(path.name for path in folder.iterdir())
        assert [name for name in names if name.startswith("manifest")] == ["manifest-4.json"]
        assert "segment-99.safetensors" not in names

    @pytest.mark.parametrize("dim", [16, 24, 96, 128, 384, 1024])
    @pytest.mark.parametrize("n_bits", [1, 2, 4, 8, 16])
    def test_dimensions(self, folder: Path, dim: int, n_bits: int) -> None:
        documents = Clustered(seed=1, dim=dim).documents(30)
        with Index.create(folder, dim=dim, n_bits=n_bits) as index:
            index.add_embeddings(ids(30), documents)
            for i in (0, 29):
                assert index.search_embeddings(documents[i], 1)[0].id == f"d{i}"

    @pytest.mark.parametrize(
        ("dim", "n_bits", "n_centroids"),
        [(8, 2, None), (12, 2, None), (1032, 2, None), (32, 3, None), (32, 2, 0)],
    )
    def test_impossible_settings(
        self, folder: Path, dim: int, n_bits: int, n_centroids: int | None
    ) -> None:
        with pytest.raises(InputError, match="possible"):
            Index.create(folder, dim=dim, n_bits=n_bits, n_centroids=n_centroids)
        assert not folder.exists()

    def test_info(self, index: Index, folder: Path, made: Clustered) -> None:
        assert index.info().bytes_per_token == 0
        index.add_embeddings(ids(100), made.documents(100))
        info = index.info()
        assert (info.n_documents, info.dim, info.n_bits, info.n_segments) == (100, DIM, 2, 1)
        assert info.bytes["codes"] == info.n_tokens * DIM * 2 // 8
        files = sum(path.stat().st_size for path in folder.iterdir() if path.name != "LOCK")
        assert info.bytes_total == files
        assert info.bytes_float32 == info.n_tokens * DIM * 4
        assert info.as_dict()["bytes"] == info.bytes


class TestDamage:
    """A first line of defence: errors, not wrong answers. The durability tests go further."""

    @pytest.fixture
    def built(self, folder: Path, made: Clustered) -> Path:
        with Index.create(folder, dim=DIM) as index:
            index.add_embeddings(ids(20), made.documents(20))
        return folder

    @pytest.fixture
    def as_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Opening does not compare every block with its checksum."""
        monkeypatch.setattr("colxtr.storage.generation.CHECKED_BYTES", 0)

    def test_every_block_of_a_small_index_is_checked_at_opening(self, built: Path) -> None:
        for path in self.files(built):
            content = path.read_bytes()
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            with pytest.raises(CorruptIndexError, match=path.name):
                Index.open(built)
            path.write_bytes(content)

    def files(self, folder: Path) -> list[Path]:
        return sorted(path for path in folder.iterdir() if path.name != "LOCK")

    def test_missing_files(self, built: Path) -> None:
        for path in self.files(built):
            content = path.read_bytes()
            path.unlink()
            with pytest.raises((CorruptIndexError, IndexNotFoundError), match=r"my\.index"):
                Index.open(built)
            path.write_bytes(content)
        Index.open(built).close()

    def test_truncated_files(self, built: Path) -> None:
        for path in self.files(built):
            content = path.read_bytes()
            for length in (0, 1, len(content) // 2, len(content) - 1):
                path.write_bytes(content[:length])
                with pytest.raises(CorruptIndexError, match=path.name):
                    Index.open(built)
            path.write_bytes(content)

    def test_flipped_bytes_of_manifest_and_codec(self, built: Path) -> None:
        for path in self.files(built):
            if path.name.startswith("segment"):
                continue
            content = bytearray(path.read_bytes())
            for i in range(0, len(content), max(len(content) // 50, 1)):
                content[i] ^= 0x10
                path.write_bytes(content)
                with pytest.raises(CorruptIndexError, match=path.name):
                    Index.open(built)
                content[i] ^= 0x10
            path.write_bytes(content)

    def test_flipped_bytes_of_a_segments_header(self, built: Path, made: Clustered) -> None:
        (path,) = built.glob("segment-*.safetensors")
        content = bytearray(path.read_bytes())
        query = made.tokens(3)
        with Index.open(built) as index:
            expected = index.search_embeddings(query)
        for i in range(8 + int.from_bytes(content[:8], "little")):
            content[i] ^= 0x01
            path.write_bytes(content)
            try:
                with Index.open(built) as index:
                    assert index.search_embeddings(query) == expected
            except ColxtrError as error:
                assert path.name in str(error)
            content[i] ^= 0x01

    @pytest.mark.usefixtures("as_large")
    def test_codes_that_are_not_aligned(self, built: Path) -> None:
        (path,) = built.glob("segment-*.safetensors")
        content = path.read_bytes()
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start])
        begin, end = header["codes"]["data_offsets"]
        header["codes"]["data_offsets"] = [begin - 1, end - 1]
        path.write_bytes(
            content[:8] + json.dumps(header).encode().ljust(start - 8) + content[start:]
        )
        with pytest.raises(CorruptIndexError, match=r"segment-1.*begin at a multiple of 64"):
            Index.open(built)

    @pytest.mark.usefixtures("as_large")
    def test_damaged_metadata(self, built: Path) -> None:
        (path,) = built.glob("segment-*.sqlite")
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE documents SET metadata = '{!' WHERE ordinal = 3")
            connection.commit()
        with Index.open(built) as index, pytest.raises(CorruptIndexError, match=path.name):
            index.get("d3")

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b'"n_documents": 20', b'"n_documents": -1'),
            (b'"n_documents": 20', b'"n_documents": 2.5'),
            (b'"n_bits": 2', b'"n_bits": 4'),
            (b'"dim": 32', b'"dim": 64'),
            (b'"n_deleted": 0', b'"n_deleted": 1'),
            (b'"files": {', b'"files": 5, "other": {'),
            (b'"codec": "codec-2"', b'"codec": 2.5'),
            (b'"block_crc32": [', b'"block_crc32": 5, "other": ['),
            (b'"bytes": ', b'"bytes": "x", "other": '),
            (b'"next_number": ', b'"next_number": 1, "other": '),
        ],
    )
    def test_manifests_that_contradict(self, built: Path, old: bytes, new: bytes) -> None:
        self.replace_in_manifest(built, old, new)
        with pytest.raises(CorruptIndexError, match=r"(manifest|codec)-\d.*: damaged"):
            Index.open(built)

    def replace_in_manifest(self, folder: Path, old: bytes, new: bytes) -> None:
        (path,) = folder.glob("manifest-*.json")
        line = path.read_bytes().split(b"\n")[0].replace(old, new)
        path.write_bytes(line + f"\n{zlib.crc32(line):08x}\n".encode())

    def test_another_version(self, built: Path) -> None:
        self.replace_in_manifest(built, b'"version": 1', b'"version": 2')
        with pytest.raises(IndexVersionError, match="version 2; this colxtr reads"):
            Index.open(built)

    def test_file_names_that_leave_the_folder(self, built: Path) -> None:
        self.replace_in_manifest(built, b"codec-2", b"../ec-2")
        with pytest.raises(CorruptIndexError, match="not a file name of this format"):
            Index.open(built)


def test_an_index_that_nobody_closes_makes_no_noise(index: Index, folder: Path) -> None:
    index.add_embeddings(["a"], [np.eye(DIM)])
    reader = Index.open(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del reader
        gc.collect()


def test_a_file_that_cannot_be_opened(index: Index, folder: Path) -> None:
    index.add_embeddings(["a"], [np.eye(DIM)])
    store = next(folder.glob("*.sqlite"))
    with pytest.raises(StorageError, match=r"cannot be read: unable to open .*permissions"):
        DocumentStore(store / "not a folder", 1)


def test_a_full_disk_keeps_nothing_of_a_segment(
    index: Index, folder: Path, monkeypatch: pytest.MonkeyPatch, made: Clustered
) -> None:
    index.add_embeddings(["a"], made.documents(1))
    before = sorted(folder.iterdir())

    def full(path: Path, *arguments: object) -> None:
        path.write_bytes(b"a part")
        raise DiskFullError(f"{path}: No space left on device")

    monkeypatch.setattr("colxtr.storage.segment.write_documents", full)
    with pytest.raises(DiskFullError):
        index.add_embeddings(["b"], made.documents(1))
    assert sorted(folder.iterdir()) == before
