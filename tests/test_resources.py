"""Processors and memory."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from colxtr import cpus
from colxtr.cpus import in_order
from colxtr.errors import InputError
from colxtr.memory import as_bytes, as_text


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order(threads: int) -> None:
    assert list(in_order(lambda n: n * n, range(50), threads)) == [n * n for n in range(50)]
    assert list(in_order(lambda n: n * n, [], threads)) == []


def test_few_pieces_are_under_way() -> None:
    pieces = iter(range(100))
    for done, _ in enumerate(in_order(lambda n: n, pieces, 3), start=1):
        assert 100 - pieces.__length_hint__() - done <= 3


def test_pieces_are_worked_on_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=30)
    assert len(list(in_order(lambda _: both.wait(), range(4), 2))) == 4


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_of_the_pieces_comes_after_their_results(threads: int) -> None:
    def pieces() -> Iterator[int]:
        yield from range(7)
        raise KeyboardInterrupt

    done = []
    with pytest.raises(KeyboardInterrupt):
        for each in in_order(lambda n: n, pieces(), threads):
            done.append(each)
    assert done == list(range(7))


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_of_the_work_comes_in_its_place(threads: int) -> None:
    results = in_order(lambda n: 6 // n, [3, 2, 0, 1], threads)
    assert next(results) == 2
    assert next(results) == 3
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize(
    ("amount", "n_bytes"),
    [
        (1000, 1000),
        ("1000", 1000),
        ("1.5GB", 1_500_000_000),
        (" 900 mb ", 900_000_000),
        ("2GiB", 2 << 30),
        (".5 TB", 500_000_000_000),
        ("12KB", 12_000),
    ],
)
def test_amounts_of_memory(amount: int | str, n_bytes: int) -> None:
    assert as_bytes(amount) == n_bytes


@pytest.mark.parametrize("amount", ["", "GB", "-1GB", "1.5.GB", "3 elephants", 0, -5, "1e9", "0GB"])
def test_what_is_no_amount_of_memory(amount: int | str) -> None:
    with pytest.raises(InputError, match=r"1\.5GB"):
        as_bytes(amount)


def test_amounts_as_text() -> None:
    assert [as_text(n) for n in (1, 250_000_000, 1_500_000_000)] == ["1 MB", "250 MB", "1.5 GB"]


@pytest.mark.parametrize(
    ("machine", "flags", "exactly"),
    [
        ("x86_64", "fpu avx2 avx512f avx512bw", False),
        ("x86_64", "fpu avx2 avx512f avx512_vnni", True),
        ("AMD64", "fpu avx2 avx_vnni", True),
        ("AMD64", None, False),
        ("aarch64", "fp asimd", True),
        ("arm64", None, True),
    ],
)
def test_processors_that_saturate_are_known(
    machine: str, flags: str | None, exactly: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "cpuinfo"
    if flags is not None:
        info.write_text(f"processor : 0\nflags\t\t: {flags}\n", encoding="ascii")
    monkeypatch.setattr(cpus, "_CPU_INFO", info)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert cpus.adds_byte_products_exactly() is exactly


_FAULTS = """
import resource, sys
import numpy as np
from colxtr.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
np.ones(2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    np.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left alone")
def test_freed_memory_is_kept_for_the_next_block() -> None:
    given, kept = (
        int(
            subprocess.run(
                [sys.executable, "-c", _FAULTS, how], check=True, capture_output=True
            ).stdout
        )
        for how in ("give", "keep")
    )
    assert kept < given / 4
