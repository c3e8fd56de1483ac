"""PyLate's tables for distillation (KD), as Parquet: train, queries, documents.

    train      query_id, document_ids (list), scores (list)
    queries    query_id, text
    documents  document_id, text

A table is `<name>.parquet`, `<name>-*.parquet`, or all Parquet files below `<name>/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from colxtr.errors import CorpusError, MissingDependencyError
from colxtr.storage.files import named_errors, sync_file
from colxtr.training.sets import NWayTuple, TrainingSet
from colxtr.training.tuple_files.lines import as_id
from colxtr.training.tuple_files.own import checked_tuple

_TABLES = ("train", "queries", "documents")
_BATCH_ROWS = 4096


def table_files(folder: Path, name: str) -> list[Path]:
    """The Parquet files of one table, in sorted order."""
    if folder.name == name and folder.is_dir() and not (folder / name).exists():
        return sorted(folder.rglob("*.parquet"))
    single = folder / f"{name}.parquet"
    if single.is_file():
        return [single]
    return sorted(folder.glob(f"{name}-*.parquet")) or sorted((folder / name).rglob("*.parquet"))


def is_kd_folder(folder: Path) -> bool:
    """Whether a folder has all three tables."""
    return all(table_files(folder, name) for name in _TABLES)


def read_kd_tuples(folder: Path) -> Iterator[tuple[str, NWayTuple]]:
    """Read the tuples of the `train` table, each with its place; lists may stand there as JSON.

    Raises:
        CorpusError: A row is no tuple, a column is missing, or a file is damaged.
        MissingDependencyError: pyarrow is not installed.
    """
    for where, row in _rows(table_files(folder, "train"), ("query_id", "document_ids", "scores")):
        ids, scores = (_as_list(row[name], name, where) for name in ("document_ids", "scores"))
        yield where, checked_tuple(row["query_id"], ids, scores, where)


def read_texts(folder: Path, id_names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Draw ids and texts of a table; a title stands before its text.

    Args:
        folder: Where its files are (`documents/`, or the folder above and its name).
        id_names: What the column of ids may be called.
    """
    for where, row in _rows(table_files(folder, folder.name), ("text",)):
        name = next((name for name in id_names if name in row), None)
        if name is None:
            raise CorpusError(f"{where}: no id; looked for {', '.join(id_names)}")
        if not isinstance(row["text"], str):
            raise CorpusError(f"{where}: the text is {row['text']!r}, not a string")
        title = row.get("title") or ""
        yield as_id(row[name], name, where), f"{title} {row['text']}" if title else row["text"]


def read_kd_texts(folder: Path, name: str) -> Iterator[tuple[str, str]]:
    """Draw the ids and texts of `queries` or `documents`."""
    id_name = {"queries": "query_id", "documents": "document_id"}[name]
    for where, row in _rows(table_files(folder, name), (id_name, "text")):
        if not isinstance(row["text"], str):
            raise CorpusError(f"{where}: the text is {row['text']!r}, not a string")
        yield as_id(row[id_name], id_name, where), row["text"]


def write_kd(folder: str | Path, training_set: TrainingSet) -> None:
    """Write the three tables, as PyLate's `KDProcessing` and the hub's data sets have them.

    Raises:
        CorpusError: A tuple has no scores, which this layout cannot express.
        StorageError: A file cannot be written.
    """
    folder = Path(folder)
    unscored = sum(example.scores is None for example in training_set.tuples)
    if unscored:
        raise CorpusError(
            f"{unscored:,} of {len(training_set.tuples):,} tuples have no scores, which PyLate's "
            "tables need; give them some with: colxtr score"
        )
    used = dict.fromkeys(each for t in training_set.tuples for each in t.document_ids)
    asked = dict.fromkeys(t.query_id for t in training_set.tuples)
    _write_table(
        folder / "train.parquet",
        (
            {"query_id": t.query_id, "document_ids": list(t.document_ids), "scores": list(scores)}
            for t in training_set.tuples
            if (scores := t.scores) is not None
        ),
    )
    queries = ({"query_id": each, "text": training_set.queries[each]} for each in asked)
    _write_table(folder / "queries.parquet", queries)
    documents = ({"document_id": each, "text": training_set.documents[each]} for each in used)
    _write_table(folder / "documents.parquet", documents)


def _as_list(value: object, name: str, where: str) -> object:
    if isinstance(value, str):
        try:
            return json.loads(value.replace("'", '"'))
        except ValueError as error:
            raise CorpusError(f"{where}: {name} is neither a list nor JSON: {error}") from None
    return value


def _rows(files: Iterable[Path], needed: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    parquet, errors = _pyarrow()
    for path in files:
        try:
            with parquet.ParquetFile(path) as file:
                names = file.schema_arrow.names
                if missing := [name for name in needed if name not in names]:
                    raise CorpusError(f"{path}: no column {missing[0]!r} among {', '.join(names)}")
                number = 0
                for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                    for row in batch.to_pylist():
                        number += 1
                        yield f"{path}, row {number}", row
        except errors as error:
            raise CorpusError(f"{path} cannot be read as Parquet: {error}") from None


def _write_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    import pyarrow as pa  # noqa: PLC0415

    parquet, _ = _pyarrow()
    temporary = path.with_name(f"{path.name}.partial")
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            writer = None
            for batch in _batches(rows):
                table = pa.Table.from_pylist(batch)
                writer = writer or parquet.ParquetWriter(temporary, table.schema)
                writer.write_table(table)
            if writer is None:
                raise CorpusError(f"{path}: there is nothing to write: no tuples")
            writer.close()
            sync_file(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    batch: list[Mapping[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _pyarrow() -> tuple[Any, tuple[type[Exception], ...]]:
    try:
        import pyarrow  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            f"Parquet tables need pyarrow, which cannot be imported ({error}); "
            "install it with: pip install 'colxtr[train]'"
        ) from None
    return pyarrow.parquet, (pyarrow.ArrowException, OSError)
