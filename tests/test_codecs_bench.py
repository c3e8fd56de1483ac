"""bench/codecs.py: ColBERTv2's residual compression, and that each step brings tokens nearer."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from bench.codecs import Buckets, Decompressed, recall, variants
from colxtr import Encoder
from colxtr.clustering import unit_length
from colxtr.codec import Codec
from colxtr.corpora import read_documents
from colxtr.evaluation.embedded import EmbeddedCollection, embed
from colxtr.evaluation.exhaustive import exact_run
from colxtr.evaluation.judged import JudgedCollection
from colxtr.reference import Code


@pytest.fixture(scope="module")
def tokens(data_folder):
    """Of 60 abstracts."""
    documents = list(islice(read_documents([data_folder / "cranfield"]), 60))
    return np.concatenate(Encoder.load().encode_documents(documents)).astype(np.float32)


def test_buckets_are_equally_frequent_and_stand_for_their_medians() -> None:
    values = np.arange(1, 101, dtype=np.float32)
    buckets = Buckets.of(values, 4)
    np.testing.assert_allclose(buckets.bounds, [25.75, 50.5, 75.25])
    np.testing.assert_allclose(buckets.values, [13.375, 38.125, 62.875, 87.625])
    rounded = buckets.rounded(values)
    assert [int((rounded == value).sum()) for value in buckets.values] == [25] * 4
    assert (np.diff(rounded) >= 0).all()


@pytest.mark.parametrize("n_bits", [1, 2])
def test_every_step_brings_real_tokens_nearer(tokens, n_bits) -> None:
    codec = Codec.train(tokens, n_bits=n_bits, n_centroids=512)
    code = Code(*codec.encode(tokens))
    errors = {
        name: float(np.square(decompress(tokens, code) - tokens).sum(axis=1).mean())
        for name, decompress in variants(codec, tokens).items()
    }
    centroids, plain, colbertv2, scaled, ours = errors.values()
    assert ours < scaled <= colbertv2 * 1.001
    assert max(colbertv2, plain) < centroids
    assert ours < 0.75 * colbertv2


def test_a_collection_comes_back_decompressed(data_folder, tmp_path) -> None:
    collection = JudgedCollection.read(data_folder / "cranfield", queries=5, documents=100)
    encoder = Encoder.load()
    embedded, _ = embed(collection, encoder, tmp_path)
    queries = dict(
        zip(
            collection.queries,
            encoder.encode_queries(list(collection.queries.values())),
            strict=True,
        )
    )
    truth = exact_run(embedded, collection.doc_ids, queries, 10)
    n_parts = len(list(embedded.parts()))
    codes = [Code(np.zeros(1, np.int64), *[np.zeros(1, np.int64)] * 3)] * n_parts
    same = Decompressed(embedded.folder, codes=codes, decompress=lambda tokens, _: tokens)
    assert isinstance(same, EmbeddedCollection)
    assert recall(exact_run(same, collection.doc_ids, queries, 10), truth) == 1
    turned = Decompressed(embedded.folder, codes=codes, decompress=lambda tokens, _: -tokens)
    assert recall(exact_run(turned, collection.doc_ids, queries, 10), truth) < 0.5


def test_unit_length() -> None:
    made = unit_length(np.array([[3, 4], [0, 2]], np.float32))
    np.testing.assert_allclose(made, [[0.6, 0.8], [0, 1]])
