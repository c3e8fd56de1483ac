"""`colxtr index`: read documents, encode them, store them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from colxtr.cli.guard import add_hint, end
from colxtr.cli.options import AsJson, Docs, MemoryLimit, PassageOverlap, PassageWords, TargetIndex
from colxtr.errors import IndexNotFoundError

if TYPE_CHECKING:
    from colxtr.corpora import ReadReport
    from colxtr.documents import Document
    from colxtr.index import Index


def index(  # noqa: PLR0917 (typer passes by name)
    docs: Docs,
    path: TargetIndex,
    n_bits: Annotated[
        int, typer.Option(help="Bits per dimension: 1, 2, 4, 8, or 16 (not compressed).")
    ] = 2,
    model: Annotated[
        str | None, typer.Option(help="A model's folder or hub id [default: the built-in one].")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the index that is there.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Add to the index what it does not hold yet.")
    ] = False,
    passage_words: PassageWords = 150,
    passage_overlap: PassageOverlap = 30,
    windows: Annotated[
        bool,
        typer.Option(
            "--windows/--cut",
            help="Texts beyond the model's limit: whole, in overlapping windows, or cut.",
        ),
    ] = True,
    memory_limit: MemoryLimit = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many documents.")] = None,
    as_json: AsJson = False,
) -> None:
    """Index documents from files, folders and standard input.

    Text, Markdown, HTML, source code, JSON lines, CSV, TSV, Parquet; by the ends of their names.
    Records (JSON lines, tables) are one document each; other files are cut into passages with
    the ids path#1, path#2, ... Everything may be gzipped. Interrupt with Ctrl-C and go on later
    with --resume.

    \b
    Examples:
        colxtr index notes/ --index notes.index
        colxtr index corpus.jsonl.gz --index my.index --n-bits 4
        colxtr index src/ docs/ README.md --index code.index --passage-words 100
        zcat dump.jsonl.gz | colxtr index - --index my.index
        colxtr index corpus.jsonl.gz --index my.index --resume
    """  # noqa: D301
    from colxtr.corpora import ReadReport, count_documents, read_documents  # noqa: PLC0415
    from colxtr.corpora.sources import STDIN  # noqa: PLC0415
    from colxtr.passages import PassageSettings  # noqa: PLC0415

    if overwrite and resume:
        end("error: --overwrite and --resume exclude each other", code=2)
    passages = PassageSettings(passage_words, passage_overlap)
    total = count_documents(docs, passages=passages)  # also: do the files exist?
    report = ReadReport()
    if limit is not None:
        total = limit if total is None else min(total, limit)
    documents = islice(read_documents(docs, passages=passages, report=report), limit)
    if STDIN in docs and sys.stdin and sys.stdin.isatty():
        sys.stderr.write("reading documents from the terminal; end with Ctrl-D on a line\n")
    start = time.perf_counter()
    first = list(islice(documents, 1))  # an error here is better than one after opening the index
    with _open(
        path,
        resume,
        encoder=model,
        n_bits=n_bits,
        windows=windows,
        overwrite=overwrite,
        memory_limit=memory_limit,
    ) as target:
        added = _add(
            target,
            chain(first, documents),
            total,
            memory_limit=memory_limit,
            resume=resume,
            overwrite=overwrite,
        )
        print_result(target, added, time.perf_counter() - start, report, as_json)


def _open(path: Path, resume: bool, *, encoder: str | None, **new: Any) -> Index:
    """The index that is there, to go on with, or a new one."""
    from colxtr.index import Index  # noqa: PLC0415

    if resume:
        with suppress(IndexNotFoundError):  # the first attempt may have ended before there was one
            return Index.open(path, read_only=False, encoder=encoder)
    return Index.create(path, encoder=encoder, **new)


def _add(
    target: Index,
    documents: Iterable[Document],
    total: int | None,
    *,
    memory_limit: str | None,
    resume: bool,
    overwrite: bool,
) -> int:
    before = len(target)
    try:
        return target.add(
            documents,
            total=total,
            progress=True,
            skip_existing=resume,
            memory_limit=memory_limit,
        )
    except KeyboardInterrupt:
        again = "" if len(target) > before else " yet; the same command begins again"
        end(f"interrupted; {_go_on(target, before, overwrite)}{again}", code=130)
        raise
    except Exception as error:
        add_hint(error, _go_on(target, before, overwrite))
        raise


def _go_on(target: Index, before: int, overwrite: bool) -> str:
    done = len(target) - before
    if not done:
        return "nothing was added" + (", nothing replaced" if overwrite else "")
    how = "--resume instead of --overwrite" if overwrite else "--resume"
    were = "document was" if done == 1 else "documents were"
    return f"{done:,} {were} added and stored; go on with the same command and {how}"


def print_result(
    target: Index, added: int, seconds: float, report: ReadReport, as_json: bool
) -> None:
    """Say what was added, and what the index is now."""
    info = target.info()
    if as_json:
        result = {
            "added": added,
            "seconds": round(seconds, 3),
            "skipped": dict(report.skipped),
            "index": info.as_dict(),
        }
        sys.stdout.write(json.dumps(result, default=str) + "\n")
        return
    from colxtr.cli.render import megabytes  # noqa: PLC0415

    rate = added / max(seconds, 1e-9)
    noun = "document" if added == 1 else "documents"
    sys.stdout.write(f"added {added:,} {noun} in {seconds:,.1f} s ({rate:,.0f}/s)\n")
    if report.documents > added:  # --resume and --skip-existing pass over some
        sys.stdout.write(f"already there: {report.documents - added:,}\n")
    if report.skipped:
        sys.stdout.write(f"skipped: {report.skipped_text()}\n")
    sys.stdout.write(
        f"{info.path}: {info.n_documents:,} documents, {info.n_tokens:,} tokens, "
        f"{megabytes(info.bytes_total)} ({info.bytes_per_token:.1f} bytes per token, "
        f"and {megabytes(info.bytes['texts'])} of texts)\n"
    )
