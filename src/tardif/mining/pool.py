"""The documents that random negatives are drawn from, and how often each has been used."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

# Draws that miss before the pool is looked through as a whole: enough that this is rare.
_TRIES = 20


class Pool:
    """Documents to draw from at random.

    Args:
        identities: their ids.
        max_uses: how often a document may be used; None: any number of times.
    """

    def __init__(self, identities: Iterable[str], max_uses: int | None) -> None:
        self._ids = sorted(identities)
        self._place = {identity: place for place, identity in enumerate(self._ids)} if max_uses else {}
        self._max = max_uses
        self._uses = Counter[str]()

    def draw(self, draw: random.Random, banned: set[str], count: int) -> list[str]:
        """``count`` different documents outside ``banned``, or as many as there are."""
        if count <= 0:
            return []
        found: dict[str, None] = {}
        if len(self._ids) > 4 * (count + len(banned)):
            for _ in range(_TRIES * count):
                candidate = self._ids[draw.randrange(len(self._ids))]
                if candidate not in banned:
                    found.setdefault(candidate)
                if len(found) == count:
                    return list(found)
        rest = [identity for identity in self._ids if identity not in banned and identity not in found]
        return [*found, *draw.sample(rest, min(count - len(found), len(rest)))]

    def is_free(self, identity: str) -> bool:
        """Whether a document may be used once more."""
        return self._max is None or self._uses[identity] < self._max

    def use(self, identities: Iterable[str], times: int = 1) -> None:
        """Count uses; -1 takes them back."""
        if self._max is not None:
            for identity in identities:
                self._uses[identity] += times

    def retire(self, identities: Iterable[str]) -> None:
        """Draw the documents that are used up no more.

        The order of the pool, and so what is drawn from it, depends on the order of these calls: they
        are made as blocks of queries are finished, in a resumed run as in an unbroken one.
        """
        for identity in identities:
            place = None if self.is_free(identity) else self._place.pop(identity, None)
            if place is not None:
                last = self._ids.pop()
                if last != identity:
                    self._ids[place] = last
                    self._place[last] = place
