"""How large an index is, part by part."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from colxtr.storage.generation import Generation

# The arrays that only say where something lies, counted together.
LISTS = ("list_centroids", "list_offsets", "document_offsets")


@dataclass(frozen=True)
class IndexInfo:
    """Counts and sizes of an index.

    Attributes:
        path: Its folder.
        generation: Number of its manifest.
        n_documents: Documents.
        n_deleted: Documents that are deleted, but still take space.
        n_added: Documents ever added, those that replaced others among them.
        n_tokens: Token embeddings, of deleted documents too.
        dim: Length of an embedding.
        n_bits: Bits per dimension.
        n_centroids: Centroids; 0 before the first document.
        n_segments: Segments.
        encoder: Name of the encoder; None for an index of embeddings.
        bytes: By part: codes, gains, lengths, ordinals, positions, lists, centroids (with all of
            the codec), texts (with ids and metadata), manifest.
        bytes_total: All files.
        bytes_per_token: All but the texts, divided by the tokens; 0 without tokens.
        bytes_float32: What the embeddings alone would take in single precision.
    """

    path: str
    generation: int
    n_documents: int
    n_deleted: int
    n_added: int
    n_tokens: int
    dim: int
    n_bits: int
    n_centroids: int
    n_segments: int
    encoder: str | None
    bytes: dict[str, int]
    bytes_total: int
    bytes_per_token: float
    bytes_float32: int

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        return asdict(self)


def measure(generation: Generation) -> IndexInfo:
    """Add up the sizes of one generation."""
    manifest, codec = generation.manifest, generation.codec
    sizes = dict.fromkeys(
        ("codes", "gains", "lengths", "ordinals", "positions", "lists", "centroids"), 0
    )
    for segment in generation.with_tokens():
        for name, size in segment.bytes.items():
            sizes["lists" if name in LISTS else name] += size
    sizes["centroids"] = sum(array.nbytes for array in codec.arrays.values()) if codec else 0
    sizes["texts"] = sum(e.bytes for name, e in manifest.files.items() if name.endswith(".sqlite"))
    sizes["manifest"] = len(manifest.as_bytes())
    total = sum(entry.bytes for entry in manifest.files.values()) + sizes["manifest"]
    n_tokens = sum(segment.n_tokens for segment in manifest.segments)
    return IndexInfo(
        path=str(generation.folder),
        generation=manifest.generation,
        n_documents=manifest.n_documents(),
        n_deleted=sum(segment.n_deleted for segment in manifest.segments),
        n_added=manifest.n_added,
        n_tokens=n_tokens,
        dim=manifest.settings.dim,
        n_bits=manifest.settings.n_bits,
        n_centroids=codec.n_centroids if codec else 0,
        n_segments=len(manifest.segments),
        encoder=manifest.encoder.name if manifest.encoder else None,
        bytes=sizes,
        bytes_total=total,
        bytes_per_token=(total - sizes["texts"]) / n_tokens if n_tokens else 0.0,
        bytes_float32=n_tokens * manifest.settings.dim * 4,
    )
