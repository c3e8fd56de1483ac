"""`colxtr verify`: is every byte of an index as it was written?"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import typer

from colxtr.cli.options import AsJson, IndexFolder


def verify(
    path: IndexFolder,
    as_json: AsJson = False,
) -> None:
    """Check every byte of an index, and that its parts agree.

    Files are compared with their checksums. Ends with 1 if anything is wrong, and names the file
    and the place. Nothing is changed. Also for an index that no longer opens.

    \b
    Examples:
        colxtr verify my.index
        colxtr verify my.index --json | jq -r .problems[]
    """  # noqa: D301
    from colxtr.cli.render import megabytes  # noqa: PLC0415
    from colxtr.progress import progress_bar  # noqa: PLC0415
    from colxtr.storage import verification  # noqa: PLC0415

    with progress_bar("Verifying", verification.n_blocks(path), "blocks") as meter:
        found = verification.verify(path, meter)
    if as_json:
        sys.stdout.write(json.dumps({"path": str(path), "ok": bool(found)} | asdict(found)) + "\n")
    elif found:
        sys.stdout.write(
            f"{path}: generation {found.generation}, {found.n_files} files, "
            f"{megabytes(found.n_bytes)}: all is well\n"
        )
    else:
        sys.stdout.writelines(f"{problem}\n" for problem in found.problems)
    if not found:
        raise typer.Exit(1)
