"""Every method at every bit width on one collection: what each costs and gives.

Encodes once, builds each index once, measures each cell once; whatever is finished is a file, and
the same call goes on after Ctrl-C or a kill. Knows nothing of tables and figures (`report.py`).
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from colxtr import kernels
from colxtr.cpus import available_cpus
from colxtr.encoder import Encoder
from colxtr.errors import InputError
from colxtr.evaluation.bench import Bench
from colxtr.evaluation.cells import (
    DEFAULT_METHODS,
    METHODS,
    Cell,
    Sweep,
    check_bits,
    check_methods,
    sweep_cells,
    table_cells,
)
from colxtr.evaluation.embedded import embed, embed_queries
from colxtr.evaluation.judged import JudgedCollection
from colxtr.evaluation.measures import DEFAULT_MEASURES, largest_cutoff, parse_measures
from colxtr.evaluation.presets import scale
from colxtr.evaluation.published import peers, published, published_size
from colxtr.evaluation.results import Comparison, SweepResult
from colxtr.libraries import imported
from colxtr.progress import progress_bar


@dataclass(frozen=True)
class CompareSettings:
    """What is compared, and how.

    Attributes:
        methods: Names of `cells.METHODS`. Default: all but "xtr-scann".
        bits: Bit widths of the indexes. Default: 1, 2, 4, 8, 16.
        split: Whose judgements: qrels/<split>.tsv.
        queries: Draw at most so many judged queries; None takes all.
        documents: Only the first so many documents; None takes all.
        measures: By the names of ir-measures.
        preset: A name of `presets.PRESETS`: n_probe and k_prime as the papers have them.
        sweeps: Settings to vary.
        sweep_bits: Bit width of the indexes of sweeps.
        coverage: Whether to find which relevant documents have a token among the k' best: two
            products of all queries with all tokens.
        seed: Of everything random: queries drawn, centroids, codecs.
    """

    methods: Sequence[str] = DEFAULT_METHODS
    bits: Sequence[int] = (1, 2, 4, 8, 16)
    split: str = "test"
    queries: int | None = None
    documents: int | None = None
    measures: str | Sequence[str] = DEFAULT_MEASURES
    preset: str = "default"
    sweeps: Sequence[Sweep] = field(default=())
    sweep_bits: int = 2
    coverage: bool = True
    seed: int = 0


def compare(
    corpus: str | Path,
    output: str | Path,
    settings: CompareSettings | None = None,
    *,
    encoder: Encoder | str | Path | None = None,
    cache: str | Path | None = None,
    progress: bool = False,
) -> Comparison:
    """Measure every method on a collection.

    Args:
        corpus: A BEIR folder with judgements.
        output: A folder for what is finished: cells, runs, indexes. A cell that is there is not
            measured again, if nothing that decides about it has changed.
        settings: What to compare. Default: everything.
        encoder: The model; None for the built-in one.
        cache: A folder for token embeddings, to share between comparisons. Default: within
            `output`.
        progress: Show progress bars.

    Returns:
        The figures. Those of quality are the same whenever, with the same seed and machine (but
        for "xtr-scann").

    Raises:
        InputError: A setting is impossible.
        CorpusError: The collection cannot be read.
        MissingDependencyError: An optional package is missing; before anything is measured.
    """
    settings = settings or CompareSettings()
    cells, sweeps = _cells(settings)
    measures = parse_measures(settings.measures)
    _check_libraries({cell.method for cell in cells})
    collection = JudgedCollection.read(
        corpus,
        split=settings.split,
        queries=settings.queries,
        documents=settings.documents,
        seed=settings.seed,
    )
    source = encoder.source if isinstance(encoder, Encoder) else encoder
    loaded = encoder if isinstance(encoder, Encoder) else Encoder.load(encoder)
    _check_dims([sweep for sweep, _ in sweeps], loaded)
    output = Path(output)
    cache = output / "embeddings" if cache is None else Path(cache)
    embedded, figures = embed(collection, loaded, cache, progress=progress)
    queries = embed_queries(collection.queries, Encoder.load(source, threads=1), embedded.folder)
    bench = Bench(
        collection, embedded, queries, loaded, output, settings.seed, largest_cutoff(measures)
    )
    todo = [*cells, *(cell for _, of_sweep in sweeps for _, cell in of_sweep)]
    n_steps = len({cell.name for cell in todo}) + settings.coverage
    with progress_bar("Comparing", n_steps, "cells", progress) as advance:
        bench.measure(todo, advance)
        if settings.coverage:
            bench.measure_coverage(advance)
    names = list(measures.values())
    return Comparison(
        collection={**_facts(collection, loaded), **figures},
        machine=_machine(),
        encoding_milliseconds=queries.milliseconds,
        measures=tuple(measures),
        cells=[bench.result(cell, names) for cell in cells],
        coverage=bench.coverage() if settings.coverage else (),
        sweeps=[
            SweepResult(sweep.knob, [(v, bench.result(cell, names)) for v, cell in of_sweep])
            for sweep, of_sweep in sweeps
        ],
        published=published(collection.name, len(collection.doc_ids))
        if collection.is_whole
        else (),
        published_size=published_size(collection.name, len(collection.doc_ids)),
        peers=peers(collection.name, len(collection.doc_ids)),
    )


def _cells(
    settings: CompareSettings,
) -> tuple[list[Cell], list[tuple[Sweep, list[tuple[int, Cell]]]]]:
    """The cells of the table and of each sweep."""
    methods, bits = check_methods(settings.methods), check_bits(settings.bits)
    (sweep_bits,) = check_bits([settings.sweep_bits])
    named = scale(settings.preset)
    sweeps = []
    for sweep in settings.sweeps:
        wanted = [name for name in sweep.default_methods if name in methods]
        of_sweep = sweep_cells(sweep, wanted, sweep_bits, named)
        if not of_sweep:
            raise InputError(
                f"none of the methods {', '.join(methods)} has a use for {sweep.knob}; "
                f"{', '.join(sweep.default_methods)} have"
            )
        sweeps.append((sweep, of_sweep))
    return table_cells(methods, bits, named), sweeps


def _check_libraries(methods: set[str]) -> None:
    runners = {METHODS[name].runner for name in methods}
    if "bm25" in runners:
        imported("bm25s", "searching with BM25", "eval")
        imported("Stemmer", "searching with BM25", "eval")
    if "scann" in runners:
        imported("scann", "XTR over ScaNN", "scann")


def _check_dims(sweeps: Sequence[Sweep], encoder: Encoder) -> None:
    for sweep in sweeps:
        if sweep.knob == "dim" and max(sweep.values) > encoder.dim:
            raise InputError(
                f"dim is {max(sweep.values)}; {encoder.name} makes embeddings of {encoder.dim}, "
                "which can be cut but not grow"
            )


def _facts(collection: JudgedCollection, encoder: Encoder) -> dict[str, Any]:
    return {
        "name": collection.name,
        "n_queries": len(collection.queries),
        "n_judged": collection.n_judged,
        "whole": collection.is_whole,
        "model": encoder.name,
        "fingerprint": encoder.fingerprint,
        "digest": collection.digest,
    }


def _machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "processors": available_cpus(),
        "instruction_set": kernels.instruction_set(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "colxtr": version("colxtr"),
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
