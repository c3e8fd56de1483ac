"""Mining: queries and their relevant documents become tuples with hard negatives.

BM25 or an index proposes candidates (`proposals.py`), filters drop those that may be relevant, and
negatives are drawn from the rest (`miner.py`). Knows nothing of teachers: scores come later
(`teachers.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from colxtr.errors import InputError
from colxtr.training.fingerprints import of_value
from colxtr.training.miner import Miner, MineReport, MineSettings
from colxtr.training.parts import in_parts
from colxtr.training.proposals import Propose, by_words, searching
from colxtr.training.sets import TrainingSet
from colxtr.training.tuple_files.own import tuple_line

if TYPE_CHECKING:
    from colxtr.index import Index

__all__ = ["MineReport", "MineSettings", "judged_queries", "mine", "mine_with"]

_PART_QUERIES = 1000


def mine(
    training_set: TrainingSet,
    output: str | Path,
    settings: MineSettings | None = None,
    *,
    index: Index | None = None,
    key: object = None,
    progress: bool = False,
) -> MineReport:
    """Mine tuples for all queries of a set and write them, as `tuple_files.own` has them.

    After an interruption the same call goes on (`parts.py`).

    Args:
        training_set: Queries, documents and positives; its tuples do not matter.
        output: The file of tuples; an existing one is replaced at the end.
        settings: How.
        index: Candidates come from this index rather than from BM25; its ids are the set's.
        key: Anything in JSON that tells which set and index these are: parts begun with another
            are thrown away.
        progress: Show progress bars.

    Raises:
        InputError: The set has no judged queries, or the index holds other documents.
        MissingDependencyError: bm25s is not installed.
        StorageError: The file cannot be written.
    """
    settings = settings or MineSettings()
    if index is None:
        propose = by_words(training_set, settings, progress=progress)
    else:
        propose = searching(index, training_set)
    about = {"source": "bm25 of each collection" if index is None else "index", "input": key}
    return mine_with(training_set, output, settings, propose, key=about, progress=progress)


def mine_with(
    training_set: TrainingSet,
    output: str | Path,
    settings: MineSettings,
    propose: Propose,
    *,
    key: object = None,
    progress: bool = False,
) -> MineReport:
    """As `mine`, with candidates from anywhere.

    Args:
        training_set: As `mine` has it, and so are `output`, `settings`, `key` and `progress`.
        output: The file of tuples.
        settings: Those of BM25 do not matter.
        propose: Gives the candidates of some queries, by their ids, best first.
        key: What tells which inputs these are, the candidates' source included.
        progress: Show progress bars.
    """
    queries = judged_queries(training_set)

    def work(some: Sequence[str]) -> tuple[list[str], Counter[str]]:
        miner = Miner(training_set, settings)
        found = propose(some, settings.depth)
        lines = [
            tuple_line(example)
            for query_id, candidates in zip(some, found, strict=True)
            for example in miner.tuples(query_id, candidates)
        ]
        return lines, miner.counts

    counts = in_parts(
        Path(output),
        queries,
        work,
        key={**asdict(settings), "queries": of_value(queries), "input": key},
        size=_PART_QUERIES,
        description="Mining",
        progress=progress,
    )
    return MineReport.of(counts)


def judged_queries(training_set: TrainingSet) -> list[str]:
    """The ids of the queries that have relevant documents, in their order.

    Raises:
        InputError: There are none.
    """
    queries = [each for each in training_set.queries if training_set.positives.get(each)]
    if not queries:
        raise InputError("no query has a relevant document; check the split")
    return queries
