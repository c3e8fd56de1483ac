"""Parquet files, through pyarrow (an optional dependency, imported when one is met)."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from colxtr.corpora.records import TEXT_NAMES, Found, record_to_document
from colxtr.corpora.sources import Source
from colxtr.corpora.streams import UnsuitableError
from colxtr.errors import CorpusError, MissingDependencyError

_BATCH_ROWS = 1024


def read_parquet(source: Source) -> Iterator[Found]:
    """Read the rows as documents, a batch in memory at a time; columns as in JSON lines.

    Binary columns and lists of numbers (images, embeddings) are left out of the metadata.

    Raises:
        CorpusError: The file is damaged.
        MissingDependencyError: pyarrow is not installed.
    """
    with _open(source) as file:
        columns = _columns(file.schema_arrow)
        if not any(name in columns for name in TEXT_NAMES):
            raise UnsuitableError(
                f"{source.name}: no text column among {', '.join(file.schema_arrow.names)}; "
                f"the text is looked for in {', '.join(TEXT_NAMES)}",
                "without a text column",
            )
        number = 0
        for batch in _batches(file, columns, source):
            for row in batch:
                number += 1
                record = {name: _plain(value) for name, value in row.items() if value is not None}
                document = record_to_document(
                    record, f"{source.name}, row {number}", f"{source.id}#{number}"
                )
                yield Found(document, f"row {number}")


def count_rows(source: Source) -> int:
    """How many rows the file has, from its footer."""
    with _open(source) as file:
        return int(file.metadata.num_rows)


def _open(source: Source) -> Any:
    parquet = _pyarrow(source.name)
    try:
        return parquet.ParquetFile(Path(source.path or ""))
    except _arrow_errors() as error:
        raise _damaged(source, error) from None


def _batches(file: Any, columns: list[str], source: Source) -> Iterator[list[dict[str, Any]]]:
    batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=columns)
    while True:
        try:
            batch = next(batches, None)
            rows = None if batch is None else batch.to_pylist()
        except _arrow_errors() as error:
            raise _damaged(source, error) from None
        if rows is None:
            return
        yield rows


def _pyarrow(name: str) -> Any:
    try:
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            f"{name} is a Parquet file, and pyarrow, which reads them, cannot be imported "
            f"({error}); install it with: pip install 'colxtr[parquet]'"
        ) from None
    return pyarrow.parquet


def _arrow_errors() -> tuple[type[Exception], ...]:
    import pyarrow  # noqa: PLC0415

    return (pyarrow.ArrowException, OSError, UnicodeDecodeError)


def _damaged(source: Source, error: Exception) -> CorpusError:
    return CorpusError(f"{source.name} cannot be read as Parquet: {error}")


def _columns(schema: Any) -> list[str]:
    return [field.name for field in schema if _is_plain(field.type)]


def _is_plain(kind: Any) -> bool:
    import pyarrow.types as types  # noqa: PLC0415, PLR0402

    if types.is_list(kind) or types.is_large_list(kind):
        return bool(types.is_string(kind.value_type) or types.is_large_string(kind.value_type))
    binary = types.is_binary(kind) or types.is_large_binary(kind)
    return not (binary or types.is_fixed_size_binary(kind) or types.is_fixed_size_list(kind))


def _plain(value: Any) -> Any:
    """A value that JSON can hold: dates as ISO 8601, decimals as numbers, no NaN."""
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
