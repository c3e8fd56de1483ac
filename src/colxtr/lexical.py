"""BM25 over the texts of a collection, by bm25s: first negatives in training, floor of comparisons.

Knows nothing of relevance.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from colxtr.errors import InputError
from colxtr.libraries import imported
from colxtr.progress import Meter, progress_bar

_WORD = re.compile(r"\b\w\w+\b")
_RUN = re.compile(r"\w+")


class Candidate(NamedTuple):
    """A document that a search proposed.

    Attributes:
        id: Its id.
        score: The search's; only its order means something here.
    """

    id: str
    score: float


class Bm25:
    """Documents that can be searched by their words.

    Args:
        documents: Texts by id.
        k1: Saturation of term frequency.
        b: Weight of document length.
        language: What is done to words: a language of Snowball ("english", "german", ...) stems
            them and drops stop words where bm25s has a list; "none" leaves them; "bigrams" takes
            pairs of neighbouring characters, for scripts that put no spaces between words.
        progress: Show a progress bar.

    Raises:
        MissingDependencyError: bm25s or, for a language, PyStemmer is not installed.
        InputError: The language is unknown, or there are no documents.
    """

    def __init__(
        self,
        documents: Mapping[str, str],
        *,
        k1: float = 0.9,
        b: float = 0.4,
        language: str = "english",
        progress: bool = False,
    ) -> None:
        if not documents:
            raise InputError("there are no documents to search")
        bm25s = _library("bm25s")
        self._tokenizer = _tokenizer(language)
        self._ids = list(documents)
        with progress_bar("Reading words", len(self._ids), enabled=progress) as advance:
            tokens = self._tokenizer.tokenize(
                _counted((documents[each] for each in self._ids), advance),
                length=len(self._ids),
                return_as="tuple",
                show_progress=False,
            )
        self._retriever = bm25s.BM25(k1=k1, b=b, method="lucene")
        self._retriever.index(tokens, show_progress=False)

    def search(self, queries: Sequence[str], depth: int) -> list[list[Candidate]]:
        """The best documents of each query that share a word with it, best first.

        Args:
            queries: Texts.
            depth: At most so many documents for each.
        """
        if not queries:
            return []
        tokens = self._tokenizer.tokenize(
            list(queries), update_vocab=False, return_as="ids", show_progress=False
        )
        found, scores = self._retriever.retrieve(
            tokens, k=min(depth, len(self._ids)), show_progress=False
        )
        return [self._candidates(*row) for row in zip(found, scores, strict=True)]

    def _candidates(self, ordinals: Any, scores: Any) -> list[Candidate]:
        kept = np.flatnonzero(scores > 0)
        order = kept[np.lexsort((ordinals[kept], -scores[kept]))]  # ties: in the corpus's order
        return [Candidate(self._ids[int(ordinals[i])], float(scores[i])) for i in order]


def _counted(texts: Iterable[str], advance: Meter) -> Iterator[str]:
    for text in texts:
        advance(1)
        yield text


def _tokenizer(language: str) -> Any:
    tokenization = _library("bm25s.tokenization")
    make = partial(tokenization.Tokenizer, lower=True)
    if language == "bigrams":
        return make(splitter=_bigrams, stopwords=[], stemmer=None)
    if language == "none":
        return make(splitter=_WORD.findall, stopwords=[], stemmer=None)
    return make(splitter=_WORD.findall, stopwords=_stop_words(language), stemmer=_stemmer(language))


def _bigrams(text: str) -> list[str]:
    """Pairs of neighbouring characters within each run of letters and digits."""
    runs = _RUN.findall(text)
    return [run[i : i + 2] for run in runs for i in range(max(1, len(run) - 1))]


def _stop_words(language: str) -> list[str]:
    words = _library("bm25s.stopwords")
    name = "STOPWORDS_EN" if language == "english" else f"STOPWORDS_{language.upper()}"
    return list(getattr(words, name, ()))


def _stemmer(language: str) -> Callable[[str], str]:
    snowball = _library("Stemmer")
    known = snowball.algorithms()
    if language not in known:
        raise InputError(
            f'the language {language!r} is unknown; possible are {", ".join(known)}, "none" '
            '(words as they stand) and "bigrams" (for scripts without spaces)'
        )
    stem: Callable[[str], str] = snowball.Stemmer(language).stemWord
    return stem


def _library(name: str) -> Any:
    return imported(name, "searching with BM25", "eval")
