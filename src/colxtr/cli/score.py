"""`colxtr score`: a teacher's scores for tuples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from colxtr.cli.options import (
    AsJson,
    Collections,
    Margin,
    MaxRatio,
    MinedSplit,
    PairLength,
    Probabilities,
    Store,
    Tuples,
)
from colxtr.cli.training import collections_of, print_result, with_hint

if TYPE_CHECKING:
    from colxtr.training.score import ScoreReport


def score(  # noqa: PLR0917 (typer passes by name)
    tuples: Tuples,
    teacher: Annotated[
        str,
        typer.Option(help="A cross-encoder, multi-vector encoder or colxtr encoder."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file of scored tuples.")],
    collection: Collections = None,
    split: MinedSplit = "train",
    negatives: Annotated[
        int | None, typer.Option(help="Keep at most so many negatives [default: all].")
    ] = None,
    min_negatives: Annotated[int, typer.Option(help="Tuples with fewer are dropped.")] = 1,
    max_ratio: MaxRatio = None,
    margin: Margin = None,
    probabilities: Probabilities = False,
    sampling: Annotated[
        str, typer.Option(help="Which negatives are kept: top, uniform or strata.")
    ] = "top",
    seed: Annotated[int, typer.Option(help="Of the drawing.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Pairs in a batch.")] = 32,
    max_length: PairLength = 256,
    bf16: Annotated[bool, typer.Option("--bf16", help="Half precision.")] = False,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Score tuples with a teacher and drop false negatives.

    A cross-encoder's scores are logits; an encoder's are exact MaxSim. The output has the tuples
    of the input with "scores", their negatives sorted by score. Work is kept as it is done: after
    Ctrl-C, the same command goes on.

    \b
    Examples:
        colxtr score tuples.jsonl -c scifact/ --teacher cross-encoder/ms-marco-MiniLM-L6-v2 -o s.jsonl
        colxtr score tuples.jsonl -c scifact/ --teacher judge/ --bf16 -o s.jsonl \\
            --margin 0 --negatives 15
        colxtr score tuples.jsonl -c scifact/ --teacher builtin -o s.jsonl
    """  # noqa: D301, E501
    from colxtr.training.fingerprints import of_model  # noqa: PLC0415
    from colxtr.training.score import score as run  # noqa: PLC0415
    from colxtr.training.selection import Selection  # noqa: PLC0415
    from colxtr.training.teachers import load_teacher  # noqa: PLC0415
    from colxtr.training.tuple_files import read_training_set  # noqa: PLC0415

    selection = Selection(
        negatives=negatives,
        min_negatives=min_negatives,
        max_ratio=max_ratio,
        margin=margin,
        probabilities=probabilities,
        sampling=sampling,
        seed=seed,
    )
    examples = read_training_set(tuples, collections_of(collection, split), store=store)
    model = load_teacher(teacher, batch_size=batch_size, max_length=max_length, bf16=bf16)
    key = {"teacher": of_model(teacher), "max_length": max_length, "bf16": bf16}
    with with_hint("the same command goes on"):
        report = run(examples, model, output, selection=selection, key=key, progress=True)
    print_result(
        report,
        as_json,
        f"{output}: {report.tuples:,} tuples, {report.negatives:,} negatives",
        f"false negatives dropped: {report.false_negatives:,} of {report.negatives_scored:,}; "
        f"tuples dropped with them: {report.tuples_dropped:,}",
        f"the teacher puts the relevant document first in {report.positive_first:.1%}",
        *_doubts(report),
    )


def _doubts(report: ScoreReport) -> list[str]:
    """A hint where the teacher takes most negatives for relevant."""
    if report.false_negatives * 2 <= report.negatives_scored:
        return []
    return ["more than half were dropped: is the teacher good enough, and the limit meant for it?"]
