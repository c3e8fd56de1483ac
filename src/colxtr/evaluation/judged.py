"""A judged collection, read from a BEIR folder: documents as a stream, queries, judgements.

Knows nothing of embeddings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from colxtr.corpora import read_documents, read_queries
from colxtr.documents import Document
from colxtr.errors import CorpusError, InputError
from colxtr.evaluation.qrels_files import Qrels, read_qrels

DIGEST_LENGTH = 16  # hexadecimal digits


@dataclass(frozen=True)
class JudgedCollection:
    """What methods are compared on.

    Attributes:
        folder: The BEIR folder.
        name: The folder's.
        doc_ids: Of all documents, in their order.
        digest: Of ids, titles and texts of the documents.
        queries: Query id -> text, of those that have a relevant document; by their ids.
        qrels: Judgements of these queries.
        n_judged: How many such queries there are, before any were left out.
        limit: Only the first so many documents count; None for all.
    """

    folder: Path
    name: str
    doc_ids: tuple[str, ...]
    digest: str
    queries: Mapping[str, str]
    qrels: Qrels
    n_judged: int
    limit: int | None = None

    @classmethod
    def read(
        cls,
        folder: str | Path,
        *,
        split: str = "test",
        queries: int | None = None,
        documents: int | None = None,
        seed: int = 0,
    ) -> JudgedCollection:
        """Read a collection, its documents once, for their ids and digest.

        Args:
            folder: In BEIR's layout: corpus, queries, qrels/<split>.tsv.
            split: Whose judgements.
            queries: Draw at most so many of the judged queries; None takes all.
            documents: Take only the first so many documents; judgements of those beyond are left
                out, and so are queries that have no relevant one then.
            seed: Of the drawing.

        Raises:
            CorpusError: A file is missing or broken, or no query is judged.
            InputError: `queries` or `documents` is below 1.
        """
        for name, value in (("queries", queries), ("documents", documents)):
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; at least 1 is possible")
        folder = Path(folder)
        grades = read_qrels(folder, split=split)
        texts = dict(read_queries(folder))
        ids, digest = _digest(islice(read_documents([folder]), documents))
        known = set(ids)
        if documents is not None:
            grades = {query: _among(of_query, known) for query, of_query in grades.items()}
        judged = sorted(
            query
            for query, of_query in grades.items()
            if query in texts
            and any(grade > 0 and doc_id in known for doc_id, grade in of_query.items())
        )
        if not judged:
            raise CorpusError(
                f"{folder}: no query of the split {split!r} has a relevant document here"
            )
        chosen = _drawn(judged, queries, seed)
        return cls(
            folder,
            folder.resolve().name,
            tuple(ids),
            digest,
            {query: texts[query] for query in chosen},
            {
                query: _among(grades[query], known) if documents else grades[query]
                for query in chosen
            },
            len(judged),
            documents,
        )

    def documents(self) -> Iterator[Document]:
        """The documents, read once more."""
        return islice(read_documents([self.folder]), self.limit)

    @property
    def is_whole(self) -> bool:
        """Whether neither documents nor judged queries were left out."""
        return self.limit is None and len(self.queries) == self.n_judged


def _among(grades: Mapping[str, int], known: Set[str]) -> dict[str, int]:
    return {doc_id: grade for doc_id, grade in grades.items() if doc_id in known}


def _digest(documents: Iterator[Document]) -> tuple[list[str], str]:
    ids = []
    digest = hashlib.sha256()
    for document in documents:
        ids.append(document.id)
        for part in (document.id, document.title, document.text):
            data = part.encode()
            digest.update(len(data).to_bytes(8, "little") + data)
    return ids, digest.hexdigest()[:DIGEST_LENGTH]


def _drawn(names: list[str], most: int | None, seed: int) -> list[str]:
    if most is None or most >= len(names):
        return names
    chosen = np.random.default_rng(seed).choice(len(names), most, replace=False)
    return [names[i] for i in sorted(chosen)]
