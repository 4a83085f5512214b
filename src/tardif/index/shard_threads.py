"""The threads that ask the shards of an index at once. In a moment, each shard is asked by one thread only.

What an index on disk reads in a moment belongs to the thread that began it. So whoever reads several shards borrows a
crew: a thread for every shard but the first, which is asked by the borrower's own thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from tardif.forks import ForkAware, register

Result = TypeVar("Result")


class Crew:
    """A thread for each shard but the first.

    >>> crew = Crew(2)
    >>> crew.run({0: lambda: "one", 1: lambda: "two"})
    {0: 'one', 1: 'two'}
    >>> crew.close()
    """

    def __init__(self, shards: int) -> None:
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix="tardif-shard") for _ in range(shards - 1)]

    def run(self, works: Mapping[int, Callable[[], Result]]) -> dict[int, Result | Exception]:
        """Do the work of each shard in its thread, all at once. Return what each returned or raised, by shard."""
        started: dict[int, Future[Result]] = {
            place: self._threads[place - 1].submit(work) for place, work in works.items() if place
        }
        found: dict[int, Result | Exception] = {}
        for place in works:
            try:
                found[place] = started[place].result() if place else works[place]()
            except Exception as error:
                found[place] = error
        return found

    def close(self) -> None:
        """End the threads, once they have done what they do."""
        for thread in self._threads:
            thread.shutdown(wait=False)


class Crews(ForkAware):
    """Crews to borrow. There are as many as there were borrowers at once."""

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._free: deque[Crew] = deque()
        register(self)

    def after_fork(self, *, in_child: bool) -> None:
        """As :meth:`tardif.forks.ForkAware.after_fork`: a child has none of its parent's threads."""
        if in_child:
            self._free = deque()

    @contextmanager
    def one(self) -> Iterator[Crew]:
        """Lend a crew."""
        free = self._free
        try:
            crew = free.pop()
        except IndexError:
            crew = Crew(self._shards)
        is_idle = False
        try:
            yield crew
            is_idle = True
        except Exception:
            is_idle = True
            raise
        finally:
            # An interrupt leaves threads at work, so the next borrower must not get them.
            if is_idle:
                free.append(crew)
            else:
                crew.close()

    def close(self) -> None:
        """End the threads of the crews that nobody has borrowed."""
        while self._free:
            self._free.pop().close()
