"""colxtr, through its public interface."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.peers.driver import Engine, serve
from bench.peers.layout import Corpus
from colxtr import Hit, Index

Embeddings = NDArray[np.float32]


class Colxtr(Engine):
    """Build options are those of `Index.create`, settings those of `Index.search_embeddings`."""

    def build(self, corpus: Corpus, index: Path, options: dict[str, Any]) -> None:
        dim = corpus.vectors.shape[1]
        ids = map(str, range(len(corpus.doclens)))
        with Index.create(index, dim=dim, **options) as made:
            made.add_embeddings(ids, _documents(corpus), total=len(corpus.doclens))

    def open(self, index: Path, threads: int) -> None:
        self._index = Index.open(index)
        self._threads = threads

    def search(self, query: Embeddings, k: int, settings: dict[str, Any]) -> list[Hit]:
        threads = self._threads
        return self._index.search_embeddings(query, k, load_text=False, threads=threads, **settings)

    def ordinals(self, result: list[Hit]) -> Sequence[int]:
        return [int(hit.id) for hit in result]

    def search_all(self, queries: list[Embeddings], k: int, settings: dict[str, Any]) -> None:
        def search(query: Embeddings) -> list[Hit]:
            return self._index.search_embeddings(query, k, load_text=False, threads=1, **settings)

        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(search, queries))


def _documents(corpus: Corpus) -> Iterator[Embeddings]:
    for start, end in itertools.pairwise(corpus.starts):
        yield corpus.vectors[start:end].astype(np.float32)


if __name__ == "__main__":
    serve(Colxtr())
