"""Which engines are compared, in which versions, built how, searched with which settings.

The first settings of each are its defaults; the others trace its curve from fast to accurate. All
searches ask for the best 100 documents, but those with a `k` of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Settings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Variant:
    """One engine, built in one way.

    Attributes:
        name: For tables and curves; also the folder of its indexes.
        driver: `run_<driver>.py`, in the virtual environment `<driver>`.
        options: For building; what is not named is the engine's default.
        sweep: Settings of its searches, the defaults first.
    """

    name: str
    driver: str
    sweep: Sequence[Settings]
    options: Settings = field(default_factory=dict)

    @property
    def environment(self) -> str:
        """The folder of its virtual environment."""
        return self.driver.replace("_", "-")


# What `pip install` is given; colxtr itself is installed from this checkout.
REQUIREMENTS = {
    "tachiom": "tachiom==0.4.0",
    "fast-plaid": "fast-plaid==1.7.0.2110",
    "xtr-warp": "xtr-warp-rs==2.1.0.2110",
}

_COLXTR: Sequence[Settings] = (
    {},
    {"k": 10},
    *({"k": 10, "quality": 0, "n_probe": n_probe} for n_probe in (1, 2)),
    *({"k": 10, "quality": quality} for quality in (0, 0.2, 0.4, 0.6, 0.8, 1)),
    *({"quality": quality} for quality in (0, 0.25, 0.75, 1)),
    {"method": "exact"},
)

VARIANTS = (
    Variant("colxtr, 2 bits", "colxtr", _COLXTR, {"n_bits": 2}),
    Variant("colxtr, 4 bits", "colxtr", _COLXTR, {"n_bits": 4}),
    Variant(
        "TACHIOM",
        "tachiom",
        (
            {},
            {"k_centroids": 5, "k_docs_to_score": 50, "ef_search": 10},
            {"k_centroids": 10, "k_docs_to_score": 100},
            {"k": 10, "k_centroids": 10, "k_docs_to_score": 50},
            {"k": 10, "k_centroids": 10, "k_docs_to_score": 100},
            {"k": 10, "k_centroids": 20, "k_docs_to_score": 200},
            {"k": 10, "k_centroids": 40, "k_docs_to_score": 500, "ef_search": 60},
            {"k_centroids": 20, "k_docs_to_score": 100},
            {"k_centroids": 20, "k_docs_to_score": 200},
            {"k_centroids": 40, "k_docs_to_score": 500, "ef_search": 60},
            {"k_centroids": 40, "k_docs_to_score": 1000, "ef_search": 60},
            {"k_centroids": 100, "k_docs_to_score": 2000, "ef_search": 150, "alpha": None},
        ),
    ),
    Variant(
        "fast-plaid, 4 bits",
        "fast_plaid",
        (
            {},
            {"n_ivf_probe": 1, "n_full_scores": 256},
            {"n_ivf_probe": 2, "n_full_scores": 512},
            {"n_ivf_probe": 4, "n_full_scores": 1024},
            {"n_ivf_probe": 8, "n_full_scores": 2048},
            {"n_ivf_probe": 16, "n_full_scores": 8192},
        ),
        {"nbits": 4},
    ),
    Variant(
        "xtr-warp-rs, 4 bits",
        "xtr_warp",
        (
            {},
            {"nprobe": 2},
            {"nprobe": 8},
            {"nprobe": 16},
            {"nprobe": 32},
            {"nprobe": 64, "centroid_score_threshold": 0.0, "max_candidates": 1_000_000},
            {
                "nprobe": 128,
                "bound": 1024,
                "centroid_score_threshold": 0.0,
                "max_candidates": 1_000_000,
            },
        ),
        {"nbits": 4},
    ),
)
