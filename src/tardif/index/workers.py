"""The threads of an index: a pool that scores documents, and one that runs a task in the background."""

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


class Background(ForkAware):
    """A thread that runs one task at a time.

    >>> done, background = [], Background("example")
    >>> background.start(lambda: done.append(1), is_needed=lambda: not done)
    >>> background.wait()
    >>> done
    [1]
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._failure: Exception | None = None
        register(self)

    def after_fork(self, *, in_child: bool) -> None:
        """As :meth:`tardif.forks.ForkAware.after_fork`: a child has none of its parent's threads."""
        if in_child:
            self._thread, self._lock = None, threading.Lock()

    def start(self, task: Callable[[], object], *, is_needed: Callable[[], object]) -> None:
        """Start a task, if none runs and it is needed. The task is not kept: it may belong to this object's owner."""
        with self._lock:
            busy = self._thread is not None and self._thread.is_alive()
            if not busy and is_needed():
                self._thread = threading.Thread(target=self._run, args=(task,), name=self._name)
                self._thread.start()

    def _run(self, task: Callable[[], object]) -> None:
        try:
            task()
        except Exception as error:
            self._failure = error

    def wait(self) -> None:
        """Wait until all started tasks have ended, and raise what the last failed one raised."""
        while True:
            with self._lock:
                running, self._thread = self._thread, None
            if running is None:
                break
            running.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
