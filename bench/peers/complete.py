"""What a corpus made elsewhere (`python -m bench.synthetic`) lacks: token ids and the truth.

    python -m bench.peers.complete FOLDER

TACHIOM clusters the tokens of each vocabulary item for themselves. Vectors without text have no
vocabulary: the nearest of 4,096 of them stands for the item.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.peers.corpora import SEED, write_truth
from bench.peers.layout import Corpus
from colxtr.progress import progress_bar

N_ITEMS = 4096
BLOCK = 16_384  # tokens compared with all items at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the corpus")
    complete(parser.parse_args().folder)


def complete(folder: Path) -> None:
    """Write what is missing."""
    corpus = Corpus.open(folder)
    if corpus.token_ids() is None:
        np.save(folder / "token_ids.npy", nearest_items(corpus.vectors, N_ITEMS))
    if not (folder / "truth.npz").is_file():
        write_truth(corpus)


def nearest_items(vectors: NDArray[np.float16], n_items: int) -> NDArray[np.int64]:
    """For each vector the most similar of `n_items` vectors chosen by chance; int64 (n_tokens,)."""
    items = choose_items(vectors, n_items)
    ids = np.empty(len(vectors), np.int64)
    with progress_bar("Naming tokens", len(vectors), "tokens") as advance:
        for start in range(0, len(vectors), BLOCK):
            block = vectors[start : start + BLOCK]
            ids[start : start + len(block)] = nearest(block, items)
            advance(len(block))
    return ids


def choose_items(vectors: NDArray[np.floating], n_items: int) -> NDArray[np.float32]:
    """Some of the vectors, chosen by chance; (n_items, dim)."""
    chosen = np.random.default_rng(SEED).choice(len(vectors), n_items, replace=False)
    return vectors[np.sort(chosen)].astype(np.float32)


def nearest(block: NDArray[np.floating], items: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each vector the number of the most similar item; int64 (n,)."""
    return (block.astype(np.float32, copy=False) @ items.T).argmax(axis=1)


if __name__ == "__main__":
    main()
