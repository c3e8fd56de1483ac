"""`colxtr info`: what an index holds and what it takes."""

from __future__ import annotations

import json
import sys

from colxtr.cli.options import AsJson, IndexFolder


def info(
    path: IndexFolder,
    as_json: AsJson = False,
) -> None:
    """Show what an index holds, and how large its parts are.

    \b
    Examples:
        colxtr info my.index
        colxtr info my.index --json | jq .n_documents
    """  # noqa: D301
    from colxtr.cli.render import info_lines  # noqa: PLC0415
    from colxtr.index import Index  # noqa: PLC0415

    with Index.open(path) as index:
        found = index.info()
    if as_json:
        sys.stdout.write(json.dumps(found.as_dict(), default=str) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in info_lines(found))
