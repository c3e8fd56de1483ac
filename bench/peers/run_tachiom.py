"""TACHIOM: token-aware clusters, a graph over centroids, product quantisation.

A single query runs on one thread whatever is allowed; only its batches use more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tachiom
from numpy.typing import NDArray

from bench.peers.driver import Engine, serve
from bench.peers.layout import Corpus

Result = tuple[NDArray[np.float32], NDArray[np.uint32]]


class Tachiom(Engine):
    """Build options are those of `build_from_arrays`, settings those of `search`."""

    def build(self, corpus: Corpus, index: Path, options: dict[str, Any]) -> None:
        ids = corpus.token_ids()
        if ids is None:
            raise ValueError(
                f"{corpus.folder} has no token_ids.npy; run: "
                f"python -m bench.peers.complete {corpus.folder}"
            )
        made = tachiom.Tachiom.build_from_arrays(
            corpus.vectors.view(np.uint16), ids.astype(np.uint32), corpus.doclens, **options
        )
        made.save(str(index))

    def open(self, index: Path, threads: int) -> None:
        self._index = tachiom.Tachiom.load(str(index))
        self._threads = threads

    def search(self, query: NDArray[np.float32], k: int, settings: dict[str, Any]) -> Result:
        result: Result = self._index.search(query, k, **settings)
        return result

    def ordinals(self, result: Result) -> Sequence[int]:
        scores, documents = result
        return list(documents[np.isfinite(scores)])

    def search_all(
        self, queries: list[NDArray[np.float32]], k: int, settings: dict[str, Any]
    ) -> None:
        offsets = np.cumsum([0, *map(len, queries)]).astype(np.uint64)
        self._index.batch_search(
            np.concatenate(queries),
            len(queries),
            k,
            offsets=offsets,
            num_threads=self._threads,
            **settings,
        )


if __name__ == "__main__":
    serve(Tachiom())
