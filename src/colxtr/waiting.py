"""Items on their way in, and where those wait that are read before the codec is trained.

The first wait in memory, the others in a file without a name: a codec that knows only how a stream
begins suits its end badly. Knows nothing of coding or committing.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from colxtr.documents import Document
from colxtr.progress import SILENT, Meter
from colxtr.storage.files import named_errors


@dataclass(frozen=True, slots=True)
class Item:
    """A document on its way in.

    Attributes:
        document: Checked; its id is new.
        embeddings: (n_tokens, dim); None if the text is still to be encoded.
        counted: Whether the progress bar has seen it.
    """

    document: Document
    embeddings: NDArray[np.floating] | None = None
    counted: bool = False

    def weight(self) -> int:
        """Bytes that it holds while it waits, roughly: embeddings in half precision."""
        given = 0 if self.embeddings is None else 2 * self.embeddings.size
        return len(self.document.text) + given


@dataclass(frozen=True)
class Room:
    """How much may wait.

    Attributes:
        memory_bytes: In memory.
        file_bytes: Beyond that in a file; no more than half of what the disk has free.
        documents: In both, at most: their ids are in memory.
    """

    memory_bytes: int = 64 << 20
    file_bytes: int = 256 << 20
    documents: int = 1_000_000


class Waiting:
    """Items that wait, by position. Their embeddings are in half precision, if they have any."""

    def __init__(self, folder: Path, dim: int, room: Room) -> None:
        """Nothing waits yet.

        Args:
            folder: On the disk that the file may fill.
            dim: Of the embeddings.
            room: How much there is.
        """
        self._folder, self._dim, self._room = folder, dim, room
        self._first: list[Item | None] = []
        self._n_bytes = 0
        self._file: BinaryIO | None = None
        self._starts = array("Q", [0])  # in the file
        self._most_in_file = 0
        self._changed: dict[int, Item] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def __len__(self) -> int:
        return len(self._first) + len(self._starts) - 1

    def __getitem__(self, i: int) -> Item:
        if (changed := self._changed.get(i)) is not None:
            return changed
        if i < len(self._first):
            item = self._first[i]
            assert item is not None, f"item {i} has been released"
            return item
        return self._read(i - len(self._first))

    def __setitem__(self, i: int, item: Item) -> None:
        """Let another item wait in the place of one; it does so in memory."""
        self._changed[i] = item

    def fill(self, stream: Iterator[Item], advance: Meter = SILENT) -> bool:
        """Let items wait as long as there is room; returns whether the stream ended with them."""
        for item in stream:
            if item.embeddings is not None:
                item = replace(item, embeddings=item.embeddings.astype(np.float16))  # noqa: PLW2901
            if self._file is None and self._n_bytes < self._room.memory_bytes:
                self._first.append(item)
                self._n_bytes += item.weight()
                full = self._n_bytes >= self._room.memory_bytes and not self._room.file_bytes
            else:
                self._write(item)
                full = self._starts[-1] >= self._most_in_file
            advance(1)
            if full or len(self) >= self._room.documents:
                return False
        return True

    def released(self) -> Iterator[Item]:
        """All items in their order; each leaves the memory when the caller is done with it."""
        for i in range(len(self)):
            item = self[i]
            self._changed.pop(i, None)
            if i < len(self._first):
                self._first[i] = None
            yield item

    def _write(self, item: Item) -> None:
        with named_errors(self._folder):
            if self._file is None:
                free = shutil.disk_usage(self._folder).free
                self._most_in_file = min(self._room.file_bytes, free // 2)
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - see __exit__
            document = item.document
            fields = [document.id, document.text, document.title, document.metadata]
            text = json.dumps(fields, ensure_ascii=False).encode()
            tokens = b"" if item.embeddings is None else item.embeddings.tobytes()
            n_tokens = -1 if item.embeddings is None else len(item.embeddings)
            record = n_tokens.to_bytes(8, "little", signed=True) + tokens + text
            self._file.write(record)
        self._starts.append(self._starts[-1] + len(record))

    def _read(self, i: int) -> Item:
        assert self._file is not None
        start, end = self._starts[i], self._starts[i + 1]
        self._file.seek(start)
        record = memoryview(self._file.read(end - start))
        n_tokens = int.from_bytes(record[:8], "little", signed=True)
        text_at = 8 + 2 * self._dim * max(n_tokens, 0)
        embeddings = None
        if n_tokens >= 0:
            tokens = np.frombuffer(record[8:text_at], np.float16)
            embeddings = tokens.reshape(n_tokens, self._dim)
        return Item(Document(*json.loads(bytes(record[text_at:]))), embeddings)
