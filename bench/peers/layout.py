"""The files of a corpus of token embeddings. Knows nothing of engines and of text.

vectors.npy         float16 (n_tokens, dim)
doclens.npy         int32 (n_documents,): tokens of each document, never 0
token_ids.npy       int64 (n_tokens,): vocabulary ids; optional
queries.npy         float32 (n_query_tokens, dim), or (n_queries, query_length, dim)
query_lengths.npy   int32 (n_queries,); optional where `queries.npy` has three dimensions
truth.npz           ids int32 and scores float32, (n_queries, 100), of exact MaxSim; made here
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TOP = 100  # documents of the truth, and of every search


@dataclass(frozen=True, slots=True)
class Corpus:
    """One corpus, its vectors mapped.

    Attributes:
        folder: Where it lies.
        vectors: float16 (n_tokens, dim), read from the disk as they are touched.
        doclens: int32 (n_documents,).
        queries: One float32 (n_tokens, dim) for each query.
    """

    folder: Path
    vectors: NDArray[np.float16]
    doclens: NDArray[np.int32]
    queries: list[NDArray[np.float32]]

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """Open a corpus, and see that its arrays fit together."""
        vectors = np.load(folder / "vectors.npy", mmap_mode="r")
        doclens = np.load(folder / "doclens.npy").astype(np.int32)
        if doclens.sum() != len(vectors) or not doclens.all():
            raise SystemExit(
                f"{folder}: doclens.npy speaks of {doclens.sum():,} tokens in documents of at "
                f"least {doclens.min()}, vectors.npy of {len(vectors):,}; make the corpus again"
            )
        return cls(folder, vectors, doclens, read_queries(folder))

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
