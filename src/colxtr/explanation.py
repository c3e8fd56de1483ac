"""Why a document has its score: token by token, with the places in the text.

Knows the methods and the encoder's tokens, nothing of files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from colxtr.hits import TokenMatch
from colxtr.search import Collection, Floats, Search, SearchSettings
from colxtr.storage.segment import Segment

if TYPE_CHECKING:
    from colxtr.documents import Document
    from colxtr.encoder import Encoder


class TokenEvidence(NamedTuple):
    """What one query token contributed: see `hits.TokenMatch`."""

    document_token: int
    similarity: float
    retrieved: bool
    imputed: float | None


def gather_evidence(
    c: Collection, embeddings: Floats, settings: SearchSettings, segment: Segment, local: int
) -> tuple[float, list[TokenEvidence]]:
    """The score that a method gives to one document with at least one token, and why.

    A method that ends in MaxSim (all but "xtr", and "colxtr" with rerank=0) is taken to re-rank
    the document, whether it would have been among the candidates or not.

    Args:
        c: The collection.
        embeddings: (n_query_tokens, dim), n_query_tokens >= 1, checked.
        settings: As for the search.
        segment: The segment that holds the document.
        local: The document's ordinal within the segment.
    """
    tokens, centroids = segment.decompress(local)
    similarities = c.codec.as_searched(embeddings) @ tokens.T
    kept, thresholds = _kept(c, embeddings, settings, similarities, centroids)
    evidence = [
        _evidence(row, kept[i], float(thresholds[i]), imputes=settings.ends_imputed)
        for i, row in enumerate(similarities)
    ]
    values = [e.similarity if e.imputed is None else e.imputed for e in evidence]
    return float(np.mean(values)), evidence


def _kept(
    c: Collection,
    embeddings: Floats,
    settings: SearchSettings,
    similarities: Floats,
    centroids: NDArray[np.uint32],
) -> tuple[NDArray[np.bool_], Floats]:
    """Which of the document's tokens each query token keeps when it searches, and its m_i."""
    if settings.method == "exact":
        return np.ones(similarities.shape, np.bool_), np.full(
            len(similarities), -np.inf, np.float32
        )
    search = Search(c, embeddings, settings)
    thresholds = search.candidates().thresholds()
    if settings.method in ("colxtr", "colbertv2"):
        seen = np.broadcast_to(np.isin(centroids, search.probes()), similarities.shape)
    else:
        seen = np.array([np.isin(centroids, row) for row in search.probes()])
    rounding = np.float32(1e-5)  # the kernel sums in another order than NumPy
    kept = seen & (similarities >= thresholds[:, None] - rounding)
    return kept, np.where(np.isneginf(thresholds), 0, thresholds).astype(np.float32)


def _evidence(
    similarities: Floats, kept: NDArray[np.bool_], threshold: float, *, imputes: bool
) -> TokenEvidence:
    usable = kept if imputes and kept.any() else np.ones_like(kept)
    best = int(np.argmax(np.where(usable, similarities, -np.inf)))
    retrieved = bool(kept[best])
    imputed = threshold if imputes and not retrieved else None
    return TokenEvidence(best, float(similarities[best]), retrieved, imputed)


def match_tokens(evidence: Sequence[TokenEvidence]) -> tuple[TokenMatch, ...]:
    """Matches of a query and a document that are known as embeddings only."""
    return tuple(
        TokenMatch("", e.similarity, e.retrieved, e.imputed, e.document_token) for e in evidence
    )


def match_text(
    evidence: Sequence[TokenEvidence],
    encoder: Encoder,
    query: str,
    document: Document,
    *,
    windows: bool,
) -> tuple[TokenMatch, ...]:
    """Matches with the words of the query and of the document, and where these stand.

    A document that was added as embeddings, with or without a text, has no places.
    """
    source = encoder.document_text(document)
    tokens = encoder.document_tokens(document, windows=windows)
    names = [token.text for token in encoder.query_tokens(query)]
    matches = []
    for name, match in zip(names, match_tokens(evidence), strict=True):
        text, field, start, end = "", None, 0, 0
        if match.document_token_index < len(tokens):
            token = tokens[match.document_token_index]
            text = token.text
            if token.end > token.start:
                field, start, end = source.locate(token.start, token.end)
        matches.append(
            replace(
                match,
                query_token=name,
                document_token=text,
                field=field,
                start=start,
                end=end,
            )
        )
    return tuple(matches)
