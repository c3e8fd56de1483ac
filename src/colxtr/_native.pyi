import numpy as np
from numpy.typing import NDArray

class CorruptError(Exception): ...

def instruction_sets() -> list[str]: ...
def instruction_set() -> str: ...
def use_instruction_set(name: str) -> bool: ...
def pack(values: NDArray[np.uint64], width: int) -> NDArray[np.uint8]: ...
def unpack(
    packed: NDArray[np.uint8], count: int, width: int, begin: int, end: int
) -> NDArray[np.uint64]: ...
def add_rows(
    sums: NDArray[np.float32], rows: NDArray[np.float32], groups: NDArray[np.uint32]
) -> None: ...
def counting_sort(
    keys: NDArray[np.uint32], n_keys: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]: ...

class Panels:
    """Vectors, (n, dim), laid out for fast inner products with many rows."""

    def __init__(self, vectors: NDArray[np.float32]) -> None: ...
    def nearest(self, rows: NDArray[np.float32]) -> NDArray[np.uint32]: ...

class Groups:
    """Vectors, (n, dim), in groups round centres, (n_groups, dim); a row looks into few."""

    def __init__(
        self,
        vectors: NDArray[np.float32],
        group_of: NDArray[np.uint32],
        centres: NDArray[np.float32],
    ) -> None: ...
    def nearest(self, rows: NDArray[np.float32], n_probe: int) -> NDArray[np.uint32]: ...

class Codec:
    """The parameters of a codec: decodes for `Query` and `Segment`, and encodes."""

    def __init__(
        self,
        n_bits: int,
        centroids: NDArray[np.int8],
        centroid_scales: NDArray[np.float32],
        codebook: NDArray[np.int8] | None = None,
        codebook_scale: NDArray[np.float32] | None = None,
        rotation: NDArray[np.float32] | None = None,
        gains: NDArray[np.float32] | None = None,
        lengths: NDArray[np.float32] | None = None,
        grouped: NDArray[np.uint32] | None = None,
        group_ends: NDArray[np.uint32] | None = None,
    ) -> None: ...
    def encode(
        self, embeddings: NDArray[np.float32], centroids: NDArray[np.uint32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8] | None]: ...

class Segment:
    """The arrays of one segment, checked once; keeps them alive."""

    def __init__(
        self,
        codec: Codec,
        name: str,
        first_ordinal: int,
        list_centroids: NDArray[np.uint32],
        list_offsets: NDArray[np.uint64],
        document_offsets: NDArray[np.uint64],
        ordinals: NDArray[np.uint8],
        ordinal_bits: int,
        positions: NDArray[np.uint8],
        position_bits: int,
        codes: NDArray[np.uint8],
        gains: NDArray[np.uint8] | None = None,
        lengths: NDArray[np.uint8] | None = None,
    ) -> None: ...
    def decode_document(
        self, codec: Codec, ordinal: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint32]]: ...

class Collection:
    """Segments of one codec, searched together; keeps them alive."""

    def __init__(self, codec: Codec, segments: list[Segment]) -> None: ...

class Query:
    """A query prepared for one codec, with the nearest centroids of its tokens."""

    def __init__(
        self,
        codec: Codec,
        embeddings: NDArray[np.float32],
        n_probe: int = 0,
        threads: int = 1,
        levels: bool = False,
        most_kept: int = 0,
    ) -> None: ...
    def probes(self) -> NDArray[np.uint32]: ...
    def levels(self) -> NDArray[np.uint8]: ...
    def skim(self, collection: Collection, ordinals: NDArray[np.uint64]) -> NDArray[np.float32]: ...
    def maxsim(
        self, collection: Collection, ordinals: NDArray[np.uint64]
    ) -> NDArray[np.float32]: ...
    def best_promising(
        self,
        collection: Collection,
        ordinals: NDArray[np.uint64],
        estimates: NDArray[np.float32],
        k: int,
        first: int,
        unlikely: float,
    ) -> Ranking: ...

Ranking = tuple[NDArray[np.uint64], NDArray[np.float32]]

class Candidates:
    """Documents with a token in the probed lists; `k_prime` 0 keeps all tokens.

    `allowed`: a bit for each ordinal, the lowest of a byte first; the others are passed over.
    `shortlist`: how many of the best at a glance are looked at first, 0 for all; then others, while
    the next is not `unlikely` (standard deviations) to be among the `sought` best.
    """

    def __init__(
        self,
        query: Query,
        collection: Collection,
        k_prime: int,
        all_lists: bool = False,
        own_lists: bool = False,
        thresholds: bool = True,
        shortlist: int = 0,
        sought: int = 1,
        unlikely: float = 0,
        allowed: NDArray[np.uint8] | None = None,
    ) -> None: ...
    def best_imputed(self, k: int, retrieved_only: bool = False) -> Ranking: ...
    def best_expected(self, k: int) -> Ranking: ...
    def best_lower_bounds(self, k: int, retrieved_only: bool = False) -> Ranking: ...
    def retrieved(self) -> NDArray[np.uint64]: ...
    def thresholds(self) -> NDArray[np.float32]: ...
