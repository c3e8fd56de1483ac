"""A tiny judged collection in BEIR's layout, for a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

TEXTS = {
    "fox": ("Animals", "the red fox runs over the hill"),
    "cat": ("", "a cat sleeps on the mat"),
    "dog": ("", "the dog runs over the red fox"),
    "owl": ("Night", "an owl sees the mouse at night"),
    "none": ("", "zz zz"),
}
QUERIES = {"q1": "red fox", "q2": "cat mat", "q3": "owl at night", "q4": "nobody judged this"}
QRELS = {"q1": {"fox": 2, "dog": 1}, "q2": {"cat": 1, "owl": 0}, "q3": {"owl": 1}}


def make_collection(folder: Path) -> Path:
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": i, "title": title, "text": text} for i, (title, text) in TEXTS.items()]
    queries = [{"_id": i, "text": text} for i, text in QUERIES.items()]
    for name, records in (("corpus", corpus), ("queries", queries)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    rows = [f"{q}\t{d}\t{grade}\n" for q, grades in QRELS.items() for d, grade in grades.items()]
    text = "query-id\tcorpus-id\tscore\n" + "".join(rows)
    (folder / "qrels" / "test.tsv").write_text(text, encoding="utf-8")
    return folder
