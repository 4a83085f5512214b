"""A run in arrays: some 12 bytes a hit, where dicts take ten times as much. It is read as any run."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.data.excluded_negatives import Own
from tardif.display import brief_repr
from tardif.ranking import Ranking, TopK, unpacked
from tardif.types import Run


@dataclass(frozen=True, eq=False, repr=False)
class PackedRun(Mapping[str, Mapping[str, float]]):
    """A run: query id -> document id -> score, each query's hits best first.

    A query's hits become a dict when they are asked for, and are not kept. So whoever reads the run query by query
    holds one query's hits.

    Attributes:
        queries: their ids.
        ids: ids of documents.
        starts: ``[queries + 1]``, the place of each query's first hit, and the number of all hits.
        places: ``[hits]``, the place of each hit's document in ``ids``.
        scores: ``[hits]``.
        left_out: by query, documents that are no hits.
        depth: the hits of a query beyond it are left out; None keeps all.

    >>> best = TopK(queries=1, k=5)
    >>> best.add(np.array([[1.0, 3.0]], dtype=np.float32), np.array([0, 1]))
    >>> PackedRun.of(["q"], best, ["a", "b"])["q"]
    {'b': 3.0, 'a': 1.0}
    """

    queries: Sequence[str]
    ids: Sequence[str]
    starts: NDArray[np.int64]
    places: NDArray[np.int32]
    scores: NDArray[Any]
    left_out: Own | None = None
    depth: int | None = None

    @classmethod
    def of(cls, queries: Sequence[str], best: TopK, ids: Sequence[str]) -> PackedRun:
        """Return the run of the best hits; ``ids`` are all ids in ascending order."""
        starts = np.concatenate([[0], np.cumsum(best.counts())])
        # Row by row, best first: [queries, k] -> [hits].
        places, scores = unpacked(best.keys[best.keys > 0])
        return cls(list(queries), ids, starts, places.astype(np.int32), scores)

    def without(self, left_out: Own, depth: int) -> PackedRun:
        """Return the run without some hits of each query, cut at a depth (:func:`tardif.data.judged.without_own`)."""
        return replace(self, left_out=left_out, depth=depth)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {query: row for row, query in enumerate(self.queries)}

    def __getitem__(self, query: str) -> dict[str, float]:
        row = self._rows[query]
        own = slice(self.starts[row], self.starts[row + 1])
        hits = zip(self.places[own].tolist(), self.scores[own].tolist(), strict=True)
        left_out = (self.left_out or {}).get(query, ())
        named = ((self.ids[place], score) for place, score in hits)
        return dict([hit for hit in named if hit[0] not in left_out][: self.depth])

    def __iter__(self) -> Iterator[str]:
        return iter(self.queries)

    def __len__(self) -> int:
        return len(self.queries)

    def __repr__(self) -> str:
        return brief_repr(self, f"{len(self)} queries", f"{len(self.places)} hits")


class RunBuilder:
    """Packs a run, a few queries at a time.

    >>> builder = RunBuilder()
    >>> builder.add([[("b", 2.0), ("a", 1.0)], []])
    >>> builder.run(["q1", "q2"]) == {"q1": {"b": 2.0, "a": 1.0}, "q2": {}}
    True
    """

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._starts, self._places, self._scores = array("q", [0]), array("i"), array("d")

    def add(self, rankings: Sequence[Ranking]) -> None:
        """Add the rankings of the next queries."""
        for ranking in rankings:
            for identity, score in ranking:
                self._places.append(self._ids.setdefault(identity, len(self._ids)))
                self._scores.append(score)
            self._starts.append(len(self._places))

    def run(self, queries: Sequence[str]) -> PackedRun:
        """Return the run of all queries added, which have these ids."""
        parts = (np.array(self._starts, np.int64), np.array(self._places, np.int32), np.array(self._scores, np.float64))
        return PackedRun(list(queries), list(self._ids), *parts)


def packed(run: Run) -> PackedRun:
    """Return a run in arrays; each query's hits must be ordered, best first."""
    builder = RunBuilder()
    builder.add([list(hits.items()) for hits in run.values()])
    return builder.run(list(run))
