"""`colxtr mine`: hard negatives for the queries of collections."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from colxtr.cli.options import AsJson, Store
from colxtr.cli.training import collections_of, print_result, with_hint


def mine(  # noqa: PLR0917 (typer passes by name)
    collection: Annotated[
        list[str],
        typer.Argument(help="Folders or hub ids, NAME=FOLDER for a name.", metavar="COLLECTION"),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file of tuples.")],
    split: Annotated[str, typer.Option(help="Whose judgements: qrels/<split>.tsv.")] = "train",
    index: Annotated[
        Path | None,
        typer.Option(help="Take what this index finds instead of BM25; it holds the collection."),
    ] = None,
    depth: Annotated[int, typer.Option(help="Candidates looked at for each query.")] = 200,
    skip: Annotated[int, typer.Option(help="Best candidates passed over.")] = 0,
    negatives: Annotated[int, typer.Option(help="Negatives of a tuple, at most.")] = 15,
    min_negatives: Annotated[int, typer.Option(help="Tuples with fewer are left out.")] = 1,
    positives: Annotated[
        int, typer.Option(help="Relevant documents of a query that get a tuple, at most.")
    ] = 4,
    near_duplicate: Annotated[
        float,
        typer.Option(help="Candidates that share so many words with a relevant one go; 0: none."),
    ] = 0.8,
    sampling: Annotated[
        str, typer.Option(help="strata (over the whole ranking), uniform, or top.")
    ] = "strata",
    language: Annotated[
        str, typer.Option(help='Stemming of BM25: a Snowball language, "none" or "bigrams".')
    ] = "english",
    k1: Annotated[float, typer.Option(help="BM25's saturation.")] = 0.9,
    b: Annotated[float, typer.Option(help="BM25's weight of length.")] = 0.4,
    seed: Annotated[int, typer.Option(help="Of the drawing.")] = 0,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Mine hard negatives for the queries of a collection.

    A line of the output is {"query_id": ..., "document_ids": [relevant, negative, ...]}. Documents
    known to be relevant, with the text of one that is, or nearly, are never negatives. After
    Ctrl-C, the same command goes on. Several collections keep their ids apart as NAME:ID.

    \b
    Examples:
        colxtr mine scifact/ --output tuples.jsonl
        colxtr mine scifact/ --output tuples.jsonl --depth 500 --negatives 31
        colxtr mine scifact/ covid=covidqa/ --output tuples.jsonl
        colxtr mine jaquad/ --output tuples.jsonl --language bigrams
        colxtr mine scifact/ --index scifact.index --output harder.jsonl --skip 5
    """  # noqa: D301
    from colxtr.index import Index  # noqa: PLC0415
    from colxtr.training.fingerprints import of_collection, of_files  # noqa: PLC0415
    from colxtr.training.mine import MineSettings  # noqa: PLC0415
    from colxtr.training.mine import mine as run  # noqa: PLC0415
    from colxtr.training.tuple_files import read_collections  # noqa: PLC0415

    settings = MineSettings(
        depth=depth,
        skip=skip,
        negatives=negatives,
        min_negatives=min_negatives,
        positives=positives,
        near_duplicate=near_duplicate or None,
        sampling=sampling,
        seed=seed,
        k1=k1,
        b=b,
        language=language,
    )
    collections = collections_of(collection, split)
    texts = read_collections(collections, store=store)
    key = {"collections": [[c.name, split, of_collection(c.folder())] for c in collections]}
    with with_hint("the same command goes on"):
        if index is None:
            report = run(texts, output, settings, key=key, progress=True)
        else:
            key["index"] = [[of_files(index, (".json",))]]
            with Index.open(index) as opened:
                report = run(texts, output, settings, index=opened, key=key, progress=True)
    print_result(
        report,
        as_json,
        f"{output}: {report.tuples:,} tuples of {report.queries:,} queries, "
        f"{report.negatives:,} negatives of {report.candidates:,} candidates",
        f"dropped: {_reasons(report.dropped)}",
        f"relevant documents found at 10: {report.found_at_10:.3f}, at 100: "
        f"{report.found_at_100:.3f}",
    )


def _reasons(dropped: dict[str, int]) -> str:
    some = [f"{count:,} {reason.replace('_', ' ')}" for reason, count in dropped.items() if count]
    return ", ".join(some) or "none"
