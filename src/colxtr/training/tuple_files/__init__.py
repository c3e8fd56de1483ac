"""Files of training data in and out.

    own.py          our tuples: {"query_id", "document_ids", "scores"} to a line
    stanford.py     triples and distillation scores of Stanford's ColBERT
    tables.py       PyLate's tables for distillation (Parquet)
    beir.py         BEIR folders; judgements.py: their qrels
    hub.py          data sets of the hub by id
    collections.py  one of these by its path or id, or several together
    mixing.py       several sets made into one
    texts.py        documents on the disk instead of in memory
    lines.py        numbered lines in, whole files out

What is read is a `TrainingSet`; what is wrong is said with file and line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from colxtr.errors import InputError
from colxtr.training.sets import TrainingSet
from colxtr.training.tuple_files.beir import write_beir
from colxtr.training.tuple_files.collections import (
    Collection,
    checked_set,
    read_collection,
    read_tuples,
)
from colxtr.training.tuple_files.mixing import mix
from colxtr.training.tuple_files.own import write_own
from colxtr.training.tuple_files.stanford import write_distillation_scores, write_stanford
from colxtr.training.tuple_files.tables import write_kd
from colxtr.training.tuple_files.texts import TextStore

__all__ = [
    "Collection",
    "TextStore",
    "mix",
    "read_collection",
    "read_collections",
    "read_training_set",
    "read_tuples",
    "write_beir",
    "write_distillation_scores",
    "write_kd",
    "write_own",
    "write_stanford",
]


def read_collections(
    collections: Sequence[Collection], *, store: Path | None = None, seed: int = 0
) -> TrainingSet:
    """Read one collection, or several together (`mix`: ids prefixed, weights kept).

    Args:
        collections: Which; their names must differ.
        store: A folder for the documents' texts, a file for each collection; None: in memory.
        seed: Of the drawing where weights are not whole.

    Raises:
        CorpusError: A file is missing or damaged.
        InputError: There are no collections, or two have one name.
    """
    names = [each.name for each in collections]
    if not names:
        raise InputError("no collection was named")
    if len(set(names)) < len(names):
        raise InputError(
            f"two collections are called {max(names, key=names.count)!r}; "
            "give them names: one=first/folder two=second/folder"
        )
    sets = {
        each.name: read_collection(
            each, store=None if store is None else store / f"{each.name}.sqlite"
        )
        for each in collections
    }
    if len(sets) == 1:
        return sets[names[0]]
    return mix(sets, {each.name: each.weight for each in collections}, seed=seed)


def read_training_set(
    tuples: str | Path, collections: Sequence[Collection] = (), *, store: Path | None = None
) -> TrainingSet:
    """Read tuples and the texts they are over.

    Args:
        tuples: A file of tuples (ours or Stanford's), or a collection that brings its own
            (a folder with PyLate's tables or Stanford's files, or a hub id).
        collections: Where the texts of a file are; the same and in the same number as when the
            tuples were mined, for their names are part of the ids when there are several.
        store: As `read_collections` has it.

    Raises:
        CorpusError: A file is damaged, or an id of a tuple has no text; names file and line.
        InputError: A file was given without collections.
    """
    path = Path(tuples).expanduser()
    if not path.is_file():
        training_set = read_collection(Collection(str(tuples)), store=store)
        if not training_set.tuples:
            raise InputError(f"{tuples} has no tuples; make some with: colxtr mine {tuples}")
        return training_set
    if not collections:
        raise InputError(f"{path} holds ids only; name the collection they are of (--collection)")
    texts = read_collections(collections, store=store)
    name = ", ".join(each.path for each in collections)
    return checked_set(texts, list(read_tuples(path)), name)
