"""XTR's exact store as its paper has it: float32 tokens in ScaNN (extra `scann`).

Beside our own exhaustive and list search at 16 bits, to compare. Source: Lee et al. 2023, section
4; ScaNN (Guo et al. 2020). Settings by ScaNN's own rule of thumb: sqrt(n) leaves, of which a
twentieth is searched.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from colxtr.errors import InputError
from colxtr.evaluation.embedded import EmbeddedCollection, Floats
from colxtr.libraries import imported

_SEARCHED_LEAVES = 20  # one of so many
_TRAINING = 250_000  # tokens
_DIMENSIONS_PER_BLOCK = 2
_ANISOTROPIC = 0.2  # ScaNN's threshold for inner products
_BRUTE_FORCE_BELOW = 20_000  # tokens: ScaNN's own advice


@dataclass(frozen=True)
class ScannStore:
    """Tokens in ScaNN, and whose they are.

    Attributes:
        searcher: ScaNN's.
        owners: (n_tokens,) int64, the ordinal of each token's document.
        k_prime: Tokens retrieved per query token.
    """

    searcher: Any
    owners: NDArray[np.int64]
    k_prime: int

    @classmethod
    def build(cls, embedded: EmbeddedCollection, *, k_prime: int | None = None) -> ScannStore:
        """Put all tokens of a collection into ScaNN; they are in memory, in single precision.

        ScaNN's training takes no seed: two stores of the same tokens may differ a little.

        Args:
            embedded: The collection.
            k_prime: Clamped to the number of tokens. Default: as `SearchSettings` has it,
                2 * sqrt(tokens).

        Raises:
            MissingDependencyError: scann is not installed.
            InputError: The collection has no tokens.
        """
        library = imported("scann", "XTR over ScaNN", "scann")
        counts = embedded.counts()
        n_tokens = int(counts.sum())
        if not n_tokens:
            raise InputError(f"{embedded.folder}: there are no tokens to put into ScaNN")
        tokens = np.concatenate([part.tokens for part in embedded.parts()])
        k_prime = min(k_prime or 2 * isqrt(n_tokens), n_tokens)
        builder = library.scann_ops_pybind.builder(tokens, k_prime, "dot_product")
        if n_tokens >= _BRUTE_FORCE_BELOW:
            leaves = isqrt(n_tokens)
            builder = builder.tree(
                num_leaves=leaves,
                num_leaves_to_search=max(1, leaves // _SEARCHED_LEAVES),
                training_sample_size=min(n_tokens, _TRAINING),
            )
            builder = builder.score_ah(
                _DIMENSIONS_PER_BLOCK, anisotropic_quantization_threshold=_ANISOTROPIC
            ).reorder(k_prime)
        else:
            builder = builder.score_brute_force()
        return cls(builder.build(), np.repeat(np.arange(len(counts)), counts), k_prime)

    @property
    def n_tokens(self) -> int:
        """Tokens in the store."""
        return len(self.owners)

    def search(self, query: Floats, k: int) -> list[tuple[int, float]]:
        """The k best documents by XTR's score, equals by ordinal.

        Args:
            query: (n_tokens, dim).
            k: How many.

        Returns:
            Ordinals and mean_i max(max_{j retrieved} s_ij, m_i) (XTR, equation 7).
        """
        if not len(query):
            return []
        neighbours, similarities = self.searcher.search_batched(query)
        return xtr_ranking(np.asarray(neighbours), np.asarray(similarities), self.owners, k)

    def write(self, folder: Path) -> int:
        """Write ScaNN's files, the vectors with them; returns their bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        self.searcher.serialize(str(folder))
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def xtr_ranking(
    neighbours: NDArray[np.integer],
    similarities: NDArray[np.floating],
    owners: NDArray[np.int64],
    k: int,
) -> list[tuple[int, float]]:
    """XTR's scores of the documents of which a token was retrieved, the k best.

    Args:
        neighbours: (n_query_tokens, k'), the tokens retrieved.
        similarities: Theirs; what is not finite was not retrieved.
        owners: (n_tokens,), the document of each token.
        k: How many.
    """
    found = np.isfinite(similarities)
    thresholds = np.where(found, similarities, np.inf).min(axis=1, initial=np.inf)
    thresholds[np.isinf(thresholds)] = 0  # a row that retrieved nothing favours no document
    rows = np.broadcast_to(np.arange(len(neighbours))[:, None], neighbours.shape)[found]
    documents, places = np.unique(owners[neighbours[found]], return_inverse=True)
    best = np.repeat(thresholds[:, None], len(documents), axis=1)
    np.maximum.at(best, (rows, places.reshape(-1)), similarities[found])
    scores = best.mean(axis=0)
    order = np.lexsort((documents, -scores))[:k]
    return [(int(documents[i]), float(scores[i])) for i in order]
