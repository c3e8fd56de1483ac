"""Fixtures that several tests share: the instruction sets, and the real collections."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from colxtr import kernels

ROOT = Path(__file__).parent.parent
JsonLines = Callable[..., list[dict[str, Any]]]  # of a module with a `main`, and its arguments

# How fast a busy machine makes examples says nothing about what is tested.
hypothesis.settings.register_profile(
    "colxtr", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("colxtr")

# A shell starts what it runs in the background deaf to Ctrl-C, and so would be the processes to
# which tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def plain_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person or a CI set for their terminal does not reach the tests."""
    for name in ("COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=kernels.instruction_sets())
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once for every instruction set of this machine."""
    before = kernels.instruction_set()
    kernels.use_instruction_set(request.param)
    yield request.param
    kernels.use_instruction_set(before)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real collections; skips without it."""
    folder = Path(os.environ.get("COLXTR_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no collections at {folder}; set COLXTR_DATA to a folder of BEIR collections")
    return folder


@pytest.fixture
def json_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> JsonLines:
    """Runs a module that prints JSON lines, and returns what they hold."""

    def run(module: Any, *arguments: object) -> list[dict[str, Any]]:
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
        module.main()
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run
