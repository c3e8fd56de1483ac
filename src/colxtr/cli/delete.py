"""`colxtr delete`: documents out of an index."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from colxtr.cli.guard import end
from colxtr.cli.options import AsJson, IndexFolder


def delete(
    path: IndexFolder,
    ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of documents.", metavar="[IDS]")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help='A file with an id on each line; "-": standard input.'),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Delete documents by their ids.

    They are gone from searches at once. Their space comes back with `colxtr optimize`, or when
    small segments are merged. Ids that the index does not hold are counted, not an error.

    \b
    Examples:
        colxtr delete my.index doc-17 doc-18
        colxtr delete my.index --file gone.txt
        colxtr search my.index "spam" --k 100 --json | jq -r '.hits[].id' | colxtr delete my.index -f -
    """  # noqa: D301, E501
    from colxtr.index import Index  # noqa: PLC0415

    wanted = list(ids or [])
    if file is not None:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        wanted += [line for line in text.splitlines() if line]
    if not wanted:
        end("error: no ids; name some, or a --file of them", code=2)
    with Index.open(path, read_only=False) as index:
        deleted = index.delete(wanted)
        left = len(index)
    missing = len(set(wanted)) - deleted
    if as_json:
        result = {"deleted": deleted, "not_found": missing, "n_documents": left}
        sys.stdout.write(json.dumps(result) + "\n")
        return
    unknown = f" ({missing:,} ids were not in the index)" if missing else ""
    sys.stdout.write(f"deleted {deleted:,}{unknown}; {left:,} documents are left\n")
