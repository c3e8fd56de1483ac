"""The files of a corpus of token embeddings. Knows nothing of engines and of text.

vectors.npy         float16 (n_tokens, dim); absent where indexes were built without it (parts.py)
doclens.npy         int32 (n_documents,): tokens of each document, never 0
token_ids.npy       int64 (n_tokens,): vocabulary ids; optional
queries.npy         float32 (n_query_tokens, dim), or (n_queries, query_length, dim)
query_lengths.npy   int32 (n_queries,); optional where `queries.npy` has three dimensions
truth.npz           ids int32 and scores float32, (n_queries, 100), of exact MaxSim; made here
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TOP = 100  # documents of the truth, and of every search


@dataclass(frozen=True)
class Corpus:
    """One corpus.

    Attributes:
        folder: Where it lies.
        doclens: int32 (n_documents,).
        queries: One float32 (n_tokens, dim) for each query.
    """

    folder: Path
    doclens: NDArray[np.int32]
    queries: list[NDArray[np.float32]]

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """Open a corpus."""
        doclens = np.load(folder / "doclens.npy").astype(np.int32)
        return cls(folder, doclens, read_queries(folder))

    @cached_property
    def vectors(self) -> NDArray[np.float16]:
        """(n_tokens, dim), read from the disk as they are touched."""
        found: NDArray[np.float16] = np.load(self.folder / "vectors.npy", mmap_mode="r")
        if self.n_tokens != len(found) or not self.doclens.all():
            raise SystemExit(
                f"{self.folder}: doclens.npy speaks of {self.n_tokens:,} tokens in documents of at "
                f"least {self.doclens.min()}, vectors.npy of {len(found):,}; make the corpus again"
            )
        return found

    @property
    def n_tokens(self) -> int:
        """Of all documents."""
        return int(self.doclens.sum())

    @property
    def starts(self) -> NDArray[np.int64]:
        """The first token of each document, and the end; int64 (n_documents + 1,)."""
        return np.concatenate([[0], np.cumsum(self.doclens, dtype=np.int64)])

    def token_ids(self) -> NDArray[np.int64] | None:
        """Vocabulary ids (n_tokens,), or None where the corpus has none."""
        path = self.folder / "token_ids.npy"
        return np.load(path) if path.is_file() else None


def read_queries(folder: Path) -> list[NDArray[np.float32]]:
    """The queries of a corpus, one array (n_tokens, dim) each."""
    queries = np.load(folder / "queries.npy").astype(np.float32)
    if queries.ndim == 3:
        return list(queries)
    lengths = np.load(folder / "query_lengths.npy")
    return np.split(queries, np.cumsum(lengths)[:-1])
