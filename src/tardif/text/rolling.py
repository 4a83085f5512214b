"""Rolling hashes: the hash of every run of words in a sequence, of any length, in one pass (Karp and Rabin 1987)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int32]
Places = NDArray[np.int64]
Hashes = NDArray[np.uint64]

# Odd, so that it has an inverse modulo 2**64. Its powers make a run's hash independent of the run's place.
_FACTOR = 0x9E3779B97F4A7C15
_INVERSE = pow(_FACTOR, -1, 1 << 64)


class Rolling:
    """The hashes of the runs of a sequence of words.

    Two different runs share a hash with a probability of 1 in 2**64. Compare the words where that matters.

    Args:
        numbers: the number of each word; equal words have equal numbers.

    >>> rolling = Rolling(np.array([1, 2, 3, 1, 2], dtype=np.int32))
    >>> bool(rolling.runs(2)[0] == rolling.runs(2)[3])
    True
    """

    def __init__(self, numbers: Numbers) -> None:
        count = len(numbers)
        self._inverse = _powers(_INVERSE, count + 1)
        self._sums = np.zeros(count + 1, dtype=np.uint64)
        np.cumsum(_scattered(numbers) * _powers(_FACTOR, count), out=self._sums[1:])

    def runs(self, size: int) -> Hashes:
        """Return the hash of every run of ``size`` words, by its first word. The bits are mixed, for use in tables."""
        count = max(len(self._sums) - size, 0)
        sums = self._sums[size:] - self._sums[:count] if count else self._sums[:0]
        found = sums * self._inverse[:count]
        return (found ^ (found >> np.uint64(29))) * np.uint64(_FACTOR)

    def between(self, starts: Places, ends: Places) -> Hashes:
        """Return the hash of the run from each start up to its end."""
        found: Hashes = (self._sums[ends] - self._sums[starts]) * self._inverse[starts]
        return found


def _powers(base: int, count: int) -> Hashes:
    steps = np.full(count, base, dtype=np.uint64)
    steps[:1] = 1
    return np.cumprod(steps, dtype=np.uint64)


def _scattered(numbers: Numbers) -> Hashes:
    """Mix the numbers of words into pseudo-random ones (splitmix64), so that sums of them are distinct."""
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(_FACTOR)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
