"""What an index holds at one moment, and the search of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.index.codes import NO_SCORE, TiledQuery
from tardif.index.pruned import search_pruned
from tardif.index.segment import Segment
from tardif.index.token_matches import to_scores
from tardif.index.workers import Workers


@dataclass(frozen=True, eq=False)
class View:
    """The contents of an index at one moment.

    Attributes:
        change: the number of the last change that it includes.
        names: the segments' files.
        segments: opened.
        alive: for each segment, which of its documents can be found.
    """

    change: int
    names: tuple[str, ...]
    segments: tuple[Segment, ...]
    alive: tuple[NDArray[np.bool_], ...]

    def numbers(self) -> NDArray[np.int64]:
        """The numbers of all documents that can be found, ascending."""
        living = [segment.numbers[alive] for segment, alive in zip(self.segments, self.alive, strict=True)]
        return np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *living]))

    def only(self, allowed: NDArray[np.int64]) -> View:
        """Return the view with these documents only; their numbers, ascending."""
        alive = (
            living & ~without(segment.numbers, allowed)
            for segment, living in zip(self.segments, self.alive, strict=True)
        )
        return replace(self, alive=tuple(alive))

    def search(
        self, query: TiledQuery, k: int, *, exact: bool, recall: float, workers: Workers
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return numbers and exact scores of documents that include the hits."""
        numbers: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
        scores: list[NDArray[Any]] = [np.zeros(0)]
        if not query.tokens:
            return numbers[0], scores[0]
        scanned = list(range(len(self.segments)))
        pruned = [i for i in scanned if self.segments[i].has_postings]
        if pruned and not exact and recall < 1:
            # All together: a fit to the scores of one large collection prunes more than a fit to each segment's.
            segments = [self.segments[i] for i in pruned]
            found = search_pruned(query, segments, [self.alive[i] for i in pruned], k, recall)
            if found is not None:
                places, rows, values = found
                for place, segment in enumerate(segments):
                    here = places == place
                    numbers.append(segment.numbers[rows[here]])
                    scores.append(values[here])
                scanned = [i for i in scanned if i not in pruned]
        for i in scanned:
            segment, rows = self.segments[i], np.flatnonzero(self.alive[i])
            scored = workers.scan(segment, query, rows)
            some = scored > NO_SCORE
            numbers.append(segment.numbers[rows[some]])
            scores.append(to_scores(scored[some], segment.scale * query.scale))
        return np.concatenate(numbers), np.concatenate(scores)

    def score(self, query: TiledQuery, numbers: NDArray[np.int64], empty: float) -> NDArray[np.float64]:
        """Return the scores of documents by their numbers; ``empty`` for one without a token vector."""
        scores = np.full(len(numbers), empty)
        for segment, living in zip(self.segments, self.alive, strict=True):
            at = np.searchsorted(segment.numbers, numbers)
            here = np.flatnonzero(at < len(segment))
            here = here[(segment.numbers[at[here]] == numbers[here]) & living[at[here]]]
            found = segment.scan(query, at[here])
            some = found > NO_SCORE
            scores[here[some]] = to_scores(found[some], segment.scale * query.scale)
        return scores

    def stored(self, number: int) -> tuple[NDArray[np.int16], float]:
        """Return a document's vectors in fixed point, int16 ``[rows, width]``, and the length that is 1.0.

        Raises:
            FolderError: they are not what was written, or are missing.
        """
        for segment, living in zip(self.segments, self.alive, strict=True):
            at = int(np.searchsorted(segment.numbers, number))
            if at < len(segment) and segment.numbers[at] == number and living[at]:
                return segment.vectors(at), segment.scale
        return np.zeros((0, 0), dtype=np.int16), 1.0


def without(numbers: NDArray[np.int64], gone: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of ``numbers`` are not among ``gone``; both ascend.

    >>> without(np.array([1, 3, 5]), np.array([3, 4])).tolist()
    [True, False, True]
    """
    alive = np.ones(len(numbers), dtype=bool)
    at = np.searchsorted(numbers, gone)
    inside = at < len(numbers)
    at, gone = at[inside], gone[inside]
    alive[at[numbers[at] == gone]] = False
    return alive
