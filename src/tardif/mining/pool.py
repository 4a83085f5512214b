"""The documents that random negatives are drawn from, and how often each has been used."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

# Draws that miss before the pool is looked through as a whole: enough that this is rare.
_TRIES = 20


class Barred:
    """Documents that must not be taken: some by id, some with all copies of their text.

    A text may have as many copies as the corpus has documents: they are never listed.

    Args:
        copies: for every document whose text stands more than once, all its copies.
        texts: documents whose text is barred.
        identities: further documents that are barred themselves.
    """

    def __init__(
        self, copies: Mapping[str, Sequence[str]], texts: Iterable[str], identities: Iterable[str] = ()
    ) -> None:
        self._copies = copies
        self.texts = {copies.get(identity, (identity,))[0] for identity in texts}
        self._count = sum(len(copies.get(first, (first,))) for first in self.texts)
        self._ids = set(identities)

    def __contains__(self, identity: str) -> bool:
        return identity in self._ids or self._copies.get(identity, (identity,))[0] in self.texts

    def __len__(self) -> int:
        """How many documents are barred, at most."""
        return self._count + len(self._ids)

    def update(self, identities: Iterable[str]) -> None:
        """Bar further documents themselves."""
        self._ids.update(identities)


class Pool:
    """Documents to draw from at random.

    Args:
        identities: their ids.
        max_uses: how often a document may be used; None: any number of times.
        copies: for every document whose text stands more than once, all its copies.
    """

    def __init__(
        self, identities: Iterable[str], max_uses: int | None, copies: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._ids = sorted(identities)
        self._texts: dict[str, list[str]] = {}
        for identity in self._ids:
            self._texts.setdefault((copies or {}).get(identity, (identity,))[0], []).append(identity)
        self._place = {identity: place for place, identity in enumerate(self._ids)} if max_uses else {}
        self._max = max_uses
        self._uses = Counter[str]()

    def draw(self, draw: random.Random, barred: Barred, count: int) -> list[str]:
        """``count`` different documents that are not barred, or as many as there are."""
        if count <= 0:
            return []
        found: dict[str, None] = {}
        if len(self._ids) > 2 * (count + len(barred)):
            for _ in range(_TRIES * count):
                candidate = self._ids[draw.randrange(len(self._ids))]
                if candidate not in barred:
                    found.setdefault(candidate)
                if len(found) == count:
                    return list(found)
        rest = [
            identity
            for text, copies in self._texts.items()
            if text not in barred.texts
            for identity in copies
            if self.is_free(identity) and identity not in barred and identity not in found
        ]
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
