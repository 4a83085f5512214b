from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tardif.losses import contrastive, distillation, margin
from tardif.scoring import LOWEST


@given(
    queries=st.integers(1, 4),
    more=st.integers(0, 4),
    seed=st.integers(0, 2**31),
    temperature=st.floats(0.1, 4.0),
)
@settings(deadline=None, max_examples=60)
def test_equals_the_formula(queries, more, seed, temperature):
    random = torch.Generator().manual_seed(seed)
    columns = queries + more
    scores = 5 * torch.randn(queries, columns, dtype=torch.float64, generator=random)
    positives = torch.randint(columns, (queries,), generator=random)
    ignored = torch.rand(queries, columns, generator=random) < 0.4
    losses = []
    for row, positive in enumerate(positives.tolist()):
        # The positive counts even where it is marked as ignored.
        counted = [j for j in range(columns) if j == positive or not ignored[row, j]]
        terms = {j: math.exp(scores[row, j].item() / temperature) for j in counted}
        losses.append(-math.log(terms[positive] / sum(terms.values())))
    found = contrastive(scores, positives, temperature=temperature, ignored=ignored)
    torch.testing.assert_close(found.item(), sum(losses) / queries, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("temperature", [0.01, 1.0])
def test_documents_without_a_token_are_no_positives_and_the_easiest_negatives(temperature):
    made = [[LOWEST, 1.0, 2.0], [LOWEST, 1.0, 2.0], [LOWEST] * 3]
    scores = torch.tensor(made, requires_grad=True)
    loss = contrastive(scores, torch.tensor([0, 1, 2]), temperature=temperature)
    expected = contrastive(torch.tensor([[1.0, 2.0]]), torch.tensor([0]), temperature=temperature) / 3
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert scores.grad.isfinite().all()
    assert scores.grad[0].tolist() == scores.grad[2].tolist() == [0.0] * 3
    assert scores.grad[1, 0] == 0


def test_an_ignored_column_gets_no_gradient_and_a_positive_always_does():
    scores = torch.zeros(1, 3, requires_grad=True)
    contrastive(scores, torch.tensor([0]), ignored=torch.tensor([[True, True, False]])).backward()
    assert scores.grad.tolist() == [[-0.5, 0.0, 0.5]]


def test_nothing_ignored_is_the_default():
    scores, positives = torch.randn(3, 5), torch.arange(3)
    none = torch.zeros(3, 5, dtype=torch.bool)
    assert contrastive(scores, positives) == contrastive(scores, positives, ignored=none)


def candidates(queries, count, seed):
    """Random scores of a student and a teacher, and which places are filled: the first always is."""
    random = torch.Generator().manual_seed(seed)
    scores = 5 * torch.randn(queries, count, dtype=torch.float64, generator=random)
    teacher = 3 * torch.randn(queries, count, dtype=torch.float64, generator=random)
    given = torch.rand(queries, count, generator=random) < 0.7
    given[:, 0] = True
    return scores, teacher, given


def softmax(values):
    terms = [math.exp(value) for value in values]
    return [term / sum(terms) for term in terms]


def stretched(values):
    width = max(max(values) - min(values), 1e-3)
    return [(value - min(values)) / width for value in values]


shapes = given(
    queries=st.integers(1, 4),
    count=st.integers(1, 5),
    seed=st.integers(0, 2**31),
    temperature=st.floats(0.2, 4.0),
    normalise=st.booleans(),
)


@shapes
@settings(deadline=None, max_examples=60)
def test_distillation_equals_the_formula(queries, count, seed, temperature, normalise):
    scores, teacher, filled = candidates(queries, count, seed)
    total = 0.0
    for row in range(queries):
        ours, theirs = ([x[row, j].item() for j in range(count) if filled[row, j]] for x in (scores, teacher))
        if normalise:
            ours, theirs = stretched(ours), stretched(theirs)
        p, q = (softmax([value / temperature for value in side]) for side in (theirs, ours))
        total += temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    found = distillation(scores, teacher, given=filled, temperature=temperature, normalise=normalise)
    torch.testing.assert_close(found.item(), total / queries, rtol=1e-9, atol=1e-12)


@shapes
@settings(deadline=None, max_examples=60)
def test_margin_equals_the_formula(queries, count, seed, temperature, normalise):
    scores, teacher, filled = candidates(queries, count, seed)
    total = 0.0
    for row in range(queries):
        squares = [
            ((scores[row, 0] - scores[row, j]) - (teacher[row, 0] - teacher[row, j])).item() ** 2
            for j in range(1, count)
            if filled[row, j]
        ]
        total += sum(squares) / len(squares) if squares else 0.0
    found = margin(scores, teacher, given=filled)
    torch.testing.assert_close(found.item(), total / queries, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", [distillation, margin])
def test_an_empty_place_gets_no_gradient_whatever_stands_there(loss):
    scores = torch.tensor([[3.0, 1.0, 9.0], [2.0, 7.0, 5.0], [1.0, 2.0, 3.0]], requires_grad=True)
    teacher = torch.tensor([[1.0, 0.0, 5.0], [1.0, 0.0, 5.0], [0.0, 0.0, 0.0]])
    filled = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    found = loss(scores, teacher, given=filled)
    found.backward()
    assert torch.isfinite(found)
    assert torch.isfinite(scores.grad).all()
    assert (scores.grad[~filled] == 0).all()
    assert (scores.grad[1:] == 0).all()  # fewer than two candidates say nothing


@pytest.mark.parametrize("loss", [distillation, margin])
def test_a_student_that_agrees_with_its_teacher_loses_nothing(loss):
    scores = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    found = loss(scores, scores.detach().clone())
    found.backward()
    torch.testing.assert_close(found.item(), 0.0)
    torch.testing.assert_close(scores.grad, torch.zeros_like(scores))


def test_a_teachers_scale_does_not_matter_where_scores_are_stretched():
    scores, teacher = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    torch.testing.assert_close(distillation(scores, 7 * teacher - 5), distillation(scores, teacher))


def test_distillation_without_stretching_is_sentence_transformers():
    scores, teacher = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    theirs = 0.5**2 * torch.nn.functional.kl_div(
        torch.log_softmax(scores / 0.5, dim=-1),
        torch.log_softmax(teacher / 0.5, dim=-1),
        reduction="batchmean",
        log_target=True,
    )
    torch.testing.assert_close(distillation(scores, teacher, temperature=0.5, normalise=False), theirs)
