"""What an index holds at one moment, and the search of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tardif.forks import ForkAware, register
from tardif.index.codes import TiledQuery
from tardif.index.pruned import search_pruned
from tardif.index.segment import Segment

NOTHING = np.iinfo(np.int64).min
"""The integer score of a document without a token vector."""

Item = TypeVar("Item")
Result = TypeVar("Result")

_NAME = "tardif-search"
# Documents scored at a time by one thread.
_CHUNK = 512


@dataclass(frozen=True, eq=False)
class View:
    """What an index holds at one moment.

    Attributes:
        change: the number of the last write that it knows.
        names: the segments' files.
        segments: opened.
        alive: for each, which of its rows may be found.
    """

    change: int
    names: tuple[str, ...]
    segments: tuple[Segment, ...]
    alive: tuple[NDArray[np.bool_], ...]

    def numbers(self) -> NDArray[np.int64]:
        """Of all documents that may be found, ascending."""
        living = [segment.numbers[alive] for segment, alive in zip(self.segments, self.alive, strict=True)]
        return np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *living]))

    def only(self, allowed: NDArray[np.int64]) -> View:
        """The view with these documents alone; their numbers, ascending."""
        alive = (
            living & ~without(segment.numbers, allowed)
            for segment, living in zip(self.segments, self.alive, strict=True)
        )
        return replace(self, alive=tuple(alive))

    def search(
        self, query: TiledQuery, k: int, *, exact: bool, recall: float, workers: Workers
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Numbers and scores of documents among which the hits are."""
        numbers: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
        scores: list[NDArray[Any]] = [np.zeros(0)]
        if not query.tokens:
            return numbers[0], scores[0]
        whole = list(range(len(self.segments)))
        pruned = [i for i in whole if self.segments[i].has_postings]
        if pruned and not exact and recall < 1:
            segments = [self.segments[i] for i in pruned]
            found = search_pruned(query, segments, [self.alive[i] for i in pruned], k, recall)
            if found is not None:
                for place, segment in enumerate(segments):
                    here = found.segments == place
                    numbers.append(segment.numbers[found.rows[here]])
                    scores.append(found.scores[here])
                whole = [i for i in whole if i not in pruned]
        for i in whole:
            segment, rows = self.segments[i], np.flatnonzero(self.alive[i])
            scored = workers.scan(segment, query, rows)
            some = scored > NOTHING
            numbers.append(segment.numbers[rows[some]])
            scores.append(scored[some] * (segment.scale * query.scale))
        return np.concatenate(numbers), np.concatenate(scores)

    def score(self, query: TiledQuery, numbers: NDArray[np.int64], empty: float) -> NDArray[np.float64]:
        """The scores of documents by their numbers; ``empty`` without a token vector."""
        scores = np.full(len(numbers), empty)
        for segment, living in zip(self.segments, self.alive, strict=True):
            at = np.searchsorted(segment.numbers, numbers)
            here = np.flatnonzero(at < len(segment))
            here = here[(segment.numbers[at[here]] == numbers[here]) & living[at[here]]]
            found = segment.scan(query, at[here])
            some = found > NOTHING
            scores[here[some]] = found[some] * (segment.scale * query.scale)
        return scores


def without(numbers: NDArray[np.int64], gone: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of ascending numbers are not among other ascending ones."""
    alive = np.ones(len(numbers), dtype=bool)
    at = np.searchsorted(numbers, gone)
    inside = at < len(numbers)
    at, gone = at[inside], gone[inside]
    alive[at[numbers[at] == gone]] = False
    return alive


class Workers(ForkAware):
    """The threads that score; started when there is something to share out."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ThreadPoolExecutor | None = None
        register(self)

    def after_fork(self, *, in_child: bool) -> None:
        """As :meth:`tardif.forks.ForkAware.after_fork`: a child has none of its parent's threads."""
        if in_child:
            self._pool = None

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """The results of work on every item, in their order."""
        inside = threading.current_thread().name.startswith(_NAME)
        if self.count == 1 or len(items) < 2 or inside:
            return [work(item) for item in items]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.count, thread_name_prefix=_NAME)
        return list(self._pool.map(work, items))

    def scan(self, segment: Segment, query: TiledQuery, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Integer scores of a segment's documents."""
        chunks = np.array_split(rows, max(1, len(rows) // _CHUNK))
        return np.concatenate(self.map(lambda chunk: segment.scan(query, chunk), chunks))
