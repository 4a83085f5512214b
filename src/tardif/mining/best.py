"""The best documents of each query, gathered a block of documents at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.ordering import best_first
from tardif.scoring import top


class Best:
    """The ``k`` best of each query over all blocks added so far; equal scores by id, the highest first."""

    def __init__(self, queries: int, k: int) -> None:
        self._k = k
        self.hits: list[list[tuple[str, float]]] = [[] for _ in range(queries)]

    def add(self, scores: NDArray[Any], ids: NDArray[Any]) -> None:
        """Take in the scores ``[queries, documents]`` of the documents ``ids``."""
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
