from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tardif import scoring
from tardif.scoring import LOWEST, TokenVectors, maxsim, maxsim_arrays, top


class Case:
    """Packed random vectors: queries with any number of tokens, documents with any number of tokens."""

    def __init__(self, dim, q_lengths, d_lengths, seed, sign):
        random = np.random.default_rng(seed)
        self.q_lengths, self.d_lengths = q_lengths, d_lengths
        self.q = random.standard_normal((sum(q_lengths), dim))
        self.d = random.standard_normal((sum(d_lengths), dim))
        if sign:  # all similarities of one sign
            self.q, self.d = abs(self.q), sign * abs(self.d)

    def tensors(self, dtype=torch.float64):
        q, d = (torch.tensor(x, dtype=dtype, requires_grad=True) for x in (self.q, self.d))
        return TokenVectors(q, self.q_lengths), TokenVectors(d, self.d_lengths)

    def __repr__(self):
        return f"Case({self.q_lengths}, {self.d_lengths})"


cases = st.builds(
    Case,
    dim=st.integers(1, 5),
    q_lengths=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    d_lengths=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
    sign=st.sampled_from([0, 1, -1]),
)
several = settings(deadline=None, max_examples=40)


def split(vectors, lengths):
    stops = np.cumsum(lengths)
    return [vectors[stop - length : stop] for stop, length in zip(stops, lengths, strict=True)]


def naive(q, q_lengths, d, d_lengths):
    """The definition, with loops over tokens; works on arrays and on tensors."""
    return [
        [
            sum((max(x @ y for y in document) for x in query), start=0.0) if len(document) else LOWEST
            for document in split(d, d_lengths)
        ]
        for query in split(q, q_lengths)
    ]


def arrays(case):
    return maxsim_arrays(case.q, case.q_lengths, case.d, case.d_lengths)


def tensors(case):
    return maxsim(*case.tensors()).detach().numpy()


forms = pytest.mark.parametrize(("form", "tolerance"), [(tensors, 1e-12), (arrays, 1e-5)], ids=["torch", "numpy"])


@forms
@given(case=cases)
@several
def test_equals_the_definition(form, tolerance, case):
    expected = naive(case.q, case.q_lengths, case.d, case.d_lengths)
    np.testing.assert_allclose(form(case), expected, rtol=tolerance, atol=tolerance)


@forms
@given(case=cases)
@several
def test_a_text_scores_the_same_alone_and_beside_others(form, tolerance, case):
    together = form(case)
    for i, query in enumerate(split(case.q, case.q_lengths)):
        for j, document in enumerate(split(case.d, case.d_lengths)):
            alone = Case(1, [len(query)], [len(document)], 0, 0)
            alone.q, alone.d = query, document
            np.testing.assert_allclose(together[i, j], form(alone)[0, 0], rtol=tolerance, atol=tolerance)


@forms
@given(case=cases, seed=st.integers(0, 1000))
@several
def test_the_order_of_a_documents_tokens_does_not_matter(form, tolerance, case, seed):
    before = form(case)
    shuffled = [np.random.default_rng(seed).permutation(part) for part in split(case.d, case.d_lengths)]
    case.d = np.concatenate(shuffled)
    np.testing.assert_allclose(form(case), before, rtol=tolerance, atol=tolerance)


@forms
@given(case=cases, seed=st.integers(0, 1000))
@several
def test_a_token_more_never_lowers_a_score(form, tolerance, case, seed):
    before = form(case)
    new = np.random.default_rng(seed).standard_normal((1, case.d.shape[1]))
    case.d = np.concatenate([np.concatenate([part, new]) for part in split(case.d, case.d_lengths)])
    case.d_lengths = [length + 1 for length in case.d_lengths]
    assert (form(case) >= before - tolerance).all()


@given(case=cases)
@several
def test_a_document_without_a_token_scores_lowest(case):
    empty = [j for j, length in enumerate(case.d_lengths) if not length]
    for scores in (tensors(case), arrays(case)):
        assert np.isfinite(scores).all()
        assert (scores[:, empty] == LOWEST).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_tensors_give_float32(dtype):
    case = Case(8, [3, 2], [4, 1, 2], 0, 0)
    q, d = case.tensors(dtype)
    scores = maxsim(q, d)
    assert scores.dtype == torch.float32
    rounded = naive(q.vectors.detach().float(), case.q_lengths, d.vectors.detach().float(), case.d_lengths)
    np.testing.assert_allclose(scores.detach(), rounded, rtol=1e-5)
    scores.sum().backward()
    assert (q.vectors.grad.dtype, d.vectors.grad.dtype) == (dtype, dtype)


def test_half_precision_arrays_give_float32():
    case = Case(8, [3, 2], [4, 1, 2], 0, 0)
    half = case.d.astype(np.float16)
    scores = maxsim_arrays(case.q, case.q_lengths, half, case.d_lengths)
    assert scores.dtype == np.float32
    expected = naive(case.q, case.q_lengths, half.astype(np.float64), case.d_lengths)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


@given(case=cases, seed=st.integers(0, 1000))
@several
def test_gradients_equal_autograd_through_the_definition(case, seed):
    upstream = torch.tensor(np.random.default_rng(seed).standard_normal((len(case.q_lengths), len(case.d_lengths))))
    upstream[:, [not length for length in case.d_lengths]] = 0.0  # such a score is a constant
    ours, theirs = case.tensors(), case.tensors()
    (maxsim(*ours) * upstream).sum().backward()
    rows = naive(theirs[0].vectors, case.q_lengths, theirs[1].vectors, case.d_lengths)
    loss = sum(weight * score for w, r in zip(upstream, rows, strict=True) for weight, score in zip(w, r, strict=True))
    (loss + 0.0 * sum(part.vectors.sum() for part in theirs)).backward()
    for ours_part, theirs_part in zip(ours, theirs, strict=True):
        torch.testing.assert_close(ours_part.vectors.grad, theirs_part.vectors.grad, rtol=1e-12, atol=1e-12)


def test_gradcheck():
    q, d = Case(3, [2, 0, 3], [2, 0, 4, 1], 5, 0).tensors()

    def scores(x, y):
        return maxsim(TokenVectors(x, q.lengths), TokenVectors(y, d.lengths))[:, [0, 2, 3]]

    assert torch.autograd.gradcheck(scores, (q.vectors, d.vectors))


@pytest.mark.parametrize("block", [1, 7, 40])
@given(case=cases)
@settings(deadline=None, max_examples=30)
def test_the_size_of_a_block_does_not_matter(block, case):
    whole = arrays(case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "_BLOCK", block)
        np.testing.assert_allclose(arrays(case), whole, rtol=1e-5, atol=1e-5)


@given(scores=st.lists(st.integers(-3, 3), max_size=30), k=st.integers(0, 35), seed=st.integers(0, 100))
@several
def test_top_equals_a_full_sort_with_ties_by_id(scores, k, seed):
    ids = np.array([f"d{n}" for n in range(len(scores))], dtype=object)
    np.random.default_rng(seed).shuffle(ids)
    ranked = sorted(zip(ids, scores, strict=True), key=lambda hit: (-hit[1], hit[0]))
    assert top(np.array(scores, dtype=np.float32), ids, k) == ranked[:k]
