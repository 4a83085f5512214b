"""Whether one system is better than another on the same queries, in figures and in words that hold.

A difference of two means says nothing without what chance alone does. Every query is judged with both systems, so the
differences are paired: an interval from the bootstrap, a p-value from paired randomisation, and how many queries were
won, lost and tied. Where the queries are too few to tell, the verdict says so, and about how many would tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tardif.errors import DataError
from tardif.evaluation.measures import significance

DECIDES = "nDCG@10"
"""The measure that chooses checkpoints, and that the verdict is about."""

BETTER, SAME, WORSE = "better", "no real difference", "worse"
FEW, UNMEASURED = "too few to tell", "not measured"

LEVEL = 0.05
"""A difference counts where chance gives one as large less often than this."""

LEAST_GAIN = 0.03
"""The difference that a held-out set must be able to tell: smaller ones change few first pages."""

_DRAWS = 10_000
_BLOCK = 500
# Needed for a power of 0.8 at a level of 0.05: (1.96 + 0.84) squared.
_POWER = 7.85
# Most queries are tied, and a few change by much: among a dozen there may be none of them, which says little of their
# spread. So one query more that is won and one that is lost are assumed, each by as much as from rank 1 to rank 2.
_ASSUMED = (0.37, -0.37)

Values = Mapping[str, Mapping[str, float]]
"""Each measure of each query: measure -> query id -> value."""


def means(values: Values) -> dict[str, float]:
    """The mean of each measure over the queries, the same in any order of them."""
    return {name: math.fsum(by.values()) / len(by) if by else 0.0 for name, by in values.items()}


@dataclass(frozen=True)
class Paired:
    """The difference of one measure between two systems on the same queries.

    Attributes:
        difference: of the means; above 0 where ours is better.
        low, high: the 95 % interval of it, by the bootstrap.
        p: the two-sided p-value, by paired randomisation.
        won, lost, tied: queries with a higher, a lower, the same value.
    """

    difference: float
    low: float
    high: float
    p: float
    won: int
    lost: int
    tied: int

    def __str__(self) -> str:
        return (
            f"{self.difference:+.4f} (95 % {self.low:+.4f} to {self.high:+.4f}, p {format_p(self.p)}; "
            f"{self.won} won, {self.lost} lost, {self.tied} tied)"
        )


def format_p(p: float) -> str:
    """A p-value as a person reads it."""
    return f"{p:.4f}" if p < 0.01 else f"{p:.2f}"


def paired(ours: Mapping[str, float], theirs: Mapping[str, float], *, seed: int = 0) -> Paired:
    """Compare two systems' values of one measure on the same queries.

    The interval is the percentile bootstrap's, which is too narrow for a few dozen queries of which most are tied: of
    28 it covered the true difference in 68 of 100 cases. It is expanded as far as Student's t is wider than the normal
    distribution (Hesterberg, The American Statistician 2015), and drawn from the queries and two more, one won and one
    lost (as Agresti and Caffo do for proportions, The American Statistician 2000): then it covers it in 98. Of
    hundreds of queries neither changes anything. One query's interval is all that there can be.

    Args:
        ours, theirs: query id -> value, from 0 to 1.
        seed: of the draws.

    Raises:
        DataError: there is no query, or the queries are not the same.
    """
    if not ours or ours.keys() != theirs.keys():
        raise DataError("Two systems are compared on the same queries, one or more.")
    differences = np.array([ours[query] - theirs[query] for query in sorted(ours)])
    low, high = _interval(differences, seed)
    return Paired(
        difference=math.fsum(differences) / len(differences),
        low=low,
        high=high,
        p=significance(ours, theirs, draws=_DRAWS, seed=seed),
        won=int((differences > 0).sum()),
        lost=int((differences < 0).sum()),
        tied=int((differences == 0).sum()),
    )


def _interval(differences: np.ndarray[Any, Any], seed: int) -> tuple[float, float]:
    from scipy.stats import norm, t

    count = len(differences)
    if count < 2:
        return -1.0, 1.0
    random, assumed = np.random.default_rng(seed), np.concatenate([differences, _ASSUMED])
    size = len(assumed)
    drawn = np.concatenate(
        [assumed[random.integers(0, size, (_BLOCK, size))].mean(axis=1) for _ in range(_DRAWS // _BLOCK)]
    )
    drawn += differences.mean() - assumed.mean()
    tail = norm.cdf(math.sqrt(count / (count - 1)) * t.ppf(LEVEL / 2, count - 1))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Comparison:
    """One system beside another on the same queries.

    Attributes:
        against: the other system's name.
        queries: how many there are.
        measures: the difference of each measure.
        verdict: of :data:`DECIDES`: ``better``, ``no real difference``, ``worse`` or ``too few to tell``.
        needed: about how many queries would tell a difference of ``size``, four times in five.
        size: the difference that was found, where more queries than these would be needed to tell it; else 0.03.
    """

    against: str
    queries: int
    measures: Mapping[str, Paired]
    verdict: str
    needed: int
    size: float

    @property
    def deciding(self) -> Paired:
        """The difference that the verdict is about."""
        return self.measures[DECIDES]

    def words(self) -> str:
        """The verdict as a person says it."""
        if self.verdict == FEW:
            return (
                f"too few held-out queries to tell ({self.queries}; about {self.needed} would be needed to tell a "
                f"difference of {self.size:.2f})"
            )
        if self.verdict == SAME:
            return f"no real difference on {self.queries} held-out queries"
        return f"{self.verdict} on {self.queries} held-out queries"

    def as_json(self) -> dict[str, Any]:
        """The comparison as ``results.json`` holds it."""
        return {
            "against": self.against,
            "queries": self.queries,
            "verdict": self.verdict,
            "needed": self.needed,
            "size": self.size,
            "measures": {name: asdict(found) for name, found in self.measures.items()},
        }

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> Comparison:
        """Read what :meth:`as_json` gave."""
        return cls(**{**read, "measures": {name: Paired(**found) for name, found in read["measures"].items()}})


def compare_values(ours: Values, theirs: Values, against: str, *, seed: int = 0) -> Comparison:
    """Compare two systems on the same queries, by every measure.

    A difference is ``better`` or ``worse`` where both p-value and interval say so. Where they do not, it is ``no real
    difference`` if the queries would probably have told one of 0.03, and else ``too few to tell``.

    Raises:
        DataError: there is no query, or the queries are not the same.
    """
    found = {name: paired(ours[name], theirs[name], seed=seed) for name in ours}
    deciding, count = found[DECIDES], len(ours[DECIDES])
    spread = _spread(ours[DECIDES], theirs[DECIDES], deciding.difference)
    least = _needed(spread, LEAST_GAIN)
    size = max(abs(deciding.difference), LEAST_GAIN)
    if _needed(spread, size) <= count:  # they should have told it, and may not have
        size = LEAST_GAIN
    if deciding.p < LEVEL and deciding.low > 0:
        verdict = BETTER
    elif deciding.p < LEVEL and deciding.high < 0:
        verdict = WORSE
    else:
        verdict = FEW if count < least else SAME
    return Comparison(against, count, found, verdict, _needed(spread, size), size)


def _spread(ours: Mapping[str, float], theirs: Mapping[str, float], difference: float) -> float:
    """The variance of the queries' differences, with the two that are assumed."""
    squares = [(ours[query] - theirs[query] - difference) ** 2 for query in ours]
    squares += [value**2 for value in _ASSUMED]
    return math.fsum(squares) / len(squares)


def _needed(spread: float, size: float) -> int:
    """About how many queries tell a difference of this size from chance."""
    exact = _POWER * spread / size**2
    # To two figures: the spread of the queries to come is not known better.
    grain = int(10 ** max(math.floor(math.log10(max(exact, 1))) - 1, 0))
    return math.ceil(exact / grain) * grain
