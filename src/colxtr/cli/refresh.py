"""`colxtr refresh`: the half-trained model looks for harder negatives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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


def refresh(  # noqa: PLR0917 (typer passes by name)
    model: Annotated[
        str,
        typer.Argument(help="The model, as trained or exported; a folder.", metavar="MODEL"),
    ],
    tuples: Tuples,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file of new tuples.")],
    collection: Collections = None,
    split: MinedSplit = "train",
    teacher: Annotated[
        str | None,
        typer.Option(help="Scores the new negatives; the one that scored the old ones."),
    ] = None,
    new_share: Annotated[
        float, typer.Option(help="Share of the negatives that the model finds.")
    ] = 0.5,
    depth: Annotated[int, typer.Option(help="Candidates looked at for each query.")] = 200,
    skip: Annotated[int, typer.Option(help="Best candidates passed over.")] = 0,
    negatives: Annotated[
        int, typer.Option(help="Negatives of tuples that were not there before.")
    ] = 15,
    max_ratio: MaxRatio = None,
    margin: Margin = None,
    probabilities: Probabilities = False,
    n_bits: Annotated[int, typer.Option(help="Of the index.")] = 2,
    quality: Annotated[float, typer.Option(min=0, max=1, help="Of the search.")] = 0.5,
    seed: Annotated[int, typer.Option(help="Of index and drawing.")] = 0,
    max_length: PairLength = 256,
    bf16: Annotated[bool, typer.Option("--bf16", help="The teacher in half precision.")] = False,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Mine anew with the model so far, score, rebuild tuples.

    The scores that the tuples carry are kept, so name the teacher that gave them; without a
    teacher the new tuples have no scores. After Ctrl-C, the same command goes on.

    \b
    Examples:
        colxtr refresh run-1/model scored.jsonl -c scifact/ --teacher small -o refreshed.jsonl
        colxtr refresh builtin tuples.jsonl -c scifact/ --new-share 1 -o refreshed.jsonl
    """  # noqa: D301
    from colxtr.training.fingerprints import of_model, of_value  # noqa: PLC0415
    from colxtr.training.mine import MineSettings  # noqa: PLC0415
    from colxtr.training.refresh import RefreshSettings  # noqa: PLC0415
    from colxtr.training.refresh import refresh as run  # noqa: PLC0415
    from colxtr.training.selection import Selection  # noqa: PLC0415
    from colxtr.training.teachers import load_teacher  # noqa: PLC0415
    from colxtr.training.token_encoders import load_token_encoder  # noqa: PLC0415
    from colxtr.training.tuple_files import read_training_set  # noqa: PLC0415

    settings = RefreshSettings(
        mine=MineSettings(depth=depth, skip=skip, negatives=negatives, seed=seed),
        new_share=new_share,
        n_bits=n_bits,
        quality=quality,
        seed=seed,
    )
    examples = read_training_set(tuples, collections_of(collection, split), store=store)
    judge = None if teacher is None else load_teacher(teacher, max_length=max_length, bf16=bf16)
    scored = [[t.query_id, t.document_ids, t.scores] for t in examples.tuples]
    key = [of_model(model), teacher and of_model(teacher), max_length, bf16, of_value(scored)]
    with with_hint("the same command goes on"):
        report = run(
            load_token_encoder(model),
            examples,
            output,
            settings,
            teacher=judge,
            selection=Selection(max_ratio=max_ratio, margin=margin, probabilities=probabilities),
            key=key,
            progress=True,
        )
    print_result(
        report,
        as_json,
        f"{output}: {report.tuples:,} tuples, {report.negatives:,} negatives, {report.new:.1%} of "
        "them new",
        f"of the old negatives {report.overlap:.1%} were found again",
        f"the model finds relevant documents at 10: {report.mined.found_at_10:.3f}, at 100: "
        f"{report.mined.found_at_100:.3f}",
    )
