"""TACHIOM's index in parts (bench/peers): a stand-in trains, all else is as with TACHIOM itself."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import scaling, synthetic
from bench.peers import compare, parts, tachiom_file
from bench.peers.tachiom_file import Trained
from colxtr import Index

DIM = 128
N_TOKENS = 9_000

# The part of TACHIOM's interface that is used. Clusters are single tokens here, and the codebooks
# of any kind.
STAND_IN = """
import sys
from pathlib import Path

import numpy as np

from bench.peers import tachiom_file


def auto_build_params(token_ids):
    assert token_ids.dtype == np.uint32
    return {"total_centroids": 300}


class Tac:
    def __init__(self, n_centroids):
        self._n = n_centroids

    def train(self, vectors, token_ids):
        tokens, items = np.load(vectors).astype(np.float32), np.load(token_ids)
        assert tokens.shape == (len(items), 128) and items.dtype == np.int64
        self.centroids = tokens[np.linspace(0, len(tokens) - 1, self._n).astype(int)]
        nearness = tokens @ self.centroids.T - np.square(self.centroids).sum(axis=1) / 2
        self.assignments = nearness.argmax(axis=1).astype(np.uint32)


class Tachiom:
    @classmethod
    def build_from_tac(cls, *files):
        made = cls()
        made._arrays = [np.load(file) for file in files]
        return made

    def save(self, path):
        vectors, items, doclens, centroids, assigned = self._arrays
        assert len(vectors) == len(items) == doclens.sum() == len(assigned)
        residuals = vectors.astype(np.float32) - centroids[assigned]
        residuals /= np.linalg.norm(residuals, axis=1, keepdims=True) + 1e-12
        some = residuals[np.flatnonzero(residuals.any(axis=1))[:256]].reshape(256, 32, 4)
        books = np.ascontiguousarray(some.transpose(1, 0, 2))
        trained = tachiom_file.Trained(b"graph", quantiser(centroids, books), centroids, books)
        codes, lengths = tachiom_file.encode(vectors.astype(np.float32), assigned, trained)
        documents = [tachiom_file.document_bytes(doclens, assigned, codes, lengths)]
        lists = tachiom_file.inverted(assigned, doclens, len(centroids))
        tachiom_file.write(Path(path), trained, lists, doclens, documents)


def quantiser(centroids, books):
    def number(n):
        return int(n).to_bytes(8, "little")

    def vectors(some):
        return number(len(some)) + number(some.size) + some.tobytes() + number(some.shape[1])

    parts = b"".join(map(vectors, books))
    return number(128) + number(4) + vectors(centroids) + number(32) + parts + bytes([1])
"""


def unit(n: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, DIM), np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def some_trained(n_centroids: int = 5) -> Trained:
    random = np.random.default_rng(1)
    books = random.standard_normal((32, 256, DIM // 32)).astype(np.float32) / 6
    return Trained(b"", b"", unit(n_centroids, 2), books)


def decoded(
    trained: Trained, assigned: np.ndarray, codes: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    directions = np.stack([book[codes[:, i]] for i, book in enumerate(trained.books)], axis=1)
    rows = directions.reshape(len(codes), -1) * lengths[:, None].astype(np.float32)
    return trained.centroids[assigned] + rows


def test_codes_are_the_nearest_of_each_part() -> None:
    trained, tokens = some_trained(), unit(30, 3)
    assigned = np.arange(30) % 5
    codes, lengths = tachiom_file.encode(tokens, assigned, trained)
    residuals = tokens - trained.centroids[assigned]
    np.testing.assert_allclose(lengths, np.linalg.norm(residuals, axis=1), rtol=1e-3)
    parts_of = (residuals / np.linalg.norm(residuals, axis=1, keepdims=True)).reshape(30, 32, 1, 4)
    distances = np.square(parts_of - trained.books).sum(axis=-1)
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(codes, distances.argmin(axis=-1))


def test_a_token_at_its_centroid_has_no_residual() -> None:
    trained = some_trained()
    _, lengths = tachiom_file.encode(trained.centroids, np.arange(5), trained)
    assert lengths.tolist() == [0] * 5


def test_lists_name_each_document_once() -> None:
    doclens, assigned = np.array([3, 1, 4]), np.array([2, 0, 2, 2, 3, 3, 0, 2])
    lists, offsets = tachiom_file.inverted(assigned, doclens, 5)
    assert (lists.dtype, offsets.dtype) == (np.uint32, np.uint64)
    found = [lists[a:b].tolist() for a, b in itertools.pairwise(offsets)]
    assert found == [[0, 2], [], [0, 1, 2], [2], []]


def test_documents_lie_in_blocks() -> None:
    doclens = np.array([2, 1], np.int32)
    assigned = np.array([7, 8, 1 << 20], np.uint32)
    codes = np.arange(96, dtype=np.uint8).reshape(3, 32)
    lengths = np.array([0.5, 0.25, 2], np.float16)
    expected = b""
    for tokens in (slice(0, 2), slice(2, 3)):
        expected += assigned[tokens].tobytes() + codes[tokens].tobytes() + lengths[tokens].tobytes()
    found = tachiom_file.document_bytes(doclens, assigned, codes, lengths)
    assert found.tobytes() == expected


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.write_bytes(bytes(200_000))
    with pytest.raises(ValueError, match="where a TACHIOM index would have"):
        tachiom_file.read_trained(path, 5, 2, 100, DIM)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of environments in which the stand-in is TACHIOM."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "tachiom.py").write_text(STAND_IN, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    python = tmp_path / "venvs" / "tachiom" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return tmp_path / "venvs"


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for the interpreter")
def test_an_index_made_in_parts(
    tmp_path: Path, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PART": 3_000, "SAMPLE": 4_000, "WRITTEN": 7, "N_ITEMS": 60}.items():
        monkeypatch.setattr(parts, name, value)
    (tmp_path / "scaling").mkdir()
    scaling.build(tmp_path / "scaling", N_TOKENS, n_queries=4)
    corpus = tmp_path / "large"
    arguments = [corpus, "--scaling", tmp_path / "scaling", "--environments", environment]
    command = ["parts", *map(str, arguments), "--tokens", str(N_TOKENS), "--queries", "3"]
    monkeypatch.setattr(sys, "argv", command)

    encode, calls = tachiom_file.encode, []

    def interrupted(*given: np.ndarray) -> object:
        calls.append(len(given[0]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encode(*given)

    monkeypatch.setattr(tachiom_file, "encode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        parts.main()
    parts.main()
    before = (corpus / "indexes" / "TACHIOM" / "index").stat().st_mtime_ns
    parts.main()  # nothing is left to do
    assert (corpus / "indexes" / "TACHIOM" / "index").stat().st_mtime_ns == before
    assert not list(corpus.glob("parts/*/vectors.npy"))

    world = synthetic.World.make(DIM, scaling.SEED)
    texts = synthetic.Texts.draw(N_TOKENS, scaling.SEED)
    chunks = synthetic.chunks_of(world, texts, scaling.SEED)
    tokens = np.concatenate([rows for rows, _ in chunks])
    doclens = np.load(corpus / "doclens.npy")
    assert doclens.tolist() == texts.lengths.tolist()
    n_centroids = len(np.load(corpus / "training" / "centroids.npy"))
    assert n_centroids == pytest.approx(300, abs=2)
    path = corpus / "indexes" / "TACHIOM" / "index"
    trained = tachiom_file.read_trained(path, n_centroids, len(doclens), N_TOKENS, DIM)
    arrays = [np.load(corpus / f"{name}.npy") for name in ("assigned", "codes", "lengths")]
    rows = decoded(trained, *arrays)
    rows += tokens.mean(axis=0)
    cosines = np.einsum("ij,ij->i", unit_rows(rows), tokens)
    assert cosines.mean() > 0.9  # every token at its own place
    assert path.read_bytes().count(tachiom_file.document_bytes(doclens, *arrays).tobytes()) == 1

    truth = np.load(corpus / "truth.npz")["ids"]
    assert truth.shape == (3, min(len(doclens), 100))
    opened = compare.describe_corpus(compare.Corpus.open(corpus), 3)
    assert (opened["tokens"], opened["dim"], opened["queries"]) == (N_TOKENS, DIM, 3)
    for engine in ("TACHIOM", "colxtr-2-bits"):
        record = json.loads((corpus / "indexes" / engine / "build.json").read_text("utf-8"))
        assert record["corpus"] == "large"
        assert record["cpu_seconds"] > 0
        assert record["bytes"] > 36 * N_TOKENS
    with Index.open(corpus / "indexes" / "colxtr-2-bits" / "index") as index:
        hits = index.search_embeddings(np.load(corpus / "queries.npy")[0], k=10, method="exact")
    assert len({int(hit.id) for hit in hits} & set(truth[0, :10].tolist())) >= 8


def unit_rows(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
