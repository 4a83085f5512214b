"""Admission: how much may be under way at once. What is too much is refused at once, with the time to ask again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tardif.errors import BusyError
from tardif.serving.limits import ServiceLimits


class Admission:
    """Counts what is under way, and refuses what would be too much.

    Requests that change an index or encode documents take long. They have a count of their own, so that they cannot
    take the place of searches.

    Args:
        limits: how much may be under way.

    >>> admission = Admission(ServiceLimits(requests=1))
    >>> with admission.request():
    ...     with admission.request():
    ...         pass
    Traceback (most recent call last):
    tardif.errors.BusyError: 1 requests are being answered: ask again in 1 s.
    """

    def __init__(self, limits: ServiceLimits) -> None:
        self._limits = limits
        self.requests = 0
        self.documents = 0

    @contextmanager
    def request(self) -> Iterator[None]:
        """Take the place of a request that searches or reads.

        Raises:
            BusyError: there is none.
        """
        if self.requests >= self._limits.requests:
            raise BusyError(f"{self.requests} requests are being answered: ask again in 1 s.", 1)
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @contextmanager
    def of_documents(self, count: int) -> Iterator[None]:
        """Take the place of a request that encodes, writes or deletes documents.

        Raises:
            BusyError: too many documents wait. One request is always taken where none wait.
        """
        count = max(count, 1)
        if self.documents and self.documents + count > self._limits.waiting_documents:
            raise BusyError(f"{self.documents} documents wait to be encoded or written: ask again in 5 s.", 5)
        self.documents += count
        try:
            yield
        finally:
            self.documents -= count
