"""Teachers: models that say how relevant a document is to a query.

A cross-encoder reads both together; a token encoder (a larger student, an earlier one) gives exact
MaxSim. Knows nothing of tuples: `score.py` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from colxtr.errors import ModelError
from colxtr.training.checkpoints.layouts import find_checkpoint
from colxtr.training.libraries import imported, quiet
from colxtr.training.model_kinds import ModelKind, model_kind
from colxtr.training.token_encoders import TokenEncoder, load_token_encoder

Pair = tuple[str, str]  # query, document


class Teacher(Protocol):
    """Anything that scores pairs."""

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Scores of (query, document) pairs, (n_pairs,); higher is more relevant."""


class CrossEncoderTeacher:
    """A cross-encoder of sentence-transformers. Its scores are logits, not probabilities.

    Pairs are sorted by length (of what is read: texts are cut before they are tokenized), so that
    little of a batch is padding.
    """

    def __init__(self, model: Any, *, batch_size: int = 32) -> None:
        self._model, self._batch_size = model, batch_size

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Logits, (n_pairs,)."""
        if not pairs:
            return np.empty(0, np.float32)
        torch = imported("torch", "scoring with a cross-encoder")
        most = 10 * (self._model.max_seq_length or 512)  # characters: no token has more of them
        scores: NDArray[np.float32] = self._model.predict(
            [(query[:most], document[:most]) for query, document in pairs],
            batch_size=self._batch_size,
            activation_fn=torch.nn.Identity(),
            show_progress_bar=False,
        )
        return scores.reshape(len(pairs)).astype(np.float32)


class MaxSimTeacher:
    """A token encoder: mean over the query's tokens of their best similarity in the document."""

    def __init__(self, encoder: TokenEncoder) -> None:
        self._encoder = encoder

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """MaxSim, (n_pairs,); each text is encoded once. No tokens on either side give 0."""
        queries = list(dict.fromkeys(query for query, _ in pairs))
        documents = list(dict.fromkeys(document for _, document in pairs))
        of_query = dict(zip(queries, self._encoder.encode_queries(queries), strict=True))
        of_document = dict(zip(documents, self._encoder.encode_documents(documents), strict=True))
        scores = [_maxsim(of_query[query], of_document[document]) for query, document in pairs]
        return np.array(scores, np.float32)


def load_teacher(
    source: str, *, batch_size: int = 32, max_length: int | None = 256, bf16: bool = False
) -> Teacher:
    """Load a teacher.

    Args:
        source: A folder or hub id of a cross-encoder or of a multi-vector encoder, a colxtr
            encoder folder, or "builtin".
        batch_size: Pairs (or texts) in a batch.
        max_length: Tokens of a pair that a cross-encoder reads, at most; None: its own limit.
        bf16: Run a cross-encoder in bfloat16: twice as fast on processors that have it.

    Raises:
        ModelError: There is no such model, or it can score nothing.
        MissingDependencyError: The extra `train` is not installed.
    """
    if source == "builtin":
        return MaxSimTeacher(load_token_encoder(source))
    folder = find_checkpoint(source)
    kind = model_kind(folder)
    if kind in (ModelKind.COLXTR, ModelKind.MULTI_VECTOR):
        return MaxSimTeacher(load_token_encoder(source, batch_size=batch_size))
    if kind is ModelKind.ENCODER:
        raise ModelError(
            f"{source} is a plain encoder and has learnt no scores; make a cross-encoder of it "
            f"with: colxtr distill TUPLES --labels --student {source}"
        )
    return CrossEncoderTeacher(
        load_cross_encoder(source, max_length=max_length, bf16=bf16), batch_size=batch_size
    )


def load_cross_encoder(
    source: str, *, max_length: int | None = 256, bf16: bool = False, seed: int = 0
) -> Any:
    """Load a `sentence_transformers.CrossEncoder` with one output.

    A plain encoder gets a new head, drawn with `seed`.

    Raises:
        ModelError: There is no such model, or it has several outputs.
        MissingDependencyError: The extra `train` is not installed.
    """
    library = imported("sentence_transformers", "running a cross-encoder")
    torch = imported("torch", "running a cross-encoder")
    folder = find_checkpoint(source)
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    is_new = model_kind(folder) is ModelKind.ENCODER
    try:
        with quiet():
            model = library.CrossEncoder(
                str(folder),
                max_length=max_length,
                num_labels=1 if is_new else None,
                model_kwargs={"dtype": torch.bfloat16} if bf16 else {},
            )
    except (OSError, ValueError) as error:
        raise ModelError(f"{source} cannot be loaded as a cross-encoder: {error}") from error
    finally:
        torch.random.set_rng_state(state)
    if model.num_labels != 1:
        raise ModelError(f"{source} has {model.num_labels} outputs; a teacher has one, the score")
    return model


def _maxsim(query: NDArray[np.float32], document: NDArray[np.float32]) -> float:
    if not len(query) or not len(document):
        return 0.0
    return float((query @ document.T).max(axis=1).mean())
