"""A random life of an index, the same for a seed: a process to be killed, or replayed.

    python -m torture.life FOLDER SEED FIRST JOURNAL

does the operations FIRST, FIRST + 1, ... to the index in FOLDER until it is killed, and notes in
JOURNAL the number of each that it has finished.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import colxtr
from torture import made

N_IDS = 40


def operation(seed: int, number: int) -> Callable[[colxtr.Index], object]:
    """The operation of this number in the life of this seed; to be done to any index."""
    random = Random(seed * 1_000_003 + number)
    n = random.randrange(1, 16)
    ids = [f"d{i}" for i in random.sample(range(N_IDS), n)]
    documents = {doc_id: random.randrange(10_000) for doc_id in ids}
    kind = random.choice(["add", "add", "update", "update", "delete", "optimize", "retrain"])
    if kind == "add":
        return lambda index: index.add_embeddings(*made.given(documents), skip_existing=True)
    if kind == "update":
        return lambda index: index.update_embeddings(*made.given(documents))
    if kind == "delete":
        return lambda index: index.delete(ids)
    return lambda index: index.optimize(retrain=kind == "retrain")


def main(folder: Path, seed: int, first: int, journal: Path) -> None:
    """Live until killed."""
    descriptor = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with made.small_segments(), colxtr.Index.open(folder, read_only=False) as index:
        os.write(descriptor, b"open\n")
        for number in range(first, first + 100_000):
            operation(seed, number)(index)
            generation = index.info().generation
            os.write(descriptor, f"{number} {generation}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
