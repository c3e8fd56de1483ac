"""The arrays of a segment made of others' live tokens, in pieces: memory holds little per token.

A list of the merged segment is the lists of its centroid, one source after the other, each without
its deleted tokens. So a stretch of the merged lists takes a stretch of each source's.

The *rank* of a token is its place among the live tokens of its source, in the order of the lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from colxtr import kernels
from colxtr.storage.arrays import Streamed
from colxtr.storage.segment import Array, Segment, list_arrays, offsets

PIECE_TOKENS = 1 << 18  # at a time
_WORD = 64


class Ranks:
    """Ranks of the live tokens of a segment, where some documents are deleted."""

    def __init__(self, segment: Segment, live: NDArray[np.bool_]) -> None:
        """Go through the segment's owners."""
        words = []
        for begin in range(0, segment.n_tokens, PIECE_TOKENS):  # a multiple of words
            kept = live[segment.owners(begin, min(begin + PIECE_TOKENS, segment.n_tokens))]
            padded = np.zeros(-(-len(kept) // _WORD) * _WORD, np.bool_)
            padded[: len(kept)] = kept
            words.append(np.packbits(padded, bitorder="little").view("<u8"))
        self._words = np.concatenate([*words, np.zeros(1, "<u8")])
        self._before = np.zeros(len(self._words), np.uint64)
        np.cumsum(_ones(self._words[:-1]), out=self._before[1:])

    def of(self, places: NDArray[np.integer]) -> NDArray[np.uint64]:
        """How many live tokens come before each place."""
        word, bit = np.divmod(places.astype(np.uint64), np.uint64(_WORD))
        below = (np.uint64(1) << bit) - np.uint64(1)
        return self._before[word] + _ones(self._words[word] & below)

    def places(self, begin: int, end: int) -> NDArray[np.uint64]:
        """Where the live tokens of ranks `begin` to `end` are."""
        first = int(np.searchsorted(self._before, begin, side="right")) - 1
        last = int(np.searchsorted(self._before, end, side="left"))
        bits = np.unpackbits(self._words[first:last].view(np.uint8), bitorder="little")
        found = np.flatnonzero(bits) + first * _WORD
        skipped = begin - int(self._before[first])
        return found[skipped : skipped + end - begin].astype(np.uint64)


def _ones(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The number of bits that are set in each."""
    pairs = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    twos = np.uint64(0x3333333333333333)
    fours = (pairs & twos) + ((pairs >> np.uint64(2)) & twos)
    eights = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    ones: NDArray[np.uint64] = (eights * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return ones


class Source:
    """The live tokens of one segment.

    Attributes:
        segment: Its arrays.
        live: (n_documents,) which documents count.
        ordinals: (n_documents,) those that count have in the merged segment.
        ends: (n_lists + 1,) the ranks at which its lists begin, and where the last ends.
    """

    def __init__(self, segment: Segment, live: NDArray[np.bool_], first: int) -> None:
        """Of a segment whose first live document gets the ordinal `first`."""
        self.segment, self.live = segment, live
        self.ordinals = np.cumsum(live, dtype=np.uint64) + np.uint64(first) - np.uint64(1)
        self._ranks = None if live.all() else Ranks(segment, live)
        self.ends: NDArray[np.uint64] = self.ranks(segment.arrays["list_offsets"])

    @property
    def n_tokens(self) -> int:
        """Its live ones."""
        return int(self.ends[-1])

    def ranks(self, places: NDArray[np.integer]) -> NDArray[np.uint64]:
        """How many live tokens come before each place in the lists."""
        return places.astype(np.uint64) if self._ranks is None else self._ranks.of(places)

    def places(self, begin: int, end: int) -> NDArray[np.uint64]:
        """Where in its lists the tokens of ranks `begin` to `end` are, ascending."""
        if self._ranks is None:
            return np.arange(begin, end, dtype=np.uint64)
        return self._ranks.places(begin, end)

    def sizes(self, n_centroids: int) -> NDArray[np.uint64]:
        """(n_centroids,) live tokens in the list of each."""
        sizes = np.zeros(n_centroids, np.uint64)
        sizes[self.segment.list_centroids] = np.diff(self.ends)
        return sizes


class Merged:
    """Where the tokens of some sources go."""

    def __init__(self, sources: Sequence[Source], n_centroids: int) -> None:
        """Lay out the merged lists."""
        self._sources = sources
        self.list_sizes = np.zeros(n_centroids, np.uint64)
        befores = []  # in each list, tokens of earlier sources
        for source in sources:
            befores.append(self.list_sizes[source.segment.list_centroids])
            self.list_sizes += source.sizes(n_centroids)
        self._begins = offsets(self.list_sizes)
        # What makes a place in the merged lists of a rank, for each list of each source; modulo
        # 2^64, as it may be negative.
        self._shifts = [
            self._begins[source.segment.list_centroids] + before - source.ends[:-1]
            for source, before in zip(sources, befores, strict=True)
        ]

    @property
    def n_tokens(self) -> int:
        """Of all sources."""
        return int(self._begins[-1])

    def arrays(
        self, token_counts: NDArray[np.integer]
    ) -> tuple[dict[str, Array | Streamed], dict[str, int]]:
        """All arrays of the merged segment, and the widths of the packed ones.

        Args:
            token_counts: Tokens of each live document.
        """
        first = self._sources[0].segment.arrays
        owners = int(np.flatnonzero(token_counts)[-1]).bit_length()
        positions = (self.n_tokens - 1).bit_length()
        arrays = list_arrays(
            self.list_sizes,
            token_counts,
            packed(lambda: self._placed(_owners), self.n_tokens, owners),
            packed(self._positions, self.n_tokens, positions),
        )
        for name in ("codes", "gains", "lengths"):
            if name in first:
                shape = (self.n_tokens, *first[name].shape[1:])
                pieces = partial(self._placed, partial(_rows, name))
                arrays[name] = Streamed(shape, first[name].dtype, pieces)
        return arrays, {"ordinal_bits": owners, "position_bits": positions}

    def _placed(self, rows_of: Callable[[Source, NDArray[np.uint64]], Array]) -> Iterator[Array]:
        """What the sources have of each token, in the order of the merged lists."""
        for begin in range(0, self.n_tokens, PIECE_TOKENS):
            end = min(begin + PIECE_TOKENS, self.n_tokens)
            found = [
                (rows_of(source, source.places(*stretch)), self._into(number, *stretch))
                for number, source in enumerate(self._sources)
                if (stretch := self._stretch(number, begin, end))
            ]
            piece = np.empty((end - begin, *found[0][0].shape[1:]), found[0][0].dtype)
            for rows, into in found:
                piece[into - np.uint64(begin)] = rows
            yield piece

    def _stretch(self, number: int, begin: int, end: int) -> tuple[int, int] | None:
        """The ranks of a source's tokens from `begin` to `end` in the merged lists, if any."""
        low, high = self._n_before(number, begin), self._n_before(number, end)
        return (low, high) if high > low else None

    def _n_before(self, number: int, place: int) -> int:
        """How many of a source's tokens come before a place in the merged lists."""
        source, shifts = self._sources[number], self._shifts[number]
        centroid = int(np.searchsorted(self._begins, place, side="right")) - 1
        i = int(np.searchsorted(source.segment.list_centroids, centroid))
        rank = int(source.ends[i])
        if i == len(shifts) or source.segment.list_centroids[i] != centroid:
            return rank
        start = int(source.ends[i] + shifts[i])
        return min(max(rank, rank + place - start), int(source.ends[i + 1]))

    def _into(self, number: int, begin: int, end: int) -> NDArray[np.uint64]:
        """Places in the merged lists of a source's tokens of ranks `begin` to `end`."""
        ends = self._sources[number].ends
        first = int(np.searchsorted(ends, begin, side="right")) - 1
        last = int(np.searchsorted(ends, end, side="left"))
        here = np.diff(ends[first : last + 1].clip(begin, end)).astype(np.int64)
        into = np.repeat(self._shifts[number][first:last], here)
        into += np.arange(begin, end, dtype=np.uint64)
        return into

    def _positions(self) -> Iterator[NDArray[np.uint64]]:
        """Places in the merged lists of all tokens, document by document."""
        for number, source in enumerate(self._sources):
            segment, shifts = source.segment, self._shifts[number]
            for begin, end in _blocks(segment.arrays["document_offsets"]):
                first, last = (int(segment.arrays["document_offsets"][i]) for i in (begin, end))
                places = segment.positions(first, last)
                places = places[np.repeat(source.live[begin:end], segment.token_counts[begin:end])]
                lists = np.searchsorted(segment.arrays["list_offsets"], places, side="right") - 1
                yield source.ranks(places) + shifts[lists]


def _owners(source: Source, places: NDArray[np.uint64]) -> Array:
    first, end = int(places[0]), int(places[-1]) + 1
    owners = source.segment.owners(first, end)
    ordinals: NDArray[np.uint64] = source.ordinals[owners[places - np.uint64(first)]]
    return ordinals


def _rows(name: str, source: Source, places: NDArray[np.uint64]) -> Array:
    rows: Array = source.segment.arrays[name][places]
    return rows


def _blocks(document_offsets: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Documents `begin` to `end` that have `PIECE_TOKENS` together, or one that has more."""
    begin, n = 0, len(document_offsets) - 1
    while begin < n:
        most = document_offsets[begin] + np.uint64(PIECE_TOKENS)
        end = max(int(np.searchsorted(document_offsets, most, side="right")) - 1, begin + 1)
        yield begin, end
        begin = end


def packed(pieces: Callable[[], Iterable[NDArray[np.uint64]]], count: int, width: int) -> Streamed:
    """`kernels.pack` of integers that come in pieces."""

    def bytes_of_pieces() -> Iterator[NDArray[np.uint8]]:
        rest = np.empty(0, np.uint64)
        for piece in pieces():
            values = np.concatenate([rest, piece])
            whole = len(values) // 8 * 8
            rest = values[whole:]
            yield kernels.pack(values[:whole], width)[0][: whole * width // 8]
        yield kernels.pack(rest, width)[0]

    n_bytes = len(kernels.pack(np.empty(0, np.uint64), width)[0]) + (count * width + 7) // 8
    return Streamed((n_bytes,), np.dtype(np.uint8), bytes_of_pieces)
