"""The one order of hits, the best of a query's documents, and several rankings as one, by their ranks or scores.

NumPy is imported where it is needed: the command line reads defaults from here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tardif.checks import is_number
from tardif.errors import DataError, SettingError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def best_first(hits: Iterable[tuple[str, float]], k: int | None = None) -> list[tuple[str, float]]:
    """Hits as (id, score) in the one order that there is, everywhere: by falling score; equal scores by id, the highest
    id first.

    That is trec_eval's order, which the field's figures are made with, and it owes nothing to the order in which
    documents came. Collections often list relevant documents first; with the lowest id first that would count for us.

    Args:
        hits: each id once.
        k: how many to give; None for all.
    """
    ranked = sorted(hits, key=lambda hit: (hit[1], hit[0]), reverse=True)
    return ranked if k is None else ranked[: max(k, 0)]


class Ids:
    """Document ids by position, and back.

    Raises:
        DataError: an id stands twice.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        import numpy as np

        listed = list(ids)
        self.array: NDArray[Any] = np.array(listed, dtype=object)
        self._row = {identity: row for row, identity in enumerate(listed)}
        if len(self._row) != len(listed):
            raise DataError("Two documents of the corpus have the same id: ids must be unique.")

    def __len__(self) -> int:
        return len(self.array)

    def rows(self, ids: Sequence[str]) -> list[int]:
        """The positions of documents.

        Raises:
            DataError: a document is not in the corpus that is searched.
        """
        try:
            return [self._row[identity] for identity in ids]
        except KeyError as error:
            raise DataError(f"The document {error.args[0]!r} is not in the corpus that is searched.") from None


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


def top(scores: NDArray[Any], ids: NDArray[Any], k: int) -> list[tuple[str, float]]:
    """The ``k`` best of one row as (id, score), in the order of :func:`tardif.ranking.best_first`."""
    import numpy as np

    k = min(k, len(scores))
    if k <= 0:
        return []
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    # All that tie with the last one are candidates: the cut must not depend on the partition's order.
    near = np.flatnonzero(scores >= least)
    return best_first(zip(ids[near].tolist(), scores[near].tolist(), strict=True), k)


class Best:
    """The ``k`` best of each query over all blocks added so far; equal scores by id, the highest first."""

    def __init__(self, queries: int, k: int) -> None:
        self._k = k
        self.hits: list[list[tuple[str, float]]] = [[] for _ in range(queries)]

    def add(self, scores: NDArray[Any], ids: NDArray[Any]) -> None:
        """Take in the scores ``[queries, documents]`` of the documents ``ids``."""
        import numpy as np

        if self._k <= 0:
            return
        for query, row in enumerate(scores):
            kept = self.hits[query]
            values, names = row, ids
            if len(kept) == self._k:
                near = np.flatnonzero(row >= kept[-1][1])
                if not len(near):
                    continue
                values, names = row[near], ids[near]
            found = [*kept, *top(values, names, self._k)]
            self.hits[query] = best_first(found, self._k)
