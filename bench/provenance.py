"""When, on what machine and of which commit figures were measured."""

from __future__ import annotations

import datetime
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from colxtr.cpus import available_cpus

ROOT = Path(__file__).parents[1]


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def describe_machine() -> dict[str, Any]:
    """Processor, its instruction sets as far as engines ask for them, cores, memory, system."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
        memory = Path("/proc/meminfo").read_text("utf-8")
    except OSError:  # not Linux
        text, memory = "", ""
    model = re.search(r"^model name\s*: (.*)$", text, re.M)
    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.M)
    kilobytes = re.search(r"^MemTotal:\s+(\d+)", memory, re.M)
    known = "avx2 fma f16c avx512f avx512bw avx512_vnni avx512_bf16 avx512_fp16 amx_int8 asimddp"
    return {
        "cpu": model[1] if model else "unknown",
        "cores": available_cpus(),
        "instruction_sets": [s for s in known.split() if flags and s in flags[1].split()],
        "memory_gb": round(int(kilobytes[1]) / 1e6, 1) if kilobytes else 0,
        "system": f"{os.uname().sysname} {os.uname().machine}",
        "python": sys.version.split()[0],
    }


def machine_text(machine: dict[str, Any]) -> str:
    """What `describe_machine` found, in a line."""
    return (
        f"{machine['cpu']}, {machine['cores']} core{'s' * (machine['cores'] != 1)} "
        f"({', '.join(machine['instruction_sets'])}), {machine['memory_gb']} GB, "
        f"{machine['system']}, Python {machine['python']}"
    )


def commit() -> str:
    """The commit of this checkout, with a plus where files differ from it; nothing without git."""
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    found = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    return found.stdout.strip() if found.returncode == 0 else ""
