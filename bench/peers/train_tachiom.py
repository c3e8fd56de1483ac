"""What TACHIOM itself does for an index made in parts (`parts.py`); runs in its environment.

    python -m bench.peers.train_tachiom count FILE
    python -m bench.peers.train_tachiom cluster FOLDER N_CENTROIDS
    python -m bench.peers.train_tachiom graph FOLDER

`count` prints how many centroids it would choose for tokens of the vocabulary items in a file.
`cluster` runs its token-aware clustering on FOLDER/vectors.npy (float16) and token_ids.npy, and
writes centroids.npy, float32 (n_centroids, dim), and assignments.npy, uint32 (n_tokens,). `graph`
makes an index of FOLDER/vectors.npy, token_ids.npy, doclens.npy and such centroids and assignments,
FOLDER/index: of it, the graph over the centroids and the codebooks are wanted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tachiom


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("do", choices=["count", "cluster", "graph"])
    parser.add_argument("path", type=Path)
    parser.add_argument("n_centroids", type=int, nargs="?")
    arguments = parser.parse_args()
    if arguments.do == "count":
        items = np.load(arguments.path).astype(np.uint32)
        print(tachiom.auto_build_params(items)["total_centroids"])
    elif arguments.do == "cluster":
        cluster(arguments.path, arguments.n_centroids)
    else:
        graph(arguments.path)


def cluster(folder: Path, n_centroids: int) -> None:
    tac = tachiom.Tac(n_centroids)
    tac.train(str(folder / "vectors.npy"), str(folder / "token_ids.npy"))
    np.save(folder / "assignments.npy", tac.assignments)
    np.save(folder / "centroids.npy", tac.centroids)


def graph(folder: Path) -> None:
    names = ("vectors", "token_ids", "doclens", "centroids", "assignments")
    files = (str(folder / f"{name}.npy") for name in names)
    tachiom.Tachiom.build_from_tac(*files).save(str(folder / "index"))


if __name__ == "__main__":
    main()
