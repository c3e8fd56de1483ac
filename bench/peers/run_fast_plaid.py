"""fast-plaid: PLAID's centroid pruning and residual scoring, on torch.

It builds from float32: without a processor's own float16, torch multiplies that 50 times slower.
Its searches turn all they are given into float16.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fast_plaid.search import FastPlaid
from numpy.typing import NDArray

from bench.peers.driver import Engine, serve
from bench.peers.layout import Corpus

Result = list[list[tuple[int, float]]]


class Plaid(Engine):
    """Build options are those of `create`, settings those of `search`."""

    def build(self, corpus: Corpus, index: Path, options: dict[str, Any]) -> None:
        tokens = torch.from_numpy(np.array(corpus.vectors, np.float32))
        documents = list(tokens.split(corpus.doclens.tolist()))
        FastPlaid(str(index), device="cpu").create(documents, **options)

    def open(self, index: Path, threads: int) -> None:
        torch.set_num_threads(threads)
        self._index = FastPlaid(str(index), device="cpu")
        self._threads = threads

    def prepare(self, query: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(query)

    def search(self, query: torch.Tensor, k: int, settings: dict[str, Any]) -> Result:
        result: Result = self._index.search(
            [query], k, show_progress=False, n_processes=1, **settings
        )
        return result

    def ordinals(self, result: Result) -> Sequence[int]:
        return [document for document, _ in result[0]]

    def search_all(self, queries: list[torch.Tensor], k: int, settings: dict[str, Any]) -> None:
        torch.set_num_threads(1)  # its workers are the threads
        self._index.search(queries, k, show_progress=False, n_processes=self._threads, **settings)
        torch.set_num_threads(self._threads)


if __name__ == "__main__":
    serve(Plaid())
