"""What a forked child must not inherit: database connections, threads, and locks that another thread held.

``fork`` copies the memory of a process and one of its threads. A connection to SQLite that is carried across loses its
locks without knowing it, a pool of threads has none any more, and a lock that another thread held is never released.
Whoever has such things registers here: it puts them down before a fork, and both processes take new ones.
"""

from __future__ import annotations

import os
import weakref


class ForkAware:
    """What has something that does not survive a fork; a subclass says what."""

    def before_fork(self) -> None:
        """Put down what must not be carried across; nothing is taken up until the other is called."""

    def after_fork(self, *, in_child: bool) -> None:
        """Go on, in the parent or in the child."""


_LIVING: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_PUT_DOWN: list[ForkAware] = []
_HOOKED: list[bool] = []


def register(one: ForkAware) -> None:
    """Have an object told of forks for as long as it lives."""
    if not _HOOKED and hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_before, after_in_parent=lambda: _after(in_child=False), after_in_child=lambda: _after(in_child=True)
        )
        _HOOKED.append(True)
    _LIVING.add(one)


def _before() -> None:
    _PUT_DOWN[:] = list(_LIVING)
    for one in _PUT_DOWN:
        one.before_fork()


def _after(*, in_child: bool) -> None:
    for one in _PUT_DOWN:
        one.after_fork(in_child=in_child)
    _PUT_DOWN.clear()
