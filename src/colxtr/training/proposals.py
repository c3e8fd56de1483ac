"""Where candidates come from: BM25 or an index, asked for the best documents of some texts.

Knows nothing of which of them may be negatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from colxtr.errors import InputError
from colxtr.lexical import Bm25, Candidate
from colxtr.training.miner import MineSettings
from colxtr.training.sets import TrainingSet

if TYPE_CHECKING:
    from colxtr.index import Index

Propose = Callable[[Sequence[str], int], list[list[Candidate]]]  # texts, depth -> best first


def by_words(training_set: TrainingSet, settings: MineSettings, *, progress: bool) -> Propose:
    """Propose what BM25 finds; it is made when it is first asked."""
    return lazily(
        lambda: (
            Bm25(
                training_set.documents,
                k1=settings.k1,
                b=settings.b,
                language=settings.language,
                progress=progress,
            ).search
        )
    )


def searching(index: Index, training_set: TrainingSet, *, progress: bool = False) -> Propose:
    """Propose what an index finds.

    Raises (when called):
        InputError: The index holds a document that the set has not.
    """

    def propose(texts: Sequence[str], depth: int) -> list[list[Candidate]]:
        found = index.search_many(list(texts), depth, load_text=False, progress=progress)
        return [[Candidate(hit.id, hit.score) for hit in hits] for hits in found]

    return checking(propose, training_set)


def checking(propose: Propose, training_set: TrainingSet) -> Propose:
    """The same proposals, once each is known to be a document of the set."""

    def checked(texts: Sequence[str], depth: int) -> list[list[Candidate]]:
        found = propose(texts, depth)
        for each in dict.fromkeys(candidate.id for some in found for candidate in some):
            if each not in training_set.documents:
                raise InputError(
                    f"the index holds the document {each!r}, which the collection has not; index "
                    "the collection's own documents, with their ids"
                )
        return found

    return checked


def lazily(make: Callable[[], Propose]) -> Propose:
    """A search that is made when it is first asked: not at all if all parts are there."""
    made: list[Propose] = []

    def propose(texts: Sequence[str], depth: int) -> list[list[Candidate]]:
        if not made:
            made.append(make())
        return made[0](texts, depth)

    return propose
