"""Runs from files in the format of TREC: `query_id Q0 doc_id rank score tag`.

`colxtr.runs` writes them. Knows nothing of judgements.
"""

from __future__ import annotations

import math
from pathlib import Path

from colxtr.corpora.sources import Source
from colxtr.corpora.streams import read_lines, reading
from colxtr.errors import CorpusError

Run = dict[str, dict[str, float]]  # query id -> document id -> score

_COLUMNS = 6


def read_run(path: str | Path) -> Run:
    """Read a run, gzipped or not. Scores decide the order, as in trec_eval; ranks are not read.

    Raises:
        CorpusError: The file is missing, unreadable or empty, a line has not six columns, a score
            is no finite number, or a document comes twice for a query; names file and line.
    """
    path = Path(path)
    run: Run = {}
    with reading(Source(path, str(path), path.as_posix(), named=True)) as stream:
        for number, line in read_lines(stream, str(path)):
            if line.strip():
                _add(run, line.split(), f"{path}, line {number}")
    if not run:
        raise CorpusError(f"{path} is empty: it holds no run")
    return run


def _add(run: Run, columns: list[str], where: str) -> None:
    if len(columns) != _COLUMNS:
        raise CorpusError(
            f"{where}: {len(columns)} columns; a TREC run has {_COLUMNS}: "
            "query_id Q0 doc_id rank score tag"
        )
    query_id, _, doc_id, _, score, _ = columns
    scores = run.setdefault(query_id, {})
    if doc_id in scores:
        raise CorpusError(
            f"{where}: document {doc_id!r} comes a second time for query {query_id!r}"
        )
    scores[doc_id] = _number(score, where)


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CorpusError(f"{where}: the score {text!r} is not a finite number")
    return value
