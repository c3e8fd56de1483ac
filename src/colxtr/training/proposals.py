"""Where candidates come from: BM25 or an index, asked for the best documents of some queries.

Knows nothing of which of them may be negatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from colxtr.errors import InputError
from colxtr.lexical import Bm25, Candidate
from colxtr.training.miner import MineSettings
from colxtr.training.sets import TrainingSet

if TYPE_CHECKING:
    from colxtr.index import Index

Propose = Callable[[Sequence[str], int], list[list[Candidate]]]  # query ids, depth -> best first


def by_words(training_set: TrainingSet, settings: MineSettings, *, progress: bool) -> Propose:
    """Propose what BM25 finds in the query's own collection; it is made when it is first asked.

    Another collection holds documents that answer a query, too, and nobody has judged them.
    """
    made: dict[str, Bm25] = {}

    def of_collection(name: str) -> Bm25:
        if name not in made:
            made[name] = Bm25(
                _OfCollection(training_set, name),
                k1=settings.k1,
                b=settings.b,
                language=settings.language,
                progress=progress,
            )
        return made[name]

    def propose(query_ids: Sequence[str], depth: int) -> list[list[Candidate]]:
        found: dict[str, list[Candidate]] = {}
        groups: dict[str, list[str]] = {}
        for each in query_ids:
            groups.setdefault(training_set.collection_of(each), []).append(each)
        for name, some in groups.items():
            texts = [training_set.queries[each] for each in some]
            found.update(zip(some, of_collection(name).search(texts, depth), strict=True))
        return [found[each] for each in query_ids]

    return propose


class _OfCollection(Mapping[str, str]):
    """The documents of one collection of a set."""

    def __init__(self, training_set: TrainingSet, name: str) -> None:
        self._texts = training_set.documents
        self._ids = [i for i in self._texts if training_set.collection_of(i) == name]

    def __getitem__(self, identifier: str) -> str:
        return self._texts[identifier]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


def searching(index: Index, training_set: TrainingSet, *, progress: bool = False) -> Propose:
    """Propose what an index finds.

    Raises (when called):
        InputError: The index holds a document that the set has not.
    """

    def propose(query_ids: Sequence[str], depth: int) -> list[list[Candidate]]:
        texts = [training_set.queries[each] for each in query_ids]
        found = index.search_many(texts, depth, load_text=False, progress=progress)
        return [[Candidate(hit.id, hit.score) for hit in hits] for hits in found]

    return checking(propose, training_set)


def checking(propose: Propose, training_set: TrainingSet) -> Propose:
    """The same proposals, once each is known to be a document of the set."""

    def checked(query_ids: Sequence[str], depth: int) -> list[list[Candidate]]:
        found = propose(query_ids, depth)
        for each in dict.fromkeys(candidate.id for some in found for candidate in some):
            if each not in training_set.documents:
                raise InputError(
                    f"the index holds the document {each!r}, which the collection has not; index "
                    "the collection's own documents, with their ids"
                )
        return found

    return checked
