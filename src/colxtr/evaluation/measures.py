"""Measures of a run, by ir-measures, as one value that can be asked, compared and printed.

Knows nothing of files but that `run_files` and `qrels_files` read them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from colxtr.errors import InputError
from colxtr.evaluation.qrels_files import Qrels, read_qrels
from colxtr.evaluation.run_files import Run, read_run
from colxtr.libraries import imported
from colxtr.runs import Scored

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@100", "Success@5")

RunLike = Mapping[str, Mapping[str, float] | Iterable[Scored]] | str | os.PathLike[str]
QrelsLike = Mapping[str, Mapping[str, int]] | str | os.PathLike[str]
MeasuresLike = str | Iterable[Any]


@dataclass(frozen=True)
class Evaluation:
    """What the measures say of a run.

    Attributes:
        means: By measure, over all queries with judgements; of a query that the run does not
            answer a measure has its lowest value (0), as in ir-measures.
        per_query: By measure and query id.
        n_queries: Queries with judgements: those that the means are over.
        n_unanswered: Of these, queries of which the run has nothing.
        n_unjudged: Queries of the run without any judgement: they do not count.
    """

    means: Mapping[str, float]
    per_query: Mapping[str, Mapping[str, float]]
    n_queries: int
    n_unanswered: int
    n_unjudged: int

    def __getitem__(self, measure: str) -> float:
        """The mean of a measure, by its name."""
        return self.means[measure]

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self)


def evaluate(
    run: RunLike, qrels: QrelsLike, measures: MeasuresLike = DEFAULT_MEASURES
) -> Evaluation:
    """Measure a run. The figures are those of ir-measures (and so of trec_eval).

    Args:
        run: Scores by query id and document id; or hits (anything with `id` and `score`) by query
            id; or a TREC run's path.
        qrels: Grades by query id and document id; or what `read_qrels` takes: a file of TREC or
            BEIR, a BEIR folder, an id of ir_datasets.
        measures: Names that ir-measures knows, in one text as "nDCG@10 RR@10" or one by one, or
            its measures. Default: nDCG@10, RR@10, R@100, Success@5.

    Raises:
        InputError: A measure is unknown, or there are no judgements.
        CorpusError: A file cannot be read; names file and line.
        MissingDependencyError: ir-measures is not installed.
    """
    parsed = parse_measures(measures)
    scores = _scores(run)
    grades = _grades(qrels)
    if not grades:
        raise InputError("there are no judgements to measure a run with; pass some qrels")
    means, per_query = _calculated(list(parsed.values()), grades, scores)
    return Evaluation(
        means={name: float(means[measure]) for name, measure in parsed.items()},
        per_query={name: dict(sorted(per_query[m].items())) for name, m in parsed.items()},
        n_queries=len(grades),
        n_unanswered=sum(not scores.get(query_id) for query_id in grades),
        n_unjudged=len(scores.keys() - grades.keys()),
    )


def parse_measures(measures: MeasuresLike) -> dict[str, Any]:
    """Measures of ir-measures by their names, in the order given.

    Raises:
        InputError: One is unknown, or there is none.
        MissingDependencyError: ir-measures is not installed.
    """
    library = imported("ir_measures", "measuring a run", "eval")
    given = re.split(r"[\s,]+(?![^(]*\))", measures.strip()) if isinstance(measures, str) else None
    parsed = {}
    for each in measures if given is None else filter(None, given):
        measure = _parsed(library, each) if isinstance(each, str) else each
        parsed[str(measure)] = measure
    if not parsed:
        raise InputError(f"no measure is named; try {' '.join(DEFAULT_MEASURES)}")
    return parsed


def _parsed(library: Any, name: str) -> Any:
    try:
        return library.parse_measure(name)
    except (NameError, ValueError, KeyError, SyntaxError):
        raise InputError(
            f"the measure {name!r} is unknown; write it as nDCG@10, RR@10, R@100, AP, P@5 or "
            "another name of https://ir-measur.es"
        ) from None


def largest_cutoff(measures: Mapping[str, Any], least: int = 100) -> int:
    """How deep a run must go for these measures: the largest of their cutoffs, at least `least`."""
    cutoffs = [measure.params.get("cutoff") or 0 for measure in measures.values()]
    return max([least, *map(int, cutoffs)])


def _scores(run: RunLike) -> Run:
    if isinstance(run, str | os.PathLike):
        return read_run(Path(run))
    return {query_id: _of_query(query_id, found) for query_id, found in run.items()}


def _of_query(query_id: str, found: Mapping[str, float] | Iterable[Scored]) -> dict[str, float]:
    if isinstance(found, Mapping):
        return {doc_id: float(score) for doc_id, score in found.items()}
    scores: dict[str, float] = {}
    for hit in found:
        if hit.id in scores:
            raise InputError(f"document {hit.id!r} comes twice for query {query_id!r}")
        scores[hit.id] = float(hit.score)
    return scores


def _grades(qrels: QrelsLike) -> Qrels:
    if isinstance(qrels, str | os.PathLike):
        return read_qrels(Path(qrels) if isinstance(qrels, os.PathLike) else qrels)
    return {query_id: dict(grades) for query_id, grades in qrels.items()}


def _calculated(
    measures: Sequence[Any], qrels: Qrels, run: Run
) -> tuple[dict[Any, float], dict[Any, dict[str, float]]]:
    library = imported("ir_measures", "measuring a run", "eval")
    try:
        result = library.calc(measures, qrels, run)
    except ValueError as error:  # what no installed provider can calculate
        raise InputError(f"ir-measures cannot calculate this: {error}") from None
    per_query: dict[Any, dict[str, float]] = {measure: {} for measure in measures}
    for metric in result.per_query:
        per_query[metric.measure][metric.query_id] = float(metric.value)
    return result.aggregated, per_query
