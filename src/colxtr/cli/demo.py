"""`colxtr demo`: index and search documentation that every machine has."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from colxtr.cli.guard import end

if TYPE_CHECKING:
    from colxtr.encoder import Encoder
    from colxtr.index import Index

_HITS = 3


def demo(
    path: Annotated[
        Path | None,
        typer.Option("--index", help="Where to keep the index [default: a temporary folder]."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary folder.")] = False,
    passages: Annotated[
        int | None, typer.Option(min=1, help="Index so many passages only.")
    ] = None,
) -> None:
    """Index Python's own documentation, and ask it questions.

    That is what this Python's standard library says about itself. Takes about a minute on two
    cores; nothing is downloaded.

    \b
    Examples:
        colxtr demo
        colxtr demo --index python.index
        colxtr search python.index "wait for several threads to finish"
    """  # noqa: D301
    from colxtr.storage.manifest import newest_generation  # noqa: PLC0415

    if path and newest_generation(path) is not None:
        ask = f'{_program()} search {path} "your question"'
        end(
            f"error: {path}: an index is already here; ask it ({ask}), or name another path", code=1
        )
    folder = None if path else Path(tempfile.mkdtemp(prefix="colxtr-demo-"))
    target = path or (folder or Path()) / "python.index"
    try:
        _run(target, passages)
    finally:
        if folder and not keep:
            shutil.rmtree(folder, ignore_errors=True)
    if path or keep:
        sys.stdout.write(f'\nask your own: {_program()} search {target} "your question"\n')
    else:
        keeping = f"{_program()} demo --index python.index"
        sys.stdout.write(f"\nkeep the index to ask your own: {keeping}\n")


def _program() -> str:
    """What to type for this very program: its name, or its path if the shell would not find it."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{sys.executable} -m colxtr"
    found = shutil.which(called.name)
    return called.name if found and Path(found).samefile(called) else str(called)


def _run(target: Path, passages: int | None) -> None:
    from itertools import islice  # noqa: PLC0415

    from colxtr.cli.render import megabytes  # noqa: PLC0415
    from colxtr.demo import QUESTIONS, stdlib_documents  # noqa: PLC0415
    from colxtr.encoder import Encoder  # noqa: PLC0415
    from colxtr.index import Index  # noqa: PLC0415

    documents = list(islice(stdlib_documents(), passages))
    version = sys.version.split()[0]
    sys.stdout.write(f"{len(documents):,} passages of Python {version}'s documentation\n")
    sys.stdout.flush()
    encoder = Encoder.load()
    with Index.create(target, encoder=encoder) as index:
        start = time.perf_counter()
        index.add(documents, total=len(documents), progress=True)
        seconds = time.perf_counter() - start
        info = index.info()
        sys.stdout.write(
            f"encoded and indexed in {seconds:,.1f} s "
            f"({info.n_tokens / max(seconds, 1e-9):,.0f} tokens/s)\n"
            f"index: {megabytes(info.bytes_total)} for {info.n_tokens:,} tokens; "
            f"their float32 embeddings would take {megabytes(info.bytes_float32)}\n"
        )
    with Index.open(target, encoder=encoder) as index:
        for question in QUESTIONS:
            _ask(index, encoder, question)


def _ask(index: Index, encoder: Encoder, question: str) -> None:
    from colxtr.cli.render import print_hits  # noqa: PLC0415

    start = time.perf_counter()
    embeddings = encoder.encode_queries([question])[0]
    encoded = time.perf_counter()
    hits = index.search_embeddings(embeddings, k=_HITS)
    searched = time.perf_counter()
    sys.stdout.write(
        f"\n> {question}\n"
        f"  ({1000 * (encoded - start):.1f} ms to encode the question, "
        f"{1000 * (searched - encoded):.1f} ms to search)\n"
    )
    sys.stdout.flush()
    print_hits(hits, [index.explain(question, hit.id) for hit in hits], snippet_length=160)
