"""A comparison as tables: quality beside cost, sweeps, coverage, and what others published.

Knows nothing of measuring; figures are drawn by `plots.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from colxtr.evaluation.cells import TIMED_QUERIES, TIMED_SECONDS
from colxtr.evaluation.plots import draw
from colxtr.evaluation.results import CellResult, Comparison, SweepResult, hnsw_bytes
from colxtr.evaluation.significance import compare_runs
from colxtr.evaluation.tables import Column, Value, render
from colxtr.storage.files import make_folder, write_atomically

_MB = 1e6


class Table(NamedTuple):
    """A table with its name, for a file, and its title, for people."""

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]


def write_report(comparison: Comparison, folder: str | Path) -> list[Path]:
    """Write report.md, results.json, a CSV for each table, and the figures as PNG and SVG.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        StorageError: A file cannot be written.
    """
    folder = Path(folder)
    make_folder(folder)
    tables = all_tables(comparison)
    figures = draw(comparison, folder)
    files = {
        "report.md": _markdown(comparison, tables, figures),
        "results.json": json.dumps(comparison.as_dict(), ensure_ascii=False, indent=1) + "\n",
        **{f"{each.name}.csv": render(each.columns, each.rows, "csv") for each in tables},
    }
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
    return [*(folder / name for name in files), *figures]


def all_tables(comparison: Comparison) -> list[Table]:
    """All tables, the main one first."""
    tables = [main_table(comparison), quality_table(comparison)]
    if comparison.coverage:
        tables.append(coverage_table(comparison))
    tables += [sweep_table(comparison, sweep) for sweep in comparison.sweeps]
    if comparison.published:
        rows: list[list[Value]] = [[each.system, each.ndcg_at_10] for each in comparison.published]
        columns = [Column("published"), Column("nDCG@10", 3)]
        tables.append(Table("published", "Published of this collection", columns, rows))
    if comparison.peers:
        rows = [list(each) for each in comparison.peers]
        columns = [Column("engine"), Column("bytes/token", 1), Column("ms at recall@10 0.9", 1)]
        tables.append(Table("peers", "Other engines (docs/benchmarks.md)", columns, rows))
    return tables


def main_table(comparison: Comparison) -> Table:
    """What every cell gives and costs."""
    measures = comparison.measures
    columns = [
        Column("method"),
        Column("bits"),
        *(Column(name, 4) for name in measures),
        *_COST_COLUMNS,
    ]
    rows: list[list[Value]] = [
        [r.cell.method, r.n_bits, *(r.evaluation.means[name] for name in measures), *_costs(r)]
        for r in comparison.cells
    ]
    return Table("table", "Methods", columns, rows)


def quality_table(comparison: Comparison) -> Table:
    """The first measure of every cell against exact MaxSim in float32, tested.

    Without float32 among the methods, against the first cell.
    """
    measure = comparison.measures[0]
    base = next((r for r in comparison.cells if r.cell.method == "float32"), comparison.cells[0])
    columns = [
        Column("method"),
        Column("bits"),
        Column(measure, 4),
        Column("difference", 4),
        Column("better"),
        Column("worse"),
        Column("p, randomisation", 4),
        Column("p, t-test", 4),
    ]
    rows: list[list[Value]] = []
    for result in comparison.cells:
        row: list[Value] = [result.cell.method, result.n_bits, result.evaluation.means[measure]]
        if result is not base:
            test = compare_runs(
                base.evaluation.per_query[measure], result.evaluation.per_query[measure]
            )
            row += [test.difference, test.wins, test.losses, test.p_randomisation, test.p_t]
        rows.append(row + [None] * (len(columns) - len(row)))
    return Table("quality", f"{measure} against {base.cell.method}", columns, rows)


def coverage_table(comparison: Comparison) -> Table:
    """What of the relevant documents is retrieved at each k'."""
    columns = [Column("k'"), Column("relevant documents", 4), Column("their query tokens", 4)]
    rows: list[list[Value]] = [
        [each.k_prime, each.documents, each.query_tokens] for each in comparison.coverage
    ]
    title = "Share retrieved, exactly, with k' tokens per query token"
    return Table("coverage", title, columns, rows)


def sweep_table(comparison: Comparison, sweep: SweepResult) -> Table:
    """What every value of a setting gives and costs."""
    measures = comparison.measures
    columns = [
        Column("method"),
        Column("bits"),
        Column(sweep.knob),
        *(Column(name, 4) for name in measures),
        *_COST_COLUMNS,
    ]
    rows: list[list[Value]] = [
        [
            r.cell.method,
            r.n_bits,
            value,
            *(r.evaluation.means[name] for name in measures),
            *_costs(r),
        ]
        for value, r in sweep.rows
    ]
    return Table(f"sweep-{sweep.knob}", f"What {sweep.knob} buys", columns, rows)


_COST_COLUMNS = (
    Column("index MB", 1),
    Column("bytes/token", 1),
    Column("x smaller", 1),
    Column("build s", 1),
    Column("build MB", 0),
    Column("p50 ms", 2),
    Column("p95 ms", 2),
    Column("CPU ms", 2),
    Column("search MB", 0),
)


def _costs(result: CellResult) -> list[Value]:
    return [
        result.figure("index_bytes", _MB),
        result.figure("bytes_per_token"),
        result.times_smaller,
        result.figure("build_seconds"),
        result.figure("build_peak_bytes", _MB),
        result.latency(0.5),
        result.latency(0.95),
        result.figure("cpu_milliseconds"),
        result.figure("search_bytes", _MB),
    ]


def summary(comparison: Comparison) -> str:
    """What was compared, in a paragraph."""
    c, m = comparison.collection, comparison.machine
    drawn = "" if c["n_queries"] == c["n_judged"] else f" of {c['n_judged']:,}"
    flat = hnsw_bytes(c["n_tokens"], c["dim"])
    lines = (
        f"{c['name']}: {c['n_documents']:,} documents, {c['n_tokens']:,} tokens of {c['dim']} "
        f"dimensions, {c['n_queries']:,}{drawn} queries. Model {c['model']} ({c['fingerprint']}); "
        f"encoding the documents took {c['encoding_seconds']:,.0f} s, a query "
        f"{comparison.encoding(0.5):.2f} ms (p50), {comparison.encoding(0.95):.2f} ms (p95), one "
        "thread. ",
        f"{m['processor']}, {m['processors']} processors, {m['instruction_set']}, {m['system']}, "
        f"Python {m['python']}, colxtr {m['colxtr']}. ",
        f"A float32 HNSW of these tokens would take {flat / _MB:,.0f} MB "
        f'({flat // max(c["n_tokens"], 1)} bytes a token: vector and 64 links); "x smaller" is '
        f"against it. Search times are one thread's, of at most {TIMED_QUERIES} queries (of slow "
        f"methods those begun in {TIMED_SECONDS:g} s), encoding excluded, CPU ms the mean "
        "processor time of a query; build MB is the peak of the building process, search MB what "
        "searching adds to it, mapped files excluded.",
    )
    text = "".join(lines)
    if comparison.published_size is not None:
        size = comparison.published_size
        text += (
            f" The ColXTR paper has {size.hnsw:g} GB for a flat HNSW of this collection, and "
            f"{size.colxtr:g} GB for ColXTR ({size.hnsw / size.colxtr:.0f} times smaller)."
        )
    return text


def _markdown(comparison: Comparison, tables: Sequence[Table], figures: Sequence[Path]) -> str:
    parts = [f"# {comparison.collection['name']}\n\n{summary(comparison)}\n"]
    for each in tables:
        parts.append(f"## {each.title}\n\n{render(each.columns, each.rows, 'markdown')}")
    pictures = [path for path in figures if path.suffix == ".png"]
    parts += [f"![{path.stem}]({path.name})\n" for path in pictures]
    return "\n".join(parts)
