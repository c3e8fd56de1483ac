from __future__ import annotations

from collections import Counter

import pytest
import torch
from tiny_data import tiny_set
from tiny_torch import save_bert

from colxtr.errors import InputError
from colxtr.training.averaging import average_models, average_weights
from colxtr.training.batches import BatchOrder, key_of
from colxtr.training.schedules import rate_at
from colxtr.training.settings import BatchSettings, OptimizerSettings
from colxtr.training.starting import judged_pairs
from colxtr.training.tuple_files import mix


def test_an_epoch_has_every_tuple_once_whatever_the_number_of_processes() -> None:
    given = tiny_set(n=24)
    settings = BatchSettings(size=4)
    one = BatchOrder(given, settings, seed=0)
    assert one.per_epoch == 6
    seen = Counter(query for number in range(6) for query in one[number].queries)
    assert set(seen.values()) == {1}
    assert len(seen) == 24
    halves = [BatchOrder(given, BatchSettings(size=2), 0, process=i, processes=2) for i in (0, 1)]
    for number in (0, 3, 7):
        together = [query for half in halves for query in half[number].queries]
        assert together == one[number].queries
    assert one[6].queries != one[0].queries
    assert BatchOrder(given, settings, seed=0)[9] == one[9]
    assert BatchOrder(given, settings, seed=1)[0] != one[0]


def test_a_batch_has_each_document_once() -> None:
    given = tiny_set(n=4, ways=3)  # neighbours share documents
    batch = BatchOrder(given, BatchSettings(size=4), seed=0)[0]
    assert sorted(batch.document_keys) == sorted(key_of(f"d{i}") for i in range(4))
    assert batch.documents == [
        next(text for name, text in given.documents.items() if key_of(name) == key)
        for key in batch.document_keys
    ]
    for query, own, relevant in zip(batch.queries, batch.own, batch.relevant, strict=True):
        number = next(name[1:] for name, text in given.queries.items() if text == query)
        assert own[0] == key_of(f"d{number}")
        assert relevant == [own[0]]


def test_negatives_first_or_drawn() -> None:
    given = tiny_set(n=8, ways=6, scored=True)
    first = BatchOrder(given, BatchSettings(size=8, n_ways=3), seed=0)[0]
    assert set(first.scores) == {(6.0, 5.0, 4.0)}
    drawn = BatchOrder(given, BatchSettings(size=8, n_ways=3, negatives="sample"), seed=0)
    both = [drawn[0].scores, drawn[1].scores]
    assert {scores[0] for batch in both for scores in batch if scores} == {6.0}
    assert len({scores for batch in both for scores in batch}) > 3


def test_batches_of_one_collection() -> None:
    sets = {name: tiny_set(n, seed=n) for name, n in (("a", 11), ("b", 7), ("c", 3))}
    given = mix(sets)
    settings = BatchSettings(size=4, from_one_collection=True)
    order = BatchOrder(given, settings, seed=0)
    owner = {key_of(name): name.partition(":")[0] for name in given.documents}
    seen: list[str] = []
    for number in range(10):  # two epochs of five batches: two of a, one of b, two of what is left
        batch = order[number]
        counts = Counter(owner[own[0]] for own in batch.own)
        seen.append(next(iter(counts)) if len(counts) == 1 else "mixed")
        assert BatchOrder(given, settings, seed=0)[number] == batch
    assert Counter(seen[:5])["a"] >= 2
    assert Counter(seen[:5])["b"] >= 1
    assert Counter(seen[:5])["mixed"] >= 1
    assert seen[:5] != seen[5:] or order[0].queries != order[5].queries
    asked = [query for number in range(5) for query in order[number].queries]
    assert len(asked) == len(set(asked)) == 20  # of 21


def test_judged_pairs() -> None:
    given = judged_pairs(tiny_set(n=3))
    assert [(each.query_id, each.document_ids) for each in given.tuples] == [
        ("q0", ("d0",)),
        ("q1", ("d1",)),
        ("q2", ("d2",)),
    ]


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        ("linear", 0, 0.1),
        ("linear", 9, 1.0),
        ("linear", 10, 1.0),
        ("linear", 60, 0.5),
        ("linear", 109, 0.01),
        ("cosine", 60, 0.5),
        ("cosine", 35, 0.853553),
        ("constant", 109, 1.0),
    ],
)
def test_rates(schedule: str, step: int, expected: float) -> None:
    settings = OptimizerSettings(steps=110, warmup_steps=10, schedule=schedule)
    assert rate_at(settings, step) == pytest.approx(expected, abs=1e-6)


def test_averages() -> None:
    a = {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(1)}
    b = {"w": torch.tensor([3.0, 6.0]), "n": torch.tensor(2)}
    assert average_weights([a, b])["w"].tolist() == [2.0, 4.0]
    mixed = average_weights([a, b], [3, 1])
    assert mixed["w"].tolist() == [1.5, 3.0]
    assert mixed["n"].item() == 2
    models = [torch.nn.Linear(2, 2) for _ in range(2)]
    expected = (models[0].weight + models[1].weight) / 2
    torch.testing.assert_close(average_models(models).weight, expected)
    with pytest.raises(InputError, match="0 models and 0 shares"):
        average_weights([])
    with pytest.raises(InputError, match=r"the shares add up to 0"):
        average_weights([a, b], [1, -1])
    with pytest.raises(InputError, match="'x' and another has not"):
        average_weights([a, {**b, "x": b["w"]}])
    with pytest.raises(InputError, match=r"shape \(2,\) in one model and \(1,\) in another"):
        average_weights([a, {**b, "w": torch.zeros(1)}])


@pytest.mark.parametrize("expansion", [None, {"strategy": "fixed", "length": 12}])
def test_texts_are_encoded_as_sentence_transformers_does(tmp_path, expansion) -> None:
    """In groups by length, tokenised one by one: the same token embeddings."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.base.modules.normalize import Normalize
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    from colxtr.training.texts import TextModel

    first = Transformer(
        str(save_bert(tmp_path)), query_length=12, document_length=20, query_expansion=expansion
    )
    names = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    dense = Dense(32, 16, bias=False, activation_function=torch.nn.Identity(), **names)
    modules = [first, dense, MultiVectorMask(["."]), Normalize("token_embeddings")]
    prompts = {"query": "the ", "document": "red fox. "}
    model = MultiVectorEncoder(modules=modules, device="cpu", prompts=prompts)
    texts = ["a.b c", "a", "the red fox runs over " * 9, "x y. z", "k l m n o p q"]
    ours = TextModel(model, tokens_per_forward=24)
    for task, encode in (("query", model.encode_query), ("document", model.encode_document)):
        expected = encode(texts, show_progress_bar=False, convert_to_numpy=False)
        for mine, theirs in zip(ours.encode_texts(texts, task, batch=3), expected, strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    assert len(ours.groups(ours.tokenize(texts, "document"))) > 2
