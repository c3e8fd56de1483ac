"""Builds the built-in encoder: all-MiniLM-L6-v2, trained as ColXTR with 128 dimensions, int8 ONNX.

    python scripts/build_builtin_model.py --base MODEL_FOLDER --data DATA_FOLDER --runs FOLDER

goes from the base model to `FOLDER/encoder` by way of colxtr's own commands, which it prints:

    start      a projection from the strongest directions of token embeddings of real text
    mine       BM25 negatives for the training questions of every English set
    mixture    the tuples of all sets in one file, no set more than a share of it
    train      recipes/builtin-1.toml, -2 and -3, each from what the one before has made
    average    0.7 of what was trained, 0.3 of the start: breadth for little
    export     int8, with ranges from real text

What is there already is not made again; a training that was interrupted goes on. About three hours
on one core with bfloat16. Needs colxtr[train]. Card and licence in the package are written by hand.
"""

import argparse
import gzip
import json
import random
import string
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from colxtr.training.averaging import average_weights
from colxtr.training.checkpoints import load_model, save_model
from colxtr.training.checkpoints.projection import linear_head, second_moments, set_directions
from colxtr.training.export import export

ROOT = Path(__file__).parents[1]
DIM = 128
QUERY_LENGTH, DOCUMENT_LENGTH = 48, 220  # of the encoder; recipes train with shorter texts
STAGES = ["builtin-1", "builtin-2", "builtin-3"]
TRAINED_SHARE = 0.7  # the rest is the start
# Tuples taken of a set at most, and how often each; Cranfield and Vaswani have no training part.
MIXTURE = {
    "scifact": (10_000, 3),
    "covidqa": (10_000, 3),
    "medquad": (9_000, 1),
    "fairytaleqa": (9_000, 1),
    "selqa": (10_000, 3),
    "pubmedqa": (10_000, 2),
    "qamr": (4_000, 1),
    "clapnq": (10_000, 2),
    "awsdocs": (8_000, 1),
    "squadshifts": (16_000, 1),
    "tldr": (5_000, 1),
    "acl_titles": (5_000, 1),
    "so_code": (5_000, 1),
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


def mix(runs: Path, output: Path) -> None:
    """One file of tuples out of those of all sets; ids get the name of their set."""
    draw = random.Random(0)
    mixed = []
    for name, (most, times) in MIXTURE.items():
        lines = (runs / f"tuples-{name}.jsonl").read_text(encoding="utf-8").splitlines()
        tuples = [json.loads(line) for line in lines]
        draw.shuffle(tuples)
        mixed += [
            {
                "query_id": f"{name}:{each['query_id']}",
                "document_ids": [f"{name}:{document}" for document in each["document_ids"]],
            }
            for each in tuples[:most] * times
        ]
    draw.shuffle(mixed)
    output.write_text("".join(json.dumps(each) + "\n" for each in mixed), encoding="utf-8")


def average(trained: Path, start: Path) -> Any:
    """The trained model, its weights mixed with those of the start."""
    model = load_model(
        trained, device="cpu", query_length=QUERY_LENGTH, document_length=DOCUMENT_LENGTH
    )
    before = load_model(start, device="cpu").state_dict()
    own = model.state_dict()
    after = {name: own[name] for name in before}  # all but the weights of query tokens
    shares = [TRAINED_SHARE, 1 - TRAINED_SHARE]
    model.load_state_dict({**own, **average_weights([after, before], shares)})
    return model


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

    if not (model := runs / "start").exists():
        make_start(arguments.base, data, model)
    for name in MIXTURE:
        if not (tuples := runs / f"tuples-{name}.jsonl").exists():
            limits = "--depth=100", "--negatives=7", "--skip=1"
            colxtr("mine", str(data / name), "--split=train", f"--output={tuples}", *limits)
    if not (mixture := runs / "tuples.jsonl").exists():
        mix(runs, mixture)
    collections = json.dumps([f"{name}={data / name}" for name in MIXTURE])
    for stage in STAGES:
        settings = {
            "model.source": str(model),
            "data.tuples": str(mixture),
            "data.collections": collections,
        }
        changes = [f"--set={key}={value}" for key, value in settings.items()]
        recipe = ROOT / "recipes" / f"{stage}.toml"
        colxtr("train", str(recipe), f"--output={runs / stage}", *changes)
        model = runs / stage / "model"
    calibration = [
        [text for name in PROJECTION_SETS for text in texts(data, name, CALIBRATION_TEXTS)]
        for texts in (documents, queries)
    ]
    report = export(
        average(model, runs / "start"),
        runs / "encoder",
        name="colxtr-minilm-l6-128",
        calibration=calibration[0],
        calibration_queries=calibration[1],
        overwrite=True,
    )
    print(report)


if __name__ == "__main__":
    main()
