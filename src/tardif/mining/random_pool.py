"""Random negatives: the documents that may be drawn, how often each has been used, and those that are excluded."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

# Draws that miss before the whole pool is looked through: enough that this is rare.
_TRIES = 20


class Excluded:
    """Documents that must not be drawn: some by id, some with all copies of their text.

    A text may have as many copies as the corpus has documents, so copies are never listed.

    Args:
        copies: for every document with a text that occurs more than once, all its copies.
        texts: documents that are excluded with all their copies.
    """

    def __init__(self, copies: Mapping[str, Sequence[str]], texts: Iterable[str]) -> None:
        self._copies = copies
        self.texts = {copies.get(identity, (identity,))[0] for identity in texts}
        self._count = sum(len(copies.get(first, (first,))) for first in self.texts)
        self._ids: set[str] = set()

    def __contains__(self, identity: str) -> bool:
        return identity in self._ids or self._copies.get(identity, (identity,))[0] in self.texts

    def __len__(self) -> int:
        """The number of excluded documents, at most."""
        return self._count + len(self._ids)

    def update(self, identities: Iterable[str]) -> None:
        """Exclude further documents, without their copies."""
        self._ids.update(identities)


class RandomPool:
    """Documents to draw from at random.

    Args:
        identities: their ids.
        max_uses: how often a document may be used; None for any number of times.
        copies: for every document with a text that occurs more than once, all its copies.

    >>> sorted(RandomPool(["a", "b", "c"], None, {}).draw(random.Random(0), Excluded({}, ["b"]), 5))
    ['a', 'c']
    """

    def __init__(self, identities: Iterable[str], max_uses: int | None, copies: Mapping[str, Sequence[str]]) -> None:
        self._ids = sorted(identities)
        self._copies = copies
        # Documents that are used up leave the pool, and its order changes.
        self._sorted = self._ids if max_uses is None else [*self._ids]
        self._place = {identity: place for place, identity in enumerate(self._ids)} if max_uses else {}
        self._max = max_uses
        self._uses = Counter[str]()

    @cached_property
    def _texts(self) -> dict[str, list[str]]:
        """All documents, those of a text together. A large corpus seldom needs it."""
        texts: dict[str, list[str]] = {}
        for identity in self._sorted:
            texts.setdefault(self._copies.get(identity, (identity,))[0], []).append(identity)
        return texts

    def draw(self, draw: random.Random, excluded: Excluded, count: int) -> list[str]:
        """Draw ``count`` different documents that are not excluded, or all of these if there are fewer."""
        if count <= 0:
            return []
        found: dict[str, None] = {}
        # Single draws take no time in a large corpus, while a list of all that may be drawn takes time for each query.
        if len(self._ids) > 2 * (count + len(excluded)):
            for _ in range(_TRIES * count):
                candidate = self._ids[draw.randrange(len(self._ids))]
                if candidate not in excluded:
                    found.setdefault(candidate)
                if len(found) == count:
                    return list(found)
        rest = [
            identity
            for text, copies in self._texts.items()
            if text not in excluded.texts
            for identity in copies
            if self.is_free(identity) and identity not in excluded and identity not in found
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
        """Remove those of the documents that are used up.

        The order of the pool, and so what is drawn from it, depends on the order of these calls. They are made as
        blocks of queries are finished, in a resumed run as in an uninterrupted one.
        """
        for identity in identities:
            place = None if self.is_free(identity) else self._place.pop(identity, None)
            if place is not None:
                # The last document takes the place: no other one moves, and nothing is searched for.
                last = self._ids.pop()
                if last != identity:
                    self._ids[place] = last
                    self._place[last] = place
