"""Hostile inputs: index folders, filters, files of documents and settings of models from strangers.

Checksums are made to fit after each change, so that what lies behind them is reached. Whatever
comes, there is an answer or an error of ours, soon, in little memory; never a crash.
"""

from __future__ import annotations

import gzip
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
from colxtr.corpora import read_documents, read_queries
from colxtr.encoder_config import EncoderConfig
from colxtr.errors import ColxtrError, InputError
from colxtr.filters import parse_filter_text
from colxtr.storage.documents import row_checksum
from colxtr.storage.manifest import FileEntry, read_manifest
from torture import guarded, made
from torture.tally import Tally

NUMBERS = (
    *(0, 1, -1, 2, 3, 7, 255, 256, 65_535, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**62),
    *(2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, -(2**63), 0.5, 1e308, -0.0, 1e-300),
    *(float("inf"), float("nan")),
)
TEXTS = (
    *("", "a", "0", "-1", "\u0661", "½", "../x", "/etc/passwd", "a\0b", "a" * 5_000, "\ud800", "é"),
    *("segment-1", "segment-1.sqlite", "codec-2", "I8", "U64", "F32", "$eq", "$in", "$prefix"),
    *("codec-9" * 9, "\n", "\r\n", "{", '"', "true", "null", "\u202e", "LOCK", "manifest-1.json"),
)


def strange(random: Random, depth: int = 0) -> Any:
    """Any JSON value."""
    kind = random.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return random.choice([None, True, False])
    if kind <= 2:
        return random.choice(NUMBERS)
    if kind <= 4:
        return random.choice(TEXTS)
    if kind == 5:
        return {
            random.choice(TEXTS): strange(random, depth + 1) for _ in range(random.randrange(4))
        }
    if kind == 6:
        return [strange(random, depth + 1) for _ in range(random.randrange(4))]
    nested: Any = random.choice([[], {}, 0])
    for _ in range(random.choice([10, 200, 3_000])):
        nested = [nested] if random.random() < 0.9 else {"a": nested}
    return nested


def changed_json(value: Any, random: Random) -> Any:
    """The same value with a few changes anywhere in it."""
    for _ in range(random.choice([1, 1, 1, 2, 5])):
        value = _changed(value, random)
    return value


def _changed(value: Any, random: Random, depth: int = 0) -> Any:  # noqa: PLR0911
    if depth > 20 or not isinstance(value, dict | list) or not value or random.random() < 0.08:
        if type(value) is int and random.random() < 0.5:
            return value + random.choice([-1, 1, 8, -8, value, 2**32, -2 * value])
        return strange(random)
    if isinstance(value, list):
        place = random.randrange(len(value))
        return [*value[:place], _changed(value[place], random, depth + 1), *value[place + 1 :]]
    key = random.choice(list(value))
    what = random.random()
    if what < 0.07:
        return {k: v for k, v in value.items() if k != key}
    if what < 0.14:
        return value | {random.choice([*TEXTS, key + "x"]): value[key]}
    if what < 0.2:
        return value | {key: value[random.choice(list(value))]}
    return value | {key: _changed(value[key], random, depth + 1)}


def as_json(value: Any) -> bytes:
    """JSON, also of what is too deep for `json.dumps`."""
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b"[" * 100_000


def changed_bytes(content: bytes, random: Random) -> bytes:
    """The same bytes with some flipped, cut, doubled or put in."""
    for _ in range(random.choice([1, 1, 2, 8])):
        at = random.randrange(len(content) + 1)
        end = min(at + random.choice([1, 2, 8, 64, 1_000]), len(content))
        new = random.choice(
            [
                bytes([random.randrange(256)]),
                random.randbytes(end - at),
                b"\xff" * (end - at),
                bytes(end - at),
                b"",
                content[at:end] * 2,
                random.choice([t.encode(errors="surrogatepass") for t in TEXTS]),
            ]
        )
        content = content[:at] + new + content[end:]
    return content


class Fuzz:
    """A case of number n is one of kind n modulo the number of kinds."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._seed, self._folder = seed, folder
        self.whole, self.index = folder / "whole", folder / "index"
        for path in (self.whole, self.index):
            shutil.rmtree(path, ignore_errors=True)
        with made.training_once():
            made.base(self.whole, additions=1)
            with colxtr.Index.open(self.whole, read_only=False) as index:
                index.add_embeddings(*made.given({"d20": 13, "d21": 26}))  # without any token
        shutil.copytree(self.whole, self.index)
        self._documents = _files_of_documents()
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
            "filter": self._filter,
            "documents": self._corpus,
            "queries": self._queries,
            "colxtr.json": self._config,
        }

    def try_one(self, case: int) -> list[str]:
        """Make an input and hand it in."""
        random = Random(self._seed * 1_000_003 + case)
        kind = list(self.kinds)[case % len(self.kinds)]
        try:
            self.kinds[kind](random)
        except ColxtrError as error:
            str(error).encode(errors="replace")
            return [f"{kind}: error"]
        return [f"{kind}: accepted"]

    # -- an index ---------------------------------------------------------------------------------

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

    # -- other inputs -----------------------------------------------------------------------------

    def _filter(self, random: Random) -> None:
        text = as_json(changed_json(random.choice(_FILTERS), random))
        if random.random() < 0.3:
            text = changed_bytes(text, random)
        parsed = parse_filter_text(
            text.decode(errors=random.choice(["replace", "surrogateescape"]))
        )
        parse_filter_text(parsed.key)
        with colxtr.Index.open(self.whole) as index:
            index._generation.selected(parsed)
            index.search_embeddings(made.QUERIES[0], filter=parsed, threads=1)

    def _corpus(self, random: Random) -> None:
        name, content = random.choice(list(self._documents.items()))
        content = changed_bytes(content, random)
        if random.random() < 0.3:
            name, content = f"{name}.gz", gzip.compress(content, 1)
            if random.random() < 0.5:
                content = changed_bytes(content, random)
        path = self._folder / name
        path.write_bytes(content)
        try:
            for _ in read_documents(path):
                pass
        finally:
            path.unlink()

    def _queries(self, random: Random) -> None:
        path = self._folder / random.choice(["q.tsv", "q.jsonl"])
        path.write_bytes(changed_bytes(_QUERIES[path.suffix], random))
        read_queries(path)

    def _config(self, random: Random) -> None:
        folder = self._folder / "model"
        folder.mkdir(exist_ok=True)
        for name in ("model.onnx", "tokenizer.json"):
            (folder / name).touch()
        content = as_json(changed_json(_CONFIG, random))
        if random.random() < 0.3:
            content = changed_bytes(content, random)
        (folder / "colxtr.json").write_bytes(content)
        EncoderConfig.read(folder)


def _fit_checksums(connection: sqlite3.Connection) -> None:
    rows = connection.execute("SELECT ordinal, id, title, text, metadata FROM documents").fetchall()
    for row in rows:
        connection.execute(
            "UPDATE documents SET checksum = ? WHERE ordinal = ?", [row_checksum(row), row[0]]
        )


def _files_of_documents() -> dict[str, bytes]:
    rows = [{"id": f"d{i}", "text": f"text {i}", "title": "t", "year": i} for i in range(6)]
    return {
        "a.jsonl": b"".join(json.dumps(row).encode() + b"\n" for row in rows),
        "a.csv": b'id,text,title\n1,"one, two",x\n2,"two ""2""\nlines",\n3,three,y\n',
        "a.tsv": b"1\tone\ttitle\n2\ttwo\n3\tthree\n",
        "a.html": b"<html><head><title>T</title></head><body><h1>H</h1><p>one &amp; &#50;</p>"
        b"<script>x<y</script><table><tr><td>c</td></tr></table><!-- n --></body></html>",
        "a.md": "# H\n\nOne para\u00adgraph \U0001f600.\n\n- item\n\n```py\nx = 1\n```\n".encode(),
        "a.txt": "Eins. Zwei.\r\n\r\nDrei \u202e\u0301\u4e2d\u6587\u0627\n\f".encode() * 20,
    }


_FILTERS: list[dict[str, Any]] = [
    {"year": {"$gte": 2003, "$lt": 2010}, "lang": "en"},
    {"$or": [{"lang": {"$in": ["en", "de"]}}, {"$not": {"tags": {"$all": ["t1", "all"]}}}]},
    {"$nor": [{"year": 2001}, {"lang": {"$prefix": "d"}}], "tags": {"$exists": True}},
    {"$and": [{"year": {"$ne": 2005}}, {"a.b": {"$nin": [1, 2.5, None, True]}}]},
]
_QUERIES = {
    ".tsv": b"1\twhat is it\n2\twhere\n",
    ".jsonl": b'{"_id": "1", "text": "what"}\n{"id": "2", "text": "where"}\n',
}
_CONFIG = {
    "format": "colxtr-encoder",
    "version": 1,
    "name": "tiny",
    "dim": 128,
    "query_length": 32,
    "skip_tokens": ["."],
    "query_prefix_token": "[unused0]",
    "onnx": "model.onnx",
    "normalize": True,
}


def run(inputs: int, seed: int) -> Tally:
    """Try so many inputs."""
    return guarded.run("hostile inputs", "torture.fuzz:Fuzz", range(inputs), seed)
