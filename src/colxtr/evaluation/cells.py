"""What a comparison measures: a cell for each method, index and setting. Knows no measuring.

An index is a bit width, a number of dimensions and of centroids; a method is a name and what it
passes to `Index.search_embeddings`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from colxtr.codec import N_BITS, check_dim, check_n_bits
from colxtr.errors import InputError
from colxtr.evaluation.presets import Scale

Runner = Literal["index", "float32", "bm25", "scann"]
PAPER_PROBES = 10
ALL_LISTS = 1 << 30  # n_probe is clamped to the number of centroids
TIMED_QUERIES = 100  # of a cell, one by one,
TIMED_SECONDS = 5.0  # or as many as are begun in this time: exhaustive methods are slow


@dataclass(frozen=True)
class MethodSpec:
    """A method as a comparison knows it.

    Attributes:
        name: In tables and on the command line.
        runner: What runs it: an index of ours, exact MaxSim in float32, BM25, or ScaNN.
        options: For `Index.search_embeddings`.
        scaled: Which of the settings of a search it has.
        meaning: A line for people.
    """

    name: str
    runner: Runner
    options: dict[str, Any] = field(default_factory=dict)
    scaled: tuple[str, ...] = ()
    meaning: str = ""


METHODS = {
    method.name: method
    for method in (
        MethodSpec("bm25", "bm25", meaning="words, the floor"),
        MethodSpec("float32", "float32", meaning="exact MaxSim over the embeddings as they are"),
        MethodSpec("exact", "index", {"method": "exact"}, (), "MaxSim over what the index stores"),
        MethodSpec(
            "colbert",
            "index",
            {"method": "colbert"},
            ("n_probe", "k_prime"),
            "documents of each query token's most similar tokens, then MaxSim",
        ),
        MethodSpec(
            "colbertv2",
            "index",
            {"method": "colbertv2"},
            ("n_probe",),
            "lists, lower bounds, then MaxSim for the best",
        ),
        MethodSpec(
            "xtr",
            "index",
            {"method": "xtr", "n_probe": ALL_LISTS},
            ("k_prime",),
            "exhaustive token retrieval, imputed scores",
        ),
        MethodSpec(
            "xtr-lists",
            "index",
            {"method": "xtr", "n_probe": PAPER_PROBES},
            ("n_probe", "k_prime"),
            "the same through each query token's own lists",
        ),
        MethodSpec(
            "xtr-scann",
            "scann",
            {},
            ("k_prime",),
            "the same through ScaNN over float32, as the XTR paper has it",
        ),
        MethodSpec(
            "colxtr-no-rerank",
            "index",
            {"method": "colxtr", "rerank": 0},
            ("n_probe", "k_prime"),
            "pooled lists, imputed scores: ColXTR as published",
        ),
        MethodSpec(
            "colxtr",
            "index",
            {"method": "colxtr"},
            ("n_probe", "k_prime", "rerank"),
            "the same, then MaxSim for the best: the default",
        ),
    )
}
DEFAULT_METHODS = tuple(name for name in METHODS if name != "xtr-scann")
SEARCH_KNOBS = ("n_probe", "k_prime", "rerank")
INDEX_KNOBS = ("n_bits", "dim", "n_centroids")
_LEAST = {"n_probe": 1, "k_prime": 1, "rerank": 0, "n_centroids": 1}


@dataclass(frozen=True)
class IndexSpec:
    """Which index: None leaves dimensions and centroids as they come."""

    n_bits: int
    dim: int | None = None
    n_centroids: int | None = None

    @property
    def name(self) -> str:
        """For folders and files."""
        extra = [f"-dim{self.dim}"] if self.dim else []
        extra += [f"-centroids{self.n_centroids}"] if self.n_centroids else []
        return f"{self.n_bits}bits{''.join(extra)}"


@dataclass(frozen=True)
class Cell:
    """One thing to measure.

    Attributes:
        method: A name of `METHODS`.
        index: What is searched; None for BM25, float32 and ScaNN at full dimensions.
        options: As the method searches: its own, then a preset's, then a sweep's.
    """

    method: str
    index: IndexSpec | None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For files: all that tells cells apart."""
        own = METHODS[self.method].options
        changed = [f"-{k}{v}" for k, v in sorted(self.options.items()) if own.get(k) != v]
        index = f"-{self.index.name}" if self.index else ""
        return f"{self.method}{index}{''.join(changed)}"

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Sweep:
    """One setting, and the values that it takes.

    Attributes:
        knob: "n_probe", "k_prime", "rerank", "n_bits", "dim" or "n_centroids".
        values: Ascending.
    """

    knob: str
    values: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Sweep:
        """Read "n_probe=1,2,4".

        Raises:
            InputError: It is not that, or a value is impossible.
        """
        found = re.fullmatch(r"\s*(\w+)\s*=\s*(\d+(?:\s*,\s*\d+)*)\s*", text)
        knobs = (*SEARCH_KNOBS, *INDEX_KNOBS)
        if found is None or found[1] not in knobs:
            raise InputError(
                f"the sweep {text!r} is not understood; write it as n_probe=1,2,4 with one of "
                f"{', '.join(knobs)}"
            )
        values = tuple(sorted({int(value) for value in found[2].split(",")}))
        for value in values:
            _check_value(found[1], value)
        return cls(found[1], values)

    @property
    def default_methods(self) -> tuple[str, ...]:
        """The methods that it says something about."""
        if self.knob in INDEX_KNOBS:
            return ("exact", "colxtr-no-rerank", "colxtr")
        return tuple(
            name
            for name, method in METHODS.items()
            if self.knob in method.scaled and method.runner == "index"
        )


def _check_value(knob: str, value: int) -> None:
    if knob == "n_bits":
        check_n_bits(value)
    elif knob == "dim":
        check_dim(value)
    elif value < _LEAST[knob]:
        raise InputError(f"{knob} is {value}; at least {_LEAST[knob]} is possible")


def check_methods(names: Iterable[str]) -> tuple[str, ...]:
    """Names of methods, each once, in their usual order.

    Raises:
        InputError: One is unknown, or there is none.
    """
    given = set(names)
    if unknown := sorted(given - METHODS.keys()):
        raise InputError(f"method is {unknown[0]!r}; {', '.join(METHODS)} are possible")
    if not given:
        raise InputError(f"no method is named; {', '.join(METHODS)} are possible")
    return tuple(name for name in METHODS if name in given)


def check_bits(bits: Iterable[int]) -> tuple[int, ...]:
    """Bit widths, each once, ascending.

    Raises:
        InputError: One is impossible, or there is none.
    """
    given = tuple(sorted(set(bits)))
    for n_bits in given:
        check_n_bits(n_bits)
    if not given:
        raise InputError(f"no bit width is named; {', '.join(map(str, N_BITS))} are possible")
    return given


def table_cells(methods: Sequence[str], bits: Sequence[int], scale: Scale) -> list[Cell]:
    """The cells of the table: every method, those of an index at every bit width."""
    cells = []
    for name in methods:
        widths = bits if METHODS[name].runner == "index" else (None,)
        for n_bits in widths:
            index = None if n_bits is None else IndexSpec(n_bits)
            cells.append(Cell(name, index, _options(name, dict(scale))))
    return cells


def sweep_cells(
    sweep: Sweep, methods: Sequence[str], n_bits: int, scale: Scale
) -> list[tuple[int, Cell]]:
    """The cells of a sweep, with the values that they are for; by method, then by value.

    Args:
        sweep: What changes.
        methods: Of which; those that the setting means nothing to are left out.
        n_bits: Of the index, where it is not that which changes.
        scale: A preset's settings for the others.
    """
    cells = []
    for name in methods:
        if METHODS[name].runner != "index":
            continue
        if sweep.knob in SEARCH_KNOBS and sweep.knob not in METHODS[name].scaled:
            continue
        for value in sweep.values:
            index, options = IndexSpec(n_bits), _options(name, dict(scale))
            if sweep.knob in INDEX_KNOBS:
                index = replace(index, **{sweep.knob: value})
            else:
                options[sweep.knob] = value
            cells.append((value, Cell(name, index, options)))
    return cells


def _options(name: str, scale: dict[str, Any]) -> dict[str, Any]:
    """A method's own settings, and those of a preset that it has."""
    method = METHODS[name]
    return {**method.options, **{k: v for k, v in scale.items() if k in method.scaled}}
