"""A record (a JSON object, a row of a table) made into a document. Knows nothing of files."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

from colxtr.documents import Document
from colxtr.errors import CorpusError

ID_NAMES = ("_id", "id", "docid", "doc_id", "document_id", "pid")
TEXT_NAMES = ("text", "contents", "content", "body", "passage", "segment", "abstract")
TITLE_NAMES = ("title", "headline")
METADATA_NAMES = ("metadata",)


class Found(NamedTuple):
    """A document and where in its file it stands, for messages: `"line 7"`."""

    document: Document
    place: str


def first_name(names: Sequence[str], record: Container[str]) -> str | None:
    """The first of the names that the record has."""
    return next((name for name in names if name in record), None)


def record_to_document(record: Mapping[str, Any], where: str, default_id: str) -> Document:
    """Make a document of a record; what is neither id, text nor title becomes metadata.

    Args:
        record: Field names and values.
        where: File and line, for messages.
        default_id: The id of a record that brings none.

    Raises:
        CorpusError: The record has no text, or a field of the wrong type.
    """
    names = [
        first_name(candidates, record)
        for candidates in (ID_NAMES, TEXT_NAMES, TITLE_NAMES, METADATA_NAMES)
    ]
    identifier, text, title, metadata = (record[name] if name else None for name in names)
    if text is None and names[1]:
        raise CorpusError(
            f'{where}: "{names[1]}" is null; a document needs a text, if an empty one'
        )
    if text is None:
        raise CorpusError(
            f"{where}: no text; its fields are {', '.join(map(str, record)) or 'none'}, and the "
            f"text is looked for in {', '.join(TEXT_NAMES)}"
        )
    return Document(
        id=default_id if identifier is None else _id(identifier, where),
        text=_string(text, str(names[1]), where),
        title="" if title is None else _string(title, str(names[2]), where),
        metadata=_metadata(metadata, record, names),
    )


def _id(value: object, where: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _string(value, "id", where)


def _string(value: object, name: str, where: str) -> str:
    if isinstance(value, str):
        return value
    raise CorpusError(f'{where}: "{name}" is a {type(value).__name__}, not a string')


def _metadata(
    value: object, record: Mapping[str, Any], names: Sequence[str | None]
) -> Mapping[str, Any]:
    extra = {str(name): field for name, field in record.items() if name not in names}
    if isinstance(value, Mapping):
        return {**extra, **value}
    return extra if value is None else {**extra, "metadata": value}
