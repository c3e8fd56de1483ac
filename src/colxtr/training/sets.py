"""What a model is trained on: queries, documents, and n-way tuples of their ids.

Knows nothing of files (`tuple_files.py`), models or torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NWayTuple:
    """One training example: a query, a relevant document, and others that are not (ColBERTv2).

    Attributes:
        query_id: Its query.
        document_ids: The relevant document first, then the negatives, hardest first.
        scores: The teacher's score of each document, in their order; None before there is one.
    """

    query_id: str
    document_ids: tuple[str, ...]
    scores: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Texts and the tuples over them.

    Attributes:
        queries: Query id -> text.
        documents: Document id -> text, the title included (any mapping: the texts of a large
            collection need not be in memory).
        tuples: The examples, in the order of their file.
        positives: Query id -> ids of all documents known to be relevant. A document of another
            tuple that is relevant here is masked, not taken for a negative.
        collections: Names of the collections that this was mixed of, whose ids are NAME:ID; empty
            for a single one, whose ids may hold any colon.
    """

    queries: Mapping[str, str]
    documents: Mapping[str, str]
    tuples: Sequence[NWayTuple]
    positives: Mapping[str, frozenset[str]]
    collections: tuple[str, ...] = ()

    def collection_of(self, identifier: str) -> str:
        """The name of the collection that an id belongs to; "" if there is one only."""
        return identifier.partition(":")[0] if self.collections else ""
