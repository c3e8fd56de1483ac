"""`colxtr add`: documents into an index that is there."""

from __future__ import annotations

import time
from itertools import chain, islice
from typing import Annotated

import typer

from colxtr.cli.guard import add_hint, end
from colxtr.cli.index import print_result
from colxtr.cli.options import AsJson, Docs, MemoryLimit, PassageOverlap, PassageWords, TargetIndex
from colxtr.errors import DuplicateIdError


def add(  # noqa: PLR0917 (typer passes by name)
    docs: Docs,
    path: TargetIndex,
    update: Annotated[
        bool, typer.Option("--update", help="Replace documents that have the same ids.")
    ] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Pass over documents that have the same ids.")
    ] = False,
    passage_words: PassageWords = 150,
    passage_overlap: PassageOverlap = 30,
    memory_limit: MemoryLimit = None,
    as_json: AsJson = False,
) -> None:
    """Add documents to an index, or replace some.

    Reads what `colxtr index` reads. A document whose id is in the index already is an error,
    unless it is to be replaced or passed over. What is stored stays after Ctrl-C; go on with the
    same command and --skip-existing, or --update.

    \b
    Examples:
        colxtr add new.jsonl --index my.index
        colxtr add notes/ --index my.index --update
        tail -n 100 log.jsonl | colxtr add - --index my.index --skip-existing
    """  # noqa: D301
    from colxtr.corpora import ReadReport, count_documents, read_documents  # noqa: PLC0415
    from colxtr.index import Index  # noqa: PLC0415
    from colxtr.passages import PassageSettings  # noqa: PLC0415

    if update and skip_existing:
        end("error: --update and --skip-existing exclude each other", code=2)
    passages = PassageSettings(passage_words, passage_overlap)
    total = count_documents(docs, passages=passages)  # also: do the files exist?
    report = ReadReport()
    documents = read_documents(docs, passages=passages, report=report)
    first = list(islice(documents, 1))  # an error here is better than one after opening the index
    start = time.perf_counter()
    with Index.open(path, read_only=False) as index:
        before = index.info().n_added
        every = chain(first, documents)
        try:
            if update:
                index.update(every, total=total, progress=True, memory_limit=memory_limit)
            else:
                index.add(
                    every,
                    total=total,
                    progress=True,
                    skip_existing=skip_existing,
                    memory_limit=memory_limit,
                )
        except KeyboardInterrupt:
            stored = index.info().n_added - before
            again = "--update" if update else "--skip-existing"
            end(f"interrupted; {stored:,} stored; go on with the same command and {again}", 130)
        except DuplicateIdError as error:
            add_hint(error, "--skip-existing passes over such documents, --update replaces them")
            raise
        added = index.info().n_added - before
        print_result(index, added, time.perf_counter() - start, report, as_json)
