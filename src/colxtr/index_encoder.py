"""The encoder of an index: the one that it was made with, and no other.

Knows where it is loaded from and what it must agree to, not what it does with texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from colxtr.build import Embeddings
from colxtr.codec import check_embeddings
from colxtr.documents import Document
from colxtr.errors import EmbeddingError, InputError, ModelError
from colxtr.storage.generation import Generation
from colxtr.storage.manifest import EncoderEntry, Settings

if TYPE_CHECKING:
    from colxtr.encoder import Encoder


def load_encoder(encoder: Encoder | str | Path | None) -> Encoder:
    """An encoder as it is, or what `Encoder.load` makes of the rest."""
    from colxtr.encoder import Encoder  # noqa: PLC0415 - not needed by indexes of embeddings

    return encoder if isinstance(encoder, Encoder) else Encoder.load(encoder)


def entry_of(encoder: Encoder | None) -> EncoderEntry | None:
    """What an index notes of its encoder."""
    if encoder is None:
        return None
    return EncoderEntry(encoder.source, encoder.name, encoder.fingerprint)


def encoder_of(generation: Generation) -> Encoder:
    """Load the encoder that an index was made with, from where it was then.

    Raises:
        InputError: The index was made for embeddings.
        ModelError: It cannot be loaded, or is another one by now.
    """
    entry = generation.manifest.encoder
    if entry is None:
        raise InputError(
            f"{generation.folder}: made for embeddings, without an encoder; use "
            "add_embeddings and search_embeddings"
        )
    return checked(generation, load_encoder(None if entry.source == "builtin" else entry.source))


def checked(generation: Generation, encoder: Encoder) -> Encoder:
    """The same encoder, if it is the one that the index was made with.

    Raises:
        ModelError: It is another one.
        EmbeddingError: Its embeddings have another length (in an index made for embeddings).
    """
    manifest, folder = generation.manifest, generation.folder
    entry = manifest.encoder
    if entry is not None and entry.fingerprint != encoder.fingerprint:
        raise ModelError(
            f"{folder}: made with the encoder {entry.name!r} ({entry.source}), fingerprint "
            f"{entry.fingerprint}; {encoder.source!r} has {encoder.fingerprint}. Open the "
            "index with encoder= the one it was made with, or build it anew"
        )
    if encoder.dim != manifest.settings.dim:
        raise EmbeddingError(
            f"{folder}: holds embeddings of {manifest.settings.dim} dimensions, "
            f"{encoder.source!r} makes {encoder.dim}"
        )
    return encoder


def encode(encoder: Encoder, documents: Sequence[Document], settings: Settings) -> list[Embeddings]:
    """Embeddings of documents, (n_tokens, dim) each, as the settings of an index want them."""
    arrays = encoder.encode_documents(documents, windows=settings.windows)
    return [
        check_embeddings(array, settings.dim, f"document {document.id!r}")
        for document, array in zip(documents, arrays, strict=True)
    ]
