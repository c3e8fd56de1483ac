"""Manifests: which files make a generation of an index, and the commit that makes it so."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from colxtr.codec import check_dim, check_n_bits
from colxtr.errors import (
    ColxtrError,
    CorruptIndexError,
    IndexNotFoundError,
    IndexVersionError,
)
from colxtr.storage.files import (
    BLOCK_BYTES,
    block_checksums,
    check_length,
    file_length,
    found_missing,
    is_checksum,
    named_errors,
    sync_folder,
    write_atomically,
)
from colxtr.storage.records import record, typed

FORMAT, VERSION = "colxtr-index", 1
MOST_MANIFEST_BYTES = 256 << 20  # enough for 20 TB
MOST_DOCUMENTS = 1 << 32  # of a segment: tombstones have ordinals of 32 bits
MANIFEST_NAME = re.compile(r"manifest-([1-9][0-9]{0,17})\.json")
TEMPORARY_NAME = re.compile(MANIFEST_NAME.pattern + r"\.tmp")
FILE_NAME = re.compile(
    r"(codec-[1-9][0-9]{0,17}\.safetensors"
    r"|segment-[1-9][0-9]{0,17}(\.safetensors|\.sqlite|-deletes-[1-9][0-9]{0,17}\.safetensors))"
)


@dataclass(frozen=True)
class Settings:
    """What was decided when the index was created.

    Attributes:
        dim: Length of a token embedding.
        n_bits: Bits per dimension.
        n_centroids: None to choose from the number of tokens.
        seed: Of everything random.
        windows: Whether texts beyond the encoder's limit are encoded in overlapping windows;
            otherwise they are cut.
    """

    dim: int
    n_bits: int
    n_centroids: int | None = None
    seed: int = 0
    windows: bool = False


@dataclass(frozen=True)
class EncoderEntry:
    """Which encoder made the embeddings: where it was loaded from, its name, its content."""

    source: str
    name: str
    fingerprint: str


@dataclass(frozen=True)
class SegmentEntry:
    """One segment: the stem of its files and its size."""

    name: str
    n_documents: int
    n_tokens: int
    deletes: str | None = None
    n_deleted: int = 0


@dataclass(frozen=True)
class FileEntry:
    """Length of a file and the CRC-32 of each of its blocks."""

    bytes: int
    block_crc32: list[str]

    @classmethod
    def of(cls, path: Path) -> Self:
        """Measure a file."""
        return cls(path.stat().st_size, block_checksums(path))


@dataclass(frozen=True)
class Manifest:
    """One generation of an index; docs/index-format.md describes the fields."""

    settings: Settings
    encoder: EncoderEntry | None
    written_by: str
    generation: int = 0
    next_number: int = 1
    n_added: int = 0
    codec: str | None = None
    segments: tuple[SegmentEntry, ...] = ()
    files: dict[str, FileEntry] = field(default_factory=dict)

    def file_name(self) -> str:
        """The manifest's own file."""
        return f"manifest-{self.generation}.json"

    def as_bytes(self) -> bytes:
        """The content of that file: a line of JSON, and a line with its checksum."""
        fields = {"format": FORMAT, "version": VERSION, **vars(self)}
        line = json.dumps(fields, default=vars).encode()
        return line + b"\n" + f"{zlib.crc32(line):08x}\n".encode()

    def n_documents(self) -> int:
        """Documents that are not deleted."""
        return sum(segment.n_documents - segment.n_deleted for segment in self.segments)


def file_names(manifest: Manifest) -> list[str]:
    """Names of the files that a generation consists of, the manifest itself aside."""
    names = [] if manifest.codec is None else [f"{manifest.codec}.safetensors"]
    for segment in manifest.segments:
        names.append(f"{segment.name}.sqlite")
        if segment.n_tokens:
            names.append(f"{segment.name}.safetensors")
        if segment.deletes is not None:
            names.append(f"{segment.deletes}.safetensors")
    return names


def commit(folder: Path, manifest: Manifest, new_files: Iterable[Path]) -> Manifest:
    """Make `manifest`, with files that are already on the disk, the next generation.

    Returns:
        The manifest as it was written, then in force.
    """
    generation = 1 + (newest_generation(folder) or 0)
    known = manifest.files | {path.name: FileEntry.of(path) for path in new_files}
    files = {name: known[name] for name in file_names(manifest)}
    manifest = replace(manifest, files=files, generation=generation)
    with named_errors(folder):
        sync_folder(folder)  # the files' names, before a manifest counts on them
    write_atomically(folder / manifest.file_name(), manifest.as_bytes())
    remove_unnamed(folder, manifest)
    return manifest


def remove_unnamed(folder: Path, manifest: Manifest) -> None:
    """Remove all other manifests, and files of ours that this one does not name.

    A file that resists (Windows keeps those that a reader has mapped) goes another time.
    """
    for path in folder.iterdir():
        older = MANIFEST_NAME.fullmatch(path.name) and path.name != manifest.file_name()
        unnamed = FILE_NAME.fullmatch(path.name) and path.name not in manifest.files
        if older or unnamed or TEMPORARY_NAME.fullmatch(path.name):
            with suppress(OSError):
                path.unlink()


@contextmanager
def undone_on_error(folder: Path) -> Iterator[None]:
    """Remove what was written in vain if the block fails, unless it was committed after all."""
    try:
        yield
    except BaseException:
        with suppress(ColxtrError, OSError):
            remove_unnamed(folder, read_manifest(folder))
        raise


def newest_generation(folder: Path) -> int | None:
    """The highest generation in a folder; None if it is not an index."""
    if not folder.is_dir():
        return None
    matches = (MANIFEST_NAME.fullmatch(path.name) for path in folder.iterdir())
    return max((int(match[1]) for match in matches if match), default=None)


def existing_generation(folder: Path) -> int:
    """The highest generation in a folder.

    Raises:
        IndexNotFoundError: The folder is not an index.
    """
    generation = newest_generation(folder)
    if generation is None:
        raise IndexNotFoundError(
            f"{folder}: no colxtr index here; make one with `colxtr index DOCS --index {folder}`"
        )
    return generation


def is_index_file(name: str) -> bool:
    """Whether a file of this name can only be part of an index."""
    patterns = (MANIFEST_NAME, TEMPORARY_NAME, FILE_NAME)
    return name == "LOCK" or any(pattern.fullmatch(name) for pattern in patterns)


def successor(folder: Path, settings: Settings, encoder: EncoderEntry | None) -> Manifest:
    """An empty index in place of whatever index lies in the folder, readable or not."""
    names = [path.name for path in folder.iterdir() if is_index_file(path.name)]
    numbers = [int(number) for name in names for number in re.findall(r"-([0-9]+)", name)]
    return Manifest(
        settings,
        encoder,
        written_by=f"colxtr {version('colxtr')}",
        generation=newest_generation(folder) or 0,  # in force until this one is committed
        next_number=max(numbers, default=0) + 1,
    )


def read_manifest(folder: Path, *, lengths: bool = True) -> Manifest:
    """The newest manifest, after checking that all its files are there with the right length.

    Args:
        folder: Of the index.
        lengths: False leaves that check out.

    Raises:
        IndexNotFoundError: The folder is not an index.
        IndexVersionError: It was written in another version of the format.
        CorruptIndexError: The manifest is damaged, or a file is missing or cut.
    """
    generation = existing_generation(folder)
    path = folder / f"manifest-{generation}.json"
    content = _checked_json(path)
    if content.get("format") != FORMAT or content.get("version") != VERSION:
        raise IndexVersionError(
            f"{path}: format {content.get('format')!r} version {content.get('version')!r}; "
            f"this colxtr reads {FORMAT!r} version {VERSION}: build the index anew, or use the "
            "colxtr that wrote it"
        )
    try:
        manifest = _parse(content)
        _check(manifest, generation)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptIndexError(f"{path}: damaged: {type(error).__name__}: {error}") from None
    if lengths:
        for name, entry in manifest.files.items():
            check_length(folder / name, entry.bytes)
    return manifest


def _checked_json(path: Path) -> dict[str, Any]:
    if (length := file_length(path)) > MOST_MANIFEST_BYTES:
        raise CorruptIndexError(f"{path}: damaged: {length:,} bytes are too many for a manifest")
    with found_missing(path):
        lines = path.read_bytes().split(b"\n")
    if len(lines) != 3 or lines[1] != f"{zlib.crc32(lines[0]):08x}".encode() or lines[2]:
        raise CorruptIndexError(f"{path}: damaged: its checksum does not fit its content")
    try:
        content = json.loads(lines[0])
    except (ValueError, RecursionError) as error:
        raise CorruptIndexError(f"{path}: damaged: {error}") from None
    if not isinstance(content, dict):
        raise CorruptIndexError(f"{path}: damaged: not a JSON object")
    return content


def _parse(content: dict[str, Any]) -> Manifest:
    encoder = content["encoder"]
    return Manifest(
        settings=record(Settings, content["settings"]),
        encoder=None if encoder is None else record(EncoderEntry, encoder),
        written_by=typed(content["written_by"], str),
        generation=typed(content["generation"], int),
        next_number=typed(content["next_number"], int),
        n_added=typed(content["n_added"], int),
        codec=None if content["codec"] is None else typed(content["codec"], str),
        segments=tuple(record(SegmentEntry, each) for each in typed(content["segments"], list)),
        files={
            name: record(FileEntry, entry) for name, entry in typed(content["files"], dict).items()
        },
    )


def _check(manifest: Manifest, generation: int) -> None:
    """Raise `ValueError` for what a kernel or a path must never see."""
    if manifest.generation != generation:
        raise ValueError(f"generation {manifest.generation} in the file of {generation}")
    for name in manifest.files:
        if not FILE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a file name of this format")
    _check_settings(manifest)
    for name, entry in manifest.files.items():
        n_blocks = -(-entry.bytes // BLOCK_BYTES)
        if len(entry.block_crc32) != n_blocks or not all(map(is_checksum, entry.block_crc32)):
            raise ValueError(f"{name} has {entry.bytes} bytes and other checksums")
    stems = [segment.name for segment in manifest.segments]
    if len(set(stems)) < len(stems):
        raise ValueError("a segment is named twice")
    for each in manifest.segments:
        _check_segment(each)
    if manifest.codec is None and any(segment.n_tokens for segment in manifest.segments):
        raise ValueError("tokens without a codec")
    if differing := set(file_names(manifest)) ^ set(manifest.files):
        raise ValueError(f"its files and its segments do not agree about {sorted(differing)}")


def _check_segment(each: SegmentEntry) -> None:
    sizes = (each.n_documents, each.n_tokens, each.n_deleted)
    if not all(0 <= size <= MOST_DOCUMENTS for size in sizes[::2]) or each.n_tokens < 0:
        raise ValueError(f"{each.name} has sizes {sizes}")
    if each.deletes is not None and not each.deletes.startswith(f"{each.name}-deletes-"):
        raise ValueError(f"{each.name} has tombstones called {each.deletes}")
    if (each.n_deleted > 0) != (each.deletes is not None) or each.n_deleted > each.n_documents:
        raise ValueError(f"{each.name} has {each.n_deleted} deleted documents")


def _check_settings(manifest: Manifest) -> None:
    settings = manifest.settings
    check_dim(settings.dim)
    check_n_bits(settings.n_bits)
    if settings.seed < 0 or (settings.n_centroids is not None and settings.n_centroids < 1):
        raise ValueError(f"the settings are {settings}")
    names = [name for name in manifest.files if FILE_NAME.fullmatch(name)]
    used = [int(number) for name in names for number in re.findall(r"-([0-9]+)", name)]
    if manifest.n_added < 0 or manifest.next_number <= max(used, default=0):
        raise ValueError(f"n_added is {manifest.n_added}, next_number {manifest.next_number}")
