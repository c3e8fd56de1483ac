import io
import sys
from collections.abc import Iterator

import pytest

from colxtr import progress
from colxtr.progress import progress_bar


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [100.0]
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    yield now


def test_short_work_shows_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Encoding", 10) as advance:
        clock[0] += 1.9
        advance(10)
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_a_line_every_ten_seconds(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress_bar("Encoding", 10_000) as advance:
        for _ in range(24):
            clock[0] += 1
            advance(100)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "Encoding: 200 of 10,000 documents, 100/s, 98 s left",
        "Encoding: 1,200 of 10,000 documents, 100/s, 88 s left",
        "Encoding: 2,200 of 10,000 documents, 100/s, 78 s left",
    ]


def test_what_need_not_be_done(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Encoding", 10) as advance:
        advance.skip(6)
        clock[0] += 2
        advance(2)
    assert capsys.readouterr().err == "Encoding: 2 of 4 documents, 1/s, 2 s left\n"


def test_a_total_that_was_too_low(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Encoding", 3) as advance:
        clock[0] += 2
        advance(4)
    assert capsys.readouterr().err == "Encoding: 4 of 4 documents, 2/s, 0 s left\n"


def test_an_unknown_total(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Reading", None, "lines") as advance:
        clock[0] += 3
        advance(6)
    assert capsys.readouterr().err == "Reading: 6 lines, 2/s\n"


def test_switched_off(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Encoding", 10, enabled=False) as advance:
        clock[0] += 100
        advance(10)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("total", [1000, None])
def test_a_terminal_gets_a_live_line(
    clock: list[float],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    total: int | None,
) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    with progress_bar("Encoding", total) as advance:
        for _ in range(5):
            clock[0] += 1
            advance(200)
    assert "Encoding" in screen.getvalue()
    assert "200/s" in screen.getvalue()
    assert capsys.readouterr().out == ""


def test_a_part_in_other_units(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Indexing", 10) as advance:
        with advance.part("Training", 50, "tokens") as step:
            clock[0] += 3
            step(25)
        with advance.part("Short", 1, "tokens") as step:
            clock[0] += 1
            step(1)
        clock[0] += 1
        advance(5)
    assert capsys.readouterr().err.splitlines() == [
        "Training: 25 of 50 tokens, 8/s, 3 s left",
        "Indexing: 5 of 10 documents, 1/s, 5 s left",
    ]


@pytest.mark.parametrize("width", [30, 67, 68, 80, 200])
def test_any_width(clock: list[float], monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr("sys.stderr", Screen())
    monkeypatch.setenv("COLUMNS", str(width))
    screen = sys.stderr
    with progress_bar("Indexing", 999_999) as advance:
        with advance.part("Training (6 rounds)", 999_999, "tokens") as step:
            clock[0] += 10
            step(500_000)
        clock[0] += 1
        advance(7)
    assert "500000/999999" in screen.getvalue()  # type: ignore[attr-defined]
    assert "7/7" in screen.getvalue()  # type: ignore[attr-defined]


def test_a_terminal_that_cannot_redraw_gets_plain_lines(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", Screen())
    monkeypatch.setenv("TERM", "dumb")
    screen = sys.stderr
    with progress_bar("Indexing", 10) as advance:
        clock[0] += 2
        advance(5)
    assert screen.getvalue() == "Indexing: 5 of 10 documents, 2/s, 2 s left\n"  # type: ignore[attr-defined]


def test_a_part_on_a_terminal(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Screen())
    screen = sys.stderr
    with progress_bar("Indexing", 10) as advance, advance.part("Training", 50, "tokens") as step:
        clock[0] += 3
        step(25)
        advance(1)
    assert "Training" in screen.getvalue()  # type: ignore[attr-defined]
    assert "Indexing" in screen.getvalue()  # type: ignore[attr-defined]
