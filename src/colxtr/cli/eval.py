"""`colxtr eval`: indexes and runs against judgements."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from colxtr.cli.guard import end
from colxtr.cli.options import KPrime, NProbe, Quality, Rerank
from colxtr.cli.search import Method

if TYPE_CHECKING:
    from colxtr.evaluation.measures import Evaluation
    from colxtr.evaluation.tables import Column, Value


class Format(StrEnum):
    """How tables are printed."""

    TEXT = "text"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"


@dataclass(frozen=True)
class Measured:
    """A run, by the name that the table calls it."""

    name: str
    evaluation: Evaluation


def evaluate(  # noqa: PLR0917 (typer passes by name)
    targets: Annotated[
        list[str],
        typer.Argument(help="Indexes, and runs in the format of TREC.", metavar="INDEX|RUN..."),
    ],
    qrels: Annotated[
        str,
        typer.Option(help="Judgements: a file of TREC or BEIR, a BEIR folder, an ir_datasets id."),
    ],
    split: Annotated[str, typer.Option(help="Of a BEIR folder: qrels/<split>.tsv.")] = "test",
    queries: Annotated[
        str | None,
        typer.Option(help="For indexes: the queries' file [default: those beside the qrels]."),
    ] = None,
    measures: Annotated[
        str, typer.Option(help="What to measure, by the names of ir-measures.")
    ] = "nDCG@10 RR@10 R@100 Success@5",
    k: Annotated[
        int | None,
        typer.Option("-k", "--k", min=1, help="Documents searched [default: as measures need]."),
    ] = None,
    method: Annotated[Method, typer.Option(help="How to search an index.")] = Method.COLXTR,
    quality: Quality = 0.5,
    n_probe: NProbe = None,
    k_prime: KPrime = None,
    rerank: Rerank = None,
    preset: Annotated[
        str | None,
        typer.Option(help="n_probe and k_prime of the papers: paper-small, -large, -largest."),
    ] = None,
    per_query: Annotated[
        bool, typer.Option("--per-query", help="Print the figures of every query.")
    ] = False,
    save_run: Annotated[
        Path | None, typer.Option(help="Write an index's hits here, in the format of TREC.")
    ] = None,
    tag: Annotated[str | None, typer.Option(help="The run's name in it [default: method].")] = None,
    seed: Annotated[int, typer.Option(help="Of the randomisation test.")] = 0,
    form: Annotated[Format, typer.Option("--format", help="Of the tables.")] = Format.TEXT,
) -> None:
    """Measure indexes and runs against judgements.

    An index is searched with the queries that have judgements. Every further index or run is
    compared with the first: the difference of each measure, on how many queries it is better and
    worse, and p of the randomisation test and (with scipy) of the paired t-test.

    \b
    Examples:
        colxtr eval my.index --qrels scifact/
        colxtr eval run.trec --qrels qrels.txt --measures "nDCG@10 AP RR"
        colxtr eval my.index --qrels scifact/ --method exact --save-run exact.trec --tag exact
        colxtr eval bm25.trec my.index --qrels scifact/ --format markdown
        colxtr eval run.trec --qrels beir/scifact/test --per-query --format csv > queries.csv
    """  # noqa: D301
    from colxtr.evaluation.measures import evaluate as measure  # noqa: PLC0415
    from colxtr.evaluation.measures import largest_cutoff, parse_measures  # noqa: PLC0415
    from colxtr.evaluation.presets import search_options  # noqa: PLC0415
    from colxtr.evaluation.qrels_files import read_qrels  # noqa: PLC0415

    _check(targets, save_run, tag)
    parsed = parse_measures(measures)
    grades = read_qrels(qrels, split=split)
    options: dict[str, Any] = {"method": str(method), "quality": quality, "rerank": rerank}
    options |= search_options(preset, n_probe=n_probe, k_prime=k_prime)
    found = []
    for target in targets:
        if Path(target).is_dir():
            texts = _judged_texts(queries, qrels, grades)
            depth = k or largest_cutoff(parsed)
            run: Any = _searched(Path(target), texts, depth, options, save_run, tag)
        else:
            run = Path(target)
        found.append(Measured(target, measure(run, grades, list(parsed.values()))))
    _report(found, per_query=per_query, form=str(form), seed=seed)


def _check(targets: Sequence[str], save_run: Path | None, tag: str | None) -> None:
    if len(set(targets)) < len(targets):
        end("error: an index or run is named twice; each is measured once", code=2)
    folders = sum(Path(target).is_dir() for target in targets)
    if save_run is not None and folders != 1:
        end(f"error: --save-run is for one index; {folders} are named", code=2)
    if tag is not None and save_run is None:
        end("error: --tag names the run that --save-run writes; give both", code=2)
    if save_run is not None:
        from colxtr.runs import check_target  # noqa: PLC0415

        check_target(save_run)


def _judged_texts(queries: str | None, qrels: str, grades: Mapping[str, object]) -> dict[str, str]:
    """The texts of the queries that have judgements."""
    from colxtr.corpora import read_queries  # noqa: PLC0415
    from colxtr.errors import CorpusError  # noqa: PLC0415
    from colxtr.evaluation.qrels_files import read_judged_queries  # noqa: PLC0415

    texts = read_judged_queries(qrels) if queries is None else dict(read_queries(queries))
    if texts is None:
        end('error: an index needs queries; name their file: "--queries queries.tsv"', code=2)
        raise AssertionError
    judged = {query_id: text for query_id, text in texts.items() if query_id in grades}
    if not judged:
        raise CorpusError(
            f"none of the {len(texts)} queries of {queries or qrels} has a judgement in {qrels}; "
            "their ids must be the same"
        )
    return judged


def _searched(  # noqa: PLR0917
    path: Path,
    texts: Mapping[str, str],
    k: int,
    options: dict[str, Any],
    save_run: Path | None,
    tag: str | None,
) -> dict[str, Any]:
    from colxtr.index import Index  # noqa: PLC0415
    from colxtr.runs import write_run  # noqa: PLC0415

    with Index.open(path) as index:
        hits = index.search_many(list(texts.values()), k, load_text=False, progress=True, **options)
    run = dict(zip(texts, hits, strict=True))
    if save_run is not None:
        write_run(save_run, run, tag=tag or options["method"])
    return run


def _report(found: Sequence[Measured], *, per_query: bool, form: str, seed: int) -> None:
    from colxtr.evaluation.significance import compare_runs  # noqa: PLC0415
    from colxtr.evaluation.tables import render  # noqa: PLC0415

    first = found[0]
    tests = {
        each.name: {
            name: compare_runs(
                first.evaluation.per_query[name], each.evaluation.per_query[name], seed=seed
            )
            for name in first.evaluation.means
        }
        for each in found[1:]
    }
    if form == "json":
        result: dict[str, Any] = {"runs": {e.name: _as_dict(e, per_query) for e in found}}
        if tests:
            result["against"] = first.name
            result["tests"] = {
                run: {name: test.as_dict() for name, test in of_run.items()}
                for run, of_run in tests.items()
            }
        sys.stdout.write(json.dumps(result, ensure_ascii=False, indent=1) + "\n")
        return
    tables = [_per_query_table(found) if per_query else _means_table(found)]
    if per_query and form != "csv":  # a file of CSV is one table
        tables.append(_means_table(found))
    if tests and form != "csv":
        tables.append(_tests_table(first.name, tests))
    sys.stdout.write("\n".join(render(*table, form) for table in tables))
    for each in found if form == "text" else ():
        _warn(each)


def _as_dict(measured: Measured, per_query: bool) -> dict[str, Any]:
    result = measured.evaluation.as_dict()
    if not per_query:
        del result["per_query"]
    return result


def _warn(measured: Measured) -> None:
    e = measured.evaluation
    if e.n_unanswered:
        sys.stderr.write(
            f"{measured.name}: nothing for {e.n_unanswered} of {e.n_queries} judged queries; they "
            "count as 0\n"
        )
    if e.n_unjudged:
        sys.stderr.write(f"{measured.name}: {e.n_unjudged} queries without judgements left out\n")


Table = tuple["list[Column]", "list[list[Value]]"]


def _means_table(found: Sequence[Measured]) -> Table:
    from colxtr.evaluation.tables import Column  # noqa: PLC0415

    names = list(found[0].evaluation.means)
    columns = [Column("run"), *(Column(name, 4) for name in names), Column("queries")]
    rows: list[list[Value]] = [
        [e.name, *(e.evaluation.means[name] for name in names), e.evaluation.n_queries]
        for e in found
    ]
    return columns, rows


def _per_query_table(found: Sequence[Measured]) -> Table:
    from colxtr.evaluation.tables import Column  # noqa: PLC0415

    names = list(found[0].evaluation.means)
    columns = [Column("run"), Column("query"), *(Column(name, 4) for name in names)]
    rows: list[list[Value]] = [
        [each.name, query_id, *(each.evaluation.per_query[name][query_id] for name in names)]
        for each in found
        for query_id in each.evaluation.per_query[names[0]]
    ]
    return columns, rows


def _tests_table(first: str, tests: Mapping[str, Mapping[str, Any]]) -> Table:
    from colxtr.evaluation.tables import Column  # noqa: PLC0415

    columns = [
        Column(f"against {first}"),
        Column("measure"),
        Column("difference", 4),
        Column("better"),
        Column("worse"),
        Column("p, randomisation", 4),
        Column("p, t-test", 4),
    ]
    rows: list[list[Value]] = [
        [run, name, t.difference, t.wins, t.losses, t.p_randomisation, t.p_t]
        for run, of_run in tests.items()
        for name, t in of_run.items()
    ]
    return columns, rows
