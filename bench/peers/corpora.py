"""Collections become a corpus of token embeddings, with the vocabulary id of every token.

    python -m bench.peers.corpora FOLDER COLLECTIONS [--sets scifact,...] [--document-length 66]

writes the files of `layout.py` and `documents.json`, `queries.json` (names, in order). All the
text is tokenised first, so that the size is known; then the vectors are filled in from the front,
and `encoded.json` says how far. Ctrl-C and a new start go on there.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from bench.exact import exact_scores, top
from bench.peers.layout import TOP, Corpus
from colxtr import Document, Encoder, EncoderConfig
from colxtr.corpora import read_documents
from colxtr.corpora import read_queries as read_query_texts
from colxtr.model_folders import find_model
from colxtr.progress import progress_bar
from colxtr.tokens import Tokenizer

ENGLISH = "acl_titles,awsdocs,clapnq,covidqa,cranfield,fairytaleqa,medquad,pubmedqa,qamr,scifact"
ENGLISH += ",selqa,so_code,squadshifts,tldr,vaswani"
SETS = ENGLISH + ",jaquad"
SHARD = 1024  # documents between two notes of how far the encoding has come
SEED = 42


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the corpus to write, or to go on with")
    parser.add_argument("collections", type=Path, help="folder of BEIR collections")
    parser.add_argument("--sets", default=SETS, help="which, with commas")
    parser.add_argument("--asked", default=ENGLISH, help="which may ask; default: the English ones")
    parser.add_argument("--queries", type=int, default=300, help="at most so many")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", help="an encoder folder, where not the built-in model")
    parser.add_argument(
        "--document-length", type=int, help="tokens read of each, if not the model's"
    )
    arguments = parser.parse_args()
    names, asking = arguments.sets.split(","), arguments.asked.split(",")
    collections = [arguments.collections / name for name in names]
    asked = [arguments.collections / name for name in names if name in asking]
    if not asked:
        parser.error(f"none of --sets {arguments.sets} is in --asked {arguments.asked}")
    model = arguments.model
    if arguments.document_length is not None:
        model = reading(arguments.document_length, model, arguments.folder / "model")
    encoder = Encoder.load(model, threads=arguments.threads)
    make_corpus(arguments.folder, collections, encoder, sample_queries(asked, arguments.queries))


def reading(length: int, model: str | None, into: Path) -> Path:
    """A copy of a model that reads so many tokens of a document."""
    source, _ = find_model(model)
    shutil.copytree(source, into, dirs_exist_ok=True)
    config = replace(EncoderConfig.read(into), document_length=length)
    config.write(into)
    return into


def make_corpus(
    folder: Path,
    collections: Sequence[Path],
    encoder: Encoder,
    queries: Sequence[tuple[str, str]],
) -> None:
    """Write a corpus, or what is missing of it."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = [document for path in collections for document in _documents(path)]
    documents = write_token_ids(folder, documents, tokenizer_of(encoder.source))
    write_queries(folder, encoder, queries)
    write_vectors(folder, encoder, documents)
    if not (folder / "truth.npz").is_file():
        write_truth(Corpus.open(folder))


def _documents(collection: Path) -> Iterator[Document]:
    for document in read_documents(collection):
        yield Document(f"{collection.name}/{document.id}", document.text, document.title)


def write_token_ids(
    folder: Path, documents: Sequence[Document], tokenizer: Tokenizer
) -> list[Document]:
    """Write ids and lengths of the tokens that get embeddings; return documents that have any."""
    with progress_bar("Tokenizing", len(documents)) as advance:
        ids = []
        for start in range(0, len(documents), SHARD):
            ids += token_ids(documents[start : start + SHARD], tokenizer)
            advance(len(ids) - start)
    kept = [i for i, of_document in enumerate(ids) if len(of_document)]
    np.save(folder / "token_ids.npy", np.concatenate([ids[i] for i in kept]))
    np.save(folder / "doclens.npy", np.array([len(ids[i]) for i in kept], np.int32))
    _write_json(folder / "documents.json", [documents[i].id for i in kept])
    return [documents[i] for i in kept]


def token_ids(documents: Sequence[Document], tokenizer: Tokenizer) -> list[NDArray[np.int64]]:
    """Vocabulary ids of the tokens that a model keeps of each document.

    One for each row of `Encoder.encode_documents`: special tokens and punctuation are dropped.
    """
    texts = [tokenizer.document_text(document).full for document in documents]
    return [text.ids[text.keep] for text in tokenizer.documents(texts)]


def tokenizer_of(model: str | None) -> Tokenizer:
    """The tokenizer of a model, as `Encoder.source` or `Encoder.load` names it."""
    folder, _ = find_model(model)
    return Tokenizer(EncoderConfig.read(folder), folder, parallel=False)


def sample_queries(collections: Sequence[Path], count: int) -> list[tuple[str, str]]:
    """Ids and texts of queries that the collections judge, of test splits where there are any.

    In random order, so that the first few are of all collections.
    """
    found = [pair for path in collections for pair in judged(path, "test")]
    found = found or [pair for path in collections for pair in judged(path, "train")]
    chosen = np.random.default_rng(SEED).permutation(len(found))[:count]
    return [found[i] for i in chosen]


def judged(collection: Path, split: str) -> list[tuple[str, str]]:
    """Ids, with the collection's name, and texts of the queries that a split judges."""
    qrels = collection / "qrels" / f"{split}.tsv"
    if not qrels.is_file():
        return []
    wanted = {line.split("\t")[0] for line in qrels.read_text("utf-8").splitlines()[1:]}
    queries = read_query_texts(collection)
    return [(f"{collection.name}/{name}", text) for name, text in queries if name in wanted]


def write_queries(folder: Path, encoder: Encoder, queries: Sequence[tuple[str, str]]) -> None:
    """Write the embeddings of the queries, their lengths and names; forget the truth of others."""
    names = folder / "queries.json"
    if names.is_file() and list(json.loads(names.read_text("utf-8")).items()) != list(queries):
        (folder / "truth.npz").unlink(missing_ok=True)
    embeddings = encoder.encode_queries(text for _, text in queries)
    np.save(folder / "queries.npy", np.concatenate(embeddings))
    np.save(folder / "query_lengths.npy", np.array(list(map(len, embeddings)), np.int32))
    _write_json(names, dict(queries))


def write_vectors(folder: Path, encoder: Encoder, documents: Sequence[Document]) -> None:
    """Fill in the vectors, from where an interrupted run stopped."""
    doclens = np.load(folder / "doclens.npy")
    starts = np.concatenate([[0], np.cumsum(doclens, dtype=np.int64)])
    n_tokens = int(starts[-1])
    path, note = folder / "vectors.npy", folder / "encoded.json"
    what = {"model": encoder.fingerprint, "tokens": n_tokens}
    done = _encoded(note, what) if path.is_file() else 0
    if done:
        vectors = np.load(path, mmap_mode="r+")
    else:
        vectors = open_memmap(path, "w+", np.float16, (n_tokens, encoder.dim))
    with progress_bar("Encoding", n_tokens, "tokens") as advance:
        advance.skip(int(starts[done]))
        for first in range(done, len(documents), SHARD):
            shard = documents[first : first + SHARD]
            last = first + len(shard)
            embeddings = encoder.encode_documents(shard)
            if list(map(len, embeddings)) != doclens[first:last].tolist():
                raise SystemExit(
                    f"{folder}: documents from {first:,} on have other numbers of embeddings than "
                    "of token ids; the tokenizer and the encoder do not agree"
                )
            vectors[starts[first] : starts[last]] = np.concatenate(embeddings)
            vectors.flush()
            _write_json(note, what | {"documents": last})
            advance(int(starts[last] - starts[first]))


def _encoded(note: Path, what: dict[str, object]) -> int:
    """How many documents an interrupted run encoded, if it was of the same model and corpus."""
    if not note.is_file():
        return 0
    noted: dict[str, object] = json.loads(note.read_text("utf-8"))
    documents = noted.pop("documents")
    return documents if noted == what and isinstance(documents, int) else 0


def write_truth(corpus: Corpus) -> None:
    """Write the best documents of each query by exact MaxSim over the float16 vectors."""
    size = len(corpus.doclens), len(corpus.vectors)
    scores = exact_scores(corpus.queries, [(corpus.vectors, corpus.doclens)], *size)
    ids, best = top(scores, TOP)
    np.savez(corpus.folder / "truth.npz", ids=ids, scores=best)


def _write_json(path: Path, value: object) -> None:
    """Write all of a file or nothing."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value) + "\n", encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    main()
