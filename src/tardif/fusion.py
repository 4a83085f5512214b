"""Several rankings as one, by reciprocal rank fusion.

A document's score is the sum over the rankings of 1 / (60 + rank) (Cormack, Clarke and Büttcher, Reciprocal Rank
Fusion, SIGIR 2009): ranks alone count, so scales need not agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

K = 60
"""The constant of the fusion, as its authors set it; results hardly depend on it."""

DEPTH = 200
"""Ranks of each ranking that are fused, where no more are asked for."""


def fuse(rankings: Sequence[Sequence[tuple[str, float]]], k: int) -> list[tuple[str, float]]:
    """The ``k`` best of several rankings of (id, score), best first, as (id, fused score); equal scores by id."""
    parts: dict[str, list[float]] = {}
    for ranking in rankings:
        for rank, (identity, _) in enumerate(ranking, start=1):
            parts.setdefault(identity, []).append(1 / (K + rank))
    # fsum: the same ranks from other rankings must give the same sum, so that ties go by id.
    fused = [(identity, math.fsum(values)) for identity, values in parts.items()]
    return sorted(fused, key=lambda hit: (-hit[1], hit[0]))[: max(k, 0)]
