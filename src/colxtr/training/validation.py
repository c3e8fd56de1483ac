"""Measuring a model while it is trained: a small index of our own, nDCG@10 on judged queries.

What is measured is what users get: token embeddings in a compressed index, searched as by default.
Knows nothing of losses or optimizers.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from colxtr.corpora import read_documents, read_queries
from colxtr.errors import CorpusError
from colxtr.index import Index
from colxtr.training.settings import EvaluationSettings
from colxtr.training.texts import TextModel

_CUT = 10  # of nDCG@10

Judgements = dict[str, dict[str, int]]  # query id -> document id -> grade


@dataclass(frozen=True)
class Collection:
    """A judged collection, cut to what is measured.

    Attributes:
        name: The folder's.
        queries: Query id -> text; each has a relevant document.
        documents: Document id -> title and text.
        judgements: Of these queries.
    """

    name: str
    queries: Mapping[str, str]
    documents: Mapping[str, str]
    judgements: Judgements


def read_collection(folder: Path, settings: EvaluationSettings, seed: int) -> Collection:
    """Read a BEIR folder, and cut it to the settings' numbers of queries and documents.

    Raises:
        CorpusError: A file is missing or broken, or no query of the split has a relevant document.
    """
    judgements = read_judgements(folder / "qrels" / f"{settings.split}.tsv")
    generator = np.random.default_rng(seed)
    texts = dict(read_queries(folder))
    judged = sorted(
        query for query, grades in judgements.items() if query in texts and max(grades.values()) > 0
    )
    if not judged:
        raise CorpusError(f"{folder}: no query of the split {settings.split!r} is judged relevant")
    chosen = _drawn(judged, settings.queries, generator)
    documents = {
        document.id: f"{document.title} {document.text}".strip()
        for document in read_documents([folder])
    }
    relevant = {
        identifier
        for query in chosen
        for identifier, grade in judgements[query].items()
        if grade > 0 and identifier in documents
    }
    others = sorted(documents.keys() - relevant)
    kept = {*relevant, *_drawn(others, max(0, settings.documents - len(relevant)), generator)}
    return Collection(
        folder.name,
        {query: texts[query] for query in chosen},
        {identifier: text for identifier, text in documents.items() if identifier in kept},
        {query: judgements[query] for query in chosen},
    )


def _drawn(names: Sequence[str], most: int, generator: np.random.Generator) -> list[str]:
    if len(names) <= most:
        return list(names)
    return [names[i] for i in sorted(generator.choice(len(names), most, replace=False))]


def read_judgements(path: Path) -> Judgements:
    """Read BEIR's qrels: query-id, corpus-id and score, separated by tabs, below a header.

    Raises:
        CorpusError: The file is missing, or a line is broken; names file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: {error}; set evaluation.split to a file of qrels/") from None
    judgements: Judgements = {}
    for number, line in enumerate(lines[1:], start=2):
        columns = line.split("\t")
        try:
            query, document, grade = columns
            judgements.setdefault(query, {})[document] = int(grade)
        except ValueError:
            raise CorpusError(
                f"{path}, line {number}: {line!r}; expected query id, document id and a whole "
                "number, separated by tabs"
            ) from None
    return judgements


def evaluate(model: TextModel, collection: Collection, *, n_bits: int) -> float:
    """nDCG@10 of an index of the collection, made and searched with a model in training."""
    documents = model.encode_texts(list(collection.documents.values()), "document")
    queries = model.encode_texts(list(collection.queries.values()), "query")
    dim = int(model.model.get_embedding_dimension())
    with tempfile.TemporaryDirectory() as temporary:
        with Index.create(f"{temporary}/index", dim=dim, n_bits=n_bits) as index:
            index.add_embeddings(collection.documents, (each.cpu().numpy() for each in documents))
        with Index.open(f"{temporary}/index") as index:
            found = {
                query: [hit.id for hit in index.search_embeddings(each.cpu().numpy(), k=_CUT)]
                for query, each in zip(collection.queries, queries, strict=True)
            }
    return mean_ndcg(found, collection.judgements)


def mean_ndcg(found: Mapping[str, Sequence[str]], judgements: Judgements) -> float:
    """Mean nDCG@10 with linear gains, as trec_eval and ir-measures compute it."""
    values = [_ndcg(found[query], judgements[query]) for query in found]
    return sum(values) / len(values)


def _ndcg(ranking: Sequence[str], grades: Mapping[str, int]) -> float:
    ideal = _gain(sorted((max(0, grade) for grade in grades.values()), reverse=True))
    return _gain(max(0, grades.get(identifier, 0)) for identifier in ranking) / ideal


def _gain(grades: Iterator[int] | Sequence[int]) -> float:
    return sum(grade / math.log2(place + 2) for place, grade in enumerate(list(grades)[:_CUT]))
