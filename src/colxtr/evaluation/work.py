"""The tasks of a comparison: build an index, search it, and what it is compared with.

Each is a function of plain values to plain values, done in a process of its own. Knows nothing of
judgements, but for which documents are relevant when tokens are counted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from colxtr.corpora import read_documents
from colxtr.cpus import available_cpus, in_order
from colxtr.evaluation.cells import TIMED_QUERIES, TIMED_SECONDS
from colxtr.evaluation.coverage import retrieval_ranks
from colxtr.evaluation.embedded import EmbeddedCollection, EmbeddedQueries, Floats
from colxtr.evaluation.exhaustive import exact_run
from colxtr.evaluation.memory_use import own_bytes, peak_bytes
from colxtr.evaluation.run_files import Run
from colxtr.evaluation.scann_store import ScannStore
from colxtr.hits import Hit
from colxtr.index import Index
from colxtr.lexical import Bm25, Candidate
from colxtr.runs import write_run

Query = TypeVar("Query")
Found = TypeVar("Found")

_WARMING = 10  # queries searched before times are taken,
_WARMING_SECONDS = 1.0  # or as many as this allows
_LEAST_TIMED = 20  # queries, however long they take


def build(
    *,
    embeddings: Mapping[str, Any],
    doc_ids: str,
    folder: str,
    n_bits: int,
    n_centroids: int | None,
    dim: int,
    seed: int,
) -> dict[str, Any]:
    """Build an index of embeddings; returns time, memory and sizes.

    Args:
        embeddings: Arguments of `EmbeddedCollection`.
        doc_ids: A file with an id to a line, JSON strings.
        folder: Of the index; one that is there is replaced.
        n_bits: Bits per dimension.
        n_centroids: None for what the collection asks for.
        dim: Of the embeddings, as they are read.
        seed: Of everything random.
    """
    ids = _read_ids(doc_ids)
    stored = _stored(embeddings)
    start = time.perf_counter()
    with Index.create(
        folder, dim=dim, n_bits=n_bits, n_centroids=n_centroids, seed=seed, overwrite=True
    ) as index:
        index.add_embeddings(ids, stored.documents(), total=len(ids))
        seconds = time.perf_counter() - start
        info = index.info()
    return {
        "build_seconds": seconds,
        "build_peak_bytes": peak_bytes(),
        "index_bytes": info.bytes_total - info.bytes["texts"],
        "bytes_per_token": info.bytes_per_token,
        "n_tokens": info.n_tokens,
        "n_centroids": info.n_centroids,
        "dim": info.dim,
    }


def search(
    *,
    index: str,
    queries: str,
    query_ids: Sequence[str],
    embeddings: Mapping[str, Any],
    options: Mapping[str, Any],
    k: int,
    run: str,
    tag: str,
) -> dict[str, Any]:
    """Search an index; writes the run, returns times and memory, of one thread and some queries.

    The other queries are searched on all processors, which finds the same.
    """
    arrays = _queries(queries, query_ids, embeddings)
    before = own_bytes()
    with Index.open(index) as opened:

        def one(query: Floats) -> list[Any]:
            return opened.search_embeddings(query, k, load_text=False, threads=1, **options)

        timed, times = _timed(one, arrays)
        used = own_bytes()
        found = _completed(timed, one, arrays, available_cpus())
    write_run(run, zip(query_ids, found, strict=True), tag=tag)
    memory = None if before is None or used is None else used - before
    return {**times, "search_bytes": memory}


def float32(
    *,
    embeddings: Mapping[str, Any],
    doc_ids: str,
    queries: str,
    query_ids: Sequence[str],
    k: int,
    run: str,
    tag: str,
) -> dict[str, Any]:
    """Exact MaxSim over the embeddings as they are, all queries at once; writes the run."""
    arrays = _queries(queries, query_ids, embeddings)
    found = exact_run(
        _stored(embeddings), _read_ids(doc_ids), dict(zip(query_ids, arrays, strict=True)), k
    )
    _write(found, run, tag)
    return {}


def bm25(
    *, corpus: str, limit: int | None, queries: Mapping[str, str], k: int, run: str, tag: str
) -> dict[str, Any]:
    """BM25 over titles and texts; writes the run, returns times and memory."""
    start = time.perf_counter()
    documents = islice(read_documents([corpus]), limit)
    searched = Bm25({each.id: f"{each.title} {each.text}".strip() for each in documents})
    seconds = time.perf_counter() - start
    texts = list(queries.values())

    def one(text: str) -> list[Candidate]:
        return searched.search([text], k)[0]

    timed, times = _timed(one, texts)
    found = _completed(timed, one, texts, threads=1)
    write_run(run, zip(queries, found, strict=True), tag=tag)
    return {
        "build_seconds": seconds,
        "build_peak_bytes": peak_bytes(),
        **times,
        "search_bytes": None,
    }


def scann(
    *,
    embeddings: Mapping[str, Any],
    doc_ids: str,
    queries: str,
    query_ids: Sequence[str],
    k: int,
    k_prime: int | None,
    folder: str,
    run: str,
    tag: str,
) -> dict[str, Any]:
    """XTR over ScaNN; writes the run, returns times, memory and sizes."""
    start = time.perf_counter()
    store = ScannStore.build(_stored(embeddings), k_prime=k_prime)
    seconds = time.perf_counter() - start
    size = store.write(Path(folder))
    ids = _read_ids(doc_ids)
    arrays = _queries(queries, query_ids, embeddings)

    def one(query: Floats) -> list[tuple[int, float]]:
        return store.search(query, k)

    timed, times = _timed(one, arrays)
    found = _completed(timed, one, arrays, threads=1)
    named = [{ids[i]: score for i, score in ranking} for ranking in found]
    _write(dict(zip(query_ids, named, strict=True)), run, tag)
    return {
        "build_seconds": seconds,
        "build_peak_bytes": peak_bytes(),
        **times,
        "search_bytes": None,
        "index_bytes": size,
        "bytes_per_token": size / max(store.n_tokens, 1),
        "n_tokens": store.n_tokens,
    }


def coverage(
    *,
    embeddings: Mapping[str, Any],
    doc_ids: str,
    queries: str,
    relevant: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Ranks of the best token of each relevant document, for each query token: see `coverage`."""
    ordinals = {doc_id: i for i, doc_id in enumerate(_read_ids(doc_ids))}
    arrays = _queries(queries, list(relevant), embeddings)
    wanted = [
        [ordinals[each] for each in of_query if each in ordinals] for of_query in relevant.values()
    ]
    ranks = retrieval_ranks(_stored(embeddings), arrays, wanted)
    return {"ranks": [[rows.tolist() for rows in of_query] for of_query in ranks]}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "build": build,
    "search": search,
    "float32": float32,
    "bm25": bm25,
    "scann": scann,
    "coverage": coverage,
}


def _timed(
    one: Callable[[Query], Found], queries: Sequence[Query]
) -> tuple[dict[int, Found], dict[str, Any]]:
    """What some queries find, one after the other, after some to warm up; and their times.

    At most `TIMED_QUERIES`, spread over all, and no more (but 20) once they took `TIMED_SECONDS`.

    Returns:
        By the number of the query, what it finds. `milliseconds` of each by the clock, in the same
        order; `cpu_milliseconds` of the processor, the mean: on a machine that does other things
        too it says more.
    """
    start = time.perf_counter()
    for query in queries[:_WARMING]:
        if time.perf_counter() - start < _WARMING_SECONDS:
            one(query)
    chosen = _spread(len(queries))
    found: dict[int, Found] = {}
    milliseconds: list[float] = []
    busy = time.process_time()
    for i in chosen:
        if len(found) >= _LEAST_TIMED and sum(milliseconds) >= 1000 * TIMED_SECONDS:
            break
        start = time.perf_counter()
        found[i] = one(queries[i])
        milliseconds.append(1000 * (time.perf_counter() - start))
    busy = 1000 * (time.process_time() - busy) / max(len(found), 1)
    return found, {"milliseconds": milliseconds, "cpu_milliseconds": busy}


def _spread(n: int) -> list[int]:
    """At most `TIMED_QUERIES` of so many, so that the first ones of them too lie far apart."""
    step = max(1, -(-n // TIMED_QUERIES))
    chosen = range(0, n, step)
    return [*chosen[::4], *chosen[1::4], *chosen[2::4], *chosen[3::4]]


def _completed(
    timed: Mapping[int, Found],
    one: Callable[[Query], Found],
    queries: Sequence[Query],
    threads: int,
) -> list[Found]:
    """What all queries find, in their order: those that were not timed on so many threads."""
    others = [i for i in range(len(queries)) if i not in timed]
    rest = in_order(one, (queries[i] for i in others), threads)
    found = {**timed, **dict(zip(others, rest, strict=True))}
    return [found[i] for i in range(len(queries))]


def _stored(embeddings: Mapping[str, Any]) -> EmbeddedCollection:
    folder, dim, normalise = (embeddings[name] for name in ("folder", "dim", "normalise"))
    return EmbeddedCollection(Path(folder), dim, normalise)


def _queries(path: str, query_ids: Sequence[str], embeddings: Mapping[str, Any]) -> list[Floats]:
    stored = _stored(embeddings)
    return [
        stored.cut(array) for array in EmbeddedQueries(Path(path), tuple(query_ids), ()).arrays()
    ]


def _read_ids(path: str) -> list[str]:
    ids: list[str] = json.loads(Path(path).read_text(encoding="utf-8"))
    return ids


def _write(found: Run, run: str, tag: str) -> None:
    hits = ((query, [Hit(*each) for each in scores.items()]) for query, scores in found.items())
    write_run(run, hits, tag=tag)
