"""Verdicts: whether one system is better than another on the same queries, and how sure that is.

Where the queries are too few, the verdict says so, and about how many it takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tardif.evaluation.paired import ASSUMED, LEVEL, Paired, differences, format_p, paired

__all__ = ["BETTER", "DECIDES", "FEW", "FEW_QUERIES", "LEAST_GAIN", "LEVEL", "SAME", "UNMEASURED", "WORSE"]
__all__ += ["Comparison", "Paired", "Values", "called", "compare_values", "format_p", "needed_queries", "paired"]

# The measure that chooses checkpoints, and that the verdict is about.
DECIDES = "nDCG@10"

BETTER, SAME, WORSE = "better", "no real difference", "worse"
FEW, UNMEASURED = "too few to tell", "not measured"

# The difference that a held-out set must be able to show: smaller ones change few first pages.
LEAST_GAIN = 0.03
# With fewer queries, all but large differences look like chance.
FEW_QUERIES = 50

# Needed for a power of 0.8 at a level of 0.05: (1.96 + 0.84) squared.
_POWER = 7.85
# Each measure of each query: measure -> query id -> value.
Values = Mapping[str, Mapping[str, float]]


def called(low: float, high: float, p: float, *, enough: bool) -> str:
    """Return the verdict on a difference: ``better`` or ``worse`` if both p-value and interval say so.

    >>> called(0.01, 0.05, 0.002, enough=True), called(-0.01, 0.02, 0.4, enough=True)
    ('better', 'no real difference')

    Args:
        low, high: its interval.
        p: its p-value, corrected if there are several differences.
        enough: whether the queries would probably have shown a difference that counts.
    """
    if p < LEVEL and low > 0:
        return BETTER
    if p < LEVEL and high < 0:
        return WORSE
    return SAME if enough else FEW


def needed_queries(ours: Mapping[str, float], theirs: Mapping[str, float], size: float, *, scale: float = 1.0) -> int:
    """Return about how many queries distinguish a difference from chance, four times in five.

    Args:
        ours, theirs: query id -> value, of the same queries.
        size: the difference, as a share of the scale.
        scale: of the measure (:func:`tardif.evaluation.measure_names.scale_of`).
    """
    if not scale:
        return 1
    return _needed(_spread(differences(ours, theirs, scale) / scale), size)


@dataclass(frozen=True)
class Comparison:
    """One system compared with another on the same queries.

    Attributes:
        against: the other system's name.
        queries: the number of queries.
        verdict: by :data:`DECIDES`: ``better``, ``no real difference``, ``worse`` or ``too few to tell``.
        needed: about how many queries show a difference of ``size``, four times in five.
        size: the difference found, if it takes more queries than these to show it; else 0.03.
        measures: the difference of each measure.
    """

    against: str
    queries: int
    verdict: str
    needed: int
    size: float
    measures: Mapping[str, Paired]

    @property
    def deciding(self) -> Paired:
        """The difference by the measure that decides."""
        return self.measures[DECIDES]

    def words(self) -> str:
        """Return the verdict in words."""
        if self.verdict == FEW:
            return (
                f"too few held-out queries to tell ({self.queries}; about {self.needed} would be needed to tell a "
                f"difference of {self.size:.2f})"
            )
        if self.verdict == SAME:
            return f"no real difference on {self.queries} held-out queries"
        return f"{self.verdict} on {self.queries} held-out queries"

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as ``results.json`` holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Comparison:
        """Read what :meth:`as_json` returned."""
        return cls(**{**read, "measures": {name: Paired(**found) for name, found in read["measures"].items()}})


def compare_values(ours: Values, theirs: Values, against: str, *, seed: int = 0) -> Comparison:
    """Compare two systems on the same queries, by every measure.

    The verdict is ``better`` or ``worse`` if both p-value and interval say so. Else it is ``no real difference`` if
    the queries would probably have shown one of 0.03, and ``too few to tell`` if not.

    >>> ours = {"nDCG@10": {f"q{n}": 0.8 for n in range(50)}}
    >>> theirs = {"nDCG@10": {f"q{n}": 0.5 for n in range(50)}}
    >>> compare_values(ours, theirs, "base").verdict
    'better'

    Raises:
        DataError: there is no query, or the queries are not the same.
    """
    found = {name: paired(ours[name], theirs[name], seed=seed) for name in ours}
    deciding, count = found[DECIDES], len(ours[DECIDES])
    spread = _spread(differences(ours[DECIDES], theirs[DECIDES]))
    least = _needed(spread, LEAST_GAIN)
    size = max(abs(deciding.difference), LEAST_GAIN)
    if _needed(spread, size) <= count:  # enough queries to show it, which they may have failed to do
        size = LEAST_GAIN
    verdict = called(deciding.low, deciding.high, deciding.p, enough=count >= least)
    return Comparison(against, count, verdict, _needed(spread, size), size, found)


def _spread(found: np.ndarray[Any, Any]) -> float:
    """The variance of the queries' differences, the two assumed ones included."""
    squares = [*((found - found.mean()) ** 2), ASSUMED**2, ASSUMED**2]
    return math.fsum(squares) / len(squares)


def _needed(spread: float, size: float) -> int:
    """About how many queries distinguish a difference of this size from chance."""
    exact = _POWER * spread / size**2
    # Rounded up to two figures: the spread of queries to come is not known better.
    grain = int(10 ** max(math.floor(math.log10(max(exact, 1))) - 1, 0))
    return math.ceil(exact / grain) * grain
