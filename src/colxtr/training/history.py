"""What a run tells while it goes: a line of JSON and TensorBoard's curves for a step.

Knows nothing of how the figures came about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SCALARS_FOLDER = "tensorboard"


class History:
    """`history.jsonl`: one object to a line, each with its step.

    What a run wrote after the snapshot that it goes on from is cut off, so that every step is there
    once.

    Args:
        folder: The run's; it must be there.
        step: Steps already done.
        curves: Whether to write TensorBoard's files, too.
    """

    def __init__(self, folder: Path, step: int, *, curves: bool = True) -> None:
        self._path = folder / "history.jsonl"
        kept = [line for line in self._lines() if json.loads(line)["step"] <= step]
        self._path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._file = self._path.open("a", encoding="utf-8")
        self._writer = _writer(folder / _SCALARS_FOLDER, step + 1) if curves else None

    def _lines(self) -> list[str]:
        """The whole lines; a kill may have left half a one at the end."""
        if not self._path.is_file():
            return []
        text = self._path.read_text(encoding="utf-8")
        return text[: text.rfind("\n") + 1].splitlines()

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Write the figures of a step."""
        self._file.write(json.dumps({"step": step, **figures}) + "\n")
        self._file.flush()
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        self._file.close()
        if self._writer is not None:
            self._writer.close()


def _writer(folder: Path, purge_step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 (heavy)

    return SummaryWriter(folder, purge_step=purge_step)
