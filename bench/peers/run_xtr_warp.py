"""xtr-warp-rs: WARP's implicit decompression, in Rust on torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from xtr_warp import XTRWarp

from bench.peers.driver import Engine, serve
from bench.peers.layout import Corpus

Result = list[list[tuple[int, float]]]


class Warp(Engine):
    """Build options are those of `create`, settings those of `search`."""

    def build(self, corpus: Corpus, index: Path, options: dict[str, Any]) -> None:
        tokens = torch.from_numpy(np.array(corpus.vectors, np.float32))
        documents = list(tokens.split(corpus.doclens.tolist()))
        XTRWarp(str(index)).create(documents, device="cpu", show_progress=False, **options)

    def open(self, index: Path, threads: int) -> None:
        torch.set_num_threads(threads)
        self._index = XTRWarp(str(index)).load(device="cpu")
        self._threads = threads

    def prepare(self, query: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(query)[None]

    def search(self, query: torch.Tensor, k: int, settings: dict[str, Any]) -> Result:
        result: Result = self._index.search(
            query, k, num_threads=self._threads, show_progress=False, **settings
        )
        return result

    def ordinals(self, result: Result) -> Sequence[int]:
        return [document for document, _ in result[0]]

    def search_all(self, queries: list[torch.Tensor], k: int, settings: dict[str, Any]) -> None:
        self._index.search(queries, k, num_threads=self._threads, show_progress=False, **settings)


if __name__ == "__main__":
    serve(Warp())
