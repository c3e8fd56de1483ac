"""A corpus of more tokens than memory holds, and TACHIOM's index of it, made in parts.

    python -m bench.peers.parts FOLDER --scaling INDEX --environments FOLDER --tokens 100000000

TACHIOM's own build takes 1.3 KB of memory for each token. But its clustering treats the tokens of
each vocabulary item for themselves: so it is run on the tokens of some items after those of others
(10 million at a time), each time with their share of the centroids that it would choose for all.
Its own code then makes the graph over all centroids and, from the first two million tokens, the
codebooks. What remains is done here: the codes of the tokens, and the file (`tachiom_file.py`).

Tokens and queries are those of `bench.scaling`, which left colxtr's index in the folder INDEX. The
tokens go by the disk, 256 bytes each, 360 at the end of the work. What comes of it is a corpus for
`compare.py`, without vectors.npy, with both indexes. All steps but the first, in which the tokens
are made, go on where they were interrupted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import NamedTuple

import numpy as np
from numpy.lib.format import open_memmap, write_array_header_1_0
from numpy.typing import NDArray

from bench import scaling, synthetic
from bench.exact import exact_scores, top
from bench.peers import tachiom_file
from bench.peers.complete import BLOCK, N_ITEMS, choose_items, nearest
from bench.peers.driver import cpu_seconds, size_on_disk
from bench.peers.layout import TOP
from bench.provenance import ROOT
from colxtr.cpus import available_cpus, in_order
from colxtr.progress import progress_bar

PART = 10_000_000  # tokens clustered together, about
SAMPLE = 2_000_000  # tokens from which mean, items and codebooks are drawn
ENCODED = 2_048  # tokens encoded together
WRITTEN = 20_000  # documents put together at a time
HEADER = 128  # bytes before the values of a .npy file of such shapes

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the corpus to make, or to go on with")
    parser.add_argument("--scaling", type=Path, required=True, help="what bench.scaling left")
    parser.add_argument("--environments", type=Path, required=True, help="as `setup.py` made it")
    parser.add_argument("--tokens", type=int, required=True)
    parser.add_argument("--queries", type=int, default=50, help="at most so many")
    arguments = parser.parse_args()
    python = arguments.environments / "tachiom" / "bin" / "python"
    parts = Parts(arguments.folder, python, arguments.tokens)
    parts.make_tokens(np.load(arguments.scaling / "queries.npy")[: arguments.queries])
    parts.cluster()
    parts.train()
    parts.encode()
    parts.write()
    link_index(arguments.folder, arguments.scaling)


def link_index(folder: Path, scaling_folder: Path) -> None:
    """Lay colxtr's index where `compare.py` looks for it, as a link, and what its build cost."""
    target = folder / "indexes" / "colxtr-2-bits"
    target.mkdir(parents=True, exist_ok=True)
    index = (scaling_folder / "index").resolve()
    if not (target / "index").is_symlink():
        (target / "index").symlink_to(index)
    cost = json.loads((scaling_folder / "build.json").read_text("utf-8"))
    record = {
        "corpus": folder.name,
        "engine": "colxtr, 2 bits",
        "options": {},
        "seconds": cost["build_s"],
        "cpu_seconds": cost["build_cpu_s"],
        "bytes": size_on_disk(index),
        "peak_mb": cost["build_peak_mb"],
        "note": "with the making of the tokens, and with mapped files in the memory.",
    }
    (target / "build.json").write_text(json.dumps(record) + "\n", encoding="utf-8")


class Part(NamedTuple):
    """Tokens that are clustered together.

    Attributes:
        folder: Of vectors.npy (centred, float16), token_ids.npy, centroids.npy, assignments.npy.
        places: (n,) where they stand among all tokens, ascending.
        first_centroid: The number of its first centroid among all.
    """

    folder: Path
    places: Integers
    first_centroid: int


class Parts:
    """The steps, in their order; one that was done does nothing.

    Args:
        folder: The corpus.
        python: Of TACHIOM's environment.
        n_tokens: Of all documents.
    """

    def __init__(self, folder: Path, python: Path, n_tokens: int) -> None:
        self._folder, self._python, self._n_tokens = folder, python, n_tokens
        self._folders = [folder / "parts" / str(number) for number in range(-(-n_tokens // PART))]
        self._training = folder / "training"

    def make_tokens(self, queries: Floats) -> None:
        """Make the tokens, name and centre them, lay them to their parts; find the truth."""
        if (self._folder / "truth.npz").is_file():
            return
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)  # of a run that was interrupted
            folder.mkdir(parents=True)
        world = synthetic.World.make(scaling.DIM, scaling.SEED)
        texts = synthetic.Texts.draw(self._n_tokens, scaling.SEED)
        sample = _first_tokens(world, texts)
        part_of = np.random.default_rng(scaling.SEED).permutation(N_ITEMS) % len(self._folders)
        np.save(self._folder / "doclens.npy", texts.lengths.astype(np.int32))
        np.save(self._folder / "queries.npy", queries)
        np.save(self._folder / "part_of.npy", part_of)
        names = open_memmap(self._folder / "names.npy", "w+", np.uint16, (self._n_tokens,))
        make = partial(_named_chunk, world, texts, choose_items(sample, N_ITEMS))
        chunks = in_order(make, range(synthetic.n_chunks(texts)), available_cpus())
        documents = self._laid_out(chunks, sample.mean(axis=0), names, part_of)
        scores = exact_scores(queries, documents, len(texts.lengths), self._n_tokens)
        names.flush()
        for number, folder in enumerate(self._folders):
            of_part = names[part_of[names] == number].astype(np.int64)
            np.save(folder / "token_ids.npy", of_part)
            _write_header(folder / "vectors.npy", (len(of_part), scaling.DIM))
        ids, best = top(scores, TOP)
        np.savez(self._folder / "truth.npz", ids=ids, scores=best)

    def _laid_out(
        self,
        chunks: Iterator[tuple[Floats, Integers, Integers]],
        mean: Floats,
        names: NDArray[np.uint16],
        part_of: Integers,
    ) -> Iterator[tuple[Floats, Integers]]:
        """Chunks as `exact_scores` takes them, once they have been written to their parts."""
        end = 0
        with ExitStack() as stack:
            paths = [folder / "vectors.npy" for folder in self._folders]
            files = [stack.enter_context(path.open("wb")) for path in paths]
            for file in files:
                file.seek(HEADER)
            for rows, lengths, named in chunks:
                start, end = end, end + len(rows)
                names[start:end] = named
                centred, parts = (rows - mean).astype(np.float16), part_of[named]
                for number, file in enumerate(files):
                    file.write(centred[parts == number].tobytes())
                yield rows, lengths

    def cluster(self) -> None:
        """Have TACHIOM cluster the tokens of each part.

        As within its clustering, items share the centroids by the square root of how many tokens
        they have, times how far these spread: that is taken to be the same for all parts, each of
        some hundred items by chance.
        """
        if all((folder / "centroids.npy").is_file() for folder in self._folders):
            return
        names, part_of = np.load(self._folder / "names.npy"), np.load(self._folder / "part_of.npy")
        weights = np.sqrt(np.bincount(names, minlength=N_ITEMS))
        shares = np.bincount(part_of, weights, len(self._folders)) / weights.sum()
        n_centroids = int(self._tachiom("count", self._folder / "names.npy"))
        for folder, share in zip(self._folders, shares, strict=True):
            if not (folder / "centroids.npy").is_file():
                with self._cost(f"cluster {folder.name}"):
                    self._tachiom("cluster", folder, str(round(n_centroids * share)))

    def train(self) -> None:
        """Have TACHIOM make the graph over all centroids, and the codebooks."""
        if (self._training / "index").is_file():
            return
        self._training.mkdir(exist_ok=True)
        doclens = np.load(self._folder / "doclens.npy")
        doclens = doclens[: np.searchsorted(np.cumsum(doclens), SAMPLE) + 1]
        n = int(doclens.sum())
        vectors = np.empty((n, scaling.DIM), np.float16)
        assigned = np.empty(n, np.uint32)
        for part in self._parts():
            places = part.places[: np.searchsorted(part.places, n)]
            some = slice(len(places))
            vectors[places] = np.load(part.folder / "vectors.npy", mmap_mode="r")[some]
            assigned[places] = np.load(part.folder / "assignments.npy")[some] + part.first_centroid
        centroids = [np.load(folder / "centroids.npy") for folder in self._folders]
        names = np.load(self._folder / "names.npy", mmap_mode="r")[:n]
        np.save(self._training / "vectors.npy", vectors)
        np.save(self._training / "token_ids.npy", names.astype(np.int64))
        np.save(self._training / "doclens.npy", doclens)
        np.save(self._training / "centroids.npy", np.concatenate(centroids))
        np.save(self._training / "assignments.npy", assigned)
        with self._cost("train"):
            self._tachiom("graph", self._training)

    def encode(self) -> None:
        """Encode the tokens of each part, whose vectors are then deleted."""
        trained = self._trained()
        codes, lengths, all_assigned = self._encoded()
        for part in self._parts():
            path = part.folder / "vectors.npy"
            if not path.is_file():
                continue
            vectors = np.load(path, mmap_mode="r")
            assigned = np.load(part.folder / "assignments.npy") + np.uint32(part.first_centroid)
            pieces = [slice(at, at + ENCODED) for at in range(0, len(vectors), ENCODED)]
            work = partial(_encode_piece, vectors, assigned, trained)
            name = f"Encoding part {part.folder.name}"
            with (
                self._cost(f"encode {part.folder.name}"),
                progress_bar(name, len(vectors), "tokens") as advance,
            ):
                results = in_order(work, pieces, available_cpus())
                for piece, (of_codes, of_lengths) in zip(pieces, results, strict=True):
                    places = part.places[piece]
                    codes[places], lengths[places] = of_codes, of_lengths
                    advance(len(places))
                all_assigned[part.places] = assigned
                for array in (codes, lengths, all_assigned):
                    array.flush()
            path.unlink()

    def write(self) -> None:
        """Put the index together."""
        target = self._folder / "indexes" / "TACHIOM"
        if (target / "build.json").is_file():
            return
        target.mkdir(parents=True, exist_ok=True)
        with self._cost("write"):
            trained, doclens = self._trained(), np.load(self._folder / "doclens.npy")
            assigned = self._encoded()[2]
            lists = tachiom_file.inverted(assigned, doclens, len(trained.centroids))
            documents = self._document_bytes(doclens)
            tachiom_file.write(target / "index", trained, lists, doclens, documents)
        costs = json.loads((self._folder / "costs.json").read_text("utf-8")).values()
        record = {
            "corpus": self._folder.name,
            "engine": "TACHIOM",
            "options": {},
            "seconds": sum(cost["seconds"] for cost in costs),
            "cpu_seconds": sum(cost["cpu_seconds"] for cost in costs),
            "bytes": (target / "index").stat().st_size,
            "peak_mb": max(cost["peak_mb"] for cost in costs),
            "note": "made in parts (`bench/peers/parts.py`): its own build takes 1.3 KB for each "
            "token. The time is without that of reading, writing and sorting tokens by parts.",
        }
        (target / "build.json").write_text(json.dumps(record) + "\n", encoding="utf-8")

    def _document_bytes(self, doclens: NDArray[np.int32]) -> Iterator[NDArray[np.uint8]]:
        codes, lengths, assigned = self._encoded()
        starts = np.concatenate([[0], np.cumsum(doclens, dtype=np.int64)])
        for first in range(0, len(doclens), WRITTEN):
            some = doclens[first : first + WRITTEN]
            tokens = slice(starts[first], starts[first + len(some)])
            yield tachiom_file.document_bytes(
                some, assigned[tokens], codes[tokens], lengths[tokens]
            )

    def _parts(self) -> Iterator[Part]:
        """All of them, when they are clustered."""
        names = np.load(self._folder / "names.npy", mmap_mode="r")
        parts = np.load(self._folder / "part_of.npy").astype(np.uint16)[names]
        first = 0
        for number, folder in enumerate(self._folders):
            yield Part(folder, np.flatnonzero(parts == number), first)
            first += len(np.load(folder / "centroids.npy", mmap_mode="r"))

    def _trained(self) -> tachiom_file.Trained:
        n_centroids = len(np.load(self._training / "centroids.npy", mmap_mode="r"))
        doclens = np.load(self._training / "doclens.npy")
        size = n_centroids, len(doclens), int(doclens.sum()), scaling.DIM
        return tachiom_file.read_trained(self._training / "index", *size)

    def _encoded(self) -> tuple[NDArray[np.uint8], NDArray[np.float16], NDArray[np.uint32]]:
        """Codes, lengths and centroids of all tokens, mapped to be written."""
        n = self._n_tokens
        return (
            _array(self._folder / "codes.npy", np.uint8, (n, tachiom_file.PARTS)),
            _array(self._folder / "lengths.npy", np.float16, (n,)),
            _array(self._folder / "assigned.npy", np.uint32, (n,)),
        )

    def _tachiom(self, do: str, *arguments: Path | str) -> str:
        """What TACHIOM prints."""
        command = [self._python, "-m", "bench.peers.train_tachiom", do, *arguments]
        done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        return done.stdout

    @contextmanager
    def _cost(self, step: str) -> Iterator[None]:
        """Notes in costs.json what a step took."""
        path = self._folder / "costs.json"
        start, before = time.perf_counter(), cpu_seconds()
        yield
        kilobytes = max(getrusage(who).ru_maxrss for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
        costs = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        costs[step] = {
            "seconds": time.perf_counter() - start,
            "cpu_seconds": cpu_seconds() - before,
            "peak_mb": kilobytes / 1024,
        }
        path.write_text(json.dumps(costs, indent=1) + "\n", encoding="utf-8")


def _first_tokens(world: synthetic.World, texts: synthetic.Texts) -> Floats:
    """Of the first documents, at least `SAMPLE` or all."""
    some, n = [], 0
    for rows, _ in synthetic.chunks_of(world, texts, scaling.SEED):
        some.append(rows)
        n += len(rows)
        if n >= SAMPLE:
            break
    return np.concatenate(some)


def _named_chunk(
    world: synthetic.World, texts: synthetic.Texts, items: Floats, number: int
) -> tuple[Floats, Integers, Integers]:
    """Tokens, lengths of documents, and the item of each token."""
    rows, lengths = synthetic.chunk(world, texts, scaling.SEED, number)
    blocks = np.split(rows, range(BLOCK, len(rows), BLOCK))
    return rows, lengths, np.concatenate([nearest(block, items) for block in blocks])


def _encode_piece(
    vectors: NDArray[np.float16],
    assigned: NDArray[np.uint32],
    trained: tachiom_file.Trained,
    piece: slice,
) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    return tachiom_file.encode(vectors[piece].astype(np.float32), assigned[piece], trained)


def _array(path: Path, kind: type[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
    """A .npy file, mapped to be written; made if it is not there."""
    return open_memmap(path, "r+") if path.is_file() else open_memmap(path, "w+", kind, shape)


def _write_header(path: Path, shape: tuple[int, int]) -> None:
    """Make float16 values from the byte `HEADER` on a .npy file."""
    header = {"descr": "<f2", "fortran_order": False, "shape": shape}
    with path.open("r+b") as file:
        write_array_header_1_0(file, header)
        if file.tell() != HEADER:
            raise AssertionError(f"{path}: a header of {file.tell()} bytes, not {HEADER}")


if __name__ == "__main__":
    main()
