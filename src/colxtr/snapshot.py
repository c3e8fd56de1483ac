"""One generation, searched: hits and explanations from token embeddings.

What a search needs of a generation is prepared by the first that asks for it, and goes with the
snapshot. Knows nothing of encoders but that one can tell which words an explanation is about.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from colxtr.codec import check_embeddings
from colxtr.cpus import available_cpus
from colxtr.errors import InputError
from colxtr.explanation import TokenEvidence, gather_evidence, match_text, match_tokens
from colxtr.filters import Filter, parse_filter
from colxtr.hits import Explanation, Hit
from colxtr.search import Collection, Floats, Ranking, Search, SearchSettings
from colxtr.storage.generation import Generation, Place

if TYPE_CHECKING:
    from colxtr.encoder import Encoder

FilterLike = Filter | Mapping[str, Any]
KEPT_FILTERS = 32  # a bit for each document, and the ordinals of those that they let through
MOST_THREADS = 4  # of one question: more wait for each other longer than they work


class Snapshot:
    """A generation and what is prepared of it. Safe from several threads at once.

    Attributes:
        generation: Open.
    """

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self._filtered: OrderedDict[str, Collection] = OrderedDict()  # by the newest filters' keys

    @cached_property
    def collection(self) -> Collection | None:
        """All that can be searched; None if no document has a token."""
        segments = self.generation.with_tokens()
        if self.generation.codec is None or not segments:
            return None
        return Collection(self.generation.codec, segments, self.generation.live())

    def search(
        self,
        embeddings: NDArray[np.floating],
        k: int,
        settings: SearchSettings,
        filter: FilterLike | None,  # noqa: A002 (the public name)
        *,
        load_text: bool,
        threads: int | None,
    ) -> list[Hit]:
        """The k best documents for a query, (n_tokens, dim): see `Index.search`."""
        threads = min(available_cpus(), MOST_THREADS) if threads is None else threads
        if threads < 1:
            raise InputError(f"threads is {threads}; at least 1 is possible")
        if k < 1:
            raise InputError(f"k is {k}; at least 1 is possible")
        checked = self._checked(embeddings)
        collection = self._only(filter)
        if collection is None or not collection.n_tokens or not len(checked):
            return []
        ranking = Search(collection, checked, settings, k, threads).rank()
        return self._hits(ranking, load_text=load_text)

    def explain(
        self,
        embeddings: NDArray[np.floating],
        doc_id: str,
        settings: SearchSettings,
        filter: FilterLike | None,  # noqa: A002
    ) -> Explanation:
        """Why a document has its score for a query, (n_tokens, dim): see `Index.explain`."""
        _, score, evidence = self._evidence(embeddings, doc_id, settings, filter)
        return Explanation(doc_id, score, settings.method, match_tokens(evidence))

    def explain_text(
        self,
        encoder: Encoder,
        query: str,
        doc_id: str,
        settings: SearchSettings,
        filter: FilterLike | None,  # noqa: A002
    ) -> Explanation:
        """The same for a question, with the words that the tokens stand for."""
        (embeddings,) = encoder.encode_queries([query])
        place, score, evidence = self._evidence(embeddings, doc_id, settings, filter)
        (document,) = self.generation.documents([place.ordinal])
        windows = self.generation.manifest.settings.windows
        matches = match_text(evidence, encoder, query, document, windows=windows)
        return Explanation(doc_id, score, settings.method, matches)

    def _evidence(
        self,
        embeddings: NDArray[np.floating],
        doc_id: str,
        settings: SearchSettings,
        filter: FilterLike | None,  # noqa: A002
    ) -> tuple[Place, float, list[TokenEvidence]]:
        checked = self._checked(embeddings)
        place = self.generation.find(doc_id)
        if place is None:
            raise InputError(f"the id {doc_id!r} is not in {self.generation.folder}")
        collection, tokens = self._only(filter), place.segment.tokens
        if filter is not None and not self.generation.selected(parse_filter(filter))[place.ordinal]:
            raise InputError(f"the filter does not let the document {doc_id!r} through")
        if collection is None or tokens is None or not tokens.token_counts[place.local]:
            raise InputError(f"the document {doc_id!r} has no token: nothing to explain")
        if not len(checked):
            raise InputError("the query has no token: nothing to explain")
        return place, *gather_evidence(collection, checked, settings, tokens, place.local)

    def _checked(self, embeddings: NDArray[np.floating]) -> Floats:
        return check_embeddings(embeddings, self.generation.manifest.settings.dim, "the query")

    def _only(self, filter: FilterLike | None) -> Collection | None:  # noqa: A002
        """What a filter lets through of the collection; None if no document has a token."""
        if filter is None or self.collection is None:
            return self.collection
        parsed = parse_filter(filter)
        filtered = self._filtered.get(parsed.key)
        if filtered is None:
            filtered = self.collection.only(self.generation.selected(parsed))
            self._filtered[parsed.key] = filtered
            while len(self._filtered) > KEPT_FILTERS:
                self._filtered.popitem(last=False)
        return filtered

    def _hits(self, ranking: Ranking, *, load_text: bool) -> list[Hit]:
        found = self.generation.documents(ranking.ordinals.tolist(), ids_only=not load_text)
        return [
            Hit(d.id, score, d.text, d.title, d.metadata)
            for d, score in zip(found, ranking.scores.tolist(), strict=True)
        ]
