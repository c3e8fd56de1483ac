"""From tuples to batches: which tuples a step sees, and the texts and keys of them.

The order is a pure function of seed and epoch, so that the number of a batch is all that there is
to remember of it. Knows nothing of models or losses.
"""

from __future__ import annotations

import functools
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from colxtr.errors import InputError
from colxtr.training.sets import NWayTuple, TrainingSet
from colxtr.training.settings import BatchSettings

Ordinals = Sequence[int]


@dataclass(frozen=True)
class Batch:
    """Some tuples, with each document once.

    Attributes:
        queries: Texts, one for each tuple.
        documents: Texts, each once.
        document_keys: Their keys.
        own: For each tuple the keys of its documents, the relevant one first.
        relevant: For each tuple the keys of all documents known to be relevant.
        scores: For each tuple the teacher's scores of its documents; None without a teacher.
    """

    queries: list[str]
    documents: list[str]
    document_keys: list[int]
    own: list[list[int]]
    relevant: list[list[int]]
    scores: list[tuple[float, ...] | None]


class BatchOrder:
    """Which tuples are in which batch.

    Args:
        training_set: The tuples.
        settings: How many go into a batch.
        seed: Of the order, and of the negatives that are drawn.
        process: Which process this is,
        processes: and of how many: each gets its own part of a batch.

    Raises:
        InputError: There are fewer tuples than one batch takes.
    """

    def __init__(
        self,
        training_set: TrainingSet,
        settings: BatchSettings,
        seed: int,
        *,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self._set = training_set
        self._settings = settings
        self._seed = seed
        self._process, self._processes = process, processes
        if len(training_set.tuples) < settings.size * processes:
            raise InputError(
                f"there are {len(training_set.tuples)} tuples, fewer than a batch of "
                f"{settings.size * processes}; set batches.size to less"
            )
        self._epoch: tuple[int, np.ndarray] | None = None

    @property
    def per_epoch(self) -> int:
        """Batches to an epoch; what does not fill the last is left out of it."""
        return len(self._set.tuples) // (self._settings.size * self._processes)

    def __getitem__(self, number: int) -> Batch:
        """The batch of this number, from 0."""
        epoch, place = divmod(number, self.per_epoch)
        size = self._settings.size
        start = (place * self._processes + self._process) * size
        ordinals = self._permutation(epoch)[start : start + size]
        return make_batch(
            self._set, [self._taken(self._set.tuples[i], int(i), epoch) for i in ordinals]
        )

    def sample_documents(self, count: int, number: int) -> list[str]:
        """Texts of relevant documents, drawn by the seed and a number: the same everywhere."""
        generator = np.random.default_rng([self._seed, number, count])
        n_tuples = len(self._set.tuples)
        drawn = generator.choice(n_tuples, min(count, n_tuples), replace=False)
        names = dict.fromkeys(self._set.tuples[int(i)].document_ids[0] for i in drawn)
        return [self._set.documents[name] for name in names]

    def _permutation(self, epoch: int) -> np.ndarray:
        """The tuples' ordinals in the order of an epoch, one batch after the other."""
        if self._epoch is None or self._epoch[0] != epoch:
            generator = np.random.default_rng([self._seed, epoch])
            order = generator.permutation(len(self._set.tuples))
            if self._settings.from_one_collection:
                order = self._by_collection(order, generator)
            self._epoch = epoch, order
        return self._epoch[1]

    def _by_collection(self, order: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The same, but each batch is of one collection, as far as a collection fills batches."""
        size = self._settings.size * self._processes
        parts = [order[self._collections[order] == each] for each in np.unique(self._collections)]
        whole = [part[: len(part) // size * size] for part in parts]
        rest = np.concatenate([part[len(part) // size * size :] for part in parts])
        generator.shuffle(rest)
        batches = np.concatenate([*whole, rest[: len(rest) // size * size]]).reshape(-1, size)
        return generator.permutation(batches).ravel()

    @functools.cached_property
    def _collections(self) -> np.ndarray:
        """A number for the collection of each tuple, (n_tuples,)."""
        names = [self._set.collection_of(example.query_id) for example in self._set.tuples]
        return np.unique(names, return_inverse=True)[1]

    def _taken(self, example: NWayTuple, ordinal: int, epoch: int) -> NWayTuple:
        """The tuple with the relevant document and `n_ways` - 1 of its negatives."""
        n_negatives = len(example.document_ids) - 1
        wanted = n_negatives if self._settings.n_ways is None else self._settings.n_ways - 1
        if wanted >= n_negatives:
            return example
        chosen: Ordinals = range(1, wanted + 1)
        if self._settings.negatives == "sample":
            generator = np.random.default_rng([self._seed, epoch, ordinal])
            drawn = generator.choice(n_negatives, wanted, replace=False) + 1
            chosen = sorted(int(i) for i in drawn)
        kept = [0, *chosen]
        return NWayTuple(
            example.query_id,
            tuple(example.document_ids[i] for i in kept),
            None if example.scores is None else tuple(example.scores[i] for i in kept),
        )


def make_batch(training_set: TrainingSet, examples: Sequence[NWayTuple]) -> Batch:
    """The batch of some tuples.

    Raises:
        InputError: A query or a document of a tuple has no text in the set.
    """
    documents: OrderedDict[int, str] = OrderedDict()
    for example in examples:
        for identifier in example.document_ids:
            key = key_of(identifier)
            if key not in documents:
                documents[key] = _text(training_set, "documents", identifier, example.query_id)
    positives = training_set.positives
    return Batch(
        [_text(training_set, "queries", each.query_id, each.query_id) for each in examples],
        list(documents.values()),
        list(documents),
        [[key_of(identifier) for identifier in each.document_ids] for each in examples],
        [
            sorted(map(key_of, {each.document_ids[0], *positives.get(each.query_id, ())}))
            for each in examples
        ],
        [each.scores for each in examples],
    )


def key_of(document_id: str) -> int:
    """A number for a document, the same on all processes: 62 bits of a digest of its id."""
    digest = hashlib.blake2b(document_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 2


def _text(training_set: TrainingSet, kind: str, identifier: str, query_id: str) -> str:
    try:
        text: str = getattr(training_set, kind)[identifier]
    except KeyError:
        raise InputError(
            f"the tuple of query {query_id!r} names {identifier!r}, which is not among the {kind} "
            "of the training set; give the files that hold it, or leave the tuple out"
        ) from None
    return text
