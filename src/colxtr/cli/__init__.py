"""The command line: `colxtr index`, `search`, `info`, `demo`; `eval`, `compare`; `train`, ...

Each command is a file of its own and imports what it needs when it runs, so that `--help` and
mistakes in the arguments are answered at once. Knows nothing that the package cannot do without
it.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from colxtr.cli.add import add
from colxtr.cli.compare import compare
from colxtr.cli.delete import delete
from colxtr.cli.demo import demo
from colxtr.cli.denoise import denoise
from colxtr.cli.distill import distill
from colxtr.cli.eval import evaluate
from colxtr.cli.export import export
from colxtr.cli.guard import guarded, show_tracebacks
from colxtr.cli.index import index
from colxtr.cli.info import info
from colxtr.cli.mine import mine
from colxtr.cli.optimize import optimize
from colxtr.cli.refresh import refresh
from colxtr.cli.score import score
from colxtr.cli.search import search
from colxtr.cli.train import train
from colxtr.cli.verify import verify

app = typer.Typer(
    name="colxtr",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: fast, and the same in a pipe
    context_settings={"help_option_names": ["-h", "--help"]},
)
_TRAINING = (mine, distill, score, train, refresh, denoise, export)
for _command in (index, search, add, delete, info, verify, optimize, demo, *_TRAINING):
    app.command(no_args_is_help=_command is not demo)(guarded(_command))
app.command("eval", no_args_is_help=True)(guarded(evaluate))
app.command(no_args_is_help=True)(guarded(compare))


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show Python's traceback with an error.")
    ] = False,
) -> None:
    """Late-interaction retrieval over one small index: index texts, and search them.

    \b
    Try it on the documentation of Python that this machine has:
        colxtr demo
    Your own files:
        colxtr index notes/ papers.jsonl --index my.index
        colxtr search my.index "how do I renew a certificate"
    """  # noqa: D301 (a \b tells the help to keep the lines below it)
    del version, debug  # main() takes both out of the arguments, wherever they stand


def main() -> None:
    """Run the command line; the process ends with 0, 1 (error), 2 (usage) or 130 (interrupted)."""
    _print_any_text()
    arguments = sys.argv[1:]
    if _take(arguments, "--debug"):
        show_tracebacks()
    if arguments[:1] == ["--version"]:
        sys.stdout.write(f"colxtr {_version()}\n")
        return
    app(arguments, prog_name="colxtr")


def _print_any_text() -> None:
    """Print UTF-8 into files and pipes, on a terminal what it can show, closed streams nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        encoding = None if sys.stdout.isatty() else "utf-8"
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")


def _take(arguments: list[str], flag: str) -> bool:
    """Remove a flag that stands before any `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if flag not in arguments[:end]:
        return False
    arguments.remove(flag)
    return True


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version("colxtr")
    except PackageNotFoundError:
        return "(not installed)"
