"""Figures that others published of the same collections, to stand beside ours.

nDCG@10 as their authors give it, of their models: what differs from ours is first of all the model.
Sources: ColBERTv2 (Santhanam et al. 2022), XTR (Lee et al. 2023), ColXTR (Bhat and Sen 2025).
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """A figure.

    Attributes:
        system: Whose.
        ndcg_at_10: From 0 to 1.
    """

    system: str
    ndcg_at_10: float


class PublishedSize(NamedTuple):
    """Gigabytes of a collection's index: flat HNSW, and ColXTR's."""

    hnsw: float
    colxtr: float


class Peer(NamedTuple):
    """An engine's size and speed, on embeddings of 128 dimensions of the same collection.

    Attributes:
        engine: Which.
        bytes_per_token: Of its index.
        milliseconds: Of a search on one thread at a recall@10 of 0.9 of exact MaxSim.
    """

    engine: str
    bytes_per_token: float
    milliseconds: float


# docs/benchmarks.md; the milliseconds are those of the machine there.
_PEERS = {
    "scifact": (
        Peer("TACHIOM 0.4.0", 65.4, 3.2),
        Peer("fast-plaid 1.7.0, 4 bits", 78.9, 34.6),
        Peer("xtr-warp-rs 2.1.0, 4 bits", 146.5, 27.2),
    )
}

# Documents of the full collection: one of the same name with another number is another one.
_DOCUMENTS = {
    "arguana": 8_674,
    "touche2020": 382_545,
    "fever": 5_416_568,
    "climate-fever": 5_416_593,
    "scifact": 5_183,
    "trec-covid": 171_332,
    "nfcorpus": 3_633,
    "nq": 2_681_468,
    "hotpotqa": 5_233_329,
    "fiqa": 57_638,
    "scidocs": 25_657,
    "dbpedia-entity": 4_635_922,
    "quora": 522_931,
}
_NDCG: dict[str, tuple[float, ...]] = {
    "ColBERTv2": (46.3, 26.3, 78.5, 17.6, 69.3, 73.8, 33.8, 56.2, 66.7, 35.6, 15.4, 44.6, 85.2),
    "XTR-base": (40.7, 31.3, 73.7, 20.7, 71.0, 73.6, 34.0, 53.0, 64.7, 34.7, 14.5, 40.9, 86.1),
    "ColXTR": (49.3, 29.1, 73.1, 12.6, 71.9, 69.6, 34.3, 41.1, 61.1, 33.4, 15.7, 27.2, 81.9),
}
_SIZES = {
    "nq": PublishedSize(860, 25),
    "nfcorpus": PublishedSize(2.4, 0.091),
    "trec-covid": PublishedSize(67, 3),
    "touche2020": PublishedSize(481, 7),
}
_ALIASES = {"webis-touche2020": "touche2020", "touche": "touche2020", "dbpedia": "dbpedia-entity"}


def published(name: str, n_documents: int) -> list[Published]:
    """What is published of a collection; nothing if it is not of BEIR, or not all of it.

    Args:
        name: The folder's.
        n_documents: How many it has.
    """
    known = _known(name)
    if known is None or _DOCUMENTS[known] != n_documents:
        return []
    place = list(_DOCUMENTS).index(known)
    return [Published(system, values[place] / 100) for system, values in _NDCG.items()]


def published_size(name: str, n_documents: int) -> PublishedSize | None:
    """The paper's sizes of a collection; None where it gives none."""
    known = _known(name)
    if known is None or _DOCUMENTS[known] != n_documents:
        return None
    return _SIZES.get(known)


def peers(name: str, n_documents: int) -> tuple[Peer, ...]:
    """What other engines took of a collection, measured by us; nothing where they were not."""
    known = _known(name)
    if known is None or _DOCUMENTS[known] != n_documents:
        return ()
    return _PEERS.get(known, ())


def _known(name: str) -> str | None:
    lowered = name.lower()
    lowered = _ALIASES.get(lowered, lowered)
    return lowered if lowered in _DOCUMENTS else None
