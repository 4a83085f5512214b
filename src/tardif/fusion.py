"""Several rankings as one: by their ranks, or by their scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tardif.checks import is_number
from tardif.errors import SettingError
from tardif.ordering import best_first

Ranking = Sequence[tuple[str, float]]
"""Ids with scores, best first."""

K = 60
"""The constant of the fusion by ranks, as its authors set it; results hardly depend on it."""

DEPTH = 200
"""Ranks of each ranking that are fused, where no more are asked for."""

WORDS = 0.15
"""BM25's share of a hybrid search (benchmarks/RESULTS.md has the figures)."""


def fuse(rankings: Sequence[Ranking], k: int) -> list[tuple[str, float]]:
    """The ``k`` best of several rankings as (id, fused score), best first; equal scores by id, the highest first.

    A document's score is the sum over the rankings of 1 / (60 + rank) (reciprocal rank fusion: Cormack, Clarke and
    Büttcher, SIGIR 2009): ranks alone count, so scales need not agree, and no ranking counts more than another.
    """
    parts: dict[str, list[float]] = {}
    for ranking in rankings:
        for rank, (identity, _) in enumerate(ranking, start=1):
            parts.setdefault(identity, []).append(1 / (K + rank))
    # fsum: the same ranks from other rankings must give the same sum, so that ties go by id.
    return _best({identity: math.fsum(values) for identity, values in parts.items()}, k)


def blend(found: Ranking, words: Ranking, k: int, share: float = WORDS) -> list[tuple[str, float]]:
    """The ``k`` best of a ranking by MaxSim and one by BM25 as (id, score up to 1), best first; equal scores by id, the
    highest first.

    A convex combination of the scores, each brought to 0..1 over its first ranks, which keeps what ranks throw away: by
    how much one hit is better than the next (Bruch, Gai and Ingber, An Analysis of Fusion Functions for Hybrid
    Retrieval, TOIS 2023). BM25 is divided by the query's best score; from MaxSim the score at rank 200, or the last, is
    taken off first, since no document scores near 0 there. A document that BM25 did not list has 0 from it; one that
    MaxSim did not list has 0, or what its last one has if that is less.

    Args:
        found: by MaxSim.
        words: by BM25.
        k: how many.
        share: BM25's, from 0 to 1.
    """
    low = found[:DEPTH][-1][1] if found else 0.0
    late = {identity: (1 - share) * _part(score - low, found[0][1] - low) for identity, score in found}
    last = min([0.0, *late.values()])
    scores = dict(late)
    for identity, score in words:
        scores[identity] = late.get(identity, last) + share * _part(score, words[0][1])
    return _best(scores, k)


def check_share(share: float) -> float:
    """Give back BM25's share of a search.

    Raises:
        SettingError: it is no number from 0 to 1.
    """
    if not is_number(share) or not 0 <= share <= 1:
        raise SettingError(f"word_share={share!r}: give BM25's share of the score, from 0 to 1.")
    return float(share)


def _part(score: float, whole: float) -> float:
    """A score as a share of the best; where all are equal, all are the best."""
    return score / whole if whole > 0 else 1.0


def _best(scores: dict[str, float], k: int) -> list[tuple[str, float]]:
    return best_first(scores.items(), k)
