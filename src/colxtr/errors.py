"""Every error that colxtr raises on purpose.

    ColxtrError
    |-- InputError                 an argument, a document or a file that cannot be used
    |   |-- CorpusError            a file of documents or queries (names file and line)
    |   |-- DocumentError          a document without usable id, text or metadata
    |   |   `-- DuplicateIdError   an id that the index (or the input) already holds
    |   `-- EmbeddingError         wrong shape, dimension, or values that are not finite
    |-- ModelError                 a model folder or hub id that cannot be loaded
    |-- StorageError               the index folder
    |   |-- IndexNotFoundError     no index at this path
    |   |-- IndexExistsError       an index (or something else) is already there
    |   |-- IndexVersionError      written by another format version
    |   |-- CorruptIndexError      a file is missing, truncated or damaged
    |   |-- IndexLockedError       another process is writing
    |   |-- ReadOnlyError          a write through a reader
    |   `-- DiskFullError          no space left, or a file that cannot be written
    `-- MissingDependencyError     an optional package is not installed

Messages give the offending value, the limit and the remedy, and name the file.
"""


class ColxtrError(Exception):
    """Base of every error raised on purpose by colxtr."""


class InputError(ColxtrError, ValueError):
    """An argument, a document or a file that cannot be used as it is."""


class CorpusError(InputError):
    """A file of documents, queries or judgements that cannot be read; names file and line."""


class DocumentError(InputError):
    """A document without a usable id, text or metadata."""


class DuplicateIdError(DocumentError):
    """A document id that the index, or the same input, already holds."""


class EmbeddingError(InputError):
    """Token embeddings of the wrong shape or dimension, or with values that are not finite."""


class ModelError(ColxtrError):
    """A model folder or hub id that cannot be loaded."""


class StorageError(ColxtrError):
    """Something about the index folder."""


class IndexNotFoundError(StorageError):
    """There is no index at this path."""


class IndexExistsError(StorageError):
    """An index, or something else, is already at this path."""


class IndexVersionError(StorageError):
    """The index was written in another version of the format."""


class CorruptIndexError(StorageError):
    """A file of the index is missing, truncated or damaged; all its messages name the remedy."""

    def __str__(self) -> str:
        return f"{super().__str__()}; restore the file or build the index anew"


class IndexLockedError(StorageError):
    """Another process is writing to this index."""


class ReadOnlyError(StorageError):
    """The index was opened for reading only."""


class DiskFullError(StorageError):
    """No space is left, or a file of the index cannot be written."""


class MissingDependencyError(ColxtrError, ImportError):
    """An optional package is needed and not installed; the message names the extra."""
