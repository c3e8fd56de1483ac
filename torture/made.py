"""Small indexes, what may be done to them, and all that they answer in one string.

Documents follow from their seeds: two runs of the same operations give the same index.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from numpy.typing import NDArray

import colxtr
from colxtr.build import BuildSettings
from colxtr.codec import Codec
from colxtr.errors import InputError
from colxtr.storage import files, manifest

DIM = 16
METHODS = ("colxtr", "xtr", "colbertv2", "colbert", "exact")
LANGUAGES = ("en", "de", "fa", "zh")
FILTERS: tuple[dict[str, Any], ...] = (
    {"year": {"$gte": 2010}},
    {"$or": [{"lang": "en"}, {"tags": "t1"}]},
)


def embeddings(seed: int, n_tokens: int) -> NDArray[np.float32]:
    """(n_tokens, DIM) of length 1."""
    rows = np.random.default_rng(seed).standard_normal((n_tokens, DIM)).astype(np.float32)
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


QUERIES = (embeddings(1_000_003, 5), embeddings(1_000_033, 3))


def tokens_of(seed: int) -> NDArray[np.float32]:
    """A document's embeddings: none to 12 tokens."""
    return embeddings(seed, seed % 13)


def metadata_of(seed: int) -> dict[str, Any]:
    """Its metadata."""
    return {"year": 2000 + seed % 20, "lang": LANGUAGES[seed % 4], "tags": [f"t{seed % 3}", "all"]}


def given(documents: Mapping[str, int]) -> tuple[list[dict[str, Any]], list[NDArray[np.float32]]]:
    """What `add_embeddings` takes, of documents by id."""
    whole = [
        {"id": i, "text": f"text {seed}", "title": f"title {seed}", "metadata": metadata_of(seed)}
        for i, seed in documents.items()
    ]
    return whole, [tokens_of(seed) for seed in documents.values()]


def named(first: int, n: int, seed: int) -> dict[str, int]:
    """`n` documents: d<first> and on, with seeds."""
    return {f"d{first + i}": seed + i for i in range(n)}


def hits(index: colxtr.Index) -> list[Any]:
    """What an index finds by all methods, with and without filters."""
    found: list[Any] = []
    for query in QUERIES:
        for method in METHODS:
            found.append(index.search_embeddings(query, k=50, method=method, threads=1))
        found.append(index.search_embeddings(query, k=3, n_probe=1, load_text=False, threads=1))
        found += [index.search_embeddings(query, k=50, filter=f, threads=1) for f in FILTERS]
    return [[(h.id, h.score, h.text, h.title, h.metadata) for h in each] for each in found]


def stored(index: colxtr.Index, n_ids: int = 48) -> list[Any]:
    """What it says of its documents, one by one."""
    answers: list[Any] = [len(index)]
    for i in range(n_ids):
        document = index.get(f"d{i}")
        answers.append((f"d{i}" in index, None if document is None else document.text))
        if document is not None:
            answers.append((document.title, document.metadata))
    return answers


def explained(index: colxtr.Index, doc_id: str) -> Any:
    """Why one document has its score."""
    try:
        explanation = index.explain_embeddings(QUERIES[0], doc_id)
    except InputError as error:
        return str(error)
    return (explanation.score, repr(explanation.matches))


def digest(index: colxtr.Index) -> str:
    """All answers of an index, in one string."""
    answers = json.dumps([stored(index), hits(index)]).encode()
    return hashlib.sha256(answers).hexdigest()[:16]


def digest_at(folder: Path) -> str:
    """The same of the newest generation."""
    with colxtr.Index.open(folder) as index:
        return digest(index)


def leftovers(folder: Path) -> set[str]:
    """Files in an index folder that its newest generation does not need."""
    newest = manifest.read_manifest(folder)
    ours = {"LOCK", newest.file_name(), *newest.files}
    return {path.name for path in folder.iterdir()} - ours


@contextmanager
def at_each_commit(call: Callable[[Path], None]) -> Iterator[None]:
    """Call with the path of each manifest as soon as its commit stands."""
    write = files.write_atomically

    def noted(path: Path, content: bytes) -> None:
        write(path, content)
        call(path)

    with mock.patch.object(manifest, "write_atomically", noted):
        yield


@contextmanager
def small_segments() -> Iterator[None]:
    """Every addition of more than a few documents commits several times."""
    within = BuildSettings.within

    def bounds(limit: int | None, dim: int, *, encodes: bool) -> BuildSettings:
        return replace(
            within(limit, dim, encodes=encodes), segment_bytes=4_000, batch_documents=2, coders=1
        )

    with mock.patch.object(BuildSettings, "within", bounds):
        yield


_TRAINED: dict[str, Codec] = {}


@contextmanager
def training_once() -> Iterator[None]:
    """The same sample is not trained on again: it would give the same codec."""
    train = Codec.train

    def remembered(sample: NDArray[np.floating], **options: Any) -> Codec:
        meter = options.pop("meter", None)
        key = hashlib.sha256(sample.tobytes()).hexdigest() + repr(options)
        if key not in _TRAINED:
            _TRAINED[key] = train(sample, **options | ({"meter": meter} if meter else {}))
        return _TRAINED[key]

    with mock.patch.object(Codec, "train", remembered):
        yield


class Operation(NamedTuple):
    """Something done to an index.

    Attributes:
        prepare: Makes the index that it is done to; None if there is none before.
        run: Does it; may be called again after a failure.
    """

    prepare: Callable[[Path], None] | None
    run: Callable[[colxtr.Index], object]


def base(path: Path, additions: int = 3) -> None:
    """An index of several segments with deleted documents."""
    with colxtr.Index.create(path, dim=DIM) as index:
        index.add_embeddings(*given(named(0, 8, 505)))
        for i in range(additions):
            index.add_embeddings(*given(named(10 + 2 * i, 2, 40 + i)))
        index.delete(["d1", "d11"])


def _ready_to_merge(path: Path) -> None:
    base(path, additions=6)


def _add(documents: Mapping[str, int]) -> Callable[[colxtr.Index], int]:
    return lambda index: index.add_embeddings(*given(documents), skip_existing=True)


def _update(documents: Mapping[str, int]) -> Callable[[colxtr.Index], int]:
    return lambda index: index.update_embeddings(*given(documents))


def _delete(ids: Iterable[str]) -> Callable[[colxtr.Index], int]:
    return lambda index: index.delete(ids)


def _empty(path: Path) -> None:
    colxtr.Index.create(path, dim=DIM).close()


OPERATIONS = {
    "create": Operation(None, lambda index: None),
    "first documents": Operation(_empty, _add(named(0, 8, 505))),
    "add": Operation(base, _add(named(30, 3, 77))),
    "add and merge": Operation(_ready_to_merge, _add(named(30, 2, 77))),
    "add in batches": Operation(base, _add(named(20, 14, 77))),
    "update": Operation(base, _update(named(2, 5, 177))),
    "delete": Operation(base, _delete(["d2", "d3", "d14"])),
    "delete a segment": Operation(base, _delete([*named(0, 8, 0)])),
    "optimize": Operation(base, lambda index: index.optimize(retrain=False)),
    "optimize, retrained": Operation(base, lambda index: index.optimize(retrain=True)),
    "overwrite": Operation(base, _add(named(0, 6, 901))),
}


def begin(name: str, folder: Path) -> colxtr.Index:
    """A writer to which an operation can be done."""
    if name in {"create", "overwrite"}:
        return colxtr.Index.create(folder, dim=DIM, overwrite=name == "overwrite")
    return colxtr.Index.open(folder, read_only=False)
