"""Builds the built-in encoder: all-MiniLM-L6-v2, trained as ColXTR with 128 dimensions, int8 ONNX.

    python scripts/build_builtin_model.py --base MODEL_FOLDER --data DATA_FOLDER --runs FOLDER

goes from the base model to `FOLDER/encoder` by way of colxtr's own commands, which it prints:

    start      a projection from the strongest directions of token embeddings of real text
    sets       the questions of every English set that are trained on, and some held out to judge by
    mine       BM25 negatives for these
    train      recipes/builtin.toml, which ends with 0.8 of what was trained and 0.2 of the start
    export     int8, with ranges from real text

What is there already is not made again; a training that was interrupted goes on. About two hours
on one core with bfloat16. Needs colxtr[train]. Card and licence in the package are written by hand.
"""

import argparse
import gzip
import json
import shutil
import string
import subprocess
import sys
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from colxtr.training.checkpoints import load_model, save_model
from colxtr.training.checkpoints.projection import linear_head, second_moments, set_directions
from colxtr.training.export import export
from colxtr.training.tuple_files import read_tuples, write_own
from colxtr.training.tuple_files.mixing import prefixed

ROOT = Path(__file__).parents[1]
DIM = 128
QUERY_LENGTH, DOCUMENT_LENGTH = 48, 512  # of the encoder; recipes train with shorter texts
HELD_OUT = 150  # questions of a set, or a fifth: never trained on
# Questions trained on of a set, at most; Cranfield and Vaswani have no training part.
MIXTURE = {
    "scifact": 1_000,
    "covidqa": 1_500,
    "medquad": 3_000,
    "fairytaleqa": 4_000,
    "selqa": 1_000,
    "pubmedqa": 1_000,
    "qamr": 2_000,
    "clapnq": 2_500,
    "awsdocs": 3_000,
    "squadshifts": 6_000,
    "tldr": 2_000,
    "acl_titles": 2_000,
    "so_code": 2_000,
}
# The projection and the ranges of int8 come from texts of these.
PROJECTION_SETS = [
    "awsdocs",
    "clapnq",
    "covidqa",
    "fairytaleqa",
    "medquad",
    "pubmedqa",
    "selqa",
    "squadshifts",
]
PROJECTION_TEXTS = 60  # documents, and as many queries, of every set
CALIBRATION_TEXTS = 15


def documents(data: Path, name: str, count: int) -> list[str]:
    """The first documents of a set, title and text."""
    return [
        f"{e.get('title') or ''} {e['text']}".strip() for e in entries(data, name, "corpus", count)
    ]


def queries(data: Path, name: str, count: int) -> list[str]:
    """The first training queries of a set."""
    judgements = (data / name / "qrels" / "train.tsv").read_text(encoding="utf-8").splitlines()
    trained = {line.split("\t")[0] for line in judgements[1:]}
    every = entries(data, name, "queries", None)
    return [e["text"].strip() for e in islice((e for e in every if e["_id"] in trained), count)]


def entries(data: Path, name: str, file: str, count: int | None) -> Iterator[dict[str, Any]]:
    """The first entries of a file of a set; None for all."""
    with gzip.open(data / name / f"{file}.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield from islice(map(json.loads, lines), count)


def make_start(base: Path, data: Path, folder: Path) -> None:
    """The base model with its projection, and what it drops from documents."""
    model = load_model(
        base, dim=DIM, device="cpu", query_length=QUERY_LENGTH, document_length=DOCUMENT_LENGTH
    )
    # The base says 256, and has positions for 512.
    model.tokenizer.model_max_length = DOCUMENT_LENGTH
    model[2].skiplist_words = ["[CLS]", "[SEP]", *string.punctuation]
    model[2].resolve_with_tokenizer(model.tokenizer)
    sides = [
        second_moments(model, texts(data, name, PROJECTION_TEXTS), task)
        for name in PROJECTION_SETS
        for texts, task in ((documents, "document"), (queries, "query"))
    ]
    moments = torch.stack([side for side in sides if side is not None]).sum(0)
    set_directions(linear_head(model), moments)
    save_model(model, folder, warn=False)


def split(data: Path, name: str, folder: Path) -> None:
    """A set with judgements "train" and "dev": questions to train on, and held out to judge by.

    Which is which depends on a question's id alone.
    """
    header, *lines = (data / name / "qrels" / "train.tsv").read_text("utf-8").splitlines()
    judged = [line.split("\t")[0] for line in lines]
    questions = sorted(dict.fromkeys(judged), key=lambda q: zlib.crc32(f"{name}:{q}".encode()))
    n_held = min(len(questions) // 5, HELD_OUT)
    train = questions[n_held:][: MIXTURE[name]]
    parts = {"dev": set(questions[:n_held]), "train": set(train)}
    begun = folder.with_name(folder.name + ".begun")
    shutil.rmtree(begun, ignore_errors=True)
    (begun / "qrels").mkdir(parents=True)
    for file in ("corpus.jsonl.gz", "queries.jsonl.gz"):
        (begun / file).symlink_to((data / name / file).resolve())
    for part, chosen in parts.items():
        kept = [line for line, question in zip(lines, judged, strict=True) if question in chosen]
        text = "\n".join([header, *kept, ""])
        (begun / "qrels" / f"{part}.tsv").write_text(text, encoding="utf-8")
    begun.rename(folder)


def join(runs: Path, output: Path) -> None:
    """One file of the tuples of all sets; ids get the name of their set."""
    named = (
        prefixed(name, each)
        for name in MIXTURE
        for _, each in read_tuples(runs / f"tuples-{name}.jsonl")
    )
    write_own(output, named)


def colxtr(*arguments: str) -> None:
    """Run a command of colxtr, and print it first."""
    print("colxtr", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "colxtr", *arguments], check=True)


def main() -> None:
    """Reads the arguments and builds the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--base", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--data", type=Path, required=True, help="folder of BEIR-layout sets")
    parser.add_argument("--runs", type=Path, required=True, help="folder for all that is made")
    arguments = parser.parse_args()
    data, runs = arguments.data, arguments.runs
    runs.mkdir(parents=True, exist_ok=True)

    if not (start := runs / "start").exists():
        make_start(arguments.base, data, start)
    sets = runs / "sets"
    for name in MIXTURE:
        if not (sets / name).exists():
            split(data, name, sets / name)
    collections = [f"{name}={sets / name}" for name in MIXTURE]
    for name in MIXTURE:
        if not (mined := runs / f"tuples-{name}.jsonl").exists():
            limits = "--depth=100", "--negatives=7", "--skip=1"
            colxtr("mine", str(sets / name), f"--output={mined}", *limits)
    if not (tuples := runs / "tuples.jsonl").exists():
        join(runs, tuples)
    settings = {
        "model.source": str(start),
        "data.tuples": str(tuples),
        "data.collections": json.dumps(collections),
    }
    changes = [f"--set={key}={value}" for key, value in settings.items()]
    colxtr("train", str(ROOT / "recipes/builtin.toml"), f"--output={runs / 'builtin'}", *changes)
    calibration = [
        [text for name in PROJECTION_SETS for text in texts(data, name, CALIBRATION_TEXTS)]
        for texts in (documents, queries)
    ]
    model = load_model(
        runs / "builtin" / "model",
        device="cpu",
        query_length=QUERY_LENGTH,
        document_length=DOCUMENT_LENGTH,
    )
    report = export(
        model,
        runs / "encoder",
        name="colxtr-minilm-l6-128",
        calibration=calibration[0],
        calibration_queries=calibration[1],
        overwrite=True,
    )
    print(report)


if __name__ == "__main__":
    main()
