from __future__ import annotations

from dataclasses import replace
from typing import Any

import brute_force
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from colxtr.training.matching import Tokens, best_matches
from colxtr.training.objectives import (
    NO_DOCUMENT,
    Objective,
    Targets,
    contrastive_loss,
    distillation_loss,
    k_train_at,
    maxsim_scores,
    repeated,
    xtr_scores,
)
from colxtr.training.settings import ObjectiveSettings

FLOAT32 = 1e-5


def tokens(
    seed: int, n: int, length: int, dim: int = 6, *, dtype: torch.dtype = torch.float64
) -> Tokens:
    """Unit token embeddings; each text has a valid token at least, and some have padding."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(n, length, dim, generator=generator, dtype=torch.float64)
    mask = torch.rand(n, length, generator=generator) < 0.7
    mask[:, 0] = True
    unit = torch.nn.functional.normalize(embeddings, dim=-1)
    return Tokens(unit.to(dtype), mask)


def arrays(*texts: Tokens) -> list[np.ndarray]:
    return [each.detach().numpy() for text in texts for each in (text.embeddings, text.mask)]


def scored(q: Tokens, d: Tokens, k: int | None, **options: Any) -> Tensor:
    matches = best_matches(q, d, k, **options)
    return maxsim_scores(matches, q.mask) if k is None else xtr_scores(matches)


shapes = st.tuples(*(st.integers(1, 5) for _ in range(4)))


@given(shapes, st.integers(0, 99), st.sampled_from([1, 7, 1 << 20]))
@settings(max_examples=40, deadline=None)
def test_maxsim_is_its_definition(shape: tuple[int, ...], seed: int, block: int) -> None:
    q, d = tokens(seed, *shape[:2]), tokens(seed + 1, *shape[2:])
    expected = brute_force.maxsim(*arrays(q, d))
    np.testing.assert_allclose(scored(q, d, None, block_elements=block), expected, atol=1e-12)
    single = scored(
        Tokens(q.embeddings.float(), q.mask), Tokens(d.embeddings.float(), d.mask), None
    )
    np.testing.assert_allclose(single, expected, atol=FLOAT32)


@given(shapes, st.integers(0, 99), st.integers(1, 30), st.sampled_from([1, 7, 1 << 20]))
@settings(max_examples=60, deadline=None)
def test_xtr_is_its_definition(shape: tuple[int, ...], seed: int, k: int, block: int) -> None:
    q, d = tokens(seed, *shape[:2]), tokens(seed + 1, *shape[2:])
    expected = brute_force.xtr(*arrays(q, d), k)
    np.testing.assert_allclose(scored(q, d, k, block_elements=block), expected, atol=1e-12)
    single = scored(Tokens(q.embeddings.float(), q.mask), Tokens(d.embeddings.float(), d.mask), k)
    np.testing.assert_allclose(single, expected, atol=FLOAT32)


@pytest.mark.parametrize("k", [None, 1, 4, 100])
def test_gradients_of_the_scores(k: int | None) -> None:
    q, d = tokens(3, 2, 4), tokens(4, 3, 5)

    def scores(queries: Tensor, documents: Tensor) -> Tensor:
        return scored(Tokens(queries, q.mask), Tokens(documents, d.mask), k)

    inputs = (q.embeddings.requires_grad_(), d.embeddings.requires_grad_())
    assert torch.autograd.gradcheck(scores, inputs)


@pytest.mark.parametrize("k", [None, 5])
def test_float32_gradients_are_those_of_a_plain_computation(k: int | None) -> None:
    """The same through autograd alone, in float64: a dense mask of what counts."""
    q, d = tokens(5, 4, 6), tokens(6, 7, 9)
    factors = torch.randn(4, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain = [each.embeddings.clone().requires_grad_() for each in (q, d)]
    s = torch.einsum("qid,pjd->qipj", *plain).masked_fill(~d.mask, -torch.inf)
    counted = q.mask[:, :, None, None] & d.mask
    if k is not None:
        least = s.detach().flatten(2).topk(k).values[..., -1]
        counted = counted & (s >= least[..., None, None])
    best = s.masked_fill(~counted, -torch.inf).amax(-1)
    found = best > -torch.inf
    total = best.masked_fill(~found, 0).sum(1)
    z = q.mask.sum(1, keepdim=True) if k is None else found.sum(1).clamp(min=1)
    ((total / z) * factors).sum().backward()
    ours = [each.embeddings.float().requires_grad_() for each in (q, d)]
    scores = scored(Tokens(ours[0], q.mask), Tokens(ours[1], d.mask), k, block_elements=50)
    (scores * factors.float()).sum().backward()
    for mine, theirs in zip(ours, plain, strict=True):
        np.testing.assert_allclose(mine.grad, theirs.grad, atol=FLOAT32)


def test_a_document_that_nothing_retrieved_scores_0_without_gradient() -> None:
    q = Tokens(torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1, dtype=torch.bool))
    documents = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[-1.0, 0.0]]], requires_grad=True)
    d = Tokens(documents, torch.ones(3, 1, dtype=torch.bool))
    scores = scored(q, d, 1)
    assert scores.tolist() == [[1.0, 0.0, 0.0]]
    contrastive_loss(scores, torch.tensor([1]), torch.ones(1, 3, dtype=torch.bool), 0.05).backward()
    gradient = documents.grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert gradient[1:].abs().sum() == 0


def test_a_negative_similarity_is_kept_if_it_was_retrieved() -> None:
    """0 for what was not retrieved would win over it."""
    q = Tokens(torch.tensor([[[1.0, 0.0]]]), torch.ones(1, 1, dtype=torch.bool))
    d = Tokens(torch.tensor([[[-0.5, 0.1], [-0.9, 0.0]]]), torch.ones(1, 2, dtype=torch.bool))
    assert scored(q, d, 1).item() == pytest.approx(-0.5)


@pytest.mark.parametrize("k", [None, 6])
def test_scores_are_those_of_sentence_transformers(k: int | None) -> None:
    from sentence_transformers.multi_vector_encoder import scoring

    q, d = tokens(7, 3, 4), tokens(8, 6, 5)
    options: dict[str, Any] = {"queries_mask": q.mask, "documents_mask": d.mask.view(3, 2, 5)}
    documents = d.embeddings.view(3, 2, 5, -1)
    if k is None:
        expected = scoring.mean_colbert_scores(q.embeddings, documents, **options)
    else:
        expected = scoring.xtr_scores(q.embeddings, documents, top_k=k, **options)
    np.testing.assert_allclose(scored(q, d, k), expected, atol=FLOAT32)


def test_distillation_is_that_of_sentence_transformers() -> None:
    student, teacher = torch.randn(4, 3), torch.randn(4, 3)
    expected = torch.nn.KLDivLoss(reduction="batchmean", log_target=True)(
        (student / 0.5).log_softmax(-1), teacher.log_softmax(-1)
    )
    everything = torch.ones(4, 3, dtype=torch.bool)
    ours = distillation_loss(student, teacher, everything, student_temperature=0.5)
    assert ours.item() == pytest.approx(expected.item(), abs=1e-6)


@given(
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(0, 99),
    st.sampled_from(["none", "min-max", "z-score"]),
)
@settings(max_examples=40, deadline=None)
def test_distillation_is_its_definition(n: int, ways: int, seed: int, how: str) -> None:
    generator = np.random.default_rng(seed)
    student, teacher = generator.normal(size=(2, n, ways))
    valid = generator.random((n, ways)) < 0.8
    valid[:, 0] = True
    leaf = torch.tensor(student, requires_grad=True)
    loss = distillation_loss(
        leaf,
        torch.tensor(teacher),
        torch.tensor(valid),
        student_temperature=0.3,
        teacher_temperature=2.0,
        normalisation=how,
    )
    expected = brute_force.divergence(student, teacher, valid, 0.3, 2.0, how)
    assert loss.item() == pytest.approx(expected, abs=1e-10)
    loss.backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    assert not leaf.grad[~torch.tensor(valid)].any()


def test_gradients_of_the_losses() -> None:
    torch.manual_seed(0)
    scores = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    allowed = torch.rand(3, 5) < 0.6
    logarithm = torch.tensor(-3.0, dtype=torch.float64, requires_grad=True)

    def both(scores: Tensor, logarithm: Tensor) -> Tensor:
        temperature = logarithm.exp()
        contrastive = contrastive_loss(scores, torch.tensor([0, 4, 2]), allowed, temperature)
        teacher = torch.arange(15.0, dtype=torch.float64).view(3, 5)
        return contrastive + distillation_loss(scores, teacher, allowed, student_temperature=0.5)

    assert torch.autograd.gradcheck(both, (scores, logarithm))


@given(st.integers(0, 50), st.sampled_from(["colbert", "xtr"]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_objective_is_the_sum_of_its_definitions(seed: int, scoring: str, own: bool) -> None:
    generator = np.random.default_rng(seed)
    q, d = tokens(seed, 3, 4), tokens(seed + 1, 7, 5)
    keys = [11, 12, 13, 14, 15, 16, 12]  # 12 comes twice
    targets = [[11, 14], [12, 15], [13]]
    relevant = [[11, 13], [12], [13]]  # 13 is relevant for query 0, too
    teacher = generator.normal(size=(3, 2))
    chosen = ObjectiveSettings(
        scoring=scoring, distillation=0.7, own_negatives=own, temperature=0.2, k_train=9
    )
    padded = torch.tensor([[11, 14], [12, 15], [13, NO_DOCUMENT]])
    known = torch.tensor([[11, 13], [12, NO_DOCUMENT], [13, NO_DOCUMENT]])
    losses = Objective(chosen)(
        q, d, torch.tensor(keys), Targets(padded, known, torch.tensor(teacher)), k_train=9
    )
    mask = d.mask.numpy().copy()
    mask[6] = False
    inputs = (q.embeddings.numpy(), q.mask.numpy(), d.embeddings.numpy(), mask)
    scores = brute_force.maxsim(*inputs) if scoring == "colbert" else brute_force.xtr(*inputs, 9)
    allowed = np.array(
        [
            [
                column < 6 and key not in relevant[row] and (own or key not in targets[row])
                for column, key in enumerate(keys)
            ]
            for row in range(3)
        ]
    )
    contrastive = brute_force.cross_entropy(scores, [0, 1, 2], allowed, 0.2)
    student = np.array([[scores[0, 0], scores[0, 3]], [scores[1, 1], scores[1, 4]], [0, 0]])
    valid = np.array([[True, True], [True, True], [True, False]])
    divergence = brute_force.divergence(student, teacher, valid, 0.5, 1.0, "none")
    assert losses.total.item() == pytest.approx(contrastive + 0.7 * divergence, abs=1e-6)


def test_self_distillation_is_0_for_the_untrained_model_and_pulls_towards_it() -> None:
    q, d = tokens(1, 3, 4, dtype=torch.float32), tokens(2, 3, 5, dtype=torch.float32)
    chosen = ObjectiveSettings(scoring="xtr", contrastive=0, self_distillation=1)
    keys = torch.tensor([1, 2, 3])
    targets = Targets(keys[:, None], keys[:, None])
    objective = Objective(chosen)
    same = objective(q, d, keys, targets, k_train=5, untrained=(q, d))
    assert same.total.item() == pytest.approx(0, abs=1e-6)
    other = tokens(9, 3, 5, dtype=torch.float32)
    moving = other.embeddings.clone().requires_grad_()
    optimizer = torch.optim.SGD([moving], lr=0.1)
    totals = []
    for _ in range(20):
        now = Tokens(moving, other.mask)
        loss = objective(q, now, keys, targets, k_train=5, untrained=(q, d)).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        totals.append(loss.item())
    assert totals[-1] < 0.5 * totals[0]


def test_the_temperature_is_learnt_if_asked() -> None:
    learnt = Objective(ObjectiveSettings())
    assert learnt.temperature.item() == pytest.approx(0.05)
    assert learnt.log_temperature.requires_grad
    fixed = Objective(ObjectiveSettings(learn_temperature=False))
    assert not fixed.log_temperature.requires_grad


def test_repeated() -> None:
    assert repeated(torch.tensor([5, 6, 5, 5, 7])).tolist() == [False, False, True, True, False]


@pytest.mark.parametrize(
    ("changes", "step", "expected"),
    [
        ({"k_train": 320}, 0, 320),
        ({"k_train": 320}, 10**9, 320),
        ({"k_train": 5000}, 0, 1000),
        ({"k_train": 0.05}, 0, 50),
        ({"k_train": 0.0001}, 0, 1),
        ({"k_train": 0.2, "k_train_end": 0.1, "k_train_steps": 10}, 5, 150),
        ({"k_train": 200, "k_train_end": 100, "k_train_steps": 10}, 20, 100),
        ({"scoring": "colbert"}, 0, None),
    ],
)
def test_k_train(changes: dict[str, Any], step: int, expected: int | None) -> None:
    assert k_train_at(replace(ObjectiveSettings(), **changes), step, 1000) == expected
