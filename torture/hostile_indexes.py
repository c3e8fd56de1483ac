"""Index folders from strangers: manifests, arrays, tombstones, databases.

Checksums are made to fit after each change, so that what lies behind them is reached.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import colxtr
from colxtr.errors import ColxtrError, InputError
from colxtr.storage.documents import row_checksum
from colxtr.storage.manifest import FileEntry, read_manifest
from torture import made
from torture.strange import NUMBERS, as_json, changed_bytes, changed_json, strange


class HostileIndexes:
    """Changes of a small index, each handed to a reader.

    Attributes:
        whole: The index as it should be.
        index: The same, to be changed.
        kinds: What can be changed; each is given a generator, and asks.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.whole, self.index = folder / "whole", folder / "index"
        for path in (self.whole, self.index):
            shutil.rmtree(path, ignore_errors=True)
        with made.training_once():
            made.base(self.whole, additions=1)
            with colxtr.Index.open(self.whole, read_only=False) as index:
                index.add_embeddings(*made.given({"d20": 13, "d21": 26}))  # without any token
        shutil.copytree(self.whole, self.index)
        with colxtr.Index.open(self.whole) as index:
            index.verify()
        self.kinds: dict[str, Callable[[Random], object]] = {
            "manifest": self._manifest,
            "manifest, bytes": self._manifest_bytes,
            "header of arrays": self._header,
            "arrays": self._arrays,
            "tombstones": self._tombstones,
            "rows": self._rows,
            "database": self._database,
        }

    def _ask(self) -> None:
        """Everything that a reader may ask; each answer or error on its own."""
        with colxtr.Index.open(self.index) as index:
            for ask in (made.hits, made.stored, colxtr.Index.info, colxtr.Index.verify):
                with suppress(ColxtrError):
                    ask(index)
            for doc_id in ("d0", "d3", "d10"):
                with suppress(ColxtrError):
                    made.explained(index, doc_id)
            if len(index) > 1_000:
                raise InputError("a lie about the number of documents")

    def _write_manifest(self, content: bytes) -> None:
        for path in self.index.glob("manifest-*"):
            path.unlink()
        path = next(self.whole.glob("manifest-*"))
        (self.index / path.name).write_bytes(content)

    def _manifest_line(self) -> bytes:
        return next(self.whole.glob("manifest-*")).read_bytes().split(b"\n")[0]

    def _manifest(self, random: Random) -> None:
        line = as_json(changed_json(json.loads(self._manifest_line()), random))
        self._write_manifest(line + f"\n{zlib.crc32(line):08x}\n".encode())
        self._ask()

    def _manifest_bytes(self, random: Random) -> None:
        line = changed_bytes(self._manifest_line(), random)
        self._write_manifest(line + f"\n{zlib.crc32(line):08x}\n".encode())
        self._ask()

    def _with_file(self, name: str, content: bytes) -> None:
        """The index with another file, and a manifest that agrees to it."""
        path = self.index / name
        path.unlink()  # it may be mapped
        path.write_bytes(content)
        try:
            manifest = read_manifest(self.whole)
            files = manifest.files | {name: FileEntry.of(path)}
            self._write_manifest(replace(manifest, files=files).as_bytes())
            self._ask()
        finally:
            path.unlink()
            shutil.copy(self.whole / name, path)

    def _array_file(self, random: Random) -> tuple[str, dict[str, Any], bytes]:
        names = [path.name for path in self.whole.glob("*.safetensors")]
        name = random.choice([n for n in names if "deletes" not in n])
        return name, *self._opened(name)

    def _opened(self, name: str) -> tuple[dict[str, Any], bytes]:
        content = (self.whole / name).read_bytes()
        start = 8 + int.from_bytes(content[:8], "little")
        return json.loads(content[8:start]), content[start:]

    def _header(self, random: Random) -> None:
        name, header, data = self._array_file(random)
        text = as_json(changed_json(header, random))
        text += b" " * (-(8 + len(text)) % 64)
        length = len(text) if random.random() < 0.95 else abs(int(random.choice(NUMBERS[:20])))
        self._with_file(name, (length % 2**64).to_bytes(8, "little") + text + data)

    def _arrays(self, random: Random) -> None:
        """Other values in one array: random ones, or extreme ones of its type."""
        name, header, data = self._array_file(random)
        array = random.choice([n for n in header if n != "__metadata__"])
        begin, end = header[array]["data_offsets"]
        values = bytearray(data)
        size = {"U64": 8, "U32": 4, "F32": 4}.get(header[array]["dtype"], 1)
        for _ in range(random.choice([1, 2, 10, 1_000])):
            at = begin + size * random.randrange(max((end - begin) // size, 1))
            new = random.choice([bytes(size), b"\xff" * size, b"\0\0\xc0\x7f" * 2])[:size]
            if random.random() < 0.5:
                new = random.randbytes(size)
            values[at : at + size] = new
        text = as_json(header)
        text += b" " * (-(8 + len(text)) % 64)
        self._with_file(name, len(text).to_bytes(8, "little") + text + bytes(values))

    def _tombstones(self, random: Random) -> None:
        names = [path.name for path in self.whole.glob("*-deletes-*")]
        name = random.choice(names)
        content = (self.whole / name).read_bytes()
        if random.random() < 0.5:
            header, data = self._opened(name)
            text = as_json(changed_json(header, random)) + b" "
            content = len(text).to_bytes(8, "little") + text + data
        self._with_file(name, changed_bytes(content, random))

    def _rows(self, random: Random) -> None:
        """Other fields in a row; its checksum fits, or does not."""
        name = random.choice([path.name for path in self.whole.glob("*.sqlite")])
        path = self._folder / "rows.sqlite"
        shutil.copy(self.whole / name, path)
        column = random.choice(["id", "title", "text", "metadata", "ordinal", "checksum"])
        value = random.choice([strange(random), as_json(strange(random, 2)).decode()])
        if isinstance(value, dict | list):
            value = as_json(value).decode()
        with closing(sqlite3.connect(path)) as connection:
            with suppress(sqlite3.Error, OverflowError, UnicodeError):
                where = random.choice(["", " WHERE ordinal = 1"])
                connection.execute(f"UPDATE OR REPLACE documents SET {column} = ?{where}", [value])
                _fit_checksums(connection)
            connection.commit()
        self._with_file(name, path.read_bytes())

    def _database(self, random: Random) -> None:
        name = random.choice([path.name for path in self.whole.glob("*.sqlite")])
        self._with_file(name, changed_bytes((self.whole / name).read_bytes(), random))


def _fit_checksums(connection: sqlite3.Connection) -> None:
    rows = connection.execute("SELECT ordinal, id, title, text, metadata FROM documents").fetchall()
    for row in rows:
        connection.execute(
            "UPDATE documents SET checksum = ? WHERE ordinal = ?", [row_checksum(row), row[0]]
        )
