"""Objectives: functions of scores. They know nothing of encoders, batches on disk or devices.

Each is a mean over queries, so the loss of a batch in parts is the mean of theirs, weighted by their queries.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tardif.scoring import LOWEST


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
        The mean loss, a scalar. A query whose positive has no scoreable token counts as 0.
    """
    empty = scores.gather(1, positives.unsqueeze(1)) <= LOWEST  # [Q, 1]
    logits = scores.masked_fill(empty, 0.0) / temperature
    if ignored is not None:
        own = functional.one_hot(positives, num_classes=scores.shape[1]).bool()
        logits = logits.masked_fill(ignored & ~own, torch.finfo(logits.dtype).min)
    losses = functional.cross_entropy(logits, positives, reduction="none")  # [Q]
    return losses.masked_fill(empty.squeeze(1), 0.0).mean()


def distillation(
    scores: Tensor,
    teacher: Tensor,
    *,
    given: Tensor | None = None,
    temperature: float = 1.0,
    normalise: bool = True,
) -> Tensor:
    """Kullback-Leibler divergence of the student's distribution over candidates from the teacher's
    (ColBERTv2, Santhanam et al., NAACL 2022).

    Differs from sentence-transformers' ``MultiVectorDistillKLDivLoss`` in the normalisation, and in
    that queries may have different numbers of candidates.

    Args:
        scores: the student's, ``[queries, candidates]``.
        teacher: the teacher's of the same candidates, ``[queries, candidates]``.
        given: ``[queries, candidates]``, false where a place is empty. None: all are there.
        temperature: both are divided by it before the softmax; the loss is multiplied by its square,
            which keeps the gradient's size (Hinton et al., 2015).
        normalise: stretch the scores of each query to 0..1 first, the student's and the
            teacher's (JaColBERTv2.5, Clavié 2024; PyLate stretches the student's): the two are on
            different scales, a sum of cosines and, say, a cross-encoder's logit.

    Returns:
        The mean over the queries, a scalar. A query with fewer than two candidates counts as 0.
    """
    given = torch.ones_like(scores, dtype=torch.bool) if given is None else given
    teacher = teacher.detach().to(scores.dtype)
    if normalise:
        scores, teacher = _stretch(scores, given), _stretch(teacher, given)
    lowest = torch.finfo(scores.dtype).min
    student_log = functional.log_softmax((scores / temperature).masked_fill(~given, lowest), dim=1)  # [Q, N]
    teacher_log = functional.log_softmax((teacher / temperature).masked_fill(~given, lowest), dim=1)
    terms = (teacher_log.exp() * (teacher_log - student_log)).masked_fill(~given, 0.0)
    return temperature**2 * terms.sum() / len(scores)


def margin(scores: Tensor, teacher: Tensor, *, given: Tensor | None = None) -> Tensor:
    """Margin-MSE (Hofstätter et al., 2020): the squared difference between the student's and the
    teacher's margin of the positive over a negative.

    Args:
        scores: the student's, ``[queries, 1 + negatives]``, the positive first.
        teacher: the teacher's of the same documents, on a scale that the student can reach: its
            margins are what MaxSim, a sum over query tokens, is asked to be.
        given: ``[queries, 1 + negatives]``, false where a place is empty. None: all are there.

    Returns:
        The mean over the queries, of each the mean over its negatives, a scalar. A query without a
        negative counts as 0.
    """
    given = torch.ones_like(scores, dtype=torch.bool) if given is None else given
    teacher = teacher.detach().to(scores.dtype)
    difference = (scores[:, :1] - scores[:, 1:]) - (teacher[:, :1] - teacher[:, 1:])  # [Q, negatives]
    both = given[:, :1] & given[:, 1:]
    squares = difference.masked_fill(~both, 0.0).square()
    return (squares.sum(dim=1) / both.sum(dim=1).clamp(min=1)).mean()


# The narrowest range of scores that is stretched whole: a narrower one says nothing, and copies of
# one text, whose scores are equal, must not have their rounding errors blown up to a gradient.
_NARROWEST = 1e-3


def _stretch(scores: Tensor, given: Tensor) -> Tensor:
    """Each row's given scores from 0 (its lowest) to 1 (its highest)."""
    some = given.any(dim=1, keepdim=True)  # [Q, 1]
    low = scores.masked_fill(~given, torch.inf).amin(dim=1, keepdim=True).masked_fill(~some, 0.0)
    high = scores.masked_fill(~given, -torch.inf).amax(dim=1, keepdim=True).masked_fill(~some, 1.0)
    return (scores - low) / (high - low).clamp(min=_NARROWEST)
