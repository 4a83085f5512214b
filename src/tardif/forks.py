"""Objects that must close something before ``os.fork`` and open it again after.

``fork`` copies a process's memory and only one of its threads. In the child, an SQLite connection has silently lost its
locks, a thread pool has no threads, and a lock that another thread held is never released. An object with such things
registers here. It closes them before a fork, and each process opens its own.
"""

from __future__ import annotations

import os
import weakref


class ForkAware:
    """An object with something that does not survive a fork. Subclasses override these methods."""

    def before_fork(self) -> None:
        """Close what the child must not inherit. Nothing is opened until :meth:`after_fork`."""

    def after_fork(self, *, in_child: bool) -> None:
        """Continue, in the parent or in the child."""


_REGISTERED: weakref.WeakSet[ForkAware] = weakref.WeakSet()
# Kept from before a fork to after it: a weak set could lose members in between.
_CLOSED: list[ForkAware] = []
# Whether the hooks are set: register_at_fork cannot be undone, so it is called once.
_HOOKED: list[bool] = []


def register(one: ForkAware) -> None:
    """Call an object's methods around every fork, for as long as the object lives."""
    if not _HOOKED and hasattr(os, "register_at_fork"):
        # The last that registered is called first before a fork. filelock's hook makes every other thread that takes or
        # releases a lock wait for the fork, and a fork waits for transactions that do so: they end before.
        import filelock  # noqa: F401

        os.register_at_fork(
            before=_before, after_in_parent=lambda: _after(in_child=False), after_in_child=lambda: _after(in_child=True)
        )
        _HOOKED.append(True)
    _REGISTERED.add(one)


def _before() -> None:
    _CLOSED[:] = list(_REGISTERED)
    for one in _CLOSED:
        one.before_fork()


def _after(*, in_child: bool) -> None:
    for one in _CLOSED:
        one.after_fork(in_child=in_child)
    _CLOSED.clear()
