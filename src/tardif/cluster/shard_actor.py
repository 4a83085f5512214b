"""The actor that holds a shard: an index on disk, opened where it is or as a copy, and asked by its methods' names.

What an index reads in a moment belongs to a thread. So a moment has a thread of its own here, and the calls within it
are done there.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, TypeAlias

from tardif.cluster.pool import Failure, check_version
from tardif.cluster.shipping import Shipment, received
from tardif.errors import FolderError, TardifError
from tardif.index.disk import DiskIndex

# A state of an index: its identity, and the number of its last change.
State: TypeAlias = tuple[str, int]


@dataclass(frozen=True)
class Call:
    """A call of a method, or of a property where there are no arguments to give.

    Attributes:
        name: of the method.
        given: its positional arguments; None for a property.
        named: its other arguments.
        moment: the number of the moment that it belongs to.
    """

    name: str
    given: Sequence[Any] | None
    named: Mapping[str, Any]
    moment: int | None = None


class ShardActor:
    """Answers calls of an index.

    Args:
        version: of Tardif in the driver.
        shipment: the index's folder.
        threads: for scoring one call.
    """

    def __init__(self, version: str, shipment: Shipment, threads: int) -> None:
        self._version, self._shipment, self._threads = version, shipment, threads
        self._held, self._lock = ExitStack(), threading.Lock()
        self._index: DiskIndex | None = None
        self._numbers = itertools.count(1)
        self._moments: dict[int, tuple[ThreadPoolExecutor, AbstractContextManager[None]]] = {}

    def open(self) -> bool | Failure:
        """Open the index. Return whether it is the folder itself, and no copy."""
        try:
            check_version(self._version)
            self._opened()
        except TardifError as error:
            return Failure.of(error)
        return self._shipment.is_here

    def _opened(self) -> DiskIndex:
        with self._lock:
            if self._index is None:
                folder = self._held.enter_context(received(self._shipment))
                self._index = self._held.enter_context(DiskIndex(folder, threads=self._threads))
            return self._index

    def call(self, call: Call) -> Any:
        """Answer a call. An error of ours is returned as a :class:`Failure`."""
        try:
            if call.moment is None:
                return self._answer(call)
            if call.moment not in self._moments:
                raise FolderError(f"The moment of {self._shipment.folder} has ended: search again.")
            return self._moments[call.moment][0].submit(self._answer, call).result()
        except TardifError as error:
            return Failure.of(error)

    def _answer(self, call: Call) -> Any:
        index = self._opened()
        if call.given is None:
            return len(index) if call.name == "__len__" else getattr(index, call.name)
        return getattr(index, call.name)(*call.given, **call.named)

    def begin(self) -> tuple[int, State] | Failure:
        """Begin a moment. Return its number, and the state that is read in it."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="tardif-moment")

        def begun() -> tuple[AbstractContextManager[None], State]:
            index = self._opened()
            moment = index.moment()
            moment.__enter__()
            return moment, (index.identity, index.change)

        try:
            moment, state = thread.submit(begun).result()
        except TardifError as error:
            thread.shutdown(wait=False)
            return Failure.of(error)
        number = next(self._numbers)
        self._moments[number] = thread, moment
        return number, state

    def end(self, number: int) -> None:
        """End a moment."""
        thread, moment = self._moments.pop(number)
        thread.submit(moment.__exit__, None, None, None).result()
        thread.shutdown(wait=False)
