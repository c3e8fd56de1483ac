"""Token embeddings of a collection on the disk: made once, in parts, whatever interrupts.

A folder for each model and corpus, files for each part; 4 * dim bytes a token. Knows nothing of
indexes.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from colxtr.errors import CorpusError, InputError
from colxtr.evaluation.judged import DIGEST_LENGTH, JudgedCollection
from colxtr.progress import progress_bar
from colxtr.storage.files import make_folder, write_atomically

if TYPE_CHECKING:
    from colxtr.encoder import Encoder

PART_DOCUMENTS = 512
_WARMING = 10  # queries encoded before times are taken

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """Consecutive documents.

    Attributes:
        counts: (n_documents,) int64, tokens of each.
        tokens: (n_tokens, dim) float32.
    """

    counts: NDArray[np.int64]
    tokens: Floats

    def documents(self) -> Iterator[Floats]:
        """(n_tokens, dim) of each document."""
        ends = np.cumsum(self.counts)
        for start, end in zip(ends - self.counts, ends, strict=True):
            yield self.tokens[start:end]


@dataclass(frozen=True)
class EmbeddedCollection:
    """Where the token embeddings of a collection lie.

    Attributes:
        folder: Of the files.
        dim: To which the embeddings are cut when they are read; None for all they have.
        normalise: Whether what is cut gets length 1 again.
    """

    folder: Path
    dim: int | None = None
    normalise: bool = True

    def parts(self) -> Iterator[Part]:
        """All of it, a part in memory at a time."""
        for path in sorted(self.folder.glob("tokens-*.npy")):
            counts = _read(path.with_name(path.name.replace("tokens", "counts")))
            yield Part(counts, self.cut(_read(path)))

    def documents(self) -> Iterator[Floats]:
        """(n_tokens, dim) of each document, in the collection's order."""
        for part in self.parts():
            yield from part.documents()

    def counts(self) -> NDArray[np.int64]:
        """(n_documents,): tokens of each document."""
        return np.concatenate([_read(path) for path in sorted(self.folder.glob("counts-*.npy"))])

    def cut(self, tokens: Floats) -> Floats:
        """The first `dim` components of embeddings, (n, any)."""
        if self.dim is None or self.dim == tokens.shape[1]:
            return tokens
        kept = np.ascontiguousarray(tokens[:, : self.dim])
        if self.normalise:
            kept /= np.maximum(np.linalg.norm(kept, axis=1, keepdims=True), np.float32(1e-12))
        return kept


def embed(
    collection: JudgedCollection, encoder: Encoder, cache: Path, *, progress: bool = False
) -> tuple[EmbeddedCollection, dict[str, Any]]:
    """Encode the documents of a collection whole, but for the parts that are there already.

    Args:
        collection: What to encode.
        encoder: With what; its fingerprint and the collection's digest name the folder.
        cache: The folder of such folders.
        progress: Show a progress bar.

    Returns:
        The embeddings, and the figures: n_documents, n_tokens, dim, encoding_seconds (of all
        parts, whenever they were made).
    """
    folder = cache / f"{encoder.fingerprint}-{collection.digest}-whole"
    make_folder(folder)
    total = len(collection.doc_ids)
    seconds = 0.0
    documents = collection.documents()
    with progress_bar("Encoding", total, enabled=progress) as advance:
        for number in range(-(-total // PART_DOCUMENTS)):
            some = list(islice(documents, PART_DOCUMENTS))
            done = folder / f"part-{number:06}.json"
            if done.is_file():
                advance.skip(len(some))
            else:
                start = time.perf_counter()
                arrays = encoder.encode_documents(some, windows=True)  # as an index does
                _write_part(folder, number, arrays, time.perf_counter() - start)
                advance(len(some))
            seconds += float(_figures(done)["seconds"])
    embedded = EmbeddedCollection(folder, normalise=encoder.config.normalize)
    counts = embedded.counts()
    if len(counts) != total:
        raise CorpusError(
            f"{folder}: holds {len(counts)} documents, the collection has {total}; delete it and "
            "run the command again"
        )
    return embedded, {
        "n_documents": total,
        "n_tokens": int(counts.sum()),
        "dim": encoder.dim,
        "encoding_seconds": seconds,
    }


@dataclass(frozen=True)
class EmbeddedQueries:
    """Token embeddings of queries: a file, by the order of their ids.

    Attributes:
        path: Of the file.
        ids: Of the queries.
        milliseconds: Encoding each took, alone, on one thread.
    """

    path: Path
    ids: tuple[str, ...]
    milliseconds: tuple[float, ...]

    def arrays(self) -> list[Floats]:
        """(n_tokens, dim) of each query."""
        counts = _read(self.path.with_suffix(".counts.npy"))
        return list(Part(counts, _read(self.path)).documents())


def embed_queries(queries: Mapping[str, str], encoder: Encoder, folder: Path) -> EmbeddedQueries:
    """Encode queries one by one, as they come when people search, and take the time.

    Args:
        queries: Query id -> text.
        encoder: On one thread.
        folder: Where the file goes; one that is there is taken.
    """
    content = json.dumps([encoder.fingerprint, dict(queries)], sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:DIGEST_LENGTH]
    path = folder / f"queries-{digest}.npy"
    done = path.with_suffix(".json")
    if not done.is_file():
        for text in list(queries.values())[:_WARMING]:
            encoder.encode_queries([text])
        arrays, times = [], []
        for text in queries.values():
            start = time.perf_counter()
            arrays += encoder.encode_queries([text])
            times.append(1000 * (time.perf_counter() - start))
        _write(path, np.concatenate(arrays))
        _write(path.with_suffix(".counts.npy"), np.array([len(a) for a in arrays], np.int64))
        write_atomically(done, json.dumps({"milliseconds": times}).encode())
    return EmbeddedQueries(path, tuple(queries), tuple(_figures(done)["milliseconds"]))


def _write_part(folder: Path, number: int, arrays: Sequence[Floats], seconds: float) -> None:
    """Tokens and counts first: the part counts once its figures are there."""
    _write(folder / f"tokens-{number:06}.npy", np.concatenate(arrays))
    counts = np.array([len(array) for array in arrays], np.int64)
    _write(folder / f"counts-{number:06}.npy", counts)
    figures = json.dumps({"seconds": seconds, "documents": len(arrays)})
    write_atomically(folder / f"part-{number:06}.json", figures.encode())


def _write(path: Path, array: NDArray[Any]) -> None:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    write_atomically(path, file.getvalue())


def _read(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, error) from None
    return array


def _figures(path: Path) -> dict[str, Any]:
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from None
    return figures


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: a cached file that is damaged ({error}); delete {path.parent} and run the "
        "command again"
    )
