import numpy as np
from numpy.typing import NDArray

class CorruptError(Exception): ...

def instruction_sets() -> list[str]: ...
def instruction_set() -> str: ...
def use_instruction_set(name: str) -> bool: ...
def pack(values: NDArray[np.uint64], width: int) -> NDArray[np.uint8]: ...
def unpack(packed: NDArray[np.uint8], count: int, width: int) -> NDArray[np.uint64]: ...
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
    """The parameters of a codec: decodes for `Query`, `Pool` and `Segment`, and encodes."""

    def __init__(
        self,
        n_bits: int,
        centroids: NDArray[np.int8],
        centroid_scales: NDArray[np.float32],
        codebook: NDArray[np.float32] | None = None,
        gains: NDArray[np.float32] | None = None,
        lengths: NDArray[np.float32] | None = None,
    ) -> None: ...
    def encode(
        self, embeddings: NDArray[np.float32], centroids: NDArray[np.uint32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8] | None]: ...

class Segment:
    """The arrays of one segment, checked once; keeps them alive."""

    def __init__(
        self,
        codec: Codec,
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

class Query:
    """A query prepared for one codec."""

    def __init__(self, codec: Codec, embeddings: NDArray[np.float32]) -> None: ...
    def probe(self, n_probe: int) -> NDArray[np.uint32]: ...
    def maxsim(self, segment: Segment, ordinals: NDArray[np.uint64]) -> NDArray[np.float32]: ...

class Pool:
    """The candidates of one query; `k_prime` 0 keeps all."""

    def __init__(self, query: Query, k_prime: int) -> None: ...
    def add(
        self,
        segment: Segment,
        lists: NDArray[np.uint32],
        probed: NDArray[np.bool_] | None = None,
    ) -> None: ...
    def result(
        self,
    ) -> tuple[NDArray[np.uint64], NDArray[np.float32], NDArray[np.float32]]: ...
