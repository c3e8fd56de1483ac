"""`colxtr distill`: a small cross-encoder learns from a large one, or from labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from colxtr.cli.options import AsJson, Collections, MinedSplit, PairLength, Store, Tuples
from colxtr.cli.training import collections_of, print_result, with_hint


def distill(  # noqa: PLR0917 (typer passes by name)
    tuples: Tuples,
    student: Annotated[
        str, typer.Option(help="A plain encoder, or a cross-encoder to go on with.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the model.")],
    collection: Collections = None,
    split: MinedSplit = "train",
    labels: Annotated[
        bool,
        typer.Option("--labels", help="Learn which document is relevant, rather than scores."),
    ] = False,
    n_way: Annotated[
        int, typer.Option(help="Documents of a tuple, the relevant one included.")
    ] = 8,
    batch_size: Annotated[int, typer.Option(help="Tuples in a step.")] = 8,
    epochs: Annotated[float, typer.Option(help="How often each tuple is seen.")] = 1.0,
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = None,
    learning_rate: Annotated[float, typer.Option(help="At its peak.")] = 4e-5,
    temperature: Annotated[float, typer.Option(help="Scores are divided by it.")] = 1.0,
    max_length: PairLength = 256,
    bf16: Annotated[bool, typer.Option("--bf16", help="Mixed precision, on CPUs too.")] = False,
    save_steps: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 200,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Train a cross-encoder on a teacher's scores or on labels.

    The result is a folder that sentence-transformers loads and `colxtr score --teacher` takes.
    A tenth of the queries, at most 200 tuples, are held out for the figures that are printed.
    After Ctrl-C, the same command goes on from the last checkpoint.

    \b
    Examples:
        colxtr distill tuples.jsonl -c scifact/ --labels --student bert-base-uncased -o judge
        colxtr score tuples.jsonl -c scifact/ --teacher judge -o judged.jsonl
        colxtr distill judged.jsonl -c scifact/ -o small \\
            --student sentence-transformers/all-MiniLM-L6-v2
    """  # noqa: D301
    from colxtr.training.distil import DistilSettings, distil  # noqa: PLC0415
    from colxtr.training.fingerprints import of_model  # noqa: PLC0415
    from colxtr.training.tuple_files import read_training_set  # noqa: PLC0415

    settings = DistilSettings(
        labels=labels,
        n_way=n_way,
        batch_size=batch_size,
        epochs=epochs,
        max_steps=max_steps,
        learning_rate=learning_rate,
        temperature=temperature,
        max_length=max_length,
        bf16=bf16,
        save_steps=save_steps,
        seed=seed,
    )
    examples = read_training_set(tuples, collections_of(collection, split), store=store)
    with with_hint("the same command goes on"):
        report = distil(examples, student, output, settings, key=of_model(student), progress=True)
    print_result(
        report,
        as_json,
        f"{output}: {report.steps:,} steps on {report.tuples:,} tuples",
        f"on {report.held_out:,} tuples held out: KL {report.kl_before:.3f} -> "
        f"{report.kl_after:.3f}, relevant document first "
        f"{report.positive_first_before:.1%} -> {report.positive_first_after:.1%}",
    )
