"""Collections: queries, documents and judgements behind a name, one of them or several together.

A name is a folder (BEIR, Stanford, PyLate's tables) or a hub id. Several collections are told
apart by their names: the ids of `scifact` become `scifact:123`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from colxtr.errors import CorpusError, InputError
from colxtr.training.fingerprints import of_collection
from colxtr.training.sets import NWayTuple, TrainingSet
from colxtr.training.tuple_files.beir import corpus_of, read_corpus, read_positives, read_queries_of
from colxtr.training.tuple_files.hub import fetch
from colxtr.training.tuple_files.own import read_own
from colxtr.training.tuple_files.stanford import read_stanford
from colxtr.training.tuple_files.tables import is_kd_folder, read_kd_texts, read_kd_tuples
from colxtr.training.tuple_files.texts import TextStore

Placed = Iterator[tuple[str, NWayTuple]]
_TRIPLES = ("triples.jsonl", "triples.{split}.jsonl", "examples.jsonl", "examples.json")


@dataclass(frozen=True, slots=True)
class Collection:
    """Where a collection is, and how much of it is wanted.

    Attributes:
        path: A folder, or a hub id ("owner/name", "owner/name@revision").
        name: What its ids begin with where there are several; by default the folder's name.
        split: Which queries: those judged in `qrels/<split>.tsv`.
        weight: Share of its tuples in a mixture: 0.5 takes half of them, 2 takes each twice. In a
            denoised training, of those that the model is trained on.
    """

    path: str
    name: str = ""
    split: str = "train"
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise InputError(f"the weight of {self.path} is {self.weight}; it must be above 0")
        if not self.name:
            object.__setattr__(self, "name", Path(self.path).resolve().name.partition("@")[0])
        if ":" in self.name:
            raise InputError(f"the name {self.name!r} holds a colon, which ends names in ids")

    @classmethod
    def parse(cls, text: str, *, split: str = "train") -> Collection:
        """Read `PATH` or `NAME=PATH`."""
        name, equals, path = text.partition("=")
        if equals and not Path(text).exists():
            return cls(path, name, split)
        return cls(text, split=split)

    def folder(self) -> Path:
        """Its folder, fetched from the hub if need be.

        Raises:
            CorpusError: There is none.
        """
        path = Path(self.path).expanduser()
        if path.is_file():
            raise CorpusError(f"{path} is a file; pass the folder of a collection")
        return path if path.is_dir() else fetch(self.path)


def read_collection(collection: Collection, *, store: Path | None = None) -> TrainingSet:
    """Read a collection. Its tuples are those that its folder has, if any.

    Args:
        collection: Which.
        store: Keep the documents' texts in this file (SQLite) rather than in memory; it is
            written once, and again when the collection has changed.

    Raises:
        CorpusError: A file is missing or damaged; names file and line.
    """
    folder = collection.folder()
    if is_kd_folder(folder):
        return _read_kd(folder, store)
    corpus = corpus_of(folder)
    if corpus is None:
        raise CorpusError(
            f"{folder} is no collection: it has neither corpus.jsonl[.gz] (BEIR), collection.tsv "
            "(Stanford), nor the tables train, queries and documents (PyLate)"
        )
    queries = read_queries_of(folder, collection.split)
    names = (name.format(split=collection.split) for name in _TRIPLES)
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    placed = [] if path is None else list(read_tuples(path))
    if path is None or any(folder.glob("qrels*")):
        positives = read_positives(folder, collection.split)
    else:
        positives = {}
    documents = _documents(read_corpus(corpus), folder, store)
    return checked_set(TrainingSet(queries, documents, (), positives), placed, str(folder))


def read_tuples(path: Path) -> Placed:
    """Read a file of tuples, ours or Stanford's; its first character tells.

    Yields:
        The place (file and line) and the tuple.

    Raises:
        CorpusError: The file is missing, empty or damaged; names file and line.
    """
    from colxtr.training.tuple_files.lines import numbered_lines  # noqa: PLC0415

    first = next(numbered_lines(path), None)
    if first is None:
        raise CorpusError(f"{path} is empty: it holds no tuples")
    yield from (read_stanford if first[1].lstrip().startswith("[") else read_own)(path)


def _read_kd(folder: Path, store: Path | None) -> TrainingSet:
    queries = dict(read_kd_texts(folder, "queries"))
    documents = _documents(read_kd_texts(folder, "documents"), folder, store)
    texts = TrainingSet(queries, documents, (), {})
    return checked_set(texts, list(read_kd_tuples(folder)), str(folder))


def _documents(
    texts: Iterator[tuple[str, str]], folder: Path, store: Path | None
) -> Mapping[str, str]:
    if store is None:
        return dict(texts)
    key = of_collection(folder)
    return TextStore.reused(store, key) or TextStore.write(store, texts, key)


def checked_set(
    texts: TrainingSet, placed: Sequence[tuple[str, NWayTuple]], name: str
) -> TrainingSet:
    """The set of some texts with these tuples, once all ids lead to texts.

    A document that leads a tuple counts as relevant, beside those that were judged so.

    Args:
        texts: Queries, documents and judgements.
        placed: The tuples, each with its place.
        name: Of the collection, for errors.

    Raises:
        CorpusError: An id has no text; names the place.
    """
    known: dict[str, frozenset[str]] = {}
    queries, documents = texts.queries, texts.documents
    for query_id, ids in texts.positives.items():
        if query_id not in queries:
            raise CorpusError(f"{name}: query {query_id!r} is judged, but it is not among queries")
        if missing := sorted(each for each in ids if each not in documents):
            raise CorpusError(
                f"{name}: document {missing[0]!r} is judged relevant to {query_id!r}, but it is "
                "not in the corpus"
            )
        known[query_id] = ids
    for where, example in placed:
        if example.query_id not in queries:
            raise CorpusError(f"{where}: query {example.query_id!r} is not in {name}")
        if missing := [each for each in example.document_ids if each not in documents]:
            raise CorpusError(f"{where}: document {missing[0]!r} is not in {name}")
        known[example.query_id] = known.get(example.query_id, frozenset()) | {
            example.document_ids[0]
        }
    return replace(texts, tuples=[example for _, example in placed], positives=known)
