"""Builds the built-in encoder: all-MiniLM-L6-v2, projected to 128 dimensions, as int8 ONNX.

Nothing is trained. The projection is the span of the strongest directions of real token embeddings;
the int8 scales come from the ranges that activations take on real text. Same base folder and same
data folder, same model (up to the float rounding of the machine that runs it).

    python scripts/build_builtin_model.py --base MODEL_FOLDER --data DATA_FOLDER --output FOLDER

Needs colxtr[train]. Model card and licence of the folder in the package are written by hand.
"""

import argparse
import gzip
import json
import string
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from colxtr.training.checkpoints import load_model
from colxtr.training.checkpoints.projection import linear_head, second_moments, set_directions
from colxtr.training.export import export

DIM = 128
QUERY_LENGTH, DOCUMENT_LENGTH = 48, 220
# Cranfield, Vaswani and SciFact stay out: they judge the result.
ENGLISH_SETS = [
    "awsdocs",
    "clapnq",
    "covidqa",
    "fairytaleqa",
    "medquad",
    "pubmedqa",
    "selqa",
    "squadshifts",
]
PROJECTION_TEXTS = 150  # documents, and as many queries, of every set
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


def load_base(base: Path) -> Any:
    """The base model with a projection still to be computed, and what it drops from documents."""
    model = load_model(
        base,
        dim=DIM,
        device="cpu",
        query_length=QUERY_LENGTH,
        document_length=DOCUMENT_LENGTH,
    )
    model[2].skiplist_words = ["[CLS]", "[SEP]", *string.punctuation]
    model[2].resolve_with_tokenizer(model.tokenizer)
    return model


def compute_projection(model: Any, data: Path) -> None:
    """Start the projection from real text: both sides of every set count the same."""
    sides = [
        second_moments(model, texts(data, name, PROJECTION_TEXTS), task)
        for name in ENGLISH_SETS
        for texts, task in ((documents, "document"), (queries, "query"))
    ]
    set_directions(
        linear_head(model), torch.stack([side for side in sides if side is not None]).sum(0)
    )


def main() -> None:
    """Reads the arguments and builds the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--base", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--data", type=Path, required=True, help="folder of BEIR-layout sets")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--float", action="store_true", help="write float32, to measure int8 by")
    parser.add_argument("--dynamic", action="store_true", help="int8 without calibration")
    arguments = parser.parse_args()

    model = load_base(arguments.base)
    compute_projection(model, arguments.data)
    calibration = [
        [t for name in ENGLISH_SETS for t in texts(arguments.data, name, CALIBRATION_TEXTS)]
        for texts in (documents, queries)
    ]
    found = not (arguments.float or arguments.dynamic)
    report = export(
        model,
        arguments.output,
        quantize=None if arguments.float else "int8",
        name="colxtr-minilm-l6-128",
        calibration=calibration[0] if found else None,
        calibration_queries=calibration[1] if found else (),
    )
    print(report)


if __name__ == "__main__":
    main()
