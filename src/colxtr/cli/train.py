"""`colxtr train`: a recipe, and it trains; the same command goes on after any interruption."""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from colxtr.memory import keep_freed_memory

if TYPE_CHECKING:
    from colxtr.training.run import Progress, TrainResult

_SECONDS_BETWEEN_LINES = 10.0


def train(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a TOML file.", metavar="RECIPE")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run; goes on with what is in it.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="KEY=VALUE instead of what the recipe says.", metavar="KEY=VALUE"
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the progress and the result as JSON lines.")
    ] = False,
) -> None:
    """Train a model by a recipe: ColBERT, XTR, ColXTR.

    A recipe has the tables model, data, objective, batches, optimizer, checkpoints and evaluation;
    docs/training.md lists their keys, recipes/ has some to copy. The output folder gets model/ (the
    trained model), checkpoints/, history.jsonl and tensorboard/. Ctrl-C finishes the step and saves
    it; killed or not, the same command goes on, to the same weights as without a stop.

    \b
    Examples:
        colxtr train recipes/builtin.toml --output runs/builtin
        colxtr train my.toml -o runs/a --set model.source=bert-base-uncased --set model.dim=128
        colxtr train my.toml -o runs/b --set data.collections='["scifact", "nq=data/nq"]'
        colxtr train my.toml -o runs/c --set batches.size=16 --set batches.accumulate=3
        colxtr train my.toml -o runs/d --set batches.precision=bfloat16
        torchrun --nproc-per-node 4 -m colxtr train my.toml -o runs/e
    """  # noqa: D301
    from colxtr.training.needs import need_torch  # noqa: PLC0415
    from colxtr.training.recipes import read_recipe  # noqa: PLC0415

    need_torch("colxtr train")
    chosen = read_recipe(recipe, settings or ())
    # Heavy, so after the mistakes that a recipe can have.
    from colxtr.training.gathering import process_number  # noqa: PLC0415
    from colxtr.training.starting import load_data  # noqa: PLC0415
    from colxtr.training.trainer import train as run  # noqa: PLC0415

    warnings.showwarning = _show_warning
    keep_freed_memory()
    data = load_data(chosen.data)
    shown = _Lines(as_json)
    try:
        result = run(chosen, data, output, report=shown)
    except KeyboardInterrupt as interrupt:
        if saved := sorted((output / "checkpoints").glob("step-*")):
            sys.stderr.write(f"saved {saved[-1]}; run the same command to go on\n")
        raise interrupt from None
    if process_number() == 0:
        _print_result(result, as_json)


class _Lines:
    """Prints how far a run is, every ten seconds and with every measurement."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        done = progress.step == progress.steps
        if now - self._last < _SECONDS_BETWEEN_LINES and progress.measure is None and not done:
            return
        self._last = now
        if self._as_json:
            from dataclasses import asdict  # noqa: PLC0415

            sys.stdout.write(json.dumps(asdict(progress)) + "\n")
            sys.stdout.flush()
            return
        measure = "" if progress.measure is None else f", nDCG@10 {progress.measure:.4f}"
        sys.stderr.write(
            f"step {progress.step:,} of {progress.steps:,}: loss {progress.loss:.4f}{measure}, "
            f"{progress.tokens_per_second:,.0f} tokens/s, {_duration(progress.seconds_left)} left\n"
        )


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{minutes:.0f} min" if minutes >= 1 else f"{seconds:.0f} s"


def _print_result(result: TrainResult, as_json: bool) -> None:
    if as_json:
        record = {name: getattr(result, name) for name in result.__dataclass_fields__}
        sys.stdout.write(json.dumps(record | {"model": str(result.model)}) + "\n")
        return
    if result.measure is not None and result.measure_before is not None:
        sys.stdout.write(
            f"nDCG@10 {result.measure:.4f}, before training {result.measure_before:.4f}\n"
        )
    sys.stdout.write(f"{result.model}\n")


def _show_warning(  # noqa: PLR0917 (as Python's own)
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning as people read it, without the line of code that it came from."""
    del category, filename, lineno, file, line
    sys.stderr.write(f"warning: {message}\n")
