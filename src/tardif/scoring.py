"""MaxSim, the scoring function of late interaction (Khattab and Zaharia, ColBERT, SIGIR 2020).

    S(q, d) = sum over i of max over j of <q_i, d_j>

q_i are the query's token vectors, d_j the document's. The formula has two forms: :func:`maxsim` on torch tensors,
differentiable, for training; :func:`maxsim_arrays` on NumPy arrays, for search. Two variants score in training only:
:func:`mean_maxsim` and :func:`xtr`.

Token vectors are *packed*: one matrix has the rows of all texts, and a list has the number of rows of each. Nothing is
padded, so padding neither costs time nor enters a maximum. These laws hold, and tests check them:

- The score equals the naive double loop's. Other texts in the batch do not change it.
- The order of a document's tokens does not matter, and one token more never lowers a score (float32).
- Half precision in gives float32 out.
- A document without a scoreable token scores :data:`LOWEST`, never NaN. Every other document ranks above it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

# The score of a document without tokens. Not -inf: a softmax or a margin over it must stay a number.
LOWEST = float(np.finfo(np.float32).min)
# Similarities of unit vectors that differ by less count as equal, where XTR keeps one and drops another.
_TIE = 1e-5
# Similarities held at a time: 2**24 floats are 64 MB.
_BLOCK = 1 << 24


class TokenVectors(NamedTuple):
    """The token vectors of several texts, packed.

    Attributes:
        vectors: ``[tokens of all texts, dim]``.
        lengths: the number of rows of each text; their sum is the number of all rows.
    """

    vectors: Tensor
    lengths: Sequence[int]


def maxsim(queries: TokenVectors, documents: TokenVectors) -> Tensor:
    """Compute MaxSim of every query with every document, differentiable in both.

    The backward pass needs only the index of the document token that won for each query token and document. So memory
    is O(query tokens x documents), and the token-by-token similarities are never kept. bfloat16 vectors on CUDA are
    scored by the fused kernels of late-interaction-kernels, where that is installed.

    Args:
        queries: packed query vectors.
        documents: packed document vectors, of the same width and on the same device.

    Returns:
        Scores ``[queries, documents]``; float32, or float64 for float64 vectors.

    >>> import torch
    >>> query = TokenVectors(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), [2])
    >>> documents = TokenVectors(torch.tensor([[0.6, 0.8], [0.0, 1.0], [1.0, 0.0]]), [1, 2])
    >>> maxsim(query, documents)
    tensor([[1.4000, 2.0000]])
    """
    return _lowest_where_empty(_sums(queries, documents), documents.lengths)


def mean_maxsim(queries: TokenVectors, documents: TokenVectors) -> Tensor:
    """Compute MaxSim divided by the number of query tokens, a mean cosine, in training.

    It ranks the documents of one query as MaxSim does. Across queries it makes scores comparable, which matters to a
    softmax with one temperature and to a teacher's scores. A query without tokens scores 0.

    Arguments and result are those of :func:`maxsim`.
    """
    sums = _sums(queries, documents)  # [Q, N]
    counts = sums.new_tensor(queries.lengths).clamp(min=1).unsqueeze(1)  # [Q, 1]
    return _lowest_where_empty(sums / counts, documents.lengths)


def xtr(queries: TokenVectors, documents: TokenVectors, k: int) -> Tensor:
    """Compute the training score of XTR (Lee et al., NeurIPS 2023, equation 5), differentiable in both.

    Each query token retrieves the ``k`` most similar tokens of *all* documents. A document's score is the mean of the
    best similarities retrieved from it, over the query tokens that retrieved one of its tokens. It is 0 if none did.
    So a positive must win tokens against the whole batch, as it must against a whole index.

    Tokens that tie with the k-th, within 1e-5, are retrieved too. Copies of a document then score alike even where
    rounding or another process encoded them slightly differently. A document given twice fills two places.

    Only training uses this score. Search uses MaxSim, which needs no estimate of similarities that were not retrieved.

    Args:
        queries: packed query vectors.
        documents: packed vectors of all documents that compete, of the same width and on the same device.
        k: the number of document tokens that a query token retrieves. If it is at least the number of all tokens,
            the score is :func:`mean_maxsim`.

    Returns:
        Scores ``[queries, documents]``; float32, or float64 for float64 vectors.

    >>> import torch
    >>> query = TokenVectors(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), [2])
    >>> documents = TokenVectors(torch.tensor([[0.8, 0.6], [0.6, 0.8], [0.0, 0.5]]), [2, 1])
    >>> xtr(query, documents, k=1)  # the second document wins no token of the query
    tensor([[0.8000, 0.0000]])
    """
    best, retrieved = _best_matches(queries, documents, k)  # [Tq, N], [Tq, N]
    sums = _sum_tokens(best * retrieved, queries.lengths)  # [Q, N]
    counts = _sum_tokens(retrieved.to(best.dtype), queries.lengths)
    return _lowest_where_empty(sums / counts.clamp(min=1), documents.lengths)


def take(texts: TokenVectors, rows: Sequence[int]) -> TokenVectors:
    """Return the token vectors of the texts at ``rows``, in that order; a row may occur several times."""
    import torch

    if list(rows) == list(range(len(texts.lengths))):
        return texts
    parts = torch.split(texts.vectors, list(texts.lengths))
    vectors = torch.cat([texts.vectors[:0], *(parts[row] for row in rows)])  # [tokens taken, dim]
    return TokenVectors(vectors, [texts.lengths[row] for row in rows])


def narrow(texts: TokenVectors, width: int) -> TokenVectors:
    """Return the first ``width`` dimensions of every token vector, made unit vectors again.

    Vectors that are no wider are returned as they are.
    """
    from torch.nn import functional

    if texts.vectors.shape[1] <= width:
        return texts
    return TokenVectors(functional.normalize(texts.vectors[:, :width], dim=-1), texts.lengths)


def fuses(vectors: Tensor) -> bool:
    """Return whether fused kernels score such vectors: bfloat16 on CUDA, with late-interaction-kernels installed.

    The kernels multiply in 16 bits whatever they get, so float32 vectors would lose precision. float16 would lose the
    small gradients of a large batch.
    """
    import torch

    return vectors.is_cuda and vectors.dtype == torch.bfloat16 and find_spec("late_interaction_kernels") is not None


def _sums(queries: TokenVectors, documents: TokenVectors) -> Tensor:
    """Compute the formula, with 0 for empty documents: ``[Q, N]``."""
    if fuses(queries.vectors) and len(queries.vectors) and len(documents.vectors):
        return _fused_sums(queries, documents)
    best, _ = _best_matches(queries, documents, None)  # [Tq, N]
    return _sum_tokens(best, queries.lengths)


def _fused_sums(queries: TokenVectors, documents: TokenVectors) -> Tensor:
    import torch
    from late_interaction_kernels import maxsim_varlen

    q_ends, d_ends = (
        torch.tensor([0, *itertools.accumulate(texts.lengths)], dtype=torch.int32, device=texts.vectors.device)
        for texts in (queries, documents)
    )
    longest = max(queries.lengths), max(documents.lengths)
    found: Tensor = maxsim_varlen(queries.vectors, documents.vectors, q_ends, d_ends, *longest)  # [Q, N]
    return found


def _sum_tokens(values: Tensor, lengths: Sequence[int]) -> Tensor:
    """Sum each query's rows: ``[Tq, N] -> [Q, N]``."""
    import torch

    owner = torch.repeat_interleave(torch.tensor(lengths, dtype=torch.long, device=values.device))  # [Tq] -> query
    return values.new_zeros((len(lengths), values.shape[1])).index_add_(0, owner, values)


def _lowest_where_empty(scores: Tensor, d_lengths: Sequence[int]) -> Tensor:
    empty = [not length for length in d_lengths]
    if not any(empty):
        return scores
    return scores.masked_fill(scores.new_tensor(empty).bool(), LOWEST)  # [Q, N]


def _best_matches(queries: TokenVectors, documents: TokenVectors, k: int | None) -> tuple[Tensor, Tensor]:
    """Return, per query token and document, the largest similarity (0 for an empty document), differentiable, and
    whether it is among the query token's ``k`` largest over all documents: both ``[Tq, N]``."""
    found: tuple[Tensor, Tensor] = _best_match_function().apply(
        queries.vectors, documents.vectors, tuple(documents.lengths), k
    )
    return found


_FUNCTION: Any = None


def _best_match_function() -> Any:
    """Return the autograd function. It is made on first use, because a search must not import torch."""
    global _FUNCTION  # noqa: PLW0603
    if _FUNCTION is not None:
        return _FUNCTION
    import torch

    class BestMatch(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, queries: Tensor, documents: Tensor, d_lengths: tuple[int, ...], k: int | None
        ) -> tuple[Tensor, Tensor]:
            precise = torch.float64 if queries.dtype == torch.float64 else torch.float32
            q, d = queries.to(precise), documents.to(precise)  # [Tq, dim], [Td, dim]
            best = q.new_zeros((len(q), len(d_lengths)))  # [Tq, N]
            winner = torch.zeros((len(q), len(d_lengths)), dtype=torch.int32, device=q.device)  # row of d
            retrieved = torch.ones_like(winner, dtype=torch.bool) if k is None else _retrieved(q, d, d_lengths, k)
            start = 0
            # One product per document: the similarities of all documents at once would be the largest tensor here.
            for column, length in enumerate(d_lengths):
                if length:
                    values, rows = (q @ d[start : start + length].T).max(dim=1)  # [Tq, length] -> [Tq]
                    best[:, column] = values
                    winner[:, column] = rows + start
                start += length
            ctx.save_for_backward(queries, documents, winner)
            ctx.d_lengths = d_lengths
            ctx.mark_non_differentiable(retrieved)
            return best, retrieved

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
            queries, documents, winner = ctx.saved_tensors
            grad = grads[0]  # [Tq, N]
            q, d = queries.to(grad.dtype), documents.to(grad.dtype)
            dq, dd = torch.zeros_like(q), torch.zeros_like(d)
            for column, length in enumerate(ctx.d_lengths):
                if not length:
                    continue
                # The maximum passes the gradient on to the winning token alone.
                rows, weight = winner[:, column].long(), grad[:, column : column + 1]  # [Tq], [Tq, 1]
                dq.addcmul_(weight, d[rows])  # [Tq, 1] * [Tq, dim]
                dd.index_add_(0, rows, weight * q)
            return dq.to(queries.dtype), dd.to(documents.dtype), None, None

    _FUNCTION = BestMatch
    return BestMatch


def _retrieved(q: Tensor, d: Tensor, d_lengths: Sequence[int], k: int) -> Tensor:
    """Return whether a document has one of the ``k`` tokens of all documents nearest to a query token: ``[Tq, N]``.

    It has one exactly where its own nearest token is one, so the k-th largest similarity serves as a threshold.
    Threshold and maxima come from one product, because products of different shapes may differ in their last bits.
    """
    import torch

    found = torch.zeros((len(q), len(d_lengths)), dtype=torch.bool, device=q.device)  # [Tq, N]
    if not len(d) or not len(q):
        return found
    owner = torch.repeat_interleave(torch.tensor(d_lengths, device=d.device))  # [Td] -> document
    height = max(_BLOCK // len(d), 1)  # query tokens at a time
    for first in range(0, len(q), height):
        similarities = q[first : first + height] @ d.T  # [height, Td]
        least = similarities.topk(min(k, len(d)), dim=1).values[:, -1:]  # [height, 1]
        lowest = similarities.new_full((len(similarities), len(d_lengths)), float("-inf"))
        index = owner.expand(len(similarities), -1)
        nearest = lowest.scatter_reduce_(1, index, similarities, "amax")  # [height, Td] -> [height, N]
        found[first : first + height] = nearest >= least - _TIE  # empty documents stay at -inf, below every threshold
    return found


def maxsim_arrays(
    queries: NDArray[Any],
    query_lengths: Sequence[int],
    documents: NDArray[Any],
    document_lengths: Sequence[int],
) -> NDArray[np.float32]:
    """Compute MaxSim of every query with every document on arrays, without torch.

    Args:
        queries: packed query vectors ``[query tokens, dim]``.
        query_lengths: the number of rows of each query.
        documents: packed document vectors ``[document tokens, dim]``. They may be memory-mapped and of half precision:
            one block at a time is read and scored in float32.
        document_lengths: the number of rows of each document.

    Returns:
        Scores ``[queries, documents]``, float32.

    >>> maxsim_arrays(np.eye(2), [2], np.array([[0.5, 0.75], [0.0, 1.0], [1.0, 0.0]]), [1, 2])
    array([[1.25, 2.  ]], dtype=float32)
    """
    q = np.asarray(queries, dtype=np.float32)
    d_lengths = np.asarray(document_lengths, dtype=np.int64)
    scores = np.full((len(query_lengths), len(d_lengths)), LOWEST, dtype=np.float32)
    filled = np.flatnonzero(d_lengths)  # reduceat cannot reduce an empty slice, so empty documents keep LOWEST
    stops = np.cumsum(d_lengths)
    budget = max(_BLOCK // max(len(q), 1), 1)  # document tokens per block
    first = 0
    while first < len(filled):
        begin = int(stops[filled[first]] - d_lengths[filled[first]])
        last = first + 1
        while last < len(filled) and stops[filled[last]] - begin <= budget:
            last += 1
        block = filled[first:last]
        end = int(stops[block[-1]])
        similarities = q @ np.asarray(documents[begin:end], dtype=np.float32).T  # [Tq, dim] @ [dim, block's tokens]
        starts = stops[block] - d_lengths[block] - begin
        best = np.maximum.reduceat(similarities, starts, axis=1)  # [Tq, block's tokens] -> [Tq, block's documents]
        scores[:, block] = _sum_rows(best, query_lengths)  # [Tq, block's documents] -> [Q, block's documents]
        first = last
    return scores


def _sum_rows(best: NDArray[np.float32], lengths: Sequence[int]) -> NDArray[np.float32]:
    """Sum each query's rows: ``[Tq, n] -> [Q, n]``. A query without tokens sums to 0."""
    sums = np.zeros((len(lengths), best.shape[1]), dtype=np.float32)
    counts = np.asarray(lengths, dtype=np.int64)
    some = np.flatnonzero(counts)
    if len(some):
        sums[some] = np.add.reduceat(best, (np.cumsum(counts) - counts)[some], axis=0)
    return sums
