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

# Of searches.
Quality = Annotated[
    float,
    typer.Option(min=0, max=1, help="0 is the fastest, 1 all but exact; sets the following."),
]
NProbe = Annotated[int | None, typer.Option(help="Inverted lists read per query token.")]
KPrime = Annotated[int | None, typer.Option(help="Document tokens retrieved per query token.")]
Rerank = Annotated[
    int | None,
    typer.Option(help="How many documents to re-rank with all their tokens; 0 for none."),
]

# Of training.
Tuples = Annotated[
    str,
    typer.Argument(
        help="A file of tuples, or a folder or hub id that brings some.", metavar="TUPLES"
    ),
]
Collections = Annotated[
    list[str] | None,
    typer.Option("--collection", "-c", help="Where the texts are; may come several times."),
]
MinedSplit = Annotated[str, typer.Option(help="As it was mined.")]
MaxRatio = Annotated[
    float | None,
    typer.Option(help="Drop negatives above this share of the relevant document's score."),
]
Margin = Annotated[
    float | None, typer.Option(help="Negatives must score so much below the relevant one.")
]
Probabilities = Annotated[
    bool, typer.Option("--probabilities", help="Compare sigmoids, for logits.")
]
PairLength = Annotated[int, typer.Option(min=8, help="Tokens of a pair, at most.")]
Store = Annotated[
    Path | None,
    typer.Option(help="Keep texts in files of this folder rather than in memory."),
]
