"""Actors that do one kind of work, item by item, each with what it has opened once.

What a killed worker or node had is done again. Results come in the order of the items, and few items wait at a time.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from tardif._version import __version__
from tardif.cluster.connection import Cluster
from tardif.cluster.shipping import Shipment, received
from tardif.errors import ClusterError, TardifError
from tardif.processes.parent import error_named
from tardif.progress import Console

Item = TypeVar("Item")
Result = TypeVar("Result")

# Items that an actor has at a time: the next one is there when it has done one.
_AHEAD = 2
# Items that are done or at work and not yet handed over, for each actor: it bounds memory.
_HELD = 4
# How often an item may kill its worker.
_TRIES = 4
# Seconds between two looks at how far the actors are.
_LOOK = 1.0
# Looks without a worker after which the user is told.
_WITHOUT = 60


@dataclass(frozen=True)
class Failure:
    """An error of ours that an actor raised, on its way to the driver."""

    kind: str
    message: str

    @classmethod
    def of(cls, error: TardifError) -> Failure:
        """Return an error as it travels."""
        return cls(type(error).__name__, str(error))

    def error(self) -> TardifError:
        """Return the error again."""
        return error_named(self.kind, self.message)


class Worker:
    """What an actor is: it opens what it works with at its first item.

    Args:
        version: of Tardif in the driver.
        make: gets the folders of the shipments, and returns the function that does an item.
        shipments: folders that are opened.
    """

    def __init__(self, version: str, make: Callable[..., Callable[[Any], Any]], shipments: Sequence[Shipment]) -> None:
        self._version, self._make, self._shipments = version, make, shipments
        self._work: Callable[[Any], Any] | None = None
        self._held = ExitStack()

    def ready(self) -> None:
        """Return when the actor runs."""

    def run(self, item: Any) -> Any:
        """Do an item. An error of ours is returned as a :class:`Failure`."""
        try:
            if self._work is None:
                check_version(self._version)
                folders = [self._held.enter_context(received(shipment)) for shipment in self._shipments]
                self._work = self._make(*folders)
            return self._work(item)
        except TardifError as error:
            return Failure.of(error)


def check_version(drivers: str) -> None:
    """Raise unless this process has the driver's version of Tardif.

    Raises:
        ClusterError: it has another one.
    """
    if drivers != __version__:
        raise ClusterError(f"A node of the cluster has Tardif {__version__}, this one {drivers}: install the same.")


@dataclass(eq=False)
class _Slot:
    """An actor, and whether it has begun."""

    actor: Any
    ready: Any
    begun: bool = False
    items: int = 0


@dataclass(eq=False)
class _Task:
    """An item: its number in the order, and how often a worker died of it, or beside it."""

    number: int
    item: Any
    slot: _Slot | None = None
    died: int = 0


@dataclass
class Pool(Generic[Item, Result]):
    """Actors of a cluster that do one kind of work.

    Attributes:
        cluster: where.
        make: gets the folders of the shipments, and returns the function that does an item. It runs in the actors.
        shipments: the folders.
        console: says when workers are lost.
        most: the largest number of actors.
    """

    cluster: Cluster
    make: Callable[..., Callable[[Item], Result]]
    shipments: Sequence[Shipment] = ()
    console: Console = field(default_factory=lambda: Console(quiet=True))
    most: int | None = None
    _slots: list[_Slot] = field(default_factory=list, init=False)
    _looks: int = field(default=0, init=False)

    def __enter__(self) -> Pool[Item, Result]:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """End the actors."""
        import ray

        for slot in self._slots:
            with contextlib.suppress(Exception):  # the cluster may be gone
                ray.kill(slot.actor)
        self._slots.clear()

    def map(self, items: Iterable[Item]) -> Iterator[Result]:
        """Yield the result of each item, in the items' order.

        Raises:
            TardifError: an error of ours that the work raised; or an item kills every worker that does it.
        """
        done: dict[int, Result] = {}
        following = 0
        for number, result in self.unordered(items, lambda: len(done)):
            done[number] = result
            while following in done:
                yield done.pop(following)
                following += 1

    def unordered(self, items: Iterable[Item], held: Callable[[], int] = lambda: 0) -> Iterator[tuple[int, Result]]:
        """Yield the number and the result of each item, as they come. Errors as for :meth:`map`.

        Args:
            items: the items.
            held: how many results the caller holds back: fewer items are begun then.
        """
        self._fill()
        source = (_Task(number, item) for number, item in enumerate(items))
        todo: deque[_Task] = deque()
        running: dict[Any, _Task] = {}
        try:
            while True:
                # Read as far as there is work for: the items may be a stream.
                todo.extend(itertools.islice(source, max(len(self._slots) * _AHEAD - len(todo), 0)))
                if not todo and not running:
                    return
                self._submit(todo, running, held())
                for task, result in self._finished(running, todo):
                    yield task.number, result
        finally:
            for slot in self._slots:
                slot.items = 0

    def _fill(self) -> None:
        """Start as many actors as the cluster has room for."""
        count = min(self.cluster.actors, self.most or self.cluster.actors)
        while len(self._slots) < count:
            self._slots.append(self._started())

    def _started(self) -> _Slot:
        import ray

        options = {**self.cluster.options(), "scheduling_strategy": "SPREAD", "max_restarts": 0}
        kind: Any = ray.remote(**options)(Worker)
        actor = kind.remote(__version__, self.make, list(self.shipments))
        return _Slot(actor, actor.ready.remote())

    def _submit(self, todo: deque[_Task], running: dict[Any, _Task], held: int) -> None:
        """Give items to the actors that have few."""
        room = _HELD * len(self._slots) - held
        while todo and (len(running) < room or not running):
            free = [slot for slot in self._slots if slot.begun and slot.items < _AHEAD]
            if not free:
                return
            task = todo.popleft()
            task.slot = min(free, key=lambda slot: slot.items)
            task.slot.items += 1
            running[task.slot.actor.run.remote(task.item)] = task

    def _finished(self, running: dict[Any, _Task], todo: deque[_Task]) -> Iterator[tuple[_Task, Result]]:
        """Wait until something happens; yield what was done."""
        import ray
        from ray.exceptions import ObjectLostError, OutOfMemoryError, RayActorError, WorkerCrashedError

        starting = {slot.ready: slot for slot in self._slots if not slot.begun}
        ready, _ = ray.wait([*running, *starting], num_returns=1, timeout=_LOOK)
        if len(starting) == len(self._slots) and not ready:
            self._looks += 1
            if self._looks == _WITHOUT:
                self.console.tell("Waiting for the cluster: it has no free core (ray status shows who uses them).")
        for reference in ready:
            task = running.pop(reference, None)
            slot = starting[reference] if task is None else task.slot
            assert slot is not None
            try:
                found = ray.get(reference)
            except (RayActorError, ObjectLostError, OutOfMemoryError, WorkerCrashedError) as error:
                self._replace(slot, error)
                if task is not None:
                    todo.appendleft(_again(task, error))
                continue
            if task is None:
                slot.begun = True
                continue
            slot.items -= 1
            if isinstance(found, Failure):
                raise found.error()
            yield task, found

    def _replace(self, slot: _Slot, error: Exception) -> None:
        """Start another actor in the place of one that has died."""
        import ray

        if slot in self._slots:
            self.console.say(f"A worker of the cluster was lost ({type(error).__name__}): its work is done again.")
            self._slots[self._slots.index(slot)] = self._started()
            with contextlib.suppress(Exception):  # one that only could not be reached must not go on
                ray.kill(slot.actor)


def _again(task: _Task, error: Exception) -> _Task:
    """An item whose worker died.

    Raises:
        ClusterError: that has happened too often.
    """
    task.died += 1
    if task.died >= _TRIES:
        raise ClusterError(
            f"{_TRIES} workers of the cluster died at the same work ({type(error).__name__}): their node may lack "
            "memory. Start Ray there with fewer cores."
        )
    return task
