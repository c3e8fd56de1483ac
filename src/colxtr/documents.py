"""Documents: what callers hand in, made into one shape.

Knows nothing of files (`corpora.py`), tokens or the index.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from colxtr.errors import DocumentError

MAX_ID_BYTES = 1024  # an id is a name, not a text: it is repeated in runs and tables


@dataclass(frozen=True, slots=True)
class Document:
    """One document as the index stores it.

    Attributes:
        id: The caller's name for it, unique in an index, 1 to 1,024 bytes of UTF-8.
        text: The text that is encoded (after the title); may be empty.
        title: Encoded before the text, separated as the model's configuration says.
        metadata: Any JSON object; stored and returned, not encoded.
    """

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def may_be_id(doc_id: str) -> bool:
    """Whether a document can have this id: valid Unicode, of 1 to 1,024 bytes."""
    try:
        return 1 <= len(doc_id.encode()) <= MAX_ID_BYTES
    except UnicodeEncodeError:
        return False


def as_document(item: object, ordinal: int) -> Document:
    """Make a `Document` of a `Document`, a mapping, or a string.

    Args:
        item: A `Document`; a mapping with "text" and optionally "id" (or "_id"), "title" and
            "metadata"; or the text itself.
        ordinal: The document's position in the index; its decimal form is the id of a document
            that brings none.

    Raises:
        DocumentError: The item has another type, or a field that cannot be stored.
    """
    if isinstance(item, Document):
        document = item
    elif isinstance(item, str):
        document = Document(str(ordinal), item)
    elif isinstance(item, Mapping):
        document = _from_mapping(item, ordinal)
    else:
        raise DocumentError(
            f"document {ordinal} is a {type(item).__name__}; "
            'pass a string, a mapping with "id" and "text", or a colxtr.Document'
        )
    _check(document, ordinal)
    if document.metadata == {}:
        return document
    try:  # a copy, as it will be stored: callers like to use a dictionary again
        metadata = json.loads(json.dumps(dict(document.metadata), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise DocumentError(
            f'"metadata" of document {document.id!r} is not a JSON object: {error}'
        ) from None
    return replace(document, metadata=metadata)


def _from_mapping(item: Mapping[str, Any], ordinal: int) -> Document:
    if "text" not in item:
        raise DocumentError(
            f'document {ordinal} has no "text" (its keys: {", ".join(map(str, item)) or "none"})'
        )
    identifier = item.get("id", item.get("_id"))
    return Document(
        id=str(ordinal) if identifier is None else identifier,
        text=item["text"],
        title=item.get("title") or "",
        metadata=item.get("metadata") or {},
    )


def _check(document: Document, ordinal: int) -> None:
    for name in ("id", "text", "title"):
        value = getattr(document, name)
        if not isinstance(value, str):
            raise DocumentError(
                f'"{name}" of document {ordinal} is a {type(value).__name__}, not a string'
            )
        try:
            size = len(value.encode())
        except UnicodeEncodeError as error:
            raise DocumentError(
                f'"{name}" of document {ordinal} is not valid Unicode: {error}'
            ) from None
        if name == "id" and not 1 <= size <= MAX_ID_BYTES:
            raise DocumentError(
                f"the id of document {ordinal} has {size} bytes; 1 to {MAX_ID_BYTES} are allowed"
            )
