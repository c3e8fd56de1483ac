"""What a search returns, and what explains it. Plain values: they outlive the index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Hit:
    """One document found.

    Attributes:
        id: The caller's name for the document.
        score: Mean over the query tokens, weighted where they have weights; with embeddings of
            length 1 in [-1, 1].
        text: The document's text; empty if texts were not asked for.
        title: Its title; empty likewise.
        metadata: Its metadata; empty likewise.
    """

    id: str
    score: float
    text: str = ""
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokenMatch:
    """What one query token contributed to a document's score.

    Attributes:
        query_token: As the tokenizer has it; empty for a query given as embeddings.
        similarity: With the document's best matching token, decompressed. An inner product: a
            query token that has a weight (docs/encoder-folder.md) has it in there.
        retrieved: Whether the method, searching, saw that token among the k_prime best.
        imputed: The value that stood in for it in the score; None if none was needed.
        document_token_index: Row of that token among the document's embeddings.
        document_token: Its text; empty for a document given as embeddings.
        field: "title" or "text"; None for a token that is not from the document (such as [CLS]).
        start: First character of the token in that field.
        end: The character after its last.
    """

    query_token: str
    similarity: float
    retrieved: bool
    imputed: float | None
    document_token_index: int
    document_token: str = ""
    field: Literal["title", "text"] | None = None
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a document has its score: one match per query token, in the query's order.

    Attributes:
        doc_id: The document.
        score: As the method gives it; the mean of the matches' similarities or imputed values.
        method: The method.
        matches: One per query token.
    """

    doc_id: str
    score: float
    method: str
    matches: tuple[TokenMatch, ...]
