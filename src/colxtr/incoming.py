"""What callers hand in becomes items: checked documents, embeddings that fit, ids that are new.

All of it lazily, one after the other. Knows nothing of coding or committing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from colxtr.codec import check_embeddings
from colxtr.documents import Document, as_document
from colxtr.errors import DuplicateIdError, EmbeddingError, InputError
from colxtr.head import Head
from colxtr.progress import Meter
from colxtr.storage.tombstones import Ordinals
from colxtr.waiting import Item

DocumentLike = str | Mapping[str, Any] | Document
Existing = Literal["refuse", "skip", "replace"]
LOOKED_UP = 64  # documents whose ids are looked up in the segments together


def items_of_texts(documents: Iterable[DocumentLike], start: int) -> Iterator[Item]:
    """Documents to be encoded; one without an id gets its number, counted from `start`."""
    if isinstance(documents, str | Mapping):
        raise InputError(
            f"pass an iterable of documents, not one {type(documents).__name__}; put it into a list"
        )
    return (Item(as_document(each, start + i)) for i, each in enumerate(documents))


def items_of_embeddings(
    ids: Iterable[DocumentLike],
    embeddings: Iterable[NDArray[np.floating]],
    start: int,
    dim: int,
) -> Iterator[Item]:
    """Documents, or ids alone, with their embeddings; numbered as `items_of_texts` does."""
    for i, (each, array) in enumerate(_pairs(ids, embeddings)):
        document = Document(each, "") if isinstance(each, str) else each
        document = as_document(document, start + i)
        yield Item(document, check_embeddings(array, dim, f"document {document.id!r}"))


def total_of(documents: object, total: int | None) -> int | None:
    """How many there are: as the caller says, else as they say themselves, if they do."""
    if total is not None or not hasattr(documents, "__len__"):
        return total
    return len(documents)


class IdCheck:
    """Lets those items through whose ids are new to the index and among themselves.

    In memory are the ids that are read but not committed; the others are in the segments.
    """

    def __init__(self, head: Head, existing: Existing, meter: Meter) -> None:
        """Prepare.

        Args:
            head: Of the index.
            existing: What becomes of an item whose id the index holds.
            meter: Told of items that are skipped.
        """
        self._head, self._existing, self._meter = head, existing, meter
        self._pending: set[str] = set()
        self._stored: set[str] = set()  # of the items looked up last: ids that the segments hold

    def new(self, items: Iterator[Item]) -> Iterator[Item]:
        """The items that are to be added.

        Raises:
            DuplicateIdError: An id is in the index, or twice among the items.
        """
        for some in _in_blocks(items, LOOKED_UP):
            self._stored.clear()
            if self._existing != "replace":
                ids = [item.document.id for item in some]
                self._stored.update(self._head.generation.places(ids))
            yield from filter(self._is_new, some)

    def committed(self, documents: Sequence[Document]) -> None:
        """Note that some are in the segments now."""
        ids = [document.id for document in documents]
        if self._existing != "replace":
            self._stored.update(ids)
        self._pending.difference_update(ids)

    def superseded(self, ids: Sequence[str]) -> dict[str, Ordinals]:
        """What documents with these ids replace when they are committed: `Generation.without`."""
        return self._head.generation.without(ids) if self._existing == "replace" else {}

    def _is_new(self, item: Item) -> bool:
        doc_id = item.document.id
        if doc_id in self._pending:
            raise DuplicateIdError(f"the id {doc_id!r} occurs twice among the documents")
        if doc_id not in self._stored:
            self._pending.add(doc_id)
            return True
        if self._existing == "refuse":
            raise DuplicateIdError(
                f"the id {doc_id!r} is already in {self._head.folder}; "
                "skip_existing=True leaves such documents out, update() replaces them"
            )
        self._meter.skip(1)
        return False


def _in_blocks(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items; an error of `items` comes after the items before it."""
    block: list[Item] = []
    try:
        for item in items:
            block.append(item)
            if len(block) == size:
                yield block
                block = []
    except Exception:
        yield block
        raise
    yield block


def _pairs(
    ids: Iterable[Any], embeddings: Iterable[NDArray[np.floating]]
) -> Iterator[tuple[Any, NDArray[np.floating]]]:
    """Pairs, or an error if one side is longer."""
    others = iter(embeddings)
    missing = object()
    count = 0
    for each in ids:
        array = next(others, missing)
        if array is missing:
            raise EmbeddingError(f"there are embeddings for {count} documents, but more ids")
        count += 1
        yield each, array  # type: ignore[misc]
    if next(others, missing) is not missing:
        raise EmbeddingError(f"there are {count} ids, but more embeddings")
