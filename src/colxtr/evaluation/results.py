"""What a comparison has found: a value for each cell, and the arithmetic of sizes and times.

Knows nothing of how it was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from colxtr.evaluation.cells import Cell
from colxtr.evaluation.coverage import Coverage
from colxtr.evaluation.measures import Evaluation
from colxtr.evaluation.published import Peer, Published, PublishedSize

HNSW_LINKS = 32  # M; a token has 2 * M neighbours on the lowest level, 4 bytes each


def hnsw_bytes(n_tokens: int, dim: int) -> int:
    """What a flat float32 HNSW of the tokens takes: vectors and the links of the lowest level.

    4 * dim + 2 * 32 * 4 bytes a token, as faiss lays it out with M = 32; 768 of 128 dimensions.
    """
    return n_tokens * (4 * dim + 2 * HNSW_LINKS * 4)


@dataclass(frozen=True)
class CellResult:
    """A cell's figures; None for what there is not.

    Attributes:
        cell: What was measured.
        evaluation: Quality.
        figures: build_seconds, build_peak_bytes, index_bytes, bytes_per_token, n_tokens, dim,
            n_centroids, search_bytes, cpu_milliseconds (a query's mean), as the tasks of `work`
            return them.
        milliseconds: Of the searches that were timed, encoding excluded; empty where all were one
            work.
    """

    cell: Cell
    evaluation: Evaluation
    figures: Mapping[str, Any]
    milliseconds: Sequence[float]

    @property
    def n_bits(self) -> int | None:
        """Bits per dimension of its index."""
        return self.cell.index.n_bits if self.cell.index else None

    def latency(self, quantile: float) -> float | None:
        """Milliseconds that a share `quantile` of the searches stay below."""
        return float(np.quantile(self.milliseconds, quantile)) if self.milliseconds else None

    def figure(self, name: str, divisor: float = 1) -> float | None:
        """One of `figures`, divided."""
        value = self.figures.get(name)
        return None if value is None else value / divisor

    @property
    def times_smaller(self) -> float | None:
        """How many times the index would go into a float32 HNSW of the same tokens."""
        figures = self.figures
        if not figures.get("index_bytes"):
            return None
        dim = figures.get("dim")
        return (
            None if dim is None else hnsw_bytes(figures["n_tokens"], dim) / figures["index_bytes"]
        )

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON; without what belongs to single queries."""
        evaluation = self.evaluation.as_dict()
        del evaluation["per_query"]
        return {
            "cell": self.cell.as_dict(),
            "quality": evaluation,
            "figures": dict(self.figures),
            "search_ms_p50": self.latency(0.5),
            "search_ms_p95": self.latency(0.95),
            "times_smaller_than_hnsw": self.times_smaller,
        }


@dataclass(frozen=True)
class SweepResult:
    """A sweep: what changed, and a result for each method and value, by method."""

    knob: str
    rows: Sequence[tuple[int, CellResult]]


@dataclass(frozen=True)
class Comparison:
    """All of a comparison.

    Attributes:
        collection: name, n_documents, n_queries, n_tokens, dim, encoding_seconds, model, ...
        machine: processor, instruction set, processors, versions.
        encoding_milliseconds: Of each query, one thread.
        measures: Names, in the order of the columns.
        cells: The table.
        coverage: Of relevant documents at each k', if it was asked for.
        sweeps: As asked for.
        published: Of the same collection.
        published_size: Of the same collection.
        peers: Other engines on the same collection.
    """

    collection: Mapping[str, Any]
    machine: Mapping[str, Any]
    encoding_milliseconds: Sequence[float]
    measures: Sequence[str]
    cells: Sequence[CellResult]
    coverage: Sequence[Coverage] = ()
    sweeps: Sequence[SweepResult] = ()
    published: Sequence[Published] = ()
    published_size: PublishedSize | None = None
    peers: Sequence[Peer] = ()

    def quality(self, method: str, n_bits: int | None = None) -> Evaluation:
        """The evaluation of a method at a bit width (None for those that have none).

        Raises:
            KeyError: It was not measured.
        """
        for result in self.cells:
            if result.cell.method == method and result.n_bits == n_bits:
                return result.evaluation
        raise KeyError((method, n_bits))

    def encoding(self, quantile: float) -> float:
        """Milliseconds that a share `quantile` of the queries took at most to encode."""
        return float(np.quantile(self.encoding_milliseconds, quantile))

    def as_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "collection": dict(self.collection),
            "machine": dict(self.machine),
            "encoding_ms_p50": self.encoding(0.5),
            "encoding_ms_p95": self.encoding(0.95),
            "measures": list(self.measures),
            "cells": [result.as_dict() for result in self.cells],
            "coverage": [each.as_dict() for each in self.coverage],
            "sweeps": {
                sweep.knob: [{"value": value, **result.as_dict()} for value, result in sweep.rows]
                for sweep in self.sweeps
            },
            "published": [each._asdict() for each in self.published],
            "peers": [each._asdict() for each in self.peers],
            "published_size_gb": (
                None if self.published_size is None else self.published_size._asdict()
            ),
        }
