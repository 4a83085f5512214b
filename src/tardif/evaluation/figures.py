"""The figures of a comparison: each system on each data set, the pairs of systems, and ``results.json``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tardif.display import Short
from tardif.errors import DataError
from tardif.evaluation.measure_names import is_count, scale_of
from tardif.evaluation.paired import holm, paired, significance
from tardif.evaluation.verdict import (
    BETTER,
    FEW,
    FEW_QUERIES,
    LEAST_GAIN,
    SAME,
    UNMEASURED,
    WORSE,
    called,
    needed_queries,
)

__all__ = ["Figures", "Pair", "holm", "means_over_data", "p_words", "pairs", "results", "signed"]


@dataclass(frozen=True, repr=False)
class Figures(Short):
    """The measures of one system on one data set.

    Attributes:
        name: the system, as the user wrote it.
        data: the data set.
        measures: measure -> mean over the judged queries.
        values: measure -> query id -> value.
        p: measure -> two-sided p-value of the difference to the system compared against.
        untrained: of a base, which of its two untrained systems this is: the stronger one.
    """

    name: str
    data: str
    measures: Mapping[str, float]
    values: Mapping[str, Mapping[str, float]] = field(repr=False, default_factory=dict)
    p: Mapping[str, float] = field(default_factory=dict)
    untrained: str = ""

    def against(self, other: Figures) -> Figures:
        """Return these figures with the p-values of their differences to another system's."""
        p = {measure: significance(self.values[measure], other.values[measure]) for measure in self.values}
        return replace(self, p=p)

    def as_json(self) -> dict[str, Any]:
        """Return the figures as the command contract prints them."""
        found: dict[str, Any] = {"name": self.name, "data": self.data, "measures": dict(self.measures)}
        found |= {"untrained": self.untrained} if self.untrained else {}
        return {**found, "p": dict(self.p)} if self.p else found


@dataclass(frozen=True, repr=False)
class Pair(Short):
    """Two systems on one data set by one measure: how much better the first is, and whether that may be chance.

    Attributes:
        difference: of the means (of the sums, for a measure that counts); above 0 where ``system`` is better.
        p: the two-sided p-value, by paired randomisation over the queries.
        p_holm: the same, corrected for all pairs compared on this data set by this measure (Holm, 1979).
        low, high: the difference's 95 % interval, by the bootstrap. It is of this pair alone.
        won, lost, tied: queries on which ``system`` has a higher, a lower, the same value.
        verdict: ``better`` or ``worse`` if both ``p_holm`` and the interval say so; else ``no real difference``, or
            with fewer than 50 queries that would hide a difference of ``size``, ``too few to tell``.
        needed: about how many queries show a difference of ``size``, four times in five.
        size: 0.03, or for a measure that is not best at 1 this share of its largest value.
        compared: the number of pairs that ``p_holm`` is corrected for.
    """

    system: str
    other: str
    data: str
    measure: str
    difference: float
    p: float
    p_holm: float
    low: float
    high: float
    won: int
    lost: int
    tied: int
    verdict: str
    needed: int
    size: float
    compared: int

    @property
    def queries(self) -> int:
        """The number of queries."""
        return self.won + self.lost + self.tied

    def words(self) -> str:
        """Return the comparison as one line in plain words.

        >>> values = {f"q{n}": n / 60 for n in range(60)}
        >>> ours = Figures("a", "faq", {"RR": 0.52}, {"RR": {q: value + 0.03 for q, value in values.items()}})
        >>> pairs([ours, Figures("b", "faq", {"RR": 0.49}, {"RR": values})])[0].words()
        'better: +.030 RR (95 % +.012 to +.047), p < .001; 60 queries won, 0 lost, 0 tied'
        """
        verdict = "too few queries to tell" if self.verdict == FEW else self.verdict
        if is_count(self.measure):  # more hits are not better
            verdict = {BETTER: "higher", WORSE: "lower"}.get(verdict, verdict)
        interval = f"95 % {signed(self.low)} to {signed(self.high)}"
        corrected = f" (Holm, {self.compared} pairs)" if self.compared > 1 else ""
        hidden = self.verdict in (FEW, SAME) and self.queries < self.needed and (self.won or self.lost)
        return (
            f"{verdict}: {signed(self.difference)} {self.measure} ({interval}), {p_words(self.p_holm)}{corrected}; "
            f"{self.won} queries won, {self.lost} lost, {self.tied} tied"
            f"{f'; about {self.needed:,} would show {signed(self.size)[1:]}' if hidden else ''}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the pair as the command contract prints it."""
        return {**asdict(self), "queries": self.queries}


def signed(value: float) -> str:
    """Write a difference with its sign: three decimals and no leading zero below 1, one decimal from 10.

    >>> signed(0.0312), signed(-0.5), signed(0.0), signed(12.345), signed(0.00004)
    ('+.031', '-.500', '+.000', '+12.3', '+.00004')
    """
    if abs(value) >= 1:
        return f"{value:+.1f}" if abs(value) >= 10 else f"{value:+.2f}"
    # A small difference is shown as one, not as none.
    return f"{value:+.{5 if 0 < abs(value) < 0.0005 else 3}f}".replace("0.", ".", 1)


def p_words(p: float) -> str:
    """Write a p-value in words of the field.

    >>> p_words(0.0021), p_words(0.0001), p_words(1.0)
    ('p = .002', 'p < .001', 'p = 1')
    """
    if p < 0.0005:
        return "p < .001"
    return f"p = {p:.3f}".replace("0.", ".", 1) if p < 0.9995 else "p = 1"


def pairs(figures: Sequence[Figures], against: str | None = None) -> list[Pair]:
    """Compare systems on every data set by every measure; p-values plain and corrected by Holm.

    >>> a = Figures("a", "data", {"RR": 1.0}, {"RR": {"q1": 1.0, "q2": 1.0}})
    >>> b = Figures("b", "data", {"RR": 0.5}, {"RR": {"q1": 0.5, "q2": 0.5}})
    >>> [(pair.system, pair.other, pair.difference) for pair in pairs([a, b])]
    [('a', 'b', 0.5)]

    Args:
        figures: of every system on every data set.
        against: compare each system with this one; None compares every pair.
    """
    found: list[Pair] = []
    for data in dict.fromkeys(item.data for item in figures):
        here = [item for item in figures if item.data == data]
        both = [(one, other) for one, other in itertools.combinations(here, 2) if against in (None, other.name)]
        for name in here[0].measures if both else ():
            every = [_compared(one, other, name, len(both)) for one, other in both]
            # The correction counts the pairs of one measure on one data set, which are one question.
            found += map(_corrected, every, holm([pair.p for pair in every]))
    return found


def _compared(ours: Figures, theirs: Figures, measure: str, compared: int) -> Pair:
    """The comparison of two systems by a measure, without the correction for other comparisons."""
    one, other = ours.values[measure], theirs.values[measure]
    scale = scale_of(measure, [*one.values(), *other.values()])
    # What counts differs by little of its size: the interval assumes differences of the size of those found.
    found = paired(one, other, scale=scale_of(measure, (one[query] - other[query] for query in one)))
    times = len(one) if is_count(measure) else 1
    return Pair(
        ours.name,
        theirs.name,
        ours.data,
        measure,
        difference=found.difference * times,
        p=found.p,
        p_holm=found.p,
        low=found.low * times,
        high=found.high * times,
        won=found.won,
        lost=found.lost,
        tied=found.tied,
        verdict=UNMEASURED,
        needed=needed_queries(one, other, LEAST_GAIN, scale=scale),
        size=LEAST_GAIN * scale * times,
        compared=compared,
    )


def _corrected(pair: Pair, p_holm: float) -> Pair:
    """A comparison with its corrected p-value, and the verdict by it."""
    # Where nothing differs there is nothing to tell, however few the queries are.
    enough = pair.queries >= min(pair.needed, FEW_QUERIES) or not (pair.won or pair.lost)
    return replace(pair, p_holm=p_holm, verdict=called(pair.low, pair.high, p_holm, enough=enough))


def results(
    found: Sequence[Figures], *, against: str | None, settings: Mapping[str, Any], compared: Sequence[Pair] = ()
) -> dict[str, Any]:
    """Return what ``evaluate --out`` leaves: means over the data sets, every figure, and every pair if asked for.

    Raises:
        DataError: there are no figures.
    """
    if not found:
        raise DataError("Nothing was measured.")
    means = means_over_data(found)
    own = [name for name in means if name != against]
    models = [name for name in own if name != "bm25" and not name.startswith("dense:")]
    # The first model, or if there is none the first system: BM25 and dense models are baselines.
    after = next(iter([*models, *own]), "")
    return {
        "before": means.get(against or "", {}),
        "after": means.get(after, {}),
        "baselines": {name: means[name] for name in own if name != after},
        "settings": dict(settings),
        "systems": [figures.as_json() for figures in found],
        **({"comparisons": [pair.as_json() for pair in compared]} if compared else {}),
    }


def means_over_data(figures: Sequence[Figures]) -> dict[str, dict[str, float]]:
    """Return the mean of each measure over the data sets: system -> measure -> mean.

    >>> means_over_data([Figures("a", "one", {"RR": 1.0}), Figures("a", "two", {"RR": 0.5})])
    {'a': {'RR': 0.75}}
    """
    by_name: dict[str, list[Figures]] = {}
    for item in figures:
        by_name.setdefault(item.name, []).append(item)
    return {
        # fsum is exact: the mean does not depend on the order of the data sets.
        name: {measure: math.fsum(f.measures[measure] for f in own) / len(own) for measure in own[0].measures}
        for name, own in by_name.items()
    }
