"""Files that reach the disk, and checksums that prove it. Knows nothing of what is in them."""

from __future__ import annotations

import errno
import mmap
import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from colxtr.errors import CorruptIndexError, DiskFullError, StorageError

BLOCK_BYTES = 1 << 20


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` while writing into a `StorageError` that names the file and a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFullError(
                f"{path}: {error.strerror}; free some space and run the command again "
                "(what was committed before is safe)"
            ) from error
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def found_missing(path: Path) -> Iterator[None]:
    """Turn a `FileNotFoundError` while reading into a `CorruptIndexError` that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise CorruptIndexError(f"{path}: missing") from None


def sync_file(path: Path) -> None:
    """Force a file's content to the disk."""
    _sync(path, os.O_RDWR)


def sync_folder(path: Path) -> None:
    """Force a folder's entries to the disk (where the system has such a thing)."""
    if os.name != "nt":
        _sync(path, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder and those above it, as far as they are missing, and force them to the disk."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is there as a whole or not at all, even if the machine stops."""
    temporary = path.with_name(path.name + ".tmp")
    with named_errors(path):
        try:
            temporary.write_bytes(content)
            sync_file(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def block_checksums(path: Path) -> list[str]:
    """The CRC-32 of each block of 1 MiB, as eight hexadecimal digits."""
    with path.open("rb") as file:
        return [f"{zlib.crc32(block):08x}" for block in iter(lambda: file.read(BLOCK_BYTES), b"")]


def is_checksum(text: object) -> bool:
    """Whether this is what `block_checksums` gives for a block."""
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{8}", text) is not None


def damaged_blocks(path: Path, expected: Sequence[str]) -> Iterator[str]:
    """Compare every block of a file with its checksum; yields a line for each that differs.

    Raises:
        CorruptIndexError: The file is missing, or has another number of blocks.
    """
    with found_missing(path):
        found = block_checksums(path)
    if len(found) != len(expected):
        raise CorruptIndexError(f"{path}: has {len(found)} blocks, expected {len(expected)}")
    for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        if ours != theirs:
            yield (
                f"{path}: damaged between bytes {i * BLOCK_BYTES:,} and {(i + 1) * BLOCK_BYTES:,} "
                f"(checksum {ours}, expected {theirs})"
            )


def check_blocks(path: Path, expected: Sequence[str]) -> None:
    """Compare every block of a file with its checksum.

    Raises:
        CorruptIndexError: A block differs; names the file and the offset.
    """
    for damage in damaged_blocks(path, expected):
        raise CorruptIndexError(damage)


def file_length(path: Path) -> int:
    """Length of a file in bytes.

    Raises:
        CorruptIndexError: It is missing, or no file: a pipe would keep whoever opens it waiting.
    """
    with found_missing(path):
        status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise CorruptIndexError(f"{path}: damaged: not a file")
    return status.st_size


def check_length(path: Path, expected: int) -> None:
    """Raise `CorruptIndexError` unless the file is there and `expected` bytes long."""
    found = file_length(path)
    if found != expected:
        raise CorruptIndexError(f"{path}: has {found:,} bytes, expected {expected:,}")


def map_file(path: Path) -> mmap.mmap | bytes:
    """The file's content, mapped read-only; an empty file is empty bytes."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
