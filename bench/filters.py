"""What filters cost: the first on a field, the next ones, memory; 100,000 made-up records.

    python bench/filters.py [N_DOCUMENTS]

Milliseconds by the clock, the least and the median of 50; seconds of the first use in processor
time, the reading of JSON included.
"""

from __future__ import annotations

import json
import random
import sys
import time
import tracemalloc
from statistics import median
from typing import Any

from colxtr.columns import Columns
from colxtr.filters import parse_filter

TAGS = [f"tag-{i}" for i in range(2_000)]


def records(n: int) -> list[str]:
    """JSON objects of 216 bytes or so: numbers, strings of few and many values, lists, objects."""
    rng = random.Random(0)
    return [
        json.dumps(
            {
                "year": rng.randrange(1900, 2026),
                "lang": rng.choice(["en", "de", "fr", "yo", "nb"]),
                "price": rng.random() * 100,
                "url": f"https://example.org/{rng.choice(TAGS)}/{i}",
                "tags": rng.sample(TAGS, rng.randrange(6)),
                "author": {"name": rng.choice(TAGS), "verified": rng.random() < 0.5},
                "published": f"20{rng.randrange(10, 26)}-{rng.randrange(1, 13):02}-07",
            }
        )
        for i in range(n)
    ]


def filters(urls: list[str]) -> dict[str, dict[str, Any]]:
    return {
        "lang = en": {"lang": "en"},
        "year >= 2020 and lang = en": {"year": {"$gte": 2020}, "lang": "en"},
        "year in a range": {"year": {"$gte": 2010, "$lt": 2013}},
        "price < 10 (all different)": {"price": {"$lt": 10}},
        "date >= 2020": {"published": {"$gte": "2020-01-01"}},
        "url has a prefix (all different)": {"url": {"$prefix": "https://example.org/tag-1"}},
        "url in 100": {"url": {"$in": urls[:100]}},
        "url in 9,000": {"url": {"$in": urls[:9_000]}},
        "author.verified": {"author.verified": True},
        "tags has one (2.5 each)": {"tags": "tag-7"},
        "tags has one of 200": {"tags": {"$in": TAGS[:200]}},
        "or of three, one a list": {
            "$or": [
                {"lang": {"$in": ["en", "de"]}},
                {"year": {"$lt": 1950}},
                {"tags": {"$exists": False}},
            ]
        },
    }


def seconds_of_selecting(columns: Columns, condition: dict[str, Any]) -> list[float]:
    checked = parse_filter(condition)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        columns.select(checked)
        times.append(time.perf_counter() - start)
    return times


def main(n: int) -> None:
    texts = records(n)
    urls = [json.loads(text)["url"] for text in texts[:10_000]]
    start = time.process_time()
    for text in texts:
        json.loads(text)
    print(f"{n:,} records, json.loads of all: {time.process_time() - start:.2f} s\n")
    print("| filter | keeps | first, s | then, ms | median | parsing, ms | bytes per document |")
    print("|---|---|---|---|---|---|---|")
    for name, condition in filters(urls).items():
        columns = Columns(n, lambda: texts)
        start = time.process_time()
        checked = parse_filter(condition)
        parsing = time.process_time() - start
        start = time.process_time()
        kept = columns.select(checked).mean()
        first = time.process_time() - start
        times = seconds_of_selecting(columns, condition)
        print(
            f"| {name} | {kept:.1%} | {first:.2f} | {min(times) * 1e3:.3f} "
            f"| {median(times) * 1e3:.3f} | {parsing * 1e3:.2f} | {columns.nbytes / n:.1f} |"
        )
    together = {"$or": [{name: 0} for name in json.loads(texts[0])]}
    columns = Columns(n, lambda: texts)
    start = time.process_time()
    columns.select(parse_filter(together))
    print(f"\nseven fields at once: {time.process_time() - start:.2f} s")
    tracemalloc.start()
    Columns(n, lambda: texts).select(parse_filter({"url": "x"}))
    print(f"most memory while url is read: {tracemalloc.get_traced_memory()[1] / n:.0f} bytes each")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
