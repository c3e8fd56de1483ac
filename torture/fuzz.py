"""Hostile inputs: index folders, filters, files of documents and settings of models from strangers.

Whatever comes, there is an answer or an error of ours, soon, in little memory; never a crash.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from colxtr.errors import ColxtrError
from torture import guarded
from torture.hostile_files import HostileFiles
from torture.hostile_indexes import HostileIndexes
from torture.tally import Tally


class Fuzz:
    """A case of number n is one of kind n modulo the number of kinds."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._seed = seed
        indexes = HostileIndexes(folder)
        self.kinds = indexes.kinds | HostileFiles(folder, indexes.whole).kinds

    def try_one(self, case: int) -> list[str]:
        """Make an input and hand it in."""
        random = Random(self._seed * 1_000_003 + case)
        kind = list(self.kinds)[case % len(self.kinds)]
        try:
            self.kinds[kind](random)
        except ColxtrError as error:
            str(error).encode(errors="replace")
            return [f"{kind}: error"]
        return [f"{kind}: accepted"]


def run(inputs: int, seed: int) -> Tally:
    """Try so many inputs."""
    return guarded.run("hostile inputs", "torture.fuzz:Fuzz", range(inputs), seed)
