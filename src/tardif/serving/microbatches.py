"""Micro-batches: what waits at the same time is done together, in a thread of its own.

A lone request is begun at once. While a batch is under way, others arrive, and the next batch takes those of them that
can be done together. So batches grow with the load, and nothing waits for company. A batch ends soon, because whoever
comes meanwhile waits for all of it, and it is worked for callers that may have gone since.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tardif.devices import core_count
from tardif.errors import BusyError, ServiceError

Asked = TypeVar("Asked")
Found = TypeVar("Found")
# The share of the newest batch in the pace from which a refused client learns when to ask again.
_NEWEST = 0.2
# Seconds: a client is never told to stay away longer.
_LONGEST = 60
# Items that may wait however slow the machine is; further ones only while all can be done within so many seconds. So
# a queue that an overload has filled is soon worked off.
_ALWAYS, _PATIENCE = 64, 1.0
# Seconds that a batch should take, at the pace of late.
_BATCH_SECONDS = 0.25


@dataclass(eq=False)
class _Request(Generic[Asked, Found]):
    """Items that were asked for together, and their answer to come."""

    key: Hashable
    items: Sequence[Asked]
    answer: Future[list[Found]] = field(default_factory=Future)


class MicroBatches(Generic[Asked, Found]):
    """A queue of requests, and the thread that works on it.

    Args:
        work: does a batch: the key that its requests share, and their items; gives an answer for each item.
        together: items of a batch, at most; fewer if they would take longer than a quarter of a second, at the pace of
            late. A request with more is a batch of its own.
        parallel: items that are done side by side, so a batch has room for as many; by default the number of cores.
        waiting: items that may wait. From 64 on, they must also be few enough to be done in a second, at the pace of
            late.

    >>> async def ask_twice():
    ...     doubled = MicroBatches(lambda key, items: [2 * item for item in items])
    ...     both = await asyncio.gather(doubled.ask("", [1, 2]), doubled.ask("", [3]))
    ...     await doubled.close()
    ...     return both
    >>> asyncio.run(ask_twice())
    [[2, 4], [6]]
    """

    def __init__(
        self,
        work: Callable[[Hashable, list[Asked]], Sequence[Found]],
        *,
        together: int = 32,
        waiting: int = 512,
        parallel: int | None = None,
    ) -> None:
        self._work, self._together, self._most = work, together, waiting
        self._parallel = core_count() if parallel is None else parallel
        self._queue: deque[_Request[Asked, Found]] = deque()
        self._changed = threading.Condition()
        self._waiting, self._pace, self._closed = 0, 0.0, False
        self._thread = threading.Thread(target=self._run, name="tardif-microbatches", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return self._waiting

    async def ask(self, key: Hashable, items: Sequence[Asked]) -> list[Found]:
        """Return the answers for some items. Requests with equal keys may be done together.

        Raises:
            BusyError: too many items wait already.
            ServiceError: it was closed.
        """
        return await asyncio.wrap_future(self._put(_Request(key, list(items))).answer)

    def _put(self, request: _Request[Asked, Found]) -> _Request[Asked, Found]:
        count = len(request.items)
        with self._changed:
            if self._closed:
                raise ServiceError("The service is stopping: ask again when it has started.", 503)
            if self._waiting + count > min(self._most, _ALWAYS):
                self._forget_gone()
            wait = self._waiting * self._pace
            is_long = self._waiting >= _ALWAYS and wait > _PATIENCE
            # A request that is larger than the queue is taken when nothing waits: else it never would be.
            if self._waiting and (is_long or self._waiting + count > self._most):
                seconds = min(max(1, math.ceil(wait)), _LONGEST)
                raise BusyError(f"{self._waiting} queries wait already: ask again in {seconds} s.", seconds)
            self._queue.append(request)
            self._waiting += count
            self._changed.notify()
        return request

    def _forget_gone(self) -> None:
        """Take out requests whose callers have gone: nobody is refused because of them. The caller holds the lock."""
        self._queue = deque(request for request in self._queue if not request.answer.cancelled())
        self._waiting = sum(len(request.items) for request in self._queue)

    async def close(self) -> None:
        """Do what was asked, take nothing more, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while batch := self._next():
            # A caller that has gone is not answered.
            batch = [request for request in batch if request.answer.set_running_or_notify_cancel()]
            if batch:
                started = time.perf_counter()
                self._do(batch)
                self._measure(sum(len(request.items) for request in batch), time.perf_counter() - started)

    def _next(self) -> list[_Request[Asked, Found]]:
        """Wait for requests; take the oldest one and those that can be done with it. Empty after the last one."""
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            if not self._queue:
                return []
            most = self._together
            if self._pace:
                most = min(most, max(self._parallel, int(_BATCH_SECONDS / self._pace)))
            batch, left = [self._queue.popleft()], deque[_Request[Asked, Found]]()
            count = len(batch[0].items)
            for request in self._queue:
                if request.key == batch[0].key and count + len(request.items) <= most:
                    batch.append(request)
                    count += len(request.items)
                else:
                    left.append(request)
            self._queue = left
            self._waiting -= count
            return batch

    def _do(self, batch: list[_Request[Asked, Found]]) -> None:
        """Work on a batch and answer its requests."""
        try:
            found = self._work(batch[0].key, [item for request in batch for item in request.items])
        except BaseException as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            # One request must not fail the others that happened to wait with it.
            for request in batch:
                self._do([request])
            return
        begin = 0
        for request in batch:
            request.answer.set_result(list(found[begin : begin + len(request.items)]))
            begin += len(request.items)

    def _measure(self, count: int, seconds: float) -> None:
        """Keep the pace of late, in seconds for an item."""
        pace = seconds / max(count, 1)
        self._pace = pace if not self._pace else self._pace + _NEWEST * (pace - self._pace)
