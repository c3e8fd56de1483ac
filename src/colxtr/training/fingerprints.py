"""What tells whether an input is still the same: digests of contents. Knows no format."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

_LENGTH = 16  # hexadecimal digits: 64 bits, for dozens of inputs
_WEIGHTS = (".safetensors", ".bin", ".onnx", ".json", ".txt", ".model")


def of_file(path: Path) -> str:
    """The digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_LENGTH]


def of_value(value: object) -> str:
    """The digest of anything that JSON can hold; the order of keys does not count."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_LENGTH]


def of_files(folder: Path, suffixes: tuple[str, ...]) -> str:
    """The digest of the files below a folder whose names end so: names and contents."""
    files = sorted(path for path in folder.rglob("*") if path.name.endswith(suffixes))
    return of_value([(path.relative_to(folder).as_posix(), of_file(path)) for path in files])


def of_collection(folder: Path) -> str:
    """The digest of a collection's files."""
    return of_files(folder, (".jsonl", ".jsonl.gz", ".json", ".tsv", ".tsv.gz", ".parquet"))


def of_model(source: str) -> str:
    """The digest of a model's folder; a hub id stands for itself."""
    path = Path(source).expanduser()
    return of_files(path, _WEIGHTS) if path.is_dir() else source
