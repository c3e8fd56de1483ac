"""`colxtr denoise`: the whole of a denoised training, from a collection to an encoder folder."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from colxtr.cli.options import AsJson
from colxtr.cli.training import with_hint

if TYPE_CHECKING:
    from colxtr.training.loop import StageResult


def denoise(
    recipe: Annotated[Path, typer.Argument(help="What is wanted (TOML).", metavar="RECIPE")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of all stages.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the stages; do nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The whole loop: mine, score, train, refresh, export.

    Each stage has a folder below the output. Interrupted in any way, the same command goes on and
    repeats nothing that is finished; where a setting or a file has changed, what depends on it is
    done anew, and standard error says so. The recipe's tables are described in docs/denoising.md.

    \b
    Examples:
        colxtr denoise recipe.toml --output run/ --dry-run
        colxtr denoise recipe.toml --output run/
        colxtr search my.index "a question"      (an index made with --model run/export/model)
    """  # noqa: D301
    from colxtr.training.loop import run_stages  # noqa: PLC0415
    from colxtr.training.loop_doers import doers  # noqa: PLC0415
    from colxtr.training.loop_recipe import read_loop_recipe  # noqa: PLC0415
    from colxtr.training.loop_stages import plan  # noqa: PLC0415

    stages = plan(read_loop_recipe(recipe), output, doers(progress=True), progress=True)
    if dry_run:
        sys.stdout.write("".join(f"{stage.name}\n" for stage in stages))
        return
    with with_hint("the same command goes on"):
        results = run_stages(stages, output)
    if as_json:
        sys.stdout.write(json.dumps([asdict(each) for each in results]) + "\n")
        return
    sys.stdout.write("".join(map(_line, results)))


def _line(result: StageResult) -> str:
    when = "done before" if result.done_before else f"{result.seconds:,.0f} s"
    figures = ", ".join(f"{k} {_short(v)}" for k, v in result.figures.items() if _is_plain(v))
    return f"{result.name} ({when}): {figures}\n"


def _is_plain(value: object) -> bool:
    return isinstance(value, int | float | str)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
