"""`colxtr compare`: every method at every bit width on one collection, side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from colxtr.cli.eval import Format
from colxtr.cli.guard import end


def compare(  # noqa: PLR0917 (typer passes by name)
    corpus: Annotated[
        Path, typer.Argument(help="A BEIR folder with judgements.", metavar="CORPUS")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A folder for tables, figures, runs, indexes.")
    ],
    methods: Annotated[
        str | None, typer.Option(help="Only these, separated by commas [default: all but ScaNN].")
    ] = None,
    bits: Annotated[str, typer.Option(help="Bits per dimension of the indexes.")] = "1,2,4,8,16",
    sweep: Annotated[
        list[str] | None,
        typer.Option(help="Vary a setting, as n_probe=1,2,4; may come several times."),
    ] = None,
    sweep_bits: Annotated[int, typer.Option(help="Bits of the indexes of sweeps.")] = 2,
    preset: Annotated[
        str,
        typer.Option(help="How deep to search: default, paper-small, paper-large, paper-largest."),
    ] = "default",
    measures: Annotated[
        str, typer.Option(help="By the names of ir-measures; the first one is drawn.")
    ] = "nDCG@10 RR@10 R@100 Success@5",
    split: Annotated[str, typer.Option(help="Whose judgements: qrels/<split>.tsv.")] = "test",
    queries: Annotated[
        int | None, typer.Option(min=1, help="Draw so many of the judged queries.")
    ] = None,
    documents: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many documents.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A model's folder or hub id [default: the built-in one].")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Token embeddings here, for several comparisons to share.")
    ] = None,
    coverage: Annotated[
        bool, typer.Option(help="Find what share of the relevant documents each k' retrieves.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    form: Annotated[Format, typer.Option("--format", help="Of the printed table.")] = Format.TEXT,
) -> None:
    """Measure all methods at all bit widths on a collection.

    Prints one table; the folder gets it as report.md and CSV with all others (significance,
    coverage of relevant documents at each k', sweeps), results.json, figures of quality against
    size and latency (PNG, SVG), and every run in the format of TREC. After Ctrl-C the same command
    goes on; what is finished is not measured again.

    \b
    Methods:
        bm25, float32 (exact), exact, colbert, colbertv2, xtr, xtr-lists, colxtr-no-rerank, colxtr;
        xtr-scann if it is named (pip install 'colxtr[scann]')
    Settings to sweep: n_probe, k_prime, rerank, n_bits, dim, n_centroids.

    \b
    Examples:
        colxtr compare scifact/ --output results/
        colxtr compare scifact/ --output results/ --methods colxtr,xtr,bm25 --bits 2,4 --queries 100
        colxtr compare scifact/ --output results/ --sweep n_probe=1,2,4,8,16,32 --sweep dim=32,64,96
        colxtr compare scifact/ --output paper/ --preset paper-small --cache results/embeddings
    """  # noqa: D301
    from colxtr.evaluation.cells import DEFAULT_METHODS, Sweep  # noqa: PLC0415
    from colxtr.evaluation.compare import CompareSettings  # noqa: PLC0415
    from colxtr.evaluation.compare import compare as run  # noqa: PLC0415
    from colxtr.evaluation.report import main_table, summary, write_report  # noqa: PLC0415
    from colxtr.evaluation.tables import render  # noqa: PLC0415
    from colxtr.libraries import imported  # noqa: PLC0415

    settings = CompareSettings(
        methods=DEFAULT_METHODS if methods is None else _names(methods),
        bits=_numbers(bits),
        split=split,
        queries=queries,
        documents=documents,
        measures=measures,
        preset=preset,
        sweeps=[Sweep.parse(each) for each in sweep or ()],
        sweep_bits=sweep_bits,
        coverage=coverage,
        seed=seed,
    )
    imported("matplotlib", "drawing figures", "eval")  # an error here is better than at the end
    try:
        found = run(corpus, output, settings, encoder=model, cache=cache, progress=True)
    except KeyboardInterrupt:
        end("interrupted; the same command goes on", code=130)
        raise
    paths = write_report(found, output)
    table = main_table(found)
    sys.stdout.write(render(table.columns, table.rows, str(form)))
    if form is Format.TEXT:
        sys.stdout.write(f"\n{summary(found)}\n")
        for each in found.published:
            sys.stdout.write(f"published: {each.system}, nDCG@10 {each.ndcg_at_10:.3f}\n")
    sys.stderr.write(f"{', '.join(path.name for path in paths)}: in {output}\n")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> list[int]:
    names = _names(text)
    if not all(name.isdecimal() for name in names):
        end(f"error: --bits is {text!r}; write it as 2,4", code=2)
    return [int(name) for name in names]
