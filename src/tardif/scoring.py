"""MaxSim: the only home of the formula.

    S(q, d) = sum over the query's token vectors of the largest inner product with any of the
              document's token vectors                       (Khattab and Zaharia, SIGIR 2020)

Token vectors are *packed*: the rows of all texts in one matrix, with the number of rows of each.
Nothing is padded, so padding can neither cost time nor enter a maximum. Two forms of the one
formula: :func:`maxsim` on torch tensors, differentiable, for training (bfloat16 vectors on CUDA by
the kernels of late-interaction-kernels, where that is installed); :func:`maxsim_arrays` on
numpy arrays, for searching. Two variants of it score in training only: :func:`mean_maxsim` and
:func:`xtr`.

A document without a scoreable token scores :data:`LOWEST`, never NaN.
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

LOWEST = float(np.finfo(np.float32).min)
"""The score of a document that has no token to be matched."""

# Similarities of unit vectors that differ by less are taken for equal, where one must be in and another out.
_TIE = 1e-5
# Similarities held at a time while scanning arrays: 2**24 floats are 64 MB.
_BLOCK = 1 << 24


class TokenVectors(NamedTuple):
    """The token vectors of several texts, packed.

    ``vectors`` is ``[tokens of all texts, dim]``; ``lengths[i]`` is how many rows text ``i`` has.
    """

    vectors: Tensor
    lengths: Sequence[int]


def maxsim(queries: TokenVectors, documents: TokenVectors) -> Tensor:
    """MaxSim of every query with every document, differentiable in both.

    Its own backward keeps, per query token and document, which document token won: memory
    O(query tokens x documents), never the token-by-token similarities.

    Args:
        queries: packed query vectors.
        documents: packed document vectors, of the same width and on the same device.

    Returns:
        Scores ``[queries, documents]``; float32, or float64 for float64 vectors.
    """
    return _lowest_where_empty(_sums(queries, documents), documents.lengths)


def mean_maxsim(queries: TokenVectors, documents: TokenVectors) -> Tensor:
    """MaxSim divided by the number of the query's tokens: a mean cosine, whatever the query's length.

    It ranks the documents of one query as MaxSim does; only across queries, as a temperature or a
    teacher sees them, are scores another thing. A query without tokens scores 0.

    Args and returns as :func:`maxsim`.
    """
    sums = _sums(queries, documents)  # [Q, N]
    counts = sums.new_tensor(queries.lengths).clamp(min=1).unsqueeze(1)  # [Q, 1]
    return _lowest_where_empty(sums / counts, documents.lengths)


def xtr(queries: TokenVectors, documents: TokenVectors, k: int) -> Tensor:
    """The training score of XTR (Lee et al., NeurIPS 2023, equation 5), differentiable in both.

    A query token retrieves the ``k`` most similar of *all* the documents' tokens; what ties with the
    last one, within 1e-5, is retrieved too, so that copies of a document score alike wherever
    rounding or another process encoded them a little differently. A document's score
    is the mean, over the query tokens that retrieved a token of it, of the best similarity
    retrieved; 0 for a document of which nothing was retrieved. A positive must thus win tokens
    against the whole batch, as it must when an index is asked for tokens.

    This is for training only, where the documents of the batch stand for the index: a document given
    twice fills two places. At inference Tardif scores with MaxSim, which for a trained model ranks
    by the same similarities without having to impute those that were not retrieved.

    Args:
        queries: packed query vectors.
        documents: packed document vectors, of the same width and on the same device: all the
            documents that compete.
        k: document tokens that a query token retrieves. From all of them on, the score is the mean
            of the largest similarities (:func:`mean_maxsim`).

    Returns:
        Scores ``[queries, documents]``; float32, or float64 for float64 vectors.
    """
    best, retrieved = _best_matches(queries, documents, k)  # [Tq, N], [Tq, N]
    sums = _sum_tokens(best * retrieved, queries.lengths)  # [Q, N]
    counts = _sum_tokens(retrieved.to(best.dtype), queries.lengths)
    return _lowest_where_empty(sums / counts.clamp(min=1), documents.lengths)


def take(texts: TokenVectors, rows: Sequence[int]) -> TokenVectors:
    """The token vectors of the texts at ``rows``, in that order; one may be taken several times."""
    import torch

    if list(rows) == list(range(len(texts.lengths))):
        return texts
    parts = torch.split(texts.vectors, list(texts.lengths))
    vectors = torch.cat([texts.vectors[:0], *(parts[row] for row in rows)])  # [tokens taken, dim]
    return TokenVectors(vectors, [texts.lengths[row] for row in rows])


def narrow(texts: TokenVectors, width: int) -> TokenVectors:
    """The first ``width`` dimensions of every token vector, made unit vectors again.

    The vectors themselves where they are no wider.
    """
    from torch.nn import functional

    if texts.vectors.shape[1] <= width:
        return texts
    return TokenVectors(functional.normalize(texts.vectors[:, :width], dim=-1), texts.lengths)


def fuses(vectors: Tensor) -> bool:
    """Whether fused kernels score such vectors: bfloat16 on CUDA, with late-interaction-kernels installed.

    They multiply in 16 bits whatever they are given, so float32 vectors are not for them; and in
    float16, gradients as small as a large batch's would be lost.
    """
    import torch

    return vectors.is_cuda and vectors.dtype == torch.bfloat16 and find_spec("late_interaction_kernels") is not None


def _sums(queries: TokenVectors, documents: TokenVectors) -> Tensor:
    """The formula, 0 for empty documents: ``[Q, N]``; by fused kernels where they fit."""
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
    """Sum each query's rows: [Tq, N] -> [Q, N]."""
    import torch

    owner = torch.repeat_interleave(torch.tensor(lengths, dtype=torch.long, device=values.device))  # [Tq] -> query
    return values.new_zeros((len(lengths), values.shape[1])).index_add_(0, owner, values)


def _lowest_where_empty(scores: Tensor, d_lengths: Sequence[int]) -> Tensor:
    empty = [not length for length in d_lengths]
    if not any(empty):
        return scores
    return scores.masked_fill(scores.new_tensor(empty).bool(), LOWEST)  # [Q, N]


def _best_matches(queries: TokenVectors, documents: TokenVectors, k: int | None) -> tuple[Tensor, Tensor]:
    """Per query token and document the largest similarity (0 for an empty document), differentiable,
    and whether it is among the query token's ``k`` largest over all documents: both ``[Tq, N]``."""
    found: tuple[Tensor, Tensor] = _best_match_function().apply(
        queries.vectors, documents.vectors, tuple(documents.lengths), k
    )
    return found


_FUNCTION: Any = None


def _best_match_function() -> Any:
    """The autograd function, made on first use so that searching never imports torch."""
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
                rows, weight = winner[:, column].long(), grad[:, column : column + 1]  # [Tq], [Tq, 1]
                dq.addcmul_(weight, d[rows])
                dd.index_add_(0, rows, weight * q)
            return dq.to(queries.dtype), dd.to(documents.dtype), None, None

    _FUNCTION = BestMatch
    return BestMatch


def _retrieved(q: Tensor, d: Tensor, d_lengths: Sequence[int], k: int) -> Tensor:
    """Whether any of a document's tokens is among the ``k`` of all that are nearest to a query token.

    A document has such a token exactly where its nearest token is one: the k-th largest similarity
    is a threshold. Threshold and maxima come of one product: two products of other shapes may differ
    in their last bits.
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
        found[first : first + height] = nearest >= least - _TIE  # an empty document stays at -inf: never
    return found


def maxsim_arrays(
    queries: NDArray[Any],
    query_lengths: Sequence[int],
    documents: NDArray[Any],
    document_lengths: Sequence[int],
) -> NDArray[np.float32]:
    """MaxSim of every query with every document, on arrays.

    Args:
        queries: packed query vectors ``[query tokens, dim]``.
        query_lengths: rows of each query.
        documents: packed document vectors ``[document tokens, dim]``; may be memory-mapped and of
            half precision: a block at a time is read and scored in float32.
        document_lengths: rows of each document.

    Returns:
        Scores ``[queries, documents]``, float32.
    """
    q = np.asarray(queries, dtype=np.float32)
    d_lengths = np.asarray(document_lengths, dtype=np.int64)
    scores = np.full((len(query_lengths), len(d_lengths)), LOWEST, dtype=np.float32)
    filled = np.flatnonzero(d_lengths)
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
        similarities = q @ np.asarray(documents[begin:end], dtype=np.float32).T  # [Tq, tokens of the block]
        starts = stops[block] - d_lengths[block] - begin
        best = np.maximum.reduceat(similarities, starts, axis=1)  # [Tq, documents of the block]
        scores[:, block] = _sum_rows(best, query_lengths)  # [Q, documents of the block]
        first = last
    return scores


def _sum_rows(best: NDArray[np.float32], lengths: Sequence[int]) -> NDArray[np.float32]:
    """Sum each query's rows: [query tokens, n] -> [queries, n]; a query without tokens sums to 0."""
    sums = np.zeros((len(lengths), best.shape[1]), dtype=np.float32)
    counts = np.asarray(lengths, dtype=np.int64)
    some = np.flatnonzero(counts)
    if len(some):
        sums[some] = np.add.reduceat(best, (np.cumsum(counts) - counts)[some], axis=0)
    return sums
