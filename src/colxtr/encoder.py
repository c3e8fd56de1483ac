"""Text to token embeddings: the tokenizer and the network of one model, run in batches.

Knows nothing of indexes. The embeddings of a text are one float32 array (n_tokens, dim); an empty
text has the array (0, dim).
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from colxtr.cpus import available_cpus, in_order
from colxtr.documents import Document
from colxtr.encoder_config import EncoderConfig
from colxtr.errors import InputError, ModelError
from colxtr.model_folders import find_model, fingerprint
from colxtr.network import Network
from colxtr.progress import Meter, progress_bar
from colxtr.tokens import DocumentText, Token, Tokenizer, check_text
from colxtr.windows import TokenizedText

Embeddings = NDArray[np.float32]  # (n_tokens, dim)
DocumentLike = str | Document | Mapping[str, Any]
_Tokenize = Callable[[Sequence[str]], list[list[TokenizedText]]]  # the windows of each text

_Item = TypeVar("_Item")

# Tokens of a batch, padding included. MiniLM-L6, int8, 30 to 350 tokens a document: 512 and 2,048
# are equally fast without padding, and 2,048 up to a sixth slower with it.
_BATCH_TOKENS = 1024
_CHUNK_TEXTS = 512  # sorted by length among themselves, so that little of a batch is padding
_CHUNK_CHARACTERS = 4_000_000  # fewer texts where they are long, so that memory stays bounded
_SMALLEST_LENGTH = np.float32(1e-12)  # a zero vector stays zero


class Encoder:
    """Encodes queries and documents. Made by `Encoder.load`; may be used by many threads.

    Attributes:
        config: The model's settings.
        source: What `load` was given, so that the model is found again: "builtin", the absolute
            path of a folder, or a hub id (with "@revision" if one was asked for).
    """

    def __init__(self, folder: Path, *, source: str, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise InputError(f"threads is {threads}; pass 1 or more, or None for all processors")
        self._threads = threads or available_cpus()
        self.config = EncoderConfig.read(folder)
        self.source = source
        self._folder = folder
        self._tokenizer = Tokenizer(self.config, folder, parallel=self._threads > 1)
        path = folder / self.config.onnx
        self._network = Network(path, dim=self.config.dim)
        if self.config.hides_tokens and not self._network.masked:
            raise ModelError(
                f"{path} has no attention_mask, and queries are to be padded with tokens that "
                'others do not attend to; set "attend_to_expansion_tokens" in colxtr.json, or '
                "export the model again (colxtr export)"
            )

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] | None = None,
        *,
        threads: int | None = None,
        revision: str | None = None,
    ) -> Encoder:
        """Load a model.

        Args:
            model: None for the model that comes with colxtr; a colxtr encoder folder; or the id
                of one on the hub, "owner/name". A model that was downloaded once is used from the
                local cache without asking the hub; pass a `revision` to get another state of it.
            threads: How many threads encode; None for all processors open to the process.
            revision: Branch, tag or commit on the hub.

        Raises:
            ModelError: There is no such model, or its files are damaged or do not fit together.
            InputError: `threads` is below 1.
        """
        folder, source = find_model(model, revision)
        return cls(folder, source=source, threads=threads)

    @property
    def name(self) -> str:
        """The model's name for people."""
        return self.config.name

    @property
    def dim(self) -> int:
        """Dimensions of a token embedding."""
        return self.config.dim

    @functools.cached_property
    def fingerprint(self) -> str:
        """Digest of settings, tokenizer and weights: 16 hexadecimal digits.

        Two encoders with the same fingerprint make the same embeddings. The files are read when it
        is asked for first.
        """
        return fingerprint(self._folder, self.config)

    def __repr__(self) -> str:
        return f"Encoder({self.name!r}, dim={self.dim}, source={self.source!r})"

    def encode_queries(self, texts: Iterable[str], *, progress: bool = False) -> list[Embeddings]:
        """Encode queries.

        Args:
            texts: The queries; each is cut to `config.query_length` tokens.
            progress: Show progress on standard error, if it takes more than two seconds.

        Returns:
            One array (n_tokens, dim) for each query, in their order.

        Raises:
            InputError: `texts` is a string, or one of them is none or not valid Unicode.
            ModelError: The network fails, or makes numbers that are not finite.
        """

        def tokenize(queries: Sequence[str]) -> list[list[TokenizedText]]:
            return [[query] for query in self._tokenizer.queries(queries)]

        items = _checked_items(texts, "queries")
        with progress_bar("Encoding", _length(texts), "queries", progress) as advance:
            checked = (check_text(item, "query", i) for i, item in enumerate(items))
            return list(self._encode(checked, tokenize, advance))

    def encode_documents(
        self, documents: Iterable[DocumentLike], *, progress: bool = False, windows: bool = False
    ) -> list[Embeddings]:
        """Encode documents; `iter_encode_documents` does it without holding all the results.

        Args:
            documents: Strings, `Document`s, or mappings with "text" and maybe "title".
            progress: Show progress on standard error, if it takes more than two seconds.
            windows: Encode the whole of a document longer than `config.document_length` tokens,
                in windows that overlap; otherwise it is cut.

        Returns:
            One array (n_tokens, dim) for each document, in their order.

        Raises:
            InputError: `documents` is a string, or one of them is not a document.
            ModelError: The network fails, or makes numbers that are not finite.
        """
        return list(self.iter_encode_documents(documents, progress=progress, windows=windows))

    def iter_encode_documents(
        self, documents: Iterable[DocumentLike], *, progress: bool = False, windows: bool = False
    ) -> Iterator[Embeddings]:
        """Encode a stream of documents in bounded memory: some hundred at a time.

        Takes what `encode_documents` takes, and yields one array (n_tokens, dim) for each document
        in their order.
        """

        def tokenize(texts: Sequence[str]) -> list[list[TokenizedText]]:
            if windows:
                return self._tokenizer.document_windows(texts)
            return [[document] for document in self._tokenizer.documents(texts)]

        items = _checked_items(documents, "documents")
        texts = (
            check_text(self._tokenizer.document_text(item, i).full, "document", i)
            for i, item in enumerate(items)
        )
        return self._with_progress(texts, tokenize, _length(documents), progress)

    def query_tokens(self, text: str) -> list[Token]:
        """List the tokens of a query, one for each row of its embeddings."""
        return self._tokenizer.kept_tokens(text, self._tokenizer.queries([text]))

    def document_tokens(self, document: DocumentLike, *, windows: bool = False) -> list[Token]:
        """List the tokens of a document, one for each row of its embeddings.

        Their characters are those of `document_text(document).full`, which is title and text.
        """
        text = self.document_text(document).full
        if windows:
            return self._tokenizer.kept_tokens(text, self._tokenizer.document_windows([text])[0])
        return self._tokenizer.kept_tokens(text, self._tokenizer.documents([text]))

    def document_text(self, document: DocumentLike) -> DocumentText:
        """Put together the text that is encoded of a document, with a way back to its fields."""
        return self._tokenizer.document_text(document)

    def _with_progress(
        self,
        texts: Iterator[str],
        tokenize: _Tokenize,
        total: int | None,
        progress: bool,
    ) -> Iterator[Embeddings]:
        with progress_bar("Encoding", total, "documents", progress) as advance:
            yield from self._encode(texts, tokenize, advance)

    def _encode(
        self, texts: Iterator[str], tokenize: _Tokenize, advance: Meter
    ) -> Iterator[Embeddings]:
        for chunk in _chunks(texts):
            windows = tokenize(chunk)
            made = iter(self._encode_chunk(windows, advance))
            for of_text in windows:
                parts = list(itertools.islice(made, len(of_text)))
                yield parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _encode_chunk(self, windows: list[list[TokenizedText]], advance: Meter) -> list[Embeddings]:
        """Encode the windows of some texts in batches of like length; results in their order."""
        inputs = [window for of_text in windows for window in of_text]
        owners = [text for text, of_text in enumerate(windows) for _ in of_text]
        missing = list(map(len, windows))  # windows of each text
        results = [np.empty((0, self.dim), np.float32) for _ in inputs]
        batches = list(_batches(inputs, padded=self._network.masked))
        texts = ([inputs[i] for i in batch] for batch in batches)
        with closing(in_order(self._run, texts, min(self._threads, len(batches)))) as made:
            for batch, of_batch in zip(batches, made, strict=True):
                for i, embeddings in zip(batch, of_batch, strict=True):
                    results[i] = embeddings
                    missing[owners[i]] -= 1
                advance(sum(missing[text] == 0 for text in {owners[i] for i in batch}))
        return results

    def _run(self, inputs: list[TokenizedText]) -> list[Embeddings]:
        """Run one batch; what is kept of each input, finished. (n_tokens, dim)."""
        shape = (len(inputs), max(map(len, inputs)))
        if not shape[1]:  # empty texts only
            return [np.empty((0, self.dim), np.float32) for _ in inputs]
        ids = np.full(shape, self._tokenizer.pad_id, dtype=np.int64)
        attention = np.zeros(shape, dtype=np.int64)
        for row, text in enumerate(inputs):
            ids[row, : len(text)] = text.ids
            attention[row, : len(text)] = text.attention
        output = self._network.run(ids, attention)  # (batch, length, dim)
        made = []
        for row, text in enumerate(inputs):
            embeddings = self._finished(output[row, : len(text)][text.keep])
            if text.weights is not None:
                embeddings *= text.weights[text.keep, np.newaxis]
            made.append(embeddings)
        return made

    def _finished(self, embeddings: Embeddings) -> Embeddings:
        """See that embeddings are finite, and normalise them in place. (n_tokens, dim)."""
        lengths = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings))
        if not np.isfinite(lengths).all():
            raise ModelError(
                f"{self._folder / self.config.onnx} makes embeddings that are not finite (or above "
                "1e18); its weights are damaged: copy or export the model again"
            )
        if self.config.normalize:
            embeddings /= np.maximum(lengths, _SMALLEST_LENGTH)[:, np.newaxis]
        return embeddings


def _checked_items(items: Iterable[_Item], kind: str) -> Iterator[_Item]:
    if isinstance(items, str | bytes | Document | Mapping):
        raise InputError(f"the {kind} are one {type(items).__name__}; pass a list of {kind}")
    return iter(items)


def _length(items: object) -> int | None:
    return len(items) if isinstance(items, Sized) else None


def _chunks(texts: Iterator[str]) -> Iterator[list[str]]:
    """Group texts, until there are many or they are long."""
    chunk: list[str] = []
    n_characters = 0
    for text in texts:
        chunk.append(text)
        n_characters += len(text)
        if len(chunk) == _CHUNK_TEXTS or n_characters >= _CHUNK_CHARACTERS:
            yield chunk
            chunk, n_characters = [], 0
    if chunk:
        yield chunk


def _batches(inputs: Sequence[TokenizedText], *, padded: bool) -> Iterator[list[int]]:
    """Group the ordinals of the inputs: like lengths together, `_BATCH_TOKENS` with padding.

    Without padding, equal lengths.
    """
    order = sorted(range(len(inputs)), key=lambda i: len(inputs[i]), reverse=True)
    for _, group in itertools.groupby(order, key=lambda i: 0 if padded else len(inputs[i])):
        rest = list(group)
        while rest:
            n_rows = max(1, _BATCH_TOKENS // max(1, len(inputs[rest[0]])))
            batch, rest = rest[:n_rows], rest[n_rows:]
            yield batch
