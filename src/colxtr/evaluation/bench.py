"""Cells measured one by one, each finished one a file: what was done is never done again.

A file says what it was measured with; if that has changed, it is measured anew. Knows nothing of
tables.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from colxtr.errors import InputError
from colxtr.evaluation.cells import METHODS, Cell, IndexSpec
from colxtr.evaluation.coverage import K_PRIMES, Coverage, coverage
from colxtr.evaluation.embedded import EmbeddedCollection, EmbeddedQueries
from colxtr.evaluation.judged import DIGEST_LENGTH, JudgedCollection
from colxtr.evaluation.measures import evaluate
from colxtr.evaluation.processes import in_own_process
from colxtr.evaluation.results import CellResult
from colxtr.progress import Meter
from colxtr.storage.files import make_folder, write_atomically

if TYPE_CHECKING:
    from colxtr.encoder import Encoder


@dataclass(frozen=True)
class Bench:
    """Measures cells of one collection, each once; what is finished lies below `output`.

    Attributes:
        collection: Judged.
        embedded: Its token embeddings.
        queries: Theirs.
        encoder: Of both.
        output: The folder.
        seed: Of the indexes.
        k: Documents searched.
    """

    collection: JudgedCollection
    embedded: EmbeddedCollection
    queries: EmbeddedQueries
    encoder: Encoder
    output: Path
    seed: int
    k: int

    def measure(self, cells: Sequence[Cell], advance: Meter) -> None:
        """See that every cell is there, those of an index together."""
        for name in ("cells", "runs", "indexes"):
            make_folder(self.output / name)
        write_atomically(self._ids, json.dumps(self.collection.doc_ids).encode())
        unique = {cell.name: cell for cell in cells}
        for cell in sorted(unique.values(), key=lambda c: c.index.name if c.index else ""):
            if self._finished(self._file(cell), self._key(cell)) is None:
                self._measure(cell)
                advance(1)
            else:
                advance.skip(1)

    def measure_coverage(self, advance: Meter) -> None:
        """See that what `coverage` tells is there."""
        if self._finished(self._coverage_file, self._coverage_key) is None:
            self._measure_coverage()
            advance(1)
        else:
            advance.skip(1)

    def result(self, cell: Cell, measures: Sequence[Any]) -> CellResult:
        """A cell that was measured."""
        figures = self._finished(self._file(cell), self._key(cell))
        assert figures is not None  # `measure` was called
        evaluation = evaluate(self._run(cell), self.collection.qrels, measures)
        milliseconds = figures.pop("milliseconds", ())
        return CellResult(cell, evaluation, figures, milliseconds)

    def coverage(self) -> list[Coverage]:
        """Shares of relevant documents retrieved at each k', up to the tokens there are."""
        found = self._finished(self._coverage_file, self._coverage_key)
        assert found is not None  # `measure_coverage` was called
        n_tokens = int(self.embedded.counts().sum())
        k_primes = [k_prime for k_prime in K_PRIMES if k_prime < n_tokens]
        return coverage(
            [np.array(each, np.int64) for each in found["ranks"]], k_primes or [n_tokens]
        )

    # -- one cell ---------------------------------------------------------------------------------

    def _measure(self, cell: Cell) -> None:
        runner = METHODS[cell.method].runner
        shared = {"k": self.k, "run": str(self._run(cell)), "tag": cell.name}
        asked = {"queries": str(self.queries.path), "query_ids": self.queries.ids}
        figures: dict[str, Any] = {}
        if cell.index is not None:
            figures = self._built(cell.index)
            arguments: dict[str, Any] = {
                "index": str(self._index(cell.index)),
                "embeddings": self._embeddings(cell.index.dim),
                "options": cell.options,
                **asked,
            }
            figures |= in_own_process("search", {**arguments, **shared}, one_thread=True)
        elif runner == "bm25":
            arguments = {
                "corpus": str(self.collection.folder),
                "limit": self.collection.limit,
                "queries": dict(self.collection.queries),
            }
            figures = in_own_process("bm25", {**arguments, **shared}, one_thread=True)
        else:
            arguments = {"embeddings": self._embeddings(None), "doc_ids": str(self._ids), **asked}
            if runner == "scann":
                arguments["k_prime"] = cell.options.get("k_prime")
                arguments["folder"] = str(self.output / "indexes" / "scann")
            figures = in_own_process(runner, {**arguments, **shared})
            if runner == "scann":
                figures["dim"] = self.encoder.dim
        self._finish(self._file(cell), self._key(cell), figures)

    def _built(self, index: IndexSpec) -> dict[str, Any]:
        """The figures of an index, which is built if it is not there."""
        path = self.output / "indexes" / f"{index.name}.json"
        key = self._common() | {"index": asdict(index)}
        figures = self._finished(path, key)
        if figures is None or not self._index(index).is_dir():
            figures = in_own_process(
                "build",
                {
                    "embeddings": self._embeddings(index.dim),
                    "doc_ids": str(self._ids),
                    "folder": str(self._index(index)),
                    "n_bits": index.n_bits,
                    "n_centroids": index.n_centroids,
                    "dim": index.dim or self.encoder.dim,
                    "seed": self.seed,
                },
            )
            self._finish(path, key, figures)
        return figures

    def _measure_coverage(self) -> None:
        relevant = {
            query: [doc_id for doc_id, grade in grades.items() if grade > 0]
            for query, grades in self.collection.qrels.items()
        }
        figures = in_own_process(
            "coverage",
            {
                "embeddings": self._embeddings(None),
                "doc_ids": str(self._ids),
                "queries": str(self.queries.path),
                "relevant": relevant,
            },
        )
        self._finish(self._coverage_file, self._coverage_key, figures)

    # -- files and what they must say -------------------------------------------------------------

    def _common(self) -> dict[str, Any]:
        """What decides about all indexes."""
        return {
            "colxtr": version("colxtr"),
            "model": self.encoder.fingerprint,
            "corpus": self.collection.digest,
            "seed": self.seed,
        }

    def _key(self, cell: Cell) -> dict[str, Any]:
        return self._common() | {"queries": self._queries_digest, "k": self.k, **cell.as_dict()}

    @property
    def _coverage_key(self) -> dict[str, Any]:
        content = json.dumps(self.collection.qrels, sort_keys=True).encode()
        return self._common() | {
            "queries": self._queries_digest,
            "qrels": hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH],
        }

    @property
    def _queries_digest(self) -> str:
        """The file's name has it."""
        return self.queries.path.stem

    def _embeddings(self, dim: int | None) -> dict[str, Any]:
        return {
            "folder": str(self.embedded.folder),
            "dim": dim,
            "normalise": self.embedded.normalise,
        }

    def _file(self, cell: Cell) -> Path:
        return self.output / "cells" / f"{cell.name}.json"

    def _run(self, cell: Cell) -> Path:
        return self.output / "runs" / f"{cell.name}.trec"

    def _index(self, index: IndexSpec) -> Path:
        return self.output / "indexes" / index.name

    @property
    def _ids(self) -> Path:
        return self.output / "indexes" / "doc_ids.json"

    @property
    def _coverage_file(self) -> Path:
        return self.output / "cells" / "coverage.json"

    @staticmethod
    def _finished(path: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """The figures of a finished file; None if there is none, or of other settings."""
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            same = content["key"] == json.loads(json.dumps(key))
            return dict(content["figures"]) if same else None
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path} is damaged; delete it and run the command again") from None

    @staticmethod
    def _finish(path: Path, key: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
        write_atomically(path, json.dumps({"key": key, "figures": figures}, indent=1).encode())
