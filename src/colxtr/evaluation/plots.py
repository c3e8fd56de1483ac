"""A comparison drawn: quality against size and against latency, sweeps. By matplotlib.

Knows nothing of measuring.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from colxtr.evaluation.results import CellResult, Comparison, SweepResult
from colxtr.libraries import imported
from colxtr.storage.files import named_errors

Value = Callable[[CellResult], float | None]
_MARKERS = "osD^vP*X<>"
_GREYS = ("0.1", "0.35", "0.5", "0.65")
_SALT = "colxtr"  # of the ids in an SVG: the same figures, the same file


def draw(comparison: Comparison, folder: Path) -> list[Path]:
    """Draw all figures of a comparison, each as PNG and SVG.

    Returns:
        Their paths: quality-size, quality-latency, and a sweep-<setting> for each sweep.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    measure = comparison.measures[0]

    def quality(result: CellResult) -> float:
        return result.evaluation.means[measure]

    sizes = _figure(comparison, lambda r: r.figure("bytes_per_token"), quality, "bytes per token")
    times = _figure(
        comparison, lambda r: r.latency(0.5), quality, "search, ms (p50, one thread, no encoding)"
    )
    paths = _saved(sizes, folder / "quality-size") + _saved(times, folder / "quality-latency")
    for sweep in comparison.sweeps:
        paths += _saved(_sweep(comparison, sweep, quality), folder / f"sweep-{sweep.knob}")
    return paths


def _figure(comparison: Comparison, x: Value, y: Value, label: str) -> Any:
    """A line for each method through its bit widths; floor, oracle and published as levels."""
    figure, axes = _pyplot().subplots(figsize=(8.5, 5), layout="constrained")
    marks = itertools.cycle(_MARKERS)
    for method, results in itertools.groupby(comparison.cells, lambda r: r.cell.method):
        points = [(x(r), y(r), r.n_bits) for r in results]
        there = [(a, b, bits) for a, b, bits in points if a is not None]
        if not there or (there[0][2] is None and method in ("bm25", "float32")):
            _level(axes, points[0][1], method, "-.")
            continue
        axes.plot(
            [a for a, _, _ in there], [b for _, b, _ in there], marker=next(marks), label=method
        )
        for a, b, bits in there:
            if bits is not None:
                axes.annotate(f"{bits}", (a, b), textcoords="offset points", xytext=(4, 4), size=7)
    if comparison.measures[0] == "nDCG@10":
        for each in comparison.published:
            _level(axes, each.ndcg_at_10, f"{each.system}, published", ":")
    axes.set_xscale("log")
    plain = imported("matplotlib.ticker", "drawing figures", "eval").FormatStrFormatter("%g")
    axes.xaxis.set_major_formatter(plain)
    axes.xaxis.set_minor_formatter(plain)
    return _finished(figure, axes, comparison, label)


def _sweep(comparison: Comparison, sweep: SweepResult, quality: Value) -> Any:
    """Quality, and latency beside it, by the values of the setting."""
    figure, (left, right) = _pyplot().subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    marks = itertools.cycle(_MARKERS)
    for method, rows in itertools.groupby(sweep.rows, lambda row: row[1].cell.method):
        of_method, mark = list(rows), next(marks)
        values = [value for value, _ in of_method]
        for axes, figures in (
            (left, [quality(result) for _, result in of_method]),
            (right, [result.latency(0.5) for _, result in of_method]),
        ):
            axes.plot(values, figures, marker=mark, label=method)
    for axes, label in ((left, comparison.measures[0]), (right, "search, ms (p50, one thread)")):
        values = sorted({value for value, _ in sweep.rows})
        axes.set_xscale("symlog" if values[0] == 0 else "log", base=2)
        axes.set_xticks(values, [f"{value:,}" for value in values])
        axes.minorticks_off()
        axes.set_xlabel(sweep.knob)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    left.legend(fontsize=8)
    figure.suptitle(comparison.collection["name"])
    return figure


def _level(axes: Any, value: float | None, label: str, style: str) -> None:
    axes.axhline(
        value, linestyle=style, linewidth=1, color=_GREYS[len(axes.lines) % 4], label=label
    )


def _finished(figure: Any, axes: Any, comparison: Comparison, label: str) -> Any:
    axes.set_xlabel(label)
    axes.set_ylabel(comparison.measures[0])
    axes.set_title(f"{comparison.collection['name']}; bits per dimension at the points", size=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _pyplot() -> Any:
    matplotlib = imported("matplotlib", "drawing figures", "eval")
    matplotlib.use("agg")  # into files: no window
    matplotlib.rcParams["svg.hashsalt"] = _SALT
    return imported("matplotlib.pyplot", "drawing figures", "eval")


def _saved(figure: Any, path: Path) -> list[Path]:
    paths = []
    for suffix in (".png", ".svg"):
        target = path.with_suffix(suffix)
        with named_errors(target):
            metadata = {"Date": None} if suffix == ".svg" else None
            figure.savefig(target, dpi=120, metadata=metadata)
        paths.append(target)
    _pyplot().close(figure)
    return paths
