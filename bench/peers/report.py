"""Results become docs/benchmarks.md and curves of latency against recall.

    python -m bench.peers.report results.json [more.json] [--scaling scaling.jsonl] [--into docs]

A corpus is a section of the page, with when, on what and by which command it was measured. Results
replace the sections of their corpora; what the page says of others stays. The words round the
sections are `HEAD` and `RERUN`.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench.peers.engines import VARIANTS
from bench.peers.layout import TOP
from bench.peers.measures import Point, latency_at, pareto_front
from bench.provenance import machine_text

Results = dict[str, Any]

TARGETS = 0.85, 0.90, 0.94  # recall@10, as far as a peer reaches it
GROWTH, AGAIN = "Growth", "Run it again"  # sections of no corpus
OURS = "colxtr"  # how the names of our own variants begin

HEAD = """\
# Benchmarks

colxtr and its peers on the same token embeddings; each section in one run, in turn. Recall is
the share of the best 10 (or 100) documents by exact MaxSim over the float16 embeddings that an
engine returns; searches ask for 100 documents unless they name `k`; encoding the query is not part
of it. Latency is the median over the rounds of each round's p50 and p95. CPU is the mean processor
time of a query: on a machine that does other things too it says more than the clock. Memory is
what a process has of its own: mapped files are not counted. fast-plaid multiplies in float16,
which torch does some 50 times slower where the processor has no instructions for it
(`avx512_fp16`, `amx`).
"""

RERUN = f"""\
## {AGAIN}

```sh
make bench-peers COLXTR_DATA=FOLDER_OF_COLLECTIONS
```

makes a virtual environment for each engine (two of them bring a torch of their own, 5 GB each),
encodes SciFact, 15 English collections and a Japanese one joined to 152,000 passages of up to 64
tokens, and 12 English ones whole, makes 8 and 100 million synthetic tokens, builds all indexes,
searches, and writes this page; all but SciFact with TACHIOM alone, the fastest of the others. 100
million tokens take three hours of it, and 45 GB of disk. Every step goes on where it was
interrupted. `python -m bench.peers.report` with the results of some corpora replaces their sections
and leaves the others as they are.

`python -m bench.synthetic FOLDER --tokens NUMBER` and `python -m bench.peers.complete FOLDER` make
a corpus of any number of tokens; `python -m bench.likeness FOLDER ...` says how like those of text
they are.
"""

# Okabe and Ito's colours, told apart by all kinds of eyes; and a mark and a line for each, so that
# grey print will do.
Style = tuple[str, str, str]
STYLES: Sequence[Style] = (
    ("#0072B2", "o", "-"),
    ("#56B4E9", "s", "--"),
    ("#D55E00", "^", "-"),
    ("#009E73", "D", "-."),
    ("#CC79A7", "v", ":"),
    ("#E69F00", "P", "--"),
)


class Row(NamedTuple):
    """One setting of one engine on one corpus, with some threads, over all rounds."""

    corpus: str
    engine: str
    threads: int
    settings: Results
    recall_10: float
    recall_100: float
    p50: float  # ms
    p95: float
    cpu: float
    first: Results  # the record of the first round, for what is measured once

    @property
    def point(self) -> Point:
        """Where it stands on the engine's curve."""
        return Point(self.recall_10, self.p50)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--scaling", type=Path, help="lines of `bench.scaling --truth`")
    parser.add_argument("--into", type=Path, default=Path("docs"), help="folder of the page")
    arguments = parser.parse_args()
    page = arguments.into / "benchmarks.md"
    sections = sections_of(page.read_text("utf-8")) if page.is_file() else {}
    for path in arguments.results:
        results: Results = json.loads(path.read_text("utf-8"))
        sections |= corpus_sections(results)
        draw_all(results, arguments.into)
    if arguments.scaling:
        lines = arguments.scaling.read_text("utf-8").splitlines()
        sections[GROWTH] = growth_section([json.loads(line) for line in lines])
    page.write_text(page_of(sections), encoding="utf-8")


def sections_of(page: str) -> dict[str, str]:
    """Name and text of each section that was measured."""
    _, *parts = re.split(r"^## (.*)\n\n", page, flags=re.M)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    return {name: text.rstrip("\n") + "\n" for name, text in sections.items() if name != AGAIN}


def page_of(sections: dict[str, str]) -> str:
    """The page; growth comes after the corpora."""
    names = sorted(sections, key=lambda name: name == GROWTH)
    return "\n".join([HEAD, *(f"## {name}\n\n{sections[name]}" for name in names), RERUN])


def picture(corpus: str, threads: int) -> str:
    return f"benchmarks-{corpus}-{threads}.png"


def merge_rounds(searches: Iterable[Results]) -> list[Row]:
    """One row for each corpus, engine, number of threads and settings; medians over rounds."""
    groups: dict[tuple[str, str, int, str], list[Results]] = {}
    for record in searches:
        if "error" not in record:
            settings = json.dumps(record["settings"], sort_keys=True)
            key = record["corpus"], record["engine"], record["threads"], settings
            groups.setdefault(key, []).append(record)
    return [_row(records) for records in groups.values()]


def _row(rounds: Sequence[Results]) -> Row:
    def over_rounds(name: str) -> float:
        return float(median(record[name] for record in rounds))

    first = rounds[0]
    return Row(
        corpus=first["corpus"],
        engine=first["engine"],
        threads=first["threads"],
        settings=first["settings"],
        recall_10=over_rounds("recall@10"),
        recall_100=over_rounds("recall@100"),
        p50=over_rounds("p50_ms"),
        p95=over_rounds("p95_ms"),
        cpu=over_rounds("cpu_ms"),
        first=first,
    )


def by_curve(rows: Iterable[Row]) -> dict[tuple[str, int], list[Row]]:
    """Rows of each picture: of one corpus and number of threads."""
    curves: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        curves.setdefault((row.corpus, row.threads), []).append(row)
    return curves


def by_engine(rows: Iterable[Row]) -> dict[str, list[Row]]:
    engines: dict[str, list[Row]] = {}
    for row in rows:
        engines.setdefault(row.engine, []).append(row)
    return engines


def corpus_sections(results: Results) -> dict[str, str]:
    """Name and text of each corpus of a comparison."""
    curves = by_curve(sorted_rows(results))
    sections = {}
    for corpus, about in results["corpora"].items():
        parts = [_about(about), _made(results), _builds(corpus, about, results["builds"], curves)]
        for (name, threads), rows in curves.items():
            if name == corpus:
                parts += [_equal_recall(rows, threads), _settings(rows, corpus, threads)]
        parts.append(_failures(corpus, results))
        sections[corpus] = "\n".join(part for part in parts if part)
    return sections


def sorted_rows(results: Results) -> list[Row]:
    """All rows: engines in the order of the comparison, and of each the fastest settings first."""
    names = list(results["versions"])
    return sorted(
        merge_rounds(results["searches"]),
        key=lambda row: (row.corpus, row.threads, names.index(row.engine), row.p50),
    )


def _about(about: Results) -> str:
    return (
        f"{about['documents']:,} documents, {about['tokens']:,} tokens of {about['dim']} "
        f"dimensions; {about['queries']} queries of {about['tokens_per_query']:.1f} tokens.\n"
    )


def _made(results: Results) -> str:
    versions = "; ".join(f"{name}: {number}" for name, number in results["versions"].items())
    return (
        f"{results['date']}. {machine_text(results['machine'])}. {versions}. Made by\n\n"
        f"    {results['command']}\n"
    )


def _builds(
    corpus: str,
    about: Results,
    builds: Iterable[Results],
    curves: dict[tuple[str, int], list[Row]],
) -> str:
    """Size, building and opening."""
    lines, notes = [], []
    rows = [row for (name, _), some in curves.items() for row in some if name == corpus]
    for build in builds:
        if build["corpus"] != corpus or "error" in build:
            continue
        if note := build.get("note"):  # written into build.json by hand
            notes.append(f"\n{build['engine']}: {note}\n")
        own = [row for row in rows if row.engine == build["engine"]]
        opened = next((row.first for row in own if "open_seconds" in row.first), {})
        peak = max((row.first["peak_mb"] for row in own), default=None)
        lines.append(
            [
                build["engine"],
                f"{build['bytes'] / about['tokens']:.1f}",
                f"{build['seconds']:.0f}",
                f"{build['cpu_seconds']:.0f}",
                f"{build['peak_mb']:.0f}",
                _number(opened.get("open_seconds"), 1000, ".0f"),
                _number(opened.get("first_ms"), 1, ".0f"),
                _number(peak, 1, ".0f"),
            ]
        )
    heads = "engine, bytes per token, build s, build CPU s, build MB, open ms, first query ms"
    return table([*heads.split(", "), "search MB"], lines) + "".join(notes)


def _equal_recall(rows: Sequence[Row], threads: int) -> str:
    """Latency of each engine where all reach the same recall."""
    engines = by_engine(rows)
    peers = [row.recall_10 for row in rows if not row.engine.startswith(OURS)]
    best = max(peers, default=TARGETS[-1])
    targets = [*(target for target in TARGETS if target < best), best]
    lines = []
    for name, own in engines.items():
        clock = [row.point for row in own]
        processor = [Point(row.recall_10, row.cpu) for row in own]
        values = [latency_at(points, t) for points in (clock, processor) for t in targets]
        lines.append([name, *(_number(value, 1, ".1f") for value in values)])
    heads = [f"{what} at {target:.3f}" for what in ("ms", "CPU ms") for target in targets]
    text = "Latency at equal recall@10, the last being the highest that a peer reaches; "
    return f"{text}{_threads(threads)}, interpolated:\n\n" + table(["engine", *heads], lines)


def _settings(rows: Sequence[Row], corpus: str, threads: int) -> str:
    """All that was measured."""
    lines = [
        [
            row.engine,
            _settings_text(row.settings),
            f"{row.recall_10:.3f}",
            "-" if row.settings.get("k", TOP) < TOP else f"{row.recall_100:.3f}",
            f"{row.p50:.1f}",
            f"{row.p95:.1f}",
            f"{row.cpu:.1f}",
            _number(row.first.get("batch_queries_per_second"), 1, ".0f"),
        ]
        for row in rows
    ]
    heads = "engine, settings, recall@10, recall@100, p50 ms, p95 ms, CPU ms, queries/s in a batch"
    name = f"Recall and latency on {corpus}, {_threads(threads)}"
    return f"![{name}]({picture(corpus, threads)})\n\n" + table(heads.split(", "), lines)


def _failures(corpus: str, results: Results) -> str:
    """What did not work, once each."""
    said = {
        f"- {record['engine']}: {record['error']}\n"
        for record in [*results["builds"], *results["searches"]]
        if record["corpus"] == corpus and "error" in record
    }
    return "Not measured:\n\n" + "".join(sorted(said)) if said else ""


def growth_section(sizes: Sequence[Results]) -> str:
    """Our own figures at several sizes, of `bench.scaling`."""
    mark = "p50_ms_"
    lines = [
        [
            f"{size['tokens']:,}",
            f"{size['build_s']:.0f}",
            f"{size['build_cpu_s']:.0f}",
            f"{size['build_peak_mb']:.0f}",
            f"{size['bytes_per_token']:.1f}",
            quality,
            f"{size[mark + quality]:.1f}",
            f"{size['recall_' + quality]:.3f}",
            f"{size['true_recall_' + quality]:.3f}",
        ]
        for size in sizes
        for quality in (name.removeprefix(mark) for name in size if name.startswith(mark))
    ]
    heads = "tokens, build s, build CPU s, build MB (mapped files too), bytes per token, quality"
    heads += ", ms, of exhaustive search's best 10, recall@10"
    made = [
        ", ".join(filter(None, (size["date"], size["commit"], machine_text(size["machine"]))))
        for size in sizes
    ]
    return (
        "colxtr alone, 2 bits, one thread, on synthetic tokens that are made while the index is "
        "built (`python -m bench.scaling`); median processor time of a query. Measured: "
        f"{'; '.join(dict.fromkeys(made))}.\n\n{table(heads.split(', '), lines)}"
    )


def _settings_text(settings: Results) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "defaults"


def _threads(threads: int) -> str:
    return f"{threads} thread" + ("s" if threads > 1 else "")


def _number(value: float | None, factor: float, form: str) -> str:
    return "-" if value is None else format(value * factor, form)


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers if they look so."""
    rows = ["| " + " | ".join(cells) + " |" for cells in [heads, ["---"] * len(heads), *lines]]
    return "\n".join(rows) + "\n"


def draw_all(results: Results, folder: Path) -> None:
    """Write the pictures of a comparison."""
    styles = dict(zip((variant.name for variant in VARIANTS), STYLES, strict=False))
    for (corpus, threads), rows in by_curve(sorted_rows(results)).items():
        draw(rows, styles, results["corpora"][corpus]["tokens"], folder / picture(corpus, threads))


def draw(rows: Sequence[Row], styles: dict[str, Style], n_tokens: int, path: Path) -> None:
    """Write one picture: a curve for each engine, its defaults filled."""
    import matplotlib as mpl  # noqa: PLC0415 - in the benchmark's own environment only

    mpl.use("Agg")
    from matplotlib import pyplot, ticker  # noqa: PLC0415

    figure, axes = pyplot.subplots(figsize=(6.4, 4.0), layout="constrained")
    for engine, own in by_engine(rows).items():
        colour, mark, line = styles[engine]
        front = pareto_front(row.point for row in own)
        axes.plot(*zip(*front, strict=True), color=colour, linestyle=line, linewidth=1.5)
        for row in own:
            fill = "none" if row.settings else colour
            axes.plot(*row.point, mark, color=colour, markerfacecolor=fill)
        axes.plot([], [], mark, color=colour, linestyle=line, label=engine)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel("recall@10 of exact MaxSim")
    axes.set_ylabel("p50 of a query, ms")
    title = f"{rows[0].corpus}: {n_tokens / 1e6:.1f}M tokens, {_threads(rows[0].threads)}"
    axes.set_title(f"{title} (filled: defaults)", fontsize=10)
    axes.grid(visible=True, linewidth=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
