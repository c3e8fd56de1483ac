"""Named arrays in a file: safetensors, aligned for mapping (docs/index-format.md, "Arrays").

Written and read here rather than with the safetensors package, which neither aligns nor maps
without copying. Knows nothing of what the arrays mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colxtr.errors import CorruptIndexError
from colxtr.storage.files import found_missing, map_file, named_errors, sync_file

ALIGNMENT = 64
MOST_HEADER_BYTES = 1 << 20  # ours have some hundred
TYPES = {
    "I8": "<i1",
    "U8": "<u1",
    "U32": "<u4",
    "U64": "<u8",
    "F16": "<f2",
    "F32": "<f4",
}
NAMES = {np.dtype(code): name for name, code in TYPES.items()}


@dataclass(frozen=True)
class Streamed:
    """An array to be written that comes in pieces, one after the other along its first axis.

    Attributes:
        shape: Of the whole.
        dtype: Of the whole.
        pieces: Called once, when the array is written.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pieces: Callable[[], Iterator[NDArray[Any]]]

    @property
    def nbytes(self) -> int:
        """Size of the whole."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class ArrayFile:
    """An open array file.

    Attributes:
        path: Where it lies.
        metadata: Strings by name.
        arrays: Read-only views of the mapped file, by name; they keep the mapping alive.
    """

    path: Path
    metadata: Mapping[str, str]
    arrays: Mapping[str, NDArray[Any]]

    def array(self, name: str, dtype: type, ndim: int) -> NDArray[Any]:
        """One array, of the type and number of axes that the format gives it.

        Raises:
            CorruptIndexError: It is not there, or is another one.
        """
        array = self.arrays.get(name)
        if array is None:
            raise CorruptIndexError(f"{self.path}: damaged: no array {name!r}")
        if array.dtype != dtype or array.ndim != ndim:
            raise CorruptIndexError(
                f"{self.path}: damaged: {name!r} is {array.dtype} with {array.ndim} axes"
            )
        return array

    def number(self, name: str) -> int:
        """A metadata entry that is a number, not negative."""
        text = self.metadata.get(name, "")
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise CorruptIndexError(f"{self.path}: damaged: metadata {name!r} is {text!r}")
        return int(text)


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any] | Streamed], metadata: Mapping[str, object]
) -> None:
    """Write arrays to a new file and force it to the disk.

    An array called "codes" begins at a multiple of 64 bytes.
    """
    ordered = sorted(arrays.items(), key=lambda item: (item[0] == "codes", -item[1].dtype.itemsize))
    header: dict[str, object] = {
        "__metadata__": {name: str(value) for name, value in metadata.items()}
    }
    pieces: list[NDArray[Any] | Streamed] = []
    offset = 0
    for name, array in ordered:
        if name == "codes" and (gap := -offset % ALIGNMENT):
            header["padding"] = _entry(padding := np.zeros(gap, np.uint8), offset)
            pieces.append(padding)
            offset += gap
        header[name] = _entry(array, offset)
        pieces.append(array)
        offset += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with named_errors(path):
        path.unlink(missing_ok=True)  # never cut a file that a reader may have mapped
        with path.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for array in pieces:
                for piece in array.pieces() if isinstance(array, Streamed) else (array,):
                    file.write(np.ascontiguousarray(piece).data)
        sync_file(path)


def _entry(array: NDArray[Any] | Streamed, offset: int) -> dict[str, object]:
    return {
        "dtype": NAMES[array.dtype.newbyteorder("<")],
        "shape": list(array.shape),
        "data_offsets": [offset, offset + array.nbytes],
    }


def read_arrays(path: Path) -> ArrayFile:
    """Map a file of arrays.

    Raises:
        CorruptIndexError: The header is damaged or contradicts the file's length.
    """
    with found_missing(path):
        content = map_file(path)
    try:
        header, start = _header(content)
        metadata = header.pop("__metadata__", {})
        if not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("metadata other than strings")
        arrays = {name: _view(content, start, entry) for name, entry in header.items()}
        if "codes" in header and (start + header["codes"]["data_offsets"][0]) % ALIGNMENT:
            raise ValueError(f"codes that do not begin at a multiple of {ALIGNMENT}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptIndexError(f"{path}: damaged header: {error}") from None
    return ArrayFile(path, metadata, arrays)


def _header(content: Any) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(MOST_HEADER_BYTES, len(content) - 8):
        raise ValueError(f"a header of {length} bytes in a file of {len(content)}")
    header = json.loads(bytes(content[8 : 8 + length]))
    if not isinstance(header, dict):
        raise ValueError("not a JSON object")
    return header, 8 + length


def _view(content: Any, start: int, entry: Mapping[str, Any]) -> NDArray[Any]:
    dtype = np.dtype(TYPES[entry["dtype"]])
    shape, (begin, end) = entry["shape"], entry["data_offsets"]
    if not all(type(number) is int and 0 <= number < 1 << 62 for number in (*shape, begin, end)):
        raise ValueError("sizes other than natural numbers")
    count = 1
    for extent in shape:
        count *= extent
    if end - begin != count * dtype.itemsize or start + end > len(content):
        raise ValueError("an array that does not fit the file")
    if (start + begin) % dtype.itemsize:
        raise ValueError("an array that is not aligned")
    return np.frombuffer(content, dtype, count, start + begin).reshape(shape)
