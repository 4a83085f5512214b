from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tardif.losses import contrastive


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


def test_an_ignored_column_gets_no_gradient_and_a_positive_always_does():
    scores = torch.zeros(1, 3, requires_grad=True)
    contrastive(scores, torch.tensor([0]), ignored=torch.tensor([[True, True, False]])).backward()
    assert scores.grad.tolist() == [[-0.5, 0.0, 0.5]]


def test_nothing_ignored_is_the_default():
    scores, positives = torch.randn(3, 5), torch.arange(3)
    none = torch.zeros(3, 5, dtype=torch.bool)
    assert contrastive(scores, positives) == contrastive(scores, positives, ignored=none)
