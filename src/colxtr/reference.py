"""The slow, obvious NumPy definition of the codec and of every method.

The tests hold the fast paths (`kernels.py`, `search.py`) against this file. Nothing else imports
it, and it knows nothing of files or of the native module. All of a collection is in memory here:
documents are arrays of token embeddings, (n_tokens, dim).

Sources: ColBERTv2 (Santhanam et al. 2022), XTR (Lee et al. 2023, section 4), ColXTR (Bhat and Sen
2025); docs/index-format.md for the code of a token, trellis-coded quantisation (Marcellin and
Fischer 1990).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


# --- the code of a token -------------------------------------------------------------------------


def nearest_centroid(embeddings: Floats, centroids: Floats) -> NDArray[np.int64]:
    """The centroid with the largest inner product for each embedding, the first of equals."""
    nearest: NDArray[np.int64] = np.argmax(embeddings @ centroids.T, axis=1)
    return nearest


class Code(NamedTuple):
    """Centroids (n,), codes (n, dim * n_bits / 8), gain and length codes (n,) of tokens."""

    centroids: NDArray[np.int64]
    codes: NDArray[np.int64]
    gains: NDArray[np.int64]
    lengths: NDArray[np.int64] | None


def encode(embeddings: Floats, arrays: Mapping[str, NDArray[Any]]) -> Code:
    """The code of each embedding (docs/index-format.md, "Codec"), n_bits below 16."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    rotated = embeddings / lengths @ arrays["rotation"]
    centroids = arrays["centroids"] * arrays["centroid_scales"][:, None]
    nearest = nearest_centroid(rotated, centroids)
    residuals = rotated - centroids[nearest]
    spread = np.sqrt(np.square(residuals).mean(axis=1, keepdims=True))
    shapes = residuals / spread / arrays["codebook_scale"]
    if len(arrays["codebook"]) == 256:
        codes = np.rint(shapes).clip(-128, 127).astype(np.int64) + 128
    else:
        eighths = np.rint(8 * shapes).clip(-2047, 2047)
        codes = trellis_code(eighths, arrays["codebook"].astype(np.float64))
    gains = best_gains(rotated, residuals, unpack(codes, arrays))
    table = arrays.get("lengths")
    return Code(
        nearest,
        codes,
        np.argmin(np.abs(gains[:, None] - arrays["gains"]), axis=1),
        None if table is None else np.argmin(np.abs(lengths - table), axis=1),
    )


def trellis_code(shapes: Floats, codebook: Floats) -> NDArray[np.int64]:
    """The bytes, (n, n_groups), whose codewords have the least cost, sum of 4 y^2 - x y.

    They begin in the state in which they end, the upper half of the last byte. Which one that is,
    the eight groups to each side of the seam tell, searched from any state to any.

    Args:
        shapes: x, (n, dim), in eighths of the codebook's unit.
        codebook: y, (4096, width); which one, a byte and the upper half of the one before say.
    """
    groups = shapes.reshape(len(shapes), -1, codebook.shape[1])
    n_groups = groups.shape[1]
    window = min(8, n_groups // 2)
    seam = np.roll(groups, window, axis=1)[:, : 2 * window]
    ends = viterbi(seam, codebook)[:, window - 1] >> 4
    return viterbi(groups, codebook, ends)


def viterbi(
    groups: Floats, codebook: Floats, ends: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """The cheapest bytes for groups of coordinates, (n, n_groups, width).

    Of equals, the lower state before the last group that differs, then the lower byte.

    Args:
        groups: In eighths of the codebook's unit.
        codebook: (4096, width).
        ends: (n,), the state before the first and after the last group; None for any.
    """
    tokens = np.arange(len(groups))
    costs = np.zeros((len(groups), 16))
    if ends is not None:
        costs[:] = np.inf
        costs[tokens, ends] = 0
    branches = []  # per group: for each state after it, the one before << 4 | the byte's low bits
    for group in groups.transpose(1, 0, 2):
        added = 4 * np.square(codebook).sum(axis=1) - group @ codebook.T
        after_low_before = added.reshape(-1, 16, 16, 16) + costs[:, None, None, :]
        choices = after_low_before.transpose(0, 1, 3, 2).reshape(-1, 16, 256)
        branches.append(choices.argmin(axis=2))
        costs = choices.min(axis=2)
    states = costs.argmin(axis=1) if ends is None else ends
    codes = []
    for branch in reversed(branches):
        chosen = branch[tokens, states]
        codes.append(states << 4 | chosen & 15)
        states = chosen >> 4
    return np.stack(codes[::-1], axis=1)


def unpack(codes: NDArray[np.int64], arrays: Mapping[str, NDArray[Any]]) -> Floats:
    """The codewords of codes, one after the other: (n, dim)."""
    codebook = arrays["codebook"] * arrays["codebook_scale"]
    before = np.roll(codes, 1, axis=1)
    entries = codes if len(codebook) == 256 else codes << 4 | before >> 4
    codewords: Floats = codebook[entries].reshape(len(codes), -1)
    return codewords


def best_gains(rotated: Floats, residuals: Floats, codewords: Floats) -> Floats:
    """(n,), the gains with the least error, its part along the embedding counted 1 + dim/4 times.

    Args:
        rotated: Embeddings of length 1, (n, dim).
        residuals: What of them is to be coded, (n, dim).
        codewords: What a gain multiplies, (n, dim).
    """
    weight = rotated.shape[1] / 4
    along = (rotated * codewords).sum(axis=1)
    residual_along = (rotated * residuals).sum(axis=1)
    products = (residuals * codewords).sum(axis=1) + weight * residual_along * along
    gains: Floats = products / (np.square(codewords).sum(axis=1) + weight * np.square(along))
    return gains


def decode(code: Code, arrays: Mapping[str, NDArray[Any]]) -> Floats:
    """The decompressed embeddings, (n, dim)."""
    centroids = arrays["centroids"] * arrays["centroid_scales"][:, None]
    codewords = unpack(code.codes, arrays)
    rotated = centroids[code.centroids] + arrays["gains"][code.gains, None] * codewords
    lengths = 1 if code.lengths is None else arrays["lengths"][code.lengths, None]
    decoded: Floats = lengths * rotated @ arrays["rotation"].T
    return decoded


# --- the methods ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Collection:
    """Decompressed documents, and the centroid of every token.

    Attributes:
        embeddings: (n_tokens, dim), document after document.
        owners: (n_tokens,), the document of each token.
        token_centroids: (n_tokens,).
        centroids: (n_centroids, dim).
    """

    embeddings: Floats
    owners: NDArray[np.int64]
    token_centroids: NDArray[np.int64]
    centroids: Floats


def maxsim(query: Floats, document: Floats) -> float:
    """mean_i max_j <q_i, p_j> of one document with at least one token."""
    return float((query @ document.T).max(axis=1).mean())


def exact(query: Floats, documents: Sequence[Floats]) -> dict[int, float]:
    """MaxSim of every document that has a token."""
    return {i: maxsim(query, document) for i, document in enumerate(documents) if len(document)}


def probes(query: Floats, centroids: Floats, n_probe: int) -> NDArray[np.int64]:
    """(n_query_tokens, n_probe): the nearest centroids, the nearest first, equals by number."""
    return np.argsort(-(query @ centroids.T), axis=1, kind="stable")[:, :n_probe]


def probes_in_groups(
    query: Floats, centroids: Floats, groups: Sequence[NDArray[np.integer]], n_probe: int
) -> NDArray[np.int64]:
    """As `probes`, of the centroids in the groups that a token looks into; rarely others.

    Those are the groups with the highest estimates, the product with the centre (in integers from
    -127 to 127) and 1.5 times what products with the group's centroids spread about that: 1 of 100
    groups and a quarter more for each probe, but at most 3, and as many as hold 16 centroids for
    each probe, were all of a size. Estimates in steps of a 255th of the token's length; those of
    equal steps go together.

    Args:
        query: (n_query_tokens, dim), none of length 0.
        centroids: (n_centroids, dim).
        groups: The numbers of each group's centroids.
        n_probe: How many of each token; no more than the groups hold.
    """
    means = np.stack([centroids[group].mean(axis=0) for group in groups])
    scales = np.abs(means).max(axis=1, keepdims=True) / 127
    centres = np.rint(means / scales) * scales
    spreads = [
        np.sqrt(np.square(centroids[group] - mean).sum(axis=1).mean())
        for group, mean in zip(groups, means, strict=True)
    ]
    share = max(min(0.03, 0.01 + 0.0025 * n_probe), 16 * n_probe / len(centroids))
    wanted = np.ceil(len(groups) * share)
    found = []
    for token in query:
        length = np.linalg.norm(token)
        estimates = centres @ token + 1.5 / np.sqrt(len(token)) * length * np.array(spreads)
        steps = np.rint(255 / length * estimates).clip(1, 255)
        least = next(step for step in range(255, 0, -1) if (steps >= step).sum() >= wanted)
        near = np.flatnonzero(steps >= least).tolist()
        seen = np.sort(np.concatenate([groups[g] for g in near]))
        found.append(seen[probes(token[None], centroids[seen], n_probe)[0]])
    return np.stack(found)


def pooled(query: Floats, collection: Collection, n_probe: int) -> NDArray[np.bool_]:
    """(n_query_tokens, n_tokens): every query token sees the union of the probed lists."""
    found = np.isin(collection.token_centroids, probes(query, collection.centroids, n_probe))
    return np.broadcast_to(found, (len(query), len(found)))


def own_lists(query: Floats, collection: Collection, n_probe: int) -> NDArray[np.bool_]:
    """(n_query_tokens, n_tokens): each query token sees the lists that it probes itself."""
    lists = probes(query, collection.centroids, n_probe)
    return np.array([np.isin(collection.token_centroids, row) for row in lists])


@dataclass(frozen=True)
class Retrieval:
    """What the query tokens retrieved.

    Attributes:
        best: (n_query_tokens, n_documents), the largest similarity seen; -inf where none.
        thresholds: (n_query_tokens,), m_i: the lowest similarity that row i kept; 0 for a row
            that saw no token, so that it favours no document.
        candidates: Documents with a token that any row saw.
    """

    best: Floats
    thresholds: Floats
    candidates: NDArray[np.int64]


def retrieve(
    query: Floats, collection: Collection, seen: NDArray[np.bool_], k_prime: int
) -> Retrieval:
    """Each query token keeps its `k_prime` most similar of the tokens that it saw."""
    similarities = np.where(seen, query @ collection.embeddings.T, -np.inf)
    n_documents = int(collection.owners.max()) + 1
    best = np.full((len(query), n_documents), -np.inf)
    thresholds = np.zeros(len(query))
    for i, row in enumerate(similarities):
        kept = np.sort(row[seen[i]])[::-1][:k_prime]
        if len(kept):
            thresholds[i] = kept[-1]
        np.maximum.at(best[i], collection.owners, row)
    return Retrieval(best, thresholds, np.unique(collection.owners[seen.any(axis=0)]))


def imputed_scores(found: Retrieval, *, retrieved_only: bool) -> dict[int, float]:
    """mean_i max(best_i, m_i) (XTR, equation 7), m_i standing in for what was not retrieved.

    Args:
        found: What the query tokens retrieved.
        retrieved_only: Leave out the documents of which no row kept a token.
    """
    scores = {}
    for document in found.candidates:
        best = found.best[:, document]
        if not retrieved_only or (best >= found.thresholds).any():
            scores[int(document)] = float(np.maximum(best, found.thresholds).mean())
    return scores


def expected_scores(
    query: Floats, collection: Collection, found: Retrieval, n_probe: int
) -> dict[int, float]:
    """mean_i max(best_i, e_i), e_i = 0.8 * <q_i, the last centroid that token i probes>.

    About what MaxSim will be: by this "colxtr" chooses whom it re-ranks, where all is kept that was
    seen. e_i stands for the best of the tokens in lists that nobody probed.
    """
    last = probes(query, collection.centroids, n_probe)[:, -1]
    expected = 0.8 * (query * collection.centroids[last]).sum(axis=1)
    return {int(d): float(np.maximum(found.best[:, d], expected).mean()) for d in found.candidates}


def levels(query: Floats, vectors: Floats) -> NDArray[np.int64]:
    """(n_query_tokens, n): products in steps of a 255th of the longest token's length, 1 to 255."""
    return _in_levels(query @ vectors.T, query).clip(1, 255)


def _in_levels(products: Floats, query: Floats) -> NDArray[np.int64]:
    longest = np.linalg.norm(query, axis=1).max()
    in_levels: NDArray[np.int64] = np.rint(255 / longest * products).astype(np.int64)
    return in_levels.clip(0, 255)


def glances(query: Floats, collection: Collection, n_probe: int) -> dict[int, float]:
    """What a first glance at the documents in the probed lists tells: centroids stand for tokens.

    As `expected_scores`, in levels, and summed: by this "colxtr" chooses whose tokens it reads.
    """
    nearest = probes(query, collection.centroids, n_probe)
    last = collection.centroids[nearest[:, -1]]
    floors = _in_levels(0.8 * (query * last).sum(axis=1), query)
    seen = np.isin(collection.token_centroids, nearest)
    best = np.zeros((len(query), int(collection.owners.max()) + 1), np.int64)
    of_centroids = levels(query, collection.centroids)
    for token in np.flatnonzero(seen):
        row = of_centroids[:, collection.token_centroids[token]]
        owner = collection.owners[token]
        best[:, owner] = np.maximum(best[:, owner], row)
    owners = np.unique(collection.owners[seen])
    return {int(d): float(np.maximum(best[:, d], floors).sum()) for d in owners}


def shortlisted(
    sums: Mapping[int, float],
    expected: Mapping[int, float],
    level: float,
    *,
    first: int,
    sought: int,
    unlikely: float,
) -> set[int]:
    """The documents that are more than glanced at.

    The best at a glance: `first` of them, and those that equal the last of these. Then others, up
    to three times as many as so far, as long as they may be among the `sought` best: they may if
    they need not exceed their sum by more than the mean of those before did, and `unlikely`
    standard deviations. In levels, what each exceeds its sum by to an eighth.

    Args:
        sums: `glances`.
        expected: `expected_scores`.
        level: What a level is worth: the longest query token's length / 255 / n_query_tokens.
        first: How many to begin with.
        sought: Of how many one must be.
        unlikely: Standard deviations.
    """
    chosen: set[int] = set()
    wanted, least = first, -np.inf
    while True:
        before = len(chosen)
        for total in sorted({sums[d] for d in sums.keys() - chosen}, reverse=True):
            if total < least or len(chosen) >= wanted:
                break
            chosen |= {d for d, each in sums.items() if each == total}
        if len(chosen) == before:
            return chosen
        wanted = 3 * len(chosen)
        if len(chosen) >= sought:
            more = np.array([np.rint(8 * (expected[d] / level - sums[d])) / 8 for d in chosen])
            bar = sorted((expected[d] for d in chosen), reverse=True)[sought - 1] / level
            least = float(np.ceil(bar - more.mean() - unlikely * more.std()))


def skimmed(query: Floats, document: Floats, centroids: Floats) -> float:
    """MaxSim over a document's near tokens alone.

    A token is near if the level of its centroid is within a margin of the highest in the document,
    1.25 of the query token's length over the root of dimensions times query tokens, for a query
    token of at least a tenth of the longest one's length. In a short document all are: of up to 64
    tokens, or up to six for each query token.

    Args:
        query: (n_query_tokens, dim).
        document: (n_tokens, dim), n_tokens >= 1.
        centroids: (n_tokens, dim), of its tokens.
    """
    lengths = np.linalg.norm(query, axis=1)
    margins = np.rint(1.25 / np.sqrt(query.size) * 255 / lengths.max() * lengths)
    of_centroids = levels(query, centroids)
    near = (of_centroids >= of_centroids.max(axis=1, keepdims=True) - margins[:, None])[
        lengths >= lengths.max() / 10
    ].any(axis=0)
    near |= len(document) <= max(64, 6 * len(query))
    return maxsim(query, document[near])


def n_promising(
    estimates: Floats,
    scores: Floats,
    k: int,
    *,
    first: int,
    unlikely: float,
    more: int | None = None,
) -> int:
    """How many documents are scored, of those in the order of estimates of their scores.

    max(k, first), and as long as the next might yet come among the k best, `more`, or by default
    as many as so far. It might if it need not exceed its estimate by more than the mean of those
    before it did, and `unlikely` standard deviations.
    """
    done = max(k, first)
    while done < len(estimates):
        gains = scores[:done] - estimates[:done]
        needed = np.sort(scores[:done])[-k] - estimates[done]
        if needed > gains.mean() + unlikely * gains.std():
            break
        done += more or done
    return min(done, len(estimates))


def lower_bounds(found: Retrieval) -> dict[int, float]:
    """mean_i of the largest pooled similarity: at most MaxSim (ColBERTv2, section 3.5)."""
    return {int(d): float(found.best[:, d].mean()) for d in found.candidates}


def top(scores: dict[int, float], k: int) -> list[tuple[int, float]]:
    """The k best, equals by ordinal."""
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k]
