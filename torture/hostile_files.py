"""Filters, files of documents and queries, and settings of models, from strangers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import colxtr
from colxtr.corpora import read_documents, read_queries
from colxtr.encoder_config import EncoderConfig
from colxtr.filters import parse_filter_text
from torture import made
from torture.strange import as_json, changed_bytes, changed_json


class HostileFiles:
    """Changes of what is read beside indexes, each handed to its reader.

    Attributes:
        kinds: What can be changed; each is given a generator, and asks.
    """

    def __init__(self, folder: Path, index: Path) -> None:
        """Prepare; filters are asked of `index`."""
        self._folder, self._index = folder, index
        self._documents = _files_of_documents()
        self.kinds: dict[str, Callable[[Random], object]] = {
            "filter": self._filter,
            "documents": self._corpus,
            "queries": self._queries,
            "colxtr.json": self._config,
        }

    def _filter(self, random: Random) -> None:
        text = as_json(changed_json(random.choice(_FILTERS), random))
        if random.random() < 0.3:
            text = changed_bytes(text, random)
        parsed = parse_filter_text(
            text.decode(errors=random.choice(["replace", "surrogateescape"]))
        )
        parse_filter_text(parsed.key)
        with colxtr.Index.open(self._index) as index:
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
