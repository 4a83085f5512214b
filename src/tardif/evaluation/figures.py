"""The figures of a comparison: each system on each data set, the pairs of systems, and ``results.json``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tardif.display import Short
from tardif.errors import DataError
from tardif.evaluation.measures import significance


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
        difference: of the means; above 0 where ``system`` is better than ``other``.
        p: the two-sided p-value, by paired randomisation over the queries.
        p_holm: the same, corrected for all pairs compared on this data set by this measure (Holm, 1979).
    """

    system: str
    other: str
    data: str
    measure: str
    difference: float
    p: float
    p_holm: float

    def as_json(self) -> dict[str, Any]:
        """Return the pair as the command contract prints it."""
        return asdict(self)


def differences(figures: Sequence[Figures], against: str | None) -> list[str]:
    """Return a line for each system that was compared against another: its differences, with p-values."""
    other = {item.data: item.measures for item in figures if item.name == against}
    lines = []
    for item in figures:
        if item.p:
            by = {name: item.measures[name] - other[item.data][name] for name in item.p}
            parts = ", ".join(f"{name} {by[name]:+.4f} (p {p:.4f})" for name, p in item.p.items())
            lines.append(f"{item.name} on {item.data}, against {against}: {parts}")
    return lines


def pairs(figures: Sequence[Figures]) -> list[Pair]:
    """Compare every pair of systems on every data set by every measure; p-values plain and corrected by Holm.

    >>> a = Figures("a", "data", {"RR": 1.0}, {"RR": {"q1": 1.0, "q2": 1.0}})
    >>> b = Figures("b", "data", {"RR": 0.5}, {"RR": {"q1": 0.5, "q2": 0.5}})
    >>> [(pair.system, pair.other, pair.difference) for pair in pairs([a, b])]
    [('a', 'b', 0.5)]
    """
    found: list[Pair] = []
    for data in dict.fromkeys(item.data for item in figures):
        here = [item for item in figures if item.data == data]
        for name in here[0].measures:
            both = list(itertools.combinations(here, 2))
            p = [significance(one.values[name], other.values[name]) for one, other in both]
            found += [
                Pair(one.name, other.name, data, name, one.measures[name] - other.measures[name], plain, corrected)
                # The correction counts the pairs of one measure on one data set, which are one question.
                for (one, other), plain, corrected in zip(both, p, holm(p), strict=True)
            ]
    return found


def holm(p: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm, 1979): the lowest times n, the next times n - 1, never falling.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(p), 0.0
    for place, index in enumerate(sorted(range(len(p)), key=lambda index: p[index])):
        highest = max(highest, min(1.0, (len(p) - place) * p[index]))
        corrected[index] = highest
    return corrected


def results(
    found: Sequence[Figures], *, against: str | None, settings: Mapping[str, Any], compared: Sequence[Pair] = ()
) -> dict[str, Any]:
    """Return what ``evaluate --out`` leaves: means over the data sets, every figure, and every pair if asked for.

    Raises:
        DataError: there are no figures.
    """
    if not found:
        raise DataError("Nothing was measured.")
    by_name: dict[str, list[Figures]] = {}
    for figures in found:
        by_name.setdefault(figures.name, []).append(figures)
    means = {
        # fsum is exact: the mean does not depend on the order of the data sets.
        name: {measure: math.fsum(f.measures[measure] for f in own) / len(own) for measure in found[0].measures}
        for name, own in by_name.items()
    }
    own = [name for name in by_name if name != against]
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
