"""Documentation that every machine has: what the standard library says about itself.

Docstrings come from the source files, which are parsed and never run; only modules written in C,
which have no source, are imported and asked. Knows nothing of the index.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from colxtr.documents import Document
from colxtr.passages import PassageSettings, split_text

MAX_CHARACTERS = 1_600_000  # about 400,000 tokens: a minute of encoding on two cores
_PASSAGES = PassageSettings(words=110, overlap=15)  # docstrings are denser in tokens than prose
_MOST_PASSAGES = 8  # of one docstring; only a few tutorials are longer
_FEWEST_WORDS = 3  # "Return self." explains nothing

QUESTIONS = (
    "how do I parse a date string",
    "run a command and capture its output",
    "sort a list by a key",
    "read a compressed file",
    "count how often each item occurs",
    "remove whitespace from both ends of a string",
    "make a temporary directory that is deleted afterwards",
    "compare two texts and show the differences",
)

# What people look for first; all other public modules follow in the order of their names.
_FIRST = """
    builtins datetime collections itertools functools re os os.path pathlib subprocess json csv
    math random statistics string time calendar shutil tempfile glob fnmatch gzip zipfile tarfile
    bz2 lzma zlib sqlite3 urllib.request urllib.parse http.client http.server socket ssl email
    logging argparse configparser threading multiprocessing concurrent.futures asyncio queue
    heapq bisect operator copy pprint textwrap difflib hashlib hmac secrets uuid base64 struct
    pickle io sys typing dataclasses enum contextlib abc inspect unittest doctest decimal
    fractions zoneinfo locale unicodedata codecs select signal platform getpass traceback
    warnings weakref types array
""".split()  # noqa: SIM905 (a list of names reads better as one text)

# Written in C, wholly or in part, and free of side effects when imported.
_ASKED = """
    builtins datetime collections itertools functools os math cmath time zlib sqlite3 socket
    heapq bisect operator struct pickle io sys json csv random decimal unicodedata codecs select
    signal array hashlib binascii gc marshal errno mmap resource fcntl pwd grp syslog termios
    atexit faulthandler
""".split()  # noqa: SIM905

# Private, for building Python itself, about other languages, or too large for what it explains.
_LEFT_OUT = frozenset(
    """
    antigravity distutils encodings ensurepip idlelib lib2to3 msilib nturl2path ntpath opcode
    posix posixpath nt pydoc_data sre_compile sre_constants sre_parse test this tkinter turtle
    turtledemo venv xxsubtype
    """.split()  # noqa: SIM905
)


class _Entry(NamedTuple):
    name: str
    signature: str
    kind: str
    text: str


def stdlib_documents(max_characters: int = MAX_CHARACTERS) -> Iterator[Document]:
    """Draw the documentation of the running Python's standard library, the best known first.

    Args:
        max_characters: Stop after about so many characters of text.

    Yields:
        One document per docstring (several for a long one), the same ones in every run: the id
        is the qualified name, such as `datetime.datetime.strptime`, with `#2`, `#3`, ... for
        what follows the first passage; the title is the name with its signature.
    """
    names: set[str] = set()
    texts: set[str] = set()
    room = max_characters
    for entry in _entries():
        text = " ".join(entry.text.split())
        if entry.name in names or text in texts or text.count(" ") + 1 < _FEWEST_WORDS:
            continue
        names.add(entry.name)
        texts.add(text)
        for document in _documents(entry):
            room -= len(document.text) + len(document.title)
            if room < 0:
                return
            yield document


def _documents(entry: _Entry) -> Iterator[Document]:
    metadata = {"kind": entry.kind}
    for passage in split_text(entry.text, _PASSAGES):
        if passage.number > _MOST_PASSAGES:
            return
        identifier = entry.name if passage.number == 1 else f"{entry.name}#{passage.number}"
        yield Document(identifier, passage.text, entry.name + entry.signature, metadata)


def _entries() -> Iterator[_Entry]:
    sources = dict(_source_files(Path(sysconfig.get_path("stdlib"))))
    public = {name.split(".")[0] for name in sources} | set(sys.builtin_module_names)
    others = sorted({*sources, *public, *_ASKED} - {*_FIRST})
    yield from _of_modules(_FIRST, sources)
    yield from _topics(sources.get("pydoc_data.topics"))
    yield from _of_modules(others, sources)


def _of_modules(modules: Iterable[str], sources: dict[str, Path]) -> Iterator[_Entry]:
    for module in modules:
        if not _is_public(module) or module.split(".")[0] in _LEFT_OUT:
            continue
        if module in sources:
            yield from _from_source(module, sources[module])
        if module in _ASKED:
            yield from _from_module(module)


def _is_public(name: str) -> bool:
    return not any(part.startswith("_") for part in name.split("."))


def _source_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Module names and files of the standard library, in sorted order."""
    names = sorted(name for name in sys.stdlib_module_names if _is_public(name))
    for name in names:
        if (folder / f"{name}.py").is_file():
            yield name, folder / f"{name}.py"
        for path in sorted((folder / name).rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if not {"test", "tests", "__main__"}.intersection(parts):
                yield ".".join(parts).removesuffix(".__init__"), path
    yield "os.path", folder / "posixpath.py"


def _from_source(module: str, path: Path) -> Iterator[_Entry]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):  # a file we cannot read explains nothing
        return
    if text := ast.get_docstring(tree):
        yield _Entry(module, "", "module", text)
    yield from _from_body(tree.body, module, "function")


def _from_body(body: Iterable[ast.stmt], prefix: str, kind: str) -> Iterator[_Entry]:
    """The public classes and functions of a module or class, also those under if and try."""
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from _from_body(ast.iter_child_nodes(node), prefix, kind)  # type: ignore[arg-type]
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("_"):
            continue
        name = f"{prefix}.{node.name}"
        is_class = isinstance(node, ast.ClassDef)
        if text := ast.get_docstring(node):
            yield _Entry(name, _signature(node), "class" if is_class else kind, text)
        if is_class:
            yield from _from_body(node.body, name, "method")


def _signature(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    if isinstance(node, ast.ClassDef):
        inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        return _signature(inits[0]) if inits else ""
    arguments = ast.unparse(node.args)
    for own in ("self", "cls"):
        if arguments == own or arguments.startswith((f"{own}, ", f"{own}, /, ")):
            arguments = arguments.removeprefix(own).removeprefix(", ").removeprefix("/, ")
    return f"({arguments})"


def _from_module(name: str) -> Iterator[_Entry]:
    """What a module holds that was written in C and so has no source."""
    try:
        module = importlib.import_module(name)
    except ImportError:  # not on this system
        return
    prefix = "" if name == "builtins" else f"{name}."
    if not hasattr(module, "__file__"):
        yield _Entry(name, "", "module", inspect.getdoc(module) or "")
    for member in sorted(vars(module)):
        value = vars(module)[member]
        if member.startswith("_") or not _belongs(value, name):
            continue
        kind = "class" if inspect.isclass(value) else "function"
        yield _Entry(f"{prefix}{member}", _native_signature(value), kind, _own_doc(value))
        if inspect.isclass(value):
            yield from _methods(value, f"{prefix}{member}")


def _belongs(value: object, module: str) -> bool:
    """Whether a function or class is the module's own, or of the C module behind it."""
    if not (inspect.isbuiltin(value) or inspect.isclass(value)):
        return False
    owners = {module, f"_{module}", *(("posix", "nt") if module == "os" else ())}
    return getattr(value, "__module__", None) in owners


def _methods(value: type, prefix: str) -> Iterator[_Entry]:
    for name in sorted(vars(value)):
        method = vars(value)[name]
        if not name.startswith("_") and (callable(method) or isinstance(method, classmethod)):
            method = getattr(value, name)
            yield _Entry(f"{prefix}.{name}", _native_signature(method), "method", _own_doc(method))


def _native_signature(value: object) -> str:
    signature = getattr(value, "__text_signature__", None) or ""
    return re.sub(r"^\(\$\w+(, /)?(, )?", "(", signature)


def _own_doc(value: object) -> str:
    return inspect.getdoc(value) or ""


def _topics(path: Path | None) -> Iterator[_Entry]:
    """The chapters of the language reference that `help()` shows: one dictionary of strings."""
    if path is None:
        return
    for node in ast.parse(path.read_bytes()).body:
        value = getattr(node, "value", None)
        if isinstance(value, ast.Dict):
            for key, text in zip(value.keys, value.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(text, ast.Constant):
                    yield _Entry(f"help.{key.value!s}", "", "topic", str(text.value))
