"""Training objectives: functions of scores, independent of encoders, batches and devices.

    contrastive     -log( e^S(q,d+) / ( e^S(q,d+) + sum over negatives of e^S(q,d-) ) )
    distillation    KL( teacher's softmax over the candidates || student's softmax )
    margin          mean over negatives of ( (S(q,d+) - S(q,d-)) - (T(q,d+) - T(q,d-)) )^2

S is the student's score, T the teacher's. Each loss is a mean over queries. So the loss of a batch equals the mean of
its parts' losses, weighted by their numbers of queries, and a batch can be computed in parts.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tardif.scoring import LOWEST

# Ranges of scores below this are not stretched to 0..1 in full. Copies of one text have equal scores up to rounding,
# and stretching such a range would turn rounding errors into gradients.
_NARROWEST = 1e-3


def contrastive(
    scores: Tensor, positives: Tensor, *, temperature: float = 1.0, ignored: Tensor | None = None
) -> Tensor:
    """Compute the softmax cross-entropy of each query's positive (ColBERTv2's in-batch loss).

    ``-log( e^S(q,d+) / ( e^S(q,d+) + sum over negatives of e^S(q,d-) ) )``. Every column but the positive's is a
    negative: the example's own hard negatives and the other documents of the batch.

    Args:
        scores: ``[queries, columns]``.
        positives: ``[queries]``, the column of each query's positive.
        temperature: divides the scores. The default is 1 because MaxSim, a sum over query tokens, already spreads
            widely; means of cosines need about 1/32.
        ignored: ``[queries, columns]``, true where a column is not a negative of that query, for example another
            text known to answer it. The positive itself is never ignored. None ignores nothing.

    Returns:
        The mean loss, a scalar. A query whose positive has no scoreable token counts as 0.

    >>> scores = torch.tensor([[12.0, 9.0, 8.0]])
    >>> contrastive(scores, torch.tensor([0]))
    tensor(0.0659)
    >>> contrastive(scores, torch.tensor([0]), ignored=torch.tensor([[False, True, False]]))
    tensor(0.0181)
    """
    # A positive without tokens scores the lowest float. Its row is replaced before the softmax, which would overflow.
    empty = scores.gather(1, positives.unsqueeze(1)) <= LOWEST  # [Q] -> [Q, 1]
    logits = scores.masked_fill(empty, 0.0) / temperature  # [Q, columns]
    if ignored is not None:
        own = functional.one_hot(positives, num_classes=scores.shape[1]).bool()  # [Q] -> [Q, columns]
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
    weights: Tensor | None = None,
) -> Tensor:
    """Compute the Kullback-Leibler divergence of the student's distribution over candidates from the teacher's.

    The loss of ColBERTv2 (Santhanam et al., NAACL 2022). It differs from sentence-transformers'
    ``MultiVectorDistillKLDivLoss`` in two ways: scores are normalised, and queries may have different numbers of
    candidates.

    Args:
        scores: the student's scores, ``[queries, candidates]``.
        teacher: the teacher's scores of the same candidates, ``[queries, candidates]``.
        given: ``[queries, candidates]``, false where a place is empty. None: every place has a candidate.
        temperature: divides both sides before the softmax. The loss is multiplied by its square, which keeps the
            gradient's size (Hinton et al., 2015).
        normalise: stretch each query's scores to 0..1 first, the student's and the teacher's (JaColBERTv2.5,
            Clavié 2024; PyLate stretches the student's only). The two are on different scales: a sum of cosines
            and, for example, a cross-encoder's logit.
        weights: ``[queries]``, what each query's divergence is multiplied with. None: 1.

    Returns:
        The mean over the queries, a scalar. A query with fewer than two candidates counts as 0.

    >>> student = torch.tensor([[14.0, 13.0, 12.0]])
    >>> distillation(student, torch.tensor([[5.0, 0.0, -5.0]]))  # the same order, evenly spread: nothing to learn
    tensor(0.)
    >>> distillation(student, torch.tensor([[0.0, 5.0, -5.0]])) > 0
    tensor(True)
    """
    given = torch.ones_like(scores, dtype=torch.bool) if given is None else given
    teacher = teacher.detach().to(scores.dtype)
    if normalise:
        scores, teacher = _stretched(scores, given), _stretched(teacher, given)
    lowest = torch.finfo(scores.dtype).min  # not -inf: a row without candidates would become NaN
    student_log = functional.log_softmax((scores / temperature).masked_fill(~given, lowest), dim=1)  # [Q, candidates]
    teacher_log = functional.log_softmax((teacher / temperature).masked_fill(~given, lowest), dim=1)
    terms = (teacher_log.exp() * (teacher_log - student_log)).masked_fill(~given, 0.0)
    if weights is not None:
        terms = terms * weights.unsqueeze(1)  # [Q, candidates] * [Q, 1]
    return temperature**2 * terms.sum() / len(scores)


def margin(scores: Tensor, teacher: Tensor, *, given: Tensor | None = None) -> Tensor:
    """Compute Margin-MSE: the squared difference between the student's and the teacher's margins.

    A margin is the positive's score minus a negative's (Hofstätter et al., 2020).

    Args:
        scores: the student's scores, ``[queries, 1 + negatives]``, the positive first.
        teacher: the teacher's scores of the same documents. The student learns these margins as they are, so they
            must be on a scale that MaxSim, a sum over query tokens, can reach.
        given: ``[queries, 1 + negatives]``, false where a place is empty. None: every place has a document.

    Returns:
        The mean over queries of the mean over each query's negatives, a scalar. A query without a negative counts
        as 0.

    >>> margin(torch.tensor([[10.0, 8.0]]), torch.tensor([[30.0, 25.0]]))  # (2 - 5) squared
    tensor(9.)
    """
    given = torch.ones_like(scores, dtype=torch.bool) if given is None else given
    teacher = teacher.detach().to(scores.dtype)
    difference = (scores[:, :1] - scores[:, 1:]) - (teacher[:, :1] - teacher[:, 1:])  # [Q, negatives]
    both = given[:, :1] & given[:, 1:]  # [Q, 1] & [Q, negatives] -> [Q, negatives]
    squares = difference.masked_fill(~both, 0.0).square()
    return (squares.sum(dim=1) / both.sum(dim=1).clamp(min=1)).mean()


def _stretched(scores: Tensor, given: Tensor) -> Tensor:
    """Map each row's given scores to 0 (its lowest) .. 1 (its highest)."""
    some = given.any(dim=1, keepdim=True)  # [Q, 1]
    low = scores.masked_fill(~given, torch.inf).amin(dim=1, keepdim=True).masked_fill(~some, 0.0)  # [Q, 1]
    high = scores.masked_fill(~given, -torch.inf).amax(dim=1, keepdim=True).masked_fill(~some, 1.0)
    return (scores - low) / (high - low).clamp(min=_NARROWEST)
