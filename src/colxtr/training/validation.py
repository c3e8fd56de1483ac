"""Measuring a model while it is trained: a small index of our own, nDCG@10 on judged queries.

What is measured is what users get: token embeddings in a compressed index, searched as by default.
Knows nothing of losses or optimizers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from colxtr.corpora import read_documents, read_queries
from colxtr.errors import CorpusError
from colxtr.evaluation import measures
from colxtr.evaluation.qrels_files import Qrels, read_qrels
from colxtr.index import Index
from colxtr.training.settings import EvaluationSettings
from colxtr.training.texts import TextModel

_MEASURE, _CUT = "nDCG@10", 10


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
    judgements: Qrels


def read_collection(folder: Path, settings: EvaluationSettings, seed: int) -> Collection:
    """Read a BEIR folder, and cut it to the settings' numbers of queries and documents.

    Raises:
        CorpusError: A file is missing or broken, or no query of the split has a relevant document.
        MissingDependencyError: ir-measures is not installed: better now than after some steps.
    """
    measures.parse_measures(_MEASURE)
    judgements = _judgements(folder, settings.split)
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


def _judgements(folder: Path, split: str) -> Qrels:
    try:
        return read_qrels(folder / "qrels" / f"{split}.tsv")
    except CorpusError as error:
        raise CorpusError(f"{error}; evaluation.split says which file of qrels/ is read") from None


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


def mean_ndcg(found: Mapping[str, Sequence[str]], judgements: Qrels) -> float:
    """Mean nDCG@10 of rankings by query id: that of `colxtr.evaluate`, whatever the scores were."""
    ranked = {
        query: {name: float(-place) for place, name in enumerate(names)}
        for query, names in found.items()
    }
    return measures.evaluate(ranked, judgements, _MEASURE)[_MEASURE]
