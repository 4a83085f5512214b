"""Hashes of all runs of a sequence of words, whatever their length, in one pass (Karp and Rabin 1987)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int32]
Places = NDArray[np.int64]
Hashes = NDArray[np.uint64]

# Odd, so that it has an inverse modulo 2**64: then a run's hash does not depend on where it stands.
_FACTOR = 0x9E3779B97F4A7C15
_INVERSE = pow(_FACTOR, -1, 1 << 64)


class Rolling:
    """Hashes of the runs of a sequence.

    Two runs of different words may share a hash, once in 2**64: compare the words where that matters.

    Args:
        numbers: one for each word; the same word, the same number.
    """

    def __init__(self, numbers: Numbers) -> None:
        count = len(numbers)
        self._inverse = _powers(_INVERSE, count + 1)
        self._sums = np.zeros(count + 1, dtype=np.uint64)
        np.cumsum(_scattered(numbers) * _powers(_FACTOR, count), out=self._sums[1:])

    def runs(self, size: int) -> Hashes:
        """The hash of every run of ``size`` words, by its first; its bits are as if drawn at random."""
        count = max(len(self._sums) - size, 0)
        sums = self._sums[size:] - self._sums[:count] if count else self._sums[:0]
        found = sums * self._inverse[:count]
        return (found ^ (found >> np.uint64(29))) * np.uint64(_FACTOR)

    def between(self, starts: Places, ends: Places) -> Hashes:
        """The hash of the run from each start up to its end."""
        found: Hashes = (self._sums[ends] - self._sums[starts]) * self._inverse[starts]
        return found


def _powers(base: int, count: int) -> Hashes:
    steps = np.full(count, base, dtype=np.uint64)
    steps[:1] = 1
    return np.cumprod(steps, dtype=np.uint64)


def _scattered(numbers: Numbers) -> Hashes:
    """Numbers of words as if drawn at random (splitmix64)."""
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(_FACTOR)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
