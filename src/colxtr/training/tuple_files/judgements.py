"""Judgements (qrels): which documents are relevant to which query.

BEIR's `query-id<TAB>corpus-id<TAB>score` with a header, or TREC's `query_id 0 doc_id score`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from colxtr.errors import CorpusError
from colxtr.training.tuple_files.lines import numbered_lines, written

_HEADERS = frozenset({"query-id", "query_id", "qid"})


def read_judgements(path: Path, *, at_least: float = 1) -> dict[str, frozenset[str]]:
    """Read the documents judged relevant, by query, in the order of the file.

    Args:
        path: The file; gzipped or not.
        at_least: The lowest score that counts as relevant.

    Raises:
        CorpusError: A line is no judgement, or none counts; names file and line.
    """
    relevant: dict[str, set[str]] = {}
    for query_id, document_id, score in _judgements(path):
        if score >= at_least:
            relevant.setdefault(query_id, set()).add(document_id)
    if not relevant:
        raise CorpusError(f"{path}: no judgement of {at_least:g} or more: nothing is relevant")
    return {query_id: frozenset(ids) for query_id, ids in relevant.items()}


def write_judgements(path: Path, positives: Mapping[str, frozenset[str]]) -> None:
    """Write judgements of 1 as BEIR has them."""
    with written(path) as file:
        file.write("query-id\tcorpus-id\tscore\n")
        for query_id, ids in positives.items():
            file.writelines(f"{query_id}\t{each}\t1\n" for each in sorted(ids))


def _judgements(path: Path) -> Iterator[tuple[str, str, float]]:
    first = True
    for number, line in numbered_lines(path):
        fields = line.split("\t") if "\t" in line else line.split()
        if first and fields[0].strip().lower() in _HEADERS:
            first = False
            continue
        first = False
        if len(fields) == 4:
            fields = [fields[0], *fields[2:]]
        if len(fields) != 3:
            raise CorpusError(
                f"{path}, line {number}: {len(fields)} fields; expected query id, document id and "
                "score, separated by tabs, or the four columns of TREC"
            )
        query_id, document_id, score = (field.strip() for field in fields)
        yield query_id, document_id, _number(score, f"{path}, line {number}")


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise CorpusError(f"{where}: the score {text!r} is not a number") from None
