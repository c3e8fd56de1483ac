"""Prose, markup and source code: whole files, decoded, titled and cut into passages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from colxtr.corpora.html import charset, extract
from colxtr.corpora.records import Found
from colxtr.corpora.sources import Source
from colxtr.corpora.streams import UnsuitableError, decoded
from colxtr.documents import Document
from colxtr.errors import CorpusError
from colxtr.passages import PassageSettings, split_text

MAX_TEXT_BYTES = 64_000_000
_SNIFFED_BYTES = 8192
_BOM = "\ufeff"

HTML_SUFFIXES = frozenset({".html", ".htm", ".xhtml"})
CODE_SUFFIXES = frozenset(
    """
    .asm .bash .bat .c .cc .cfg .clj .cmake .conf .cpp .cs .css .cu .cxx .dart .el .ex
    .exs .f90 .fs .go .gradle .h .hpp .hs .hxx .ini .java .jl .js .json .jsx .kt .less
    .lisp .lua .m .mjs .ml .mm .nim .php .pl .pm .proto .ps1 .py .pyi .pyx .r .rb .rs
    .sass .scala .scss .sh .sql .svelte .swift .tcl .tf .toml .ts .tsx .vb .vim .vue
    .xml .yaml .yml .zig .zsh
    """.split()  # noqa: SIM905 (a list of names reads better as one text)
)
_MARKDOWN_TITLE = re.compile(r"^#{1,2}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_RST_TITLE = re.compile(r"^(\S.{0,200})\n([=\-~*#^\"'+])\2{2,}[ \t]*$", re.MULTILINE)
_TITLE_WITHIN = 4000  # characters; a heading further down is not the title of the whole


def read_text(stream: BinaryIO, source: Source, settings: PassageSettings) -> Iterator[Found]:
    """Read a file as passages with the ids `path#1`, `path#2`, ...; a short one has `path#1` only.

    The metadata holds path, start and end (offsets of characters, in the extracted text for
    HTML) and, but for HTML, the line that the passage begins in.

    Raises:
        CorpusError: The file is not text, not UTF-8, empty or above 64 MB.
    """
    data = _read(stream, source)
    is_html = source.suffix in HTML_SUFFIXES
    is_code = source.suffix in CODE_SUFFIXES
    if is_html:
        title, text = extract(_decoded(data, source, charset(data)))
    else:
        text = _decoded(data, source, None)
        title = source.id if is_code else _title(text, source.suffix)
    for passage in split_text(text, settings, code=is_code):
        metadata: dict[str, Any] = {
            "path": source.id,
            "start": passage.start,
            "end": passage.end,
        }
        if not is_html:
            metadata["line"] = passage.line
        identifier = f"{source.id}#{passage.number}"
        document = Document(identifier, passage.text, title, metadata)
        yield Found(document, f"passage {passage.number}")


def _read(stream: BinaryIO, source: Source) -> bytes:
    head = stream.read(_SNIFFED_BYTES)
    if b"\0" in head and head[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        raise UnsuitableError(
            f"{source.name} is not a text file (it holds zero bytes); "
            "extract its text first, for example with pdftotext or pandoc",
            "not text",
        )
    data = head + stream.read(MAX_TEXT_BYTES + 1 - len(head))
    if len(data) > MAX_TEXT_BYTES:
        raise UnsuitableError(
            f"{source.name} is longer than {MAX_TEXT_BYTES // 10**6} MB; split it, "
            "or give its documents as JSON lines",
            f"longer than {MAX_TEXT_BYTES // 10**6} MB",
        )
    return data


def _decoded(data: bytes, source: Source, encoding: str | None) -> str:
    try:
        return decoded(data, source.name).removeprefix(_BOM)
    except CorpusError as error:
        if encoding is None:
            raise UnsuitableError(str(error), "not UTF-8") from None
    return data.decode(encoding, errors="replace")


def _title(text: str, suffix: str) -> str:
    head = text[:_TITLE_WITHIN]
    if suffix in (".md", ".markdown"):
        match = _MARKDOWN_TITLE.search(head)
    elif suffix == ".rst":
        match = _RST_TITLE.search(head)
    else:
        match = None
    return match[1].strip() if match else ""
