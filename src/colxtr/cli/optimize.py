"""`colxtr optimize`: few segments, nothing deleted, centroids that fit."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated

import typer

from colxtr.cli.options import AsJson, IndexFolder, MemoryLimit


def optimize(
    path: IndexFolder,
    retrain: Annotated[
        bool | None,
        typer.Option(
            "--retrain/--no-retrain",
            help="Train the centroids anew, or not [default: if the index has outgrown them].",
        ),
    ] = None,
    reencode: Annotated[
        bool,
        typer.Option(
            "--reencode", help="Encode all texts once more, so that nothing is lost: slow."
        ),
    ] = False,
    memory_limit: MemoryLimit = None,
    as_json: AsJson = False,
) -> None:
    """Merge all segments, and drop what was deleted.

    Trains the centroids anew if there are too few by now.

    Searches go on meanwhile, and readers see the result when they open the index next. Ctrl-C
    leaves the index as it was.

    \b
    Examples:
        colxtr optimize my.index
        colxtr optimize my.index --reencode
    """  # noqa: D301
    from colxtr.cli.render import megabytes  # noqa: PLC0415
    from colxtr.index import Index  # noqa: PLC0415

    start = time.perf_counter()
    with Index.open(path, read_only=False) as index:
        before = index.info()
        index.optimize(retrain=retrain, reencode=reencode, progress=True, memory_limit=memory_limit)
        after = index.info()
    seconds = time.perf_counter() - start
    if as_json:
        result = {
            "seconds": round(seconds, 3),
            "before": before.as_dict(),
            "after": after.as_dict(),
        }
        sys.stdout.write(json.dumps(result, default=str) + "\n")
        return
    sys.stdout.write(
        f"{before.n_segments:,} segments with {before.n_deleted:,} deleted documents became "
        f"{after.n_segments:,} in {seconds:,.1f} s; {megabytes(before.bytes_total)} became "
        f"{megabytes(after.bytes_total)}\n"
    )
