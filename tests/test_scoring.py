from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tardif import scoring
from tardif.ranking import top
from tardif.scoring import LOWEST, TokenVectors, maxsim, maxsim_arrays, mean_maxsim, narrow, take, xtr


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
    ranked = sorted(zip(ids, scores, strict=True), key=lambda hit: (hit[1], hit[0]), reverse=True)
    assert top(np.array(scores, dtype=np.float32), ids, k) == ranked[:k]


@given(case=cases)
@several
def test_mean_maxsim_is_maxsim_by_the_querys_tokens(case):
    scores, means = maxsim(*case.tensors()), mean_maxsim(*case.tensors())
    for i, length in enumerate(case.q_lengths):
        for j, tokens in enumerate(case.d_lengths):
            expected = scores[i, j] / max(length, 1) if tokens else torch.tensor(LOWEST).double()
            torch.testing.assert_close(means[i, j], expected)


def naive_xtr(q, q_lengths, d, d_lengths, k):
    """The definition, with loops over tokens; works on arrays and on tensors."""
    documents = split(d, d_lengths)
    rows = []
    for query in split(q, q_lengths):
        row = []
        for j, document in enumerate(documents):
            if not len(document):
                row.append(LOWEST)
                continue
            retrieved = []
            for x in query:
                least = sorted(((x @ y).item() for y in d), reverse=True)[: min(k, len(d))][-1]
                mine = [x @ y for y in documents[j] if (x @ y).item() >= least]
                retrieved += [max(mine)] if mine else []
            row.append(sum(retrieved, start=0.0) / max(len(retrieved), 1))
        rows.append(row)
    return rows


def separate(case):
    """Make no two similarities of a query token nearly equal: which of them is nearer must not be rounding."""
    sims = np.sort(case.q @ case.d.T, axis=1)
    return sims.shape[1] < 2 or (np.diff(sims, axis=1) > 1e-4).all()


@pytest.mark.parametrize("block", [1, 1 << 24])
@given(case=cases, k=st.integers(1, 12))
@several
def test_xtr_equals_the_definition_and_its_gradient(block, case, k):
    assume(separate(case))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "_BLOCK", block)
        ours, theirs = case.tensors(), case.tensors()
        scores = xtr(*ours, k)
    rows = naive_xtr(theirs[0].vectors, case.q_lengths, theirs[1].vectors, case.d_lengths, k)
    expected = torch.stack([torch.stack([torch.as_tensor(x, dtype=torch.float64) for x in row]) for row in rows])
    torch.testing.assert_close(scores, expected, rtol=1e-12, atol=1e-12)
    filled = torch.tensor([length > 0 for length in case.d_lengths])
    for found, parts in ((scores, ours), (expected, theirs)):
        ((found * found.detach().cos())[:, filled].sum() + 0 * sum(part.vectors.sum() for part in parts)).backward()
    for ours_part, theirs_part in zip(ours, theirs, strict=True):
        torch.testing.assert_close(ours_part.vectors.grad, theirs_part.vectors.grad, rtol=1e-12, atol=1e-12)


@given(case=cases)
@several
def test_fused_kernels_get_packed_texts_and_give_the_same_scores(case):
    """The kernels run on CUDA alone; here something else with their signature stands in for them."""
    calls = []

    def kernel(q, d, q_ends, d_ends, longest_query, longest_document):
        lengths = [ends.diff().tolist() for ends in (q_ends, d_ends)]
        assert (longest_query, longest_document) == tuple(map(max, lengths))
        calls.append(lengths)
        rows = naive(q, lengths[0], d, lengths[1])
        return torch.stack([torch.stack([torch.as_tensor(x, dtype=q.dtype) for x in row]) for row in rows])

    plain, fused = case.tensors(), case.tensors()
    expected, mean = maxsim(*plain), mean_maxsim(*plain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "late_interaction_kernels", SimpleNamespace(maxsim_varlen=kernel))
        patch.setattr(scoring, "fuses", lambda vectors: True)
        torch.testing.assert_close(maxsim(*fused), expected)
        torch.testing.assert_close(mean_maxsim(*fused), mean)
    tokens = sum(case.q_lengths) and sum(case.d_lengths)
    assert calls == ([[list(case.q_lengths), list(case.d_lengths)]] * 2 if tokens else [])


def test_vectors_that_fused_kernels_would_round_are_not_given_to_them():
    assert not scoring.fuses(torch.ones(1, 2, dtype=torch.bfloat16))  # not on CUDA


@given(case=cases)
@several
def test_xtr_with_all_tokens_retrieved_is_mean_maxsim(case):
    torch.testing.assert_close(xtr(*case.tensors(), 1000), mean_maxsim(*case.tensors()))


@pytest.mark.parametrize("k", [1, 3, 8, 100])
def test_xtr_equals_sentence_transformers(k):
    from sentence_transformers.multi_vector_encoder.scoring import xtr_scores

    case = Case(6, [3, 4, 1], [4, 1, 3, 5, 2, 2], 11, 0)
    q, d = case.tensors()
    queries, documents = (
        torch.nn.utils.rnn.pad_sequence(torch.split(part.vectors, part.lengths), batch_first=True) for part in (q, d)
    )
    theirs = xtr_scores(queries, documents.unflatten(0, (3, 2)), top_k=k)  # three queries of two documents
    torch.testing.assert_close(xtr(q, d, k).float(), theirs)


def test_in_xtr_a_document_given_twice_fills_two_places():
    q = TokenVectors(torch.tensor([[1.0, 0.0]]), [1])
    d = TokenVectors(torch.tensor([[0.9, 0.1], [0.5, 0.5]]), [1, 1])
    assert xtr(q, d, 2)[0].tolist() == pytest.approx([0.9, 0.5])
    assert xtr(q, TokenVectors(torch.tensor([[0.9, 0.1], [0.9 - 1e-6, 0.5]]), [1, 1]), 1)[0].min() > 0.8  # a tie
    assert xtr(q, take(d, [0, 1, 0]), 2)[0].tolist() == pytest.approx([0.9, 0.0, 0.9])


@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 0, 2, 1], []])
def test_taken_texts_keep_their_vectors_and_gradients(rows):
    d = Case(3, [1], [2, 0, 3], 0, 0).tensors()[1]
    taken, parts = take(d, rows), split(d.vectors, d.lengths)
    assert list(taken.lengths) == [d.lengths[row] for row in rows]
    torch.testing.assert_close(taken.vectors, torch.cat([d.vectors[:0], *(parts[row] for row in rows)]))
    taken.vectors.sum().backward()
    torch.testing.assert_close(d.vectors.grad[:, 0], torch.tensor([rows.count(0)] * 2 + [rows.count(2)] * 3).double())


def test_narrowed_vectors_are_unit_vectors():
    d = Case(4, [1], [2, 3], 0, 0).tensors()[1]
    narrowed = narrow(d, 2)
    torch.testing.assert_close(narrowed.vectors.norm(dim=1), torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(narrowed.vectors * d.vectors[:, :2].norm(dim=1, keepdim=True), d.vectors[:, :2])
    assert narrow(d, 4) is d
