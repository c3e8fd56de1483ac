"""The experiments of docs/experiments.md over many collections and models.

    python -m bench.experiments --output results/ [--data FOLDER] [--sets scifact cranfield ...]
    python -m bench.experiments --output results/ --model colbert=a/ --model xtr=b/
    python -m bench.experiments --output brief/ --brief --bits 1 2

For each collection and model: every method at 2 and 16 bits (`colxtr compare`), an ablation from
exact MaxSim to ColXTR as published and from there to ours, and which relevant documents have a
token among the k' best. Several models are set side by side: the same encoder trained with the
ColBERT and with the XTR objective, each searched by each method. What is finished is kept; nothing
here asserts anything. `--brief` leaves out what takes most of the time, exhaustive XTR, and with it
ablation and coverage: float32 against ColXTR and BM25.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from colxtr.evaluation.cells import Sweep
from colxtr.evaluation.compare import CompareSettings, compare
from colxtr.evaluation.measures import Evaluation
from colxtr.evaluation.report import Table, write_report
from colxtr.evaluation.results import Comparison
from colxtr.evaluation.significance import compare_runs
from colxtr.evaluation.tables import Column, Value, render

ROOT = Path(__file__).parent.parent
ENGLISH = (
    "scifact",
    "cranfield",
    "covidqa",
    "fairytaleqa",
    "medquad",
    "selqa",
    "squadshifts",
    "vaswani",
)
METHODS = (
    "bm25",
    "float32",
    "exact",
    "xtr",
    "xtr-lists",
    "colbertv2",
    "colxtr-no-rerank",
    "colxtr",
)
BRIEF = ("bm25", "float32", "exact", "colxtr-no-rerank", "colxtr")
PROBES = 32
MEASURE = "nDCG@10"

Found = dict[tuple[str, str], Comparison]  # (model, collection)
Steps = list[tuple[str, Evaluation]]  # of an ablation: what was changed, and what came of it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("COLXTR_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of collections")
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")
    parser.add_argument("--sets", nargs="+", default=ENGLISH, help="which collections")
    parser.add_argument("--model", action="append", help="NAME=FOLDER; may come several times")
    parser.add_argument("--bits", type=int, nargs="+", default=[1, 2, 16])
    parser.add_argument("--brief", action="store_true", help="without XTR, ablation and coverage")
    parser.add_argument("--queries", type=int, help="draw so many of each collection's")
    arguments = parser.parse_args()
    models: dict[str, str | None] = {"builtin": None}
    if arguments.model:
        models = dict(each.partition("=")[::2] for each in arguments.model)
    ablated: dict[tuple[str, str], Steps] = {}
    found: Found = {}
    for model, source in models.items():
        for name in arguments.sets:
            folder = arguments.output / model / name
            if arguments.brief:
                comparison = briefly(arguments, name, source, folder)
            else:
                comparison, published = measured(arguments, name, source, folder)
                ablated[model, name] = ablation(comparison, published)
            write_report(comparison, folder)
            found[model, name] = comparison
            sys.stderr.write(f"{model}, {name}: done\n")
    tables = overview(found)
    if not arguments.brief:
        tables += [losses(model, ablated) for model in models]
        tables.append(covered(found))
        tables += [tested(f"{model}-{name}", steps) for (model, name), steps in ablated.items()]
    text = "\n".join(f"## {t.title}\n\n{render(t.columns, t.rows, 'markdown')}" for t in tables)
    (arguments.output / "experiments.md").write_text(text, encoding="utf-8")
    print(text)


def briefly(
    arguments: argparse.Namespace, name: str, model: str | None, folder: Path
) -> Comparison:
    """Float32, ColXTR and BM25, for all queries."""
    settings = CompareSettings(
        methods=BRIEF, bits=arguments.bits, queries=arguments.queries, coverage=False
    )
    return compare(arguments.data / name, folder, settings, encoder=model, progress=True)


def measured(
    arguments: argparse.Namespace, name: str, model: str | None, folder: Path
) -> tuple[Comparison, Comparison]:
    """Our settings, and those of the ColXTR paper for small collections."""
    bits = sorted({2, 16, *arguments.bits})
    ours = CompareSettings(
        methods=METHODS,
        bits=bits,
        queries=arguments.queries,
        sweeps=(Sweep("n_probe", (4, PROBES)),),
    )
    paper = CompareSettings(
        methods=("xtr", "xtr-lists", "colxtr-no-rerank"),
        bits=(2, 16),
        queries=arguments.queries,
        preset="paper-small",
    )
    corpus = arguments.data / name
    return (
        compare(corpus, folder, ours, encoder=model, progress=True),
        compare(corpus, folder, paper, encoder=model, progress=True),
    )


def ablation(ours: Comparison, paper: Comparison) -> Steps:
    """Step by step: what ColXTR as published loses, and what wins it back."""
    more = {r.cell.method: r.evaluation for value, r in ours.sweeps[0].rows if value == PROBES}
    return [
        ("exact MaxSim, float32", ours.quality("float32")),
        ("compression alone: exact MaxSim over 2 bits", ours.quality("exact", 2)),
        ("imputation alone: XTR, exhaustive, 16 bits, k' = 500", paper.quality("xtr", 16)),
        ("and centroid recall: own lists of 10 probes", paper.quality("xtr-lists", 16)),
        ("and compression: the same over 2 bits", paper.quality("xtr-lists", 2)),
        ("ColXTR as published: pooled lists", paper.quality("colxtr-no-rerank", 2)),
        ("our default k', no re-ranking", ours.quality("colxtr-no-rerank", 2)),
        (f"and {PROBES} probes", more["colxtr-no-rerank"]),
        ("re-ranking, default", ours.quality("colxtr", 2)),
        (f"re-ranking and {PROBES} probes", more["colxtr"]),
    ]


def tested(name: str, steps: Steps) -> Table:
    """An ablation, each step tested against the first."""
    base = steps[0][1].per_query[MEASURE]
    columns = [Column("step"), Column(MEASURE, 4), Column("to float32", 4), Column("p", 3)]
    rows: list[list[Value]] = []
    for what, evaluation in steps:
        test = compare_runs(base, evaluation.per_query[MEASURE])
        rows.append([what, evaluation[MEASURE], test.difference, test.p_randomisation])
    return Table(f"ablation-{name}", f"Ablation: {name}", columns, rows)


def losses(model: str, ablated: dict[tuple[str, str], Steps]) -> Table:
    """What each step of the ablation is from the first, in all collections, and the mean."""
    of_model = {name: steps for (m, name), steps in ablated.items() if m == model}
    columns = [Column("step"), *(Column(name, 4) for name in of_model), Column("mean", 4)]
    rows: list[list[Value]] = []
    for step, (what, _) in enumerate(next(iter(of_model.values()))):
        values = [steps[step][1][MEASURE] - steps[0][1][MEASURE] for steps in of_model.values()]
        rows.append([what, *values, mean(values)])
    return Table(f"losses-{model}", f"{MEASURE} to float32, model {model}", columns, rows)


def overview(found: Found) -> list[Table]:
    """nDCG@10 of every method over all collections, and their mean; a table for each model."""
    tables = []
    for model in dict.fromkeys(model for model, _ in found):
        of_model = {name: c for (m, name), c in found.items() if m == model}
        columns = [Column("method"), Column("bits"), *(Column(n, 4) for n in of_model)]
        first = next(iter(of_model.values()))
        rows = [
            _row(
                r.cell.method,
                r.n_bits,
                [c.quality(r.cell.method, r.n_bits) for c in of_model.values()],
            )
            for r in first.cells
        ]
        columns.append(Column("mean", 4))
        tables.append(Table(f"overview-{model}", f"{MEASURE}, model {model}", columns, rows))
    return tables


def _row(method: str, n_bits: int | None, evaluations: Sequence[Evaluation]) -> list[Value]:
    values = [evaluation[MEASURE] for evaluation in evaluations]
    return [method, n_bits, *values, mean(values)]


def covered(found: Found) -> Table:
    """Share of relevant documents, and of their query tokens, retrieved at each k'."""
    columns = [
        Column("model"),
        Column("collection"),
        Column("k'"),
        Column("relevant documents", 4),
        Column("their query tokens", 4),
    ]
    rows: list[list[Value]] = [
        [model, name, each.k_prime, each.documents, each.query_tokens]
        for (model, name), comparison in found.items()
        for each in comparison.coverage
    ]
    return Table("coverage", "Share retrieved with k' tokens per query token", columns, rows)


if __name__ == "__main__":
    main()
