"""Several sets made into one. Knows nothing of files."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from colxtr.errors import InputError
from colxtr.training.sets import NWayTuple, TrainingSet


def prefixed(name: str, example: NWayTuple) -> NWayTuple:
    """A tuple whose ids say which set they are of: `name:id`."""
    ids = tuple(f"{name}:{each}" for each in example.document_ids)
    return NWayTuple(f"{name}:{example.query_id}", ids, example.scores)


def mix(
    sets: Mapping[str, TrainingSet], weights: Mapping[str, float] | None = None, *, seed: int = 0
) -> TrainingSet:
    """Put sets together, ids prefixed with the names of their sets, tuples shuffled.

    Args:
        sets: By name; a name holds no colon.
        weights: How often each tuple of a set comes: 2 is twice, 0.5 is half of them, drawn at
            random. 1 for a set that is not named.
        seed: Of the drawing and the shuffling.

    Raises:
        InputError: A weight is negative or of an unknown set.
    """
    weights = weights or {}
    for name, weight in weights.items():
        if name not in sets:
            raise InputError(f"a weight for {name!r}, but the sets are {', '.join(sets)}")
        if not 0 <= weight < float("inf"):
            raise InputError(f"the weight of {name!r} is {weight}; 0 or more is possible")
    tuples = [
        prefixed(name, example)
        for name, each in sets.items()
        for example in drawn(each.tuples, weights.get(name, 1.0), f"{seed}:{name}")
    ]
    if len(sets) > 1:
        random.Random(seed).shuffle(tuples)
    return TrainingSet(
        _Prefixed({name: each.queries for name, each in sets.items()}),
        _Prefixed({name: each.documents for name, each in sets.items()}),
        tuples,
        {
            f"{name}:{query_id}": frozenset(f"{name}:{i}" for i in ids)
            for name, each in sets.items()
            for query_id, ids in each.positives.items()
        },
        tuple(sets),
    )


def weighted(mixed: TrainingSet, weights: Mapping[str, float], *, seed: int = 0) -> list[NWayTuple]:
    """The tuples of a mixed set as often as the weights of the sets that they are from say.

    Args:
        mixed: Of several sets.
        weights: As `mix` has them, and `seed` too. Where all are 1, the tuples are as they were.
        seed: Of the drawing.
    """
    if all(weight == 1 for weight in weights.values()):
        return list(mixed.tuples)
    of_set: dict[str, list[NWayTuple]] = {}
    for example in mixed.tuples:
        of_set.setdefault(mixed.collection_of(example.query_id), []).append(example)
    return [
        example
        for name, some in of_set.items()
        for example in drawn(some, weights.get(name, 1.0), f"{seed}:{name}")
    ]


def drawn(tuples: Sequence[NWayTuple], weight: float, seed: str) -> list[NWayTuple]:
    """All tuples as often as the whole part of the weight says, and a random part of them more."""
    whole = int(weight)
    part = round((weight - whole) * len(tuples))
    order = sorted(random.Random(seed).sample(range(len(tuples)), part))
    return [*list(tuples) * whole, *(tuples[i] for i in order)]


class _Prefixed(Mapping[str, str]):
    """Texts of several sets under `name:id`, without a copy of them."""

    def __init__(self, texts: Mapping[str, Mapping[str, str]]) -> None:
        self._texts = texts

    def __getitem__(self, identifier: str) -> str:
        name, colon, rest = identifier.partition(":")
        if not colon or name not in self._texts:
            raise KeyError(identifier)
        return self._texts[name][rest]

    def __contains__(self, identifier: object) -> bool:
        name, colon, rest = str(identifier).partition(":")
        return bool(colon) and name in self._texts and rest in self._texts[name]

    def __iter__(self) -> Iterator[str]:
        each = ((f"{name}:{i}" for i in texts) for name, texts in self._texts.items())
        return chain.from_iterable(each)

    def __len__(self) -> int:
        return sum(map(len, self._texts.values()))
