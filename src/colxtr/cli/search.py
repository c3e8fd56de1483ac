"""`colxtr search`: one question for people, or a file of them for an evaluation."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from colxtr.cli.guard import end
from colxtr.cli.options import AsJson, IndexFolder, KPrime, NProbe, Quality, Rerank

if TYPE_CHECKING:
    from colxtr.hits import Explanation, Hit
    from colxtr.index import Index


class Method(StrEnum):
    """The methods of search."""

    COLXTR = "colxtr"
    XTR = "xtr"
    COLBERTV2 = "colbertv2"
    COLBERT = "colbert"
    EXACT = "exact"


def search(  # noqa: PLR0917 (typer passes by name)
    path: IndexFolder,
    query: Annotated[str | None, typer.Argument(help="The question.", metavar="QUERY")] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many documents.")] = 10,
    method: Annotated[Method, typer.Option(help="How to search.")] = Method.COLXTR,
    quality: Quality = 0.5,
    n_probe: NProbe = None,
    k_prime: KPrime = None,
    rerank: Rerank = None,
    filter_: Annotated[
        str | None,
        typer.Option("--filter", help='Search only documents with such metadata: {"year": 2020}.'),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the best match of each query token.")
    ] = False,
    as_json: AsJson = False,
    file: Annotated[
        str | None,
        typer.Option("-f", "--file", help="Queries: id<TAB>text, JSON lines, lines, BEIR; or -."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Write the hits of -f here, in the format of TREC.")
    ] = None,
) -> None:
    """Search an index with a question, or with a file of questions.

    Scores are means over the tokens of the question; at most 1 with most models.
    --json prints one object: query, method, quality, n_probe, k_prime, rerank, k, seconds,
    hits. A hit has rank, id, score, title, text, metadata and, with --explain, matches:
    query_token, similarity, retrieved, imputed, document_token_index, document_token, field, start,
    end. With -f there is an object to a line: query_id, query, hits.

    \b
    Examples:
        colxtr search my.index "who wrote the first compiler"
        colxtr search my.index "a question" -k 3 --explain
        colxtr search my.index "a question" --json | jq '.hits[0].id'
        colxtr search my.index "a question" --quality 0.9
        colxtr search my.index "a question" --method exact
        colxtr search my.index "a question" --filter '{"lang": "en", "year": {"$gte": 2020}}'
        colxtr search my.index -f queries.tsv -k 100 --run out.trec
    """  # noqa: D301
    if (query is None) == (file is None):
        end('error: give one question, or a file of them with "-f queries.tsv"', code=2)
    if run is not None and file is None:
        end('error: --run needs a file of questions: "-f queries.tsv"', code=2)
    if explain and file is not None:
        end("error: --explain is for one question, not for a file of them", code=2)
    if query is not None and not query.strip():
        end("error: the question is empty; give at least one word", code=2)
    options: dict[str, Any] = {
        "method": str(method),
        "quality": quality,
        "n_probe": n_probe,
        "k_prime": k_prime,
        "rerank": rerank,
    }
    from colxtr.filters import parse_filter_text  # noqa: PLC0415
    from colxtr.index import Index  # noqa: PLC0415

    if filter_ is not None:
        options["filter"] = parse_filter_text(filter_)
    with Index.open(path) as index:
        if file is not None:
            _search_file(index, file, run, k, options, as_json)
        elif query is not None:
            _search_one(index, query, k, options, explain, as_json)


def _search_one(  # noqa: PLR0917 (as the command's)
    index: Index, query: str, k: int, options: dict[str, Any], explain: bool, as_json: bool
) -> None:
    start = time.perf_counter()
    hits = index.search(query, k, **options)
    seconds = time.perf_counter() - start
    if as_json:
        explanations = _explanations(index, query, hits, options) if explain else None
        result = {"query": query, **options, "k": k, "seconds": round(seconds, 6)}
        if "filter" in options:
            result["filter"] = json.loads(options["filter"].key)
        _print_json({**result, "hits": list(_as_dicts(hits, explanations))})
        return
    from colxtr.cli.render import print_hits  # noqa: PLC0415

    print_hits(hits, _explanations(index, query, hits, options), table=explain)
    if not hits:
        sys.stderr.write("nothing found\n" if len(index) else "nothing found: the index is empty\n")


def _explanations(
    index: Index, query: str, hits: Iterable[Hit], options: dict[str, Any]
) -> list[Explanation]:
    return [index.explain(query, hit.id, **options) for hit in hits]


def _search_file(  # noqa: PLR0917 (as the command's)
    index: Index, file: str, run: Path | None, k: int, options: dict[str, Any], as_json: bool
) -> None:
    from colxtr.corpora import read_queries  # noqa: PLC0415
    from colxtr.runs import check_target, print_run, write_run  # noqa: PLC0415

    if run is not None:
        check_target(run)
    queries = read_queries(file)
    start = time.perf_counter()
    texts = [text for _, text in queries]
    found = index.search_many(texts, k, **options, load_text=as_json, progress=True)
    seconds = time.perf_counter() - start
    runs = [(identifier, hits) for (identifier, _), hits in zip(queries, found, strict=True)]
    if run is not None:
        write_run(run, runs, tag=options["method"])
        rate = len(queries) / max(seconds, 1e-9)
        sys.stderr.write(f"{len(queries):,} queries, {rate:,.1f}/s: {run}\n")
    if as_json:
        for (identifier, text), hits in zip(queries, found, strict=True):
            _print_json({"query_id": identifier, "query": text, "hits": list(_as_dicts(hits))})
    elif run is None:
        print_run(sys.stdout, runs, tag=options["method"])


def _as_dicts(
    hits: Sequence[Hit], explanations: Sequence[Explanation] | None = None
) -> Iterator[dict[str, Any]]:
    for i, hit in enumerate(hits):
        record: dict[str, Any] = {
            "rank": i + 1,
            "id": hit.id,
            "score": hit.score,
            "title": hit.title,
            "text": hit.text,
            "metadata": dict(hit.metadata),
        }
        if explanations:
            record["matches"] = [_match_as_dict(match) for match in explanations[i].matches]
        yield record


def _match_as_dict(match: Any) -> dict[str, Any]:
    from dataclasses import asdict  # noqa: PLC0415

    return asdict(match)


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
