"""What a run starts from, as its recipe names it: the model and the training set.

Knows nothing of how they are trained.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from colxtr.errors import InputError
from colxtr.training.sets import NWayTuple, TrainingSet
from colxtr.training.settings import DataSettings, ModelSettings
from colxtr.training.tuple_files import Collection, read_collections, read_training_set

_DROPOUTS = ("dropout", "dropout_prob", "attention_dropout")


def load_data(settings: DataSettings) -> TrainingSet:
    """Read what a recipe trains on.

    Raises:
        CorpusError: A file is missing or damaged; names file and line.
        InputError: Nothing is named, or a file of tuples without its collections.
    """
    store = Path(settings.store) if settings.store else None
    collections = [Collection.parse(each, split=settings.split) for each in settings.collections]
    if settings.tuples:
        return read_training_set(settings.tuples, collections, store=store)
    if not collections:
        raise InputError(
            "the recipe names nothing to train on; set data.tuples, data.collections, or both"
        )
    texts = read_collections(collections, store=store)
    return texts if texts.tuples else judged_pairs(texts)


def judged_pairs(texts: TrainingSet) -> TrainingSet:
    """Make each judged pair an example of its own, without negatives but those of its batch.

    Raises:
        InputError: No query has a relevant document.
    """
    tuples = [
        NWayTuple(query, (document,))
        for query in texts.queries
        for document in sorted(texts.positives.get(query, ()))
    ]
    if not tuples:
        raise InputError("no query of the collections has a document that is judged relevant")
    return replace(texts, tuples=tuples)


def load_start(settings: ModelSettings, training_set: TrainingSet, seed: int) -> Any:
    """The model before training; the same for the same arguments.

    Raises:
        InputError: No model is named.
        ModelError: It cannot be loaded.
    """
    if not settings.source:
        raise InputError("the recipe names no model; set model.source to a folder or hub id")
    import torch  # noqa: PLC0415 (heavy)

    from colxtr.training.checkpoints import (  # noqa: PLC0415
        initialise_projection,
        initialise_query_weights,
        load_model,
    )

    torch.manual_seed(seed)
    model = load_model(
        settings.source,
        dim=settings.dim,
        projection=settings.projection,
        query_length=settings.query_length,
        document_length=settings.document_length,
    )
    if settings.dropout is not None:
        set_dropout(model, settings.dropout)
    if settings.start_from_texts:
        initialise_projection(
            model,
            _spread(training_set.documents, settings.start_from_texts),
            queries=_spread(training_set.queries, settings.start_from_texts),
        )
    if settings.query_weights_from:
        initialise_query_weights(
            model,
            _spread(training_set.documents, settings.query_weights_from),
            _spread(training_set.queries, settings.query_weights_from),
        )
    return model


def set_dropout(model: Any, share: float) -> None:
    """Let the dropout layers of a model drop this share of what they pass on."""
    from torch import nn  # noqa: PLC0415 (heavy)

    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
        for name in _DROPOUTS:  # attention that drops its weights itself
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)


def _spread(texts: Any, most: int) -> list[str]:
    """So many texts, from all over a mapping."""
    every = max(1, len(texts) // most)
    return [texts[name] for name in islice(texts, 0, every * most, every)]
