"""Objectives: functions of scores. They know nothing of encoders, batches on disk or devices."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrastive(
    scores: Tensor, positives: Tensor, *, temperature: float = 1.0, ignored: Tensor | None = None
) -> Tensor:
    """The softmax over MaxSim: ``-log( e^S(q,d+) / ( e^S(q,d+) + sum over negatives e^S(q,d-) ) )``.

    Every column but the positive's is a negative: the example's own hard negatives and the other
    documents of the batch.

    Args:
        scores: ``[queries, columns]``.
        positives: ``[queries]``, the column of each query's positive.
        temperature: scores are divided by it. 1: MaxSim is a sum over query tokens, wide enough as
            it is.
        ignored: ``[queries, columns]``, true where a column is no negative of that query, such as
            another text known to answer it. The positive itself is never ignored.

    Returns:
        The mean loss, a scalar.
    """
    logits = scores / temperature
    if ignored is not None:
        own = functional.one_hot(positives, num_classes=scores.shape[1]).bool()
        logits = logits.masked_fill(ignored & ~own, torch.finfo(logits.dtype).min)
    return functional.cross_entropy(logits, positives)
