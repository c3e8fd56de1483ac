"""Options that several commands have, spelled once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Docs = Annotated[
    list[str],
    typer.Argument(help='Files, folders, BEIR folders; "-" for standard input.', metavar="DOCS"),
]
TargetIndex = Annotated[Path, typer.Option("--index", "-o", help="The folder of the index.")]
IndexFolder = Annotated[Path, typer.Argument(help="The folder of the index.", metavar="INDEX")]
PassageWords = Annotated[
    int, typer.Option(help="Text files are cut into passages of at most so many words.")
]
PassageOverlap = Annotated[
    int, typer.Option(help="About how many words neighbouring passages share.")
]
MemoryLimit = Annotated[
    str | None, typer.Option(help="Memory that it may take, as 900MB or 4GB [default: 1.5GB].")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
