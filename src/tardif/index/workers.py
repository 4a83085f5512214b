"""The threads that score documents."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tardif.forks import ForkAware, register
from tardif.index.codes import TiledQuery
from tardif.index.segment import Segment

Item = TypeVar("Item")
Result = TypeVar("Result")

_NAME = "tardif-search"
# Documents that one thread scores at a time: some milliseconds of work, so that threads finish together.
_CHUNK = 512


class Workers(ForkAware):
    """A pool of threads, started when there is work to share. Kernels release the GIL, so threads run in parallel."""

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
        """Return the results of ``work`` on every item, in their order."""
        # A worker that waited for other workers could wait for ever: within one, the work is done in place.
        inside = threading.current_thread().name.startswith(_NAME)
        if self.count == 1 or len(items) < 2 or inside:
            return [work(item) for item in items]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.count, thread_name_prefix=_NAME)
        return list(self._pool.map(work, items))

    def scan(self, segment: Segment, query: TiledQuery, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the integer scores of a segment's documents."""
        chunks = np.array_split(rows, max(1, len(rows) // _CHUNK))
        return np.concatenate(self.map(lambda chunk: segment.scan(query, chunk), chunks))
