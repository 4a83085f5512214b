"""One task at a time in a background thread; its failure is raised to the caller who waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tardif.forks import ForkAware, register


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
