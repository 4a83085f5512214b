"""MaxSim: the only home of the formula.

    S(q, d) = sum over the query's token vectors of the largest inner product with any of the
              document's token vectors                       (Khattab and Zaharia, SIGIR 2020)

Token vectors are *packed*: the rows of all texts in one matrix, with the number of rows of each.
Nothing is padded, so padding can neither cost time nor enter a maximum. Two forms of the one
formula: :func:`maxsim` on torch tensors, differentiable, for training; :func:`maxsim_arrays` on
numpy arrays, for searching.

A document without a scoreable token scores :data:`LOWEST`, never NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

LOWEST = float(np.finfo(np.float32).min)
"""The score of a document that has no token to be matched."""

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
    result: Tensor = _maxsim_function().apply(
        queries.vectors, documents.vectors, tuple(queries.lengths), tuple(documents.lengths)
    )
    return result


_FUNCTION: Any = None


def _maxsim_function() -> Any:
    """The autograd function, made on first use so that searching never imports torch."""
    global _FUNCTION  # noqa: PLW0603
    if _FUNCTION is not None:
        return _FUNCTION
    import torch

    class MaxSim(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any,
            queries: Tensor,
            documents: Tensor,
            q_lengths: tuple[int, ...],
            d_lengths: tuple[int, ...],
        ) -> Tensor:
            precise = torch.float64 if queries.dtype == torch.float64 else torch.float32
            q, d = queries.to(precise), documents.to(precise)  # [Tq, dim], [Td, dim]
            best = q.new_full((len(q), len(d_lengths)), 0.0)  # [Tq, N]
            winner = torch.zeros((len(q), len(d_lengths)), dtype=torch.int32, device=q.device)  # row of d
            start = 0
            for column, length in enumerate(d_lengths):
                if length:
                    values, rows = (q @ d[start : start + length].T).max(dim=1)  # [Tq, length] -> [Tq]
                    best[:, column] = values
                    winner[:, column] = rows + start
                start += length
            owner = torch.repeat_interleave(torch.tensor(q_lengths, device=q.device))  # [Tq] -> query
            scores = q.new_zeros((len(q_lengths), len(d_lengths))).index_add_(0, owner, best)  # [Q, N]
            empty = [column for column, length in enumerate(d_lengths) if not length]
            scores[:, empty] = LOWEST
            ctx.save_for_backward(queries, documents, winner, owner)
            ctx.d_lengths = d_lengths
            return scores

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
            queries, documents, winner, owner = ctx.saved_tensors
            grad = grads[0][owner]  # [Q, N] -> [Tq, N]
            q, d = queries.to(grad.dtype), documents.to(grad.dtype)
            dq, dd = torch.zeros_like(q), torch.zeros_like(d)
            for column, length in enumerate(ctx.d_lengths):
                if not length:
                    continue
                rows, weight = winner[:, column].long(), grad[:, column : column + 1]  # [Tq], [Tq, 1]
                dq.addcmul_(weight, d[rows])
                dd.index_add_(0, rows, weight * q)
            return dq.to(queries.dtype), dd.to(documents.dtype), None, None

    _FUNCTION = MaxSim
    return MaxSim


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


def top(scores: NDArray[Any], ids: NDArray[Any], k: int) -> list[tuple[str, float]]:
    """The ``k`` best of one row as (id, score), best first; equal scores are ordered by id."""
    k = min(k, len(scores))
    if k <= 0:
        return []
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    # All that tie with the last one are candidates: the cut must not depend on the partition's order.
    near = np.flatnonzero(scores >= least)
    ranked = sorted(zip(ids[near].tolist(), scores[near].tolist(), strict=True), key=lambda hit: (-hit[1], hit[0]))
    return ranked[:k]
