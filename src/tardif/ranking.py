"""The order of hits, the k best of many scores, and the fusion of several rankings into one.

NumPy is imported inside the functions, because the command line reads its defaults from here.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from tardif.checks import is_number
from tardif.errors import DataError, SettingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Ids with scores, best first.
Ranking = Sequence[tuple[str, float]]

# The constant of reciprocal rank fusion, as its authors set it. Results hardly depend on it.
RRF_K = 60
# Ranks of each ranking that are fused, where the caller asks for no more.
DEPTH = 200
# BM25's share of a hybrid search (figures in benchmarks/RESULTS.md).
WORD_SHARE = 0.15
# Hits compared at a time: 32 MB.
_KEYS = 1 << 22


def best_first(hits: Iterable[tuple[str, float]], k: int | None = None) -> list[tuple[str, float]]:
    """Sort hits, (id, score), by falling score; equal scores by falling id.

    This is the one order of hits in Tardif, and trec_eval's, which the field's figures are made with. It does not
    depend on the order of the documents. Collections often list relevant documents first, so ties broken by position
    or by rising id would flatter a system.

    Args:
        hits: each id once.
        k: the number of hits to return; None for all.

    >>> best_first([("a", 1.0), ("b", 2.0), ("c", 1.0)], 2)
    [('b', 2.0), ('c', 1.0)]
    """
    ranked = sorted(hits, key=lambda hit: (hit[1], hit[0]), reverse=True)
    return ranked if k is None else ranked[: max(k, 0)]


class Ids:
    """The ids of a corpus by row, and the rows by id, in 24 bytes for each (40 where they are ordered) and its text.

    Args:
        ids: the ids, in the order of the rows; read once.

    Raises:
        DataError: an id occurs twice.

    >>> ids = Ids(["b", "a"])
    >>> ids.rows(["a"]), ids.named([1, 0]), ids.ascending[0]
    ([1], ['a', 'b'], 'a')
    """

    def __init__(self, ids: Iterable[str]) -> None:
        import numpy as np

        text, ends, hashes = bytearray(), array("q", [0]), array("q")
        for identity in ids:
            text += identity.encode()
            ends.append(len(text))
            hashes.append(hash(identity))
        self._text, self._ends = text, ends
        own = np.array(hashes, dtype=np.int64)
        self._row = np.argsort(own, kind="stable")
        self._hashes: NDArray[np.int64] = own[self._row]
        for place in np.flatnonzero(self._hashes[1:] == self._hashes[:-1]).tolist():
            if self._at(self[int(self._row[place])], int(self._hashes[place]), place + 1) is not None:
                raise DataError("Two documents of the corpus have the same id: ids must be unique.")

    def __len__(self) -> int:
        return len(self._hashes)

    def __getitem__(self, row: int) -> str:
        return self._text[self._ends[row] : self._ends[row + 1]].decode()

    @cached_property
    def _ascending(self) -> NDArray[np.int64]:
        """The rows in the ascending order of their ids."""
        import numpy as np

        listed = self.named(range(len(self)))
        return np.array(sorted(range(len(listed)), key=listed.__getitem__), dtype=np.int64)

    @property
    def ascending(self) -> Sequence[str]:
        """All ids in ascending order."""
        return self.of(self._ascending)

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """The place of each row's id among them: :class:`TopK` breaks ties by it."""
        import numpy as np

        places = np.empty(len(self), dtype=np.int64)
        places[self._ascending] = np.arange(len(self))
        return places

    def named(self, rows: Iterable[int]) -> list[str]:
        """Return the ids of rows."""
        return [self[row] for row in rows]

    def of(self, rows: NDArray[Any]) -> Sequence[str]:
        """Return the ids of rows, each made when it is asked for."""
        return _Named(self, rows)

    def rows(self, ids: Sequence[str]) -> list[int]:
        """Return the rows of documents.

        Raises:
            DataError: a document is not in the corpus.
        """
        import numpy as np

        found = []
        hashes = [hash(identity) for identity in ids]
        places = np.searchsorted(self._hashes, np.array(hashes, dtype=np.int64))
        for identity, own, place in zip(ids, hashes, places.tolist(), strict=True):
            row = self._at(identity, own, place)
            if row is None:
                raise DataError(f"The document {identity!r} is not in the corpus that is searched.")
            found.append(row)
        return found

    def row(self, identity: str) -> int | None:
        """Return the row of a document; None where there is none."""
        own = hash(identity)
        return self._at(identity, own, int(self._hashes.searchsorted(own)))

    def _at(self, identity: str, own: int, place: int) -> int | None:
        """The row of an id among the hashes that are equal to its own, from a place on."""
        while place < len(self._hashes) and self._hashes[place] == own:
            row = int(self._row[place])
            if self[row] == identity:
                return row
            place += 1
        return None


class _Named(Sequence[str]):
    """The ids of some rows."""

    def __init__(self, ids: Ids, rows: NDArray[Any]) -> None:
        self._ids, self._rows = ids, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        rows = self._rows[place]
        return self._ids.named(rows.tolist()) if isinstance(place, slice) else self._ids[int(rows)]


def fuse(rankings: Sequence[Ranking], k: int) -> list[tuple[str, float]]:
    """Fuse rankings by rank, and return the ``k`` best as (id, fused score), best first.

    Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): a document's score is the sum over the rankings
    of 1 / (60 + rank). Only ranks count, so the scales of the scores need not agree.

    >>> [identity for identity, _ in fuse([[("a", 9.0), ("b", 8.0)], [("b", 0.3), ("c", 0.2)]], 3)]
    ['b', 'a', 'c']
    """
    parts: dict[str, list[float]] = {}
    for ranking in rankings:
        for rank, (identity, _) in enumerate(ranking, start=1):
            parts.setdefault(identity, []).append(1 / (RRF_K + rank))
    # fsum: the same ranks in another order of the rankings must give the same sum, so that ties break by id.
    return best_first(((identity, math.fsum(values)) for identity, values in parts.items()), k)


def blend(found: Ranking, words: Ranking, k: int, share: float = WORD_SHARE) -> list[tuple[str, float]]:
    """Fuse a ranking by MaxSim and one by BM25 by score, and return the ``k`` best as (id, score), best first.

    A convex combination of normalised scores keeps what ranks throw away: how much better one hit is than the next
    (Bruch, Gai and Ingber, An Analysis of Fusion Functions for Hybrid Retrieval, TOIS 2023). The best score of each
    ranking becomes 1. BM25's 0 stays 0. MaxSim's score at rank 200, or the last, becomes 0, since no document scores
    near 0 there.

    A document that BM25 does not list gets 0 from it. One that MaxSim does not list gets 0, or the score of MaxSim's
    last hit if that is lower.

    Args:
        found: the ranking by MaxSim.
        words: the ranking by BM25.
        k: the number of hits to return.
        share: BM25's share of the score, from 0 to 1.

    >>> blend([("a", 20.0), ("b", 18.0), ("c", 10.0)], [("b", 6.0), ("d", 3.0)], 3, share=0.5)
    [('b', 0.9), ('a', 0.5), ('d', 0.25)]
    """
    low = found[:DEPTH][-1][1] if found else 0.0
    late = {identity: (1 - share) * _part(score - low, found[0][1] - low) for identity, score in found}
    last = min([0.0, *late.values()])
    scores = dict(late)
    for identity, score in words:
        scores[identity] = late.get(identity, last) + share * _part(score, words[0][1])
    return best_first(scores.items(), k)


def check_share(share: float) -> float:
    """Return BM25's share of a search.

    Raises:
        SettingError: it is not a number from 0 to 1.
    """
    if not is_number(share) or not 0 <= share <= 1:
        raise SettingError(f"word_share={share!r}: give BM25's share of the score, from 0 to 1.")
    return float(share)


def _part(score: float, whole: float) -> float:
    """Return a score as a part of the best one. Where all scores are equal, each is the best."""
    return score / whole if whole > 0 else 1.0


def candidates(scores: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Return the places of the ``k`` highest scores and of all that tie with the last, in ascending order.

    A partition alone cuts ties arbitrarily; the caller orders them by id.

    >>> import numpy as np
    >>> candidates(np.array([1.0, 3.0, 1.0, 0.5]), 2).tolist()
    [0, 1, 2]
    """
    import numpy as np

    k = min(k, len(scores))
    if k <= 0:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])


def top(scores: NDArray[Any], ids: Sequence[str], k: int) -> list[tuple[str, float]]:
    """Return the ``k`` best of one row of scores as (id, score), in the order of :func:`best_first`.

    Args:
        scores: ``[documents]``.
        ids: the id of each; asked for those of the best alone.
        k: the number of hits to return.

    >>> import numpy as np
    >>> top(np.array([0.5, 2.0, 1.0]), ["a", "b", "c"], 2)
    [('b', 2.0), ('c', 1.0)]
    """
    near = candidates(scores, k)
    return best_first(zip(map(ids.__getitem__, near.tolist()), scores[near].tolist(), strict=True), k)


class TopK:
    """The ``k`` best documents of each query over all blocks of a corpus added so far.

    A hit is one whole number of 64 bits: the bits of its score above, its document's place among the ids below. Such
    numbers have the order of :func:`best_first`, so the best are found by NumPy, in 8 bytes a hit. The blocks may come
    in any order, from any process: the best of all are the same.

    Attributes:
        keys: ``[queries, k]``, the best first; 0 where there is no hit.

    >>> import numpy as np
    >>> best = TopK(queries=1, k=2)
    >>> best.add(np.array([[1.0, 3.0]], dtype=np.float32), np.array([0, 1]))
    >>> best.add(np.array([[2.0]], dtype=np.float32), np.array([2]))
    >>> best.hits(["a", "b", "c"])
    [[('b', 3.0), ('c', 2.0)]]
    """

    def __init__(self, queries: int, k: int) -> None:
        import numpy as np

        self._k = max(k, 0)
        self.keys: NDArray[np.uint64] = np.zeros((queries, self._k), dtype=np.uint64)

    def add(self, scores: NDArray[np.float32], places: NDArray[Any], first: int = 0) -> None:
        """Add a block.

        Args:
            scores: ``[queries, documents]``, float32. A NaN is no hit.
            places: ``[documents]``, the place of each document's id among all ids in ascending order.
            first: the query of the first row.
        """
        if not self._k or not scores.shape[1]:
            return
        height = max(_KEYS // (self._k + scores.shape[1]), 1)
        for begin in range(0, len(scores), height):
            self.merge(_keys(scores[begin : begin + height], places), first + begin)

    def merge(self, keys: NDArray[np.uint64], first: int = 0) -> None:
        """Add the hits of other documents, ``[queries, n]``, from the query ``first`` on."""
        import numpy as np

        if not self._k or not keys.shape[1]:
            return
        kept = self.keys[first : first + len(keys)]
        # Most rows of a late block have nothing better than what is kept.
        rows = np.flatnonzero(keys.max(axis=1) > kept[:, -1])
        both = np.concatenate([kept[rows], keys[rows]], axis=1)  # [rows, k + n]
        both.partition(both.shape[1] - self._k, axis=1)
        kept[rows] = np.sort(both[:, -self._k :], axis=1)[:, ::-1]

    def counts(self) -> NDArray[np.int64]:
        """Return the number of hits of each query: ``[queries]``."""
        import numpy as np

        counts: NDArray[np.int64] = (self.keys > 0).sum(axis=1, dtype=np.int64)
        return counts

    def hits(self, ids: Sequence[str]) -> list[list[tuple[str, float]]]:
        """Return each query's hits as (id, score), best first; ``ids`` are all ids in ascending order."""
        found = []
        for row, count in zip(self.keys, self.counts(), strict=True):
            places, scores = unpacked(row[:count])
            found.append([(ids[place], score) for place, score in zip(places.tolist(), scores.tolist(), strict=True)])
        return found


def _keys(scores: NDArray[np.float32], places: NDArray[Any]) -> NDArray[np.uint64]:
    """Hits as whole numbers in the order of :func:`best_first`: ``[queries, documents]``."""
    import numpy as np

    if scores.dtype != np.float32:
        raise TypeError(f"scores of {scores.dtype}: 32 bits of a key hold float32 alone.")
    # + 0.0: the two zeros are equal, and have different bits.
    bits = (scores + np.float32(0)).view(np.uint32)
    # IEEE 754: floats are ordered as their bits are, negative ones the other way round.
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)
    keys = ordered << np.uint64(32) | places.astype(np.uint64)
    keys[np.isnan(scores)] = 0
    return keys


def unpacked(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the places and the scores of hits that :class:`TopK` keeps, of the shape of ``keys``."""
    import numpy as np

    ordered = (keys >> np.uint64(32)).astype(np.uint32)
    bits = np.where(ordered >> 31, ordered & np.uint32((1 << 31) - 1), ~ordered)
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64), bits.view(np.float32)
