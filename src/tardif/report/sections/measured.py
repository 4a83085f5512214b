"""An evaluation: many systems on one or more data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tardif.evaluation.evidence import SetValues
from tardif.evaluation.figures import holm
from tardif.evaluation.measures import means
from tardif.evaluation.verdict import DECIDES, FEW, LEVEL, Paired, format_p, paired
from tardif.report.charts.bars import ChartBar, Difference, bars, forest
from tardif.report.charts.canvas import AFTER, BM25, SERIES, Chart
from tardif.report.charts.query_values import Sides
from tardif.report.intervals import Interval, intervals
from tardif.report.numbers import counted, signed, value
from tardif.report.page_parts import BAD, GOOD, OPEN, PageSection, PageTable, Verdict
from tardif.report.sources import ReportSource, numbers

# Under so many queries a difference of .03 is rarely told from chance.
FEW_QUERIES = 50
_CHARTS = 12  # data sets that are charted; a table has them all


@dataclass(frozen=True)
class MeasuredSystem:
    """The means of an evaluation.

    Attributes:
        means: data set -> system -> measure -> mean.
        intervals: data set -> (system, measure) -> 95 % interval, where there are values of each query.
        against: the system that the others are compared with; empty for none.
    """

    means: Mapping[str, Mapping[str, Mapping[str, float]]]
    intervals: Mapping[str, Mapping[tuple[str, str], Interval]]
    against: str

    @property
    def measures(self) -> list[str]:
        """The names of all measures, in the order asked."""
        return list(dict.fromkeys(name for by in self.means.values() for measures in by.values() for name in measures))

    @property
    def systems(self) -> list[str]:
        """The names of all systems, in the order asked."""
        return list(dict.fromkeys(name for by in self.means.values() for name in by))

    @property
    def deciding(self) -> str:
        """The measure that decides: nDCG@10, or the first where that was not asked for."""
        return DECIDES if DECIDES in self.measures else self.measures[0]


def measured(source: ReportSource) -> MeasuredSystem | None:
    """Read the means of an evaluation; None where there are none."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for one in source.results.get("systems", ()):
        found.setdefault(str(one["data"]), {})[str(one["name"])] = numbers(one["measures"])
    if not found:
        found = {one.data: {name: means(values) for name, values in one.systems.items()} for one in source.values}
    against = (source.results.get("settings") or {}).get("against")
    if not any(measures for by in found.values() for measures in by.values()):
        return None
    return MeasuredSystem(found, {one.data: intervals(one.systems) for one in source.values}, str(against or ""))


def rivals(found: MeasuredSystem) -> tuple[str, str] | None:
    """The system that is judged, and the one that it is compared with: the first, and ``--against`` or the second."""
    names = found.systems
    other = found.against if found.against in names else next(iter(names[1:]), "")
    first = next((name for name in names if name != other), "")
    return (first, other) if first and other else None


def sides(source: ReportSource, found: MeasuredSystem) -> list[tuple[str, Sides]]:
    """Each query's value with the two rivals, for every data set that has it."""
    both = rivals(found)
    if both is None:
        return []
    return [(one.data, pair) for one in source.values if (pair := _sides(one, both, found.deciding))]


def _sides(one: SetValues, both: tuple[str, str], measure: str) -> Sides | None:
    after, before = (one.systems.get(name, {}).get(measure, {}) for name in both)
    if not before or before.keys() != after.keys():
        return None
    return Sides(both[1], both[0], measure, {query: (before[query], after[query]) for query in before})


def verdict(source: ReportSource, found: MeasuredSystem) -> Verdict | None:
    """Say in one sentence which of the two rivals is better, by all queries of all data sets together."""
    both, pairs = rivals(found), sides(source, found)
    if both is None or not pairs:
        return _means_only(found)
    values = [{(data, q): pair[place] for data, one in pairs for q, pair in one.values.items()} for place in (1, 0)]
    one = paired(*({f"{data}\t{q}": v for (data, q), v in side.items()} for side in values))
    queries = len(values[0])
    where = f"{counted(queries, 'query', 'queries')}" + (f" of {len(pairs)} collections" if len(pairs) > 1 else "")
    tone, lead = _lead(one)
    interval = f"{signed(one.difference)} {found.deciding} (95 % interval {signed(one.low)} to {signed(one.high)})"
    rest = f" {lead} {both[1]} on {where}: {interval}."
    facts = [
        ("difference", signed(one.difference)),
        ("95 % interval", f"{signed(one.low)} to {signed(one.high)}"),
        ("p", format_p(one.p)),
    ]
    few = [
        f"{name} has {counted(len(pair.values), 'query', 'queries')}: too few to tell small differences from chance."
        for name, pair in pairs
        if len(pair.values) < FEW_QUERIES
    ]
    return Verdict(tone, both[0], rest, facts, (one.won, one.tied, one.lost), few)


def _lead(one: Paired) -> tuple[str, str]:
    if one.p < LEVEL and one.low > 0:
        return GOOD, "is better than"
    if one.p < LEVEL and one.high < 0:
        return BAD, "is worse than"
    return OPEN, "is not shown to differ from"


def _means_only(found: MeasuredSystem) -> Verdict:
    """The verdict where the values of single queries are not known, or there is one system."""
    name, measure = found.systems[0], found.deciding
    parts = [f"{value(by[name][measure])} on {data}" for data, by in found.means.items() if measure in by.get(name, {})]
    more = f" and {len(parts) - 4} more collections" if len(parts) > 4 else ""
    why = (
        ""
        if len(found.systems) < 2
        else " Whether the systems differ is not known: there are no values of single queries."
    )
    return Verdict(OPEN, name, f" has {measure} {', '.join(parts[:4])}{more}.{why}")


def systems(source: ReportSource, found: MeasuredSystem, key: str) -> PageSection:
    """All systems on all data sets by all measures."""
    charts = [
        bars(f"{key}-{place}", found.deciding, _bars(found, data), title=data if len(found.means) > 1 else "")
        for place, data in enumerate(list(found.means)[:_CHARTS])
    ]
    tables = [_table(found, data) for data in found.means]
    if len(found.means) > 1:
        tables.insert(0, _mean_table(found))
    pairs, rows = _against(source, found)
    if pairs:
        charts += _forest(pairs, found, key)
        head = ("system", "data", "difference", "95 % interval", "p", "p, corrected", "won", "tied", "lost")
        caption = f"Difference of {found.deciding} to {rivals_name(found)}, query by query"
        tables.append(PageTable(caption, head, rows, words=(1,)))
    about = [_about(found)]
    return PageSection(key, "Measures", "charts.html", {"about": about, "charts": charts, "tables": tables})


def rivals_name(found: MeasuredSystem) -> str:
    """The system that the others are compared with."""
    both = rivals(found)
    return both[1] if both else ""


def _about(found: MeasuredSystem) -> str:
    what = f"{counted(len(found.systems), 'system')} on {counted(len(found.means), 'collection')}"
    return f"{what}. The charts show {found.deciding}; the tables have every measure."


def colours(found: MeasuredSystem) -> dict[str, str]:
    """The colour of each system, the same in all charts: the two rivals and BM25 have their own, the others one."""
    both = rivals(found)
    own = {"bm25": BM25, **({both[1]: SERIES[1]} if both else {}), found.systems[0]: AFTER}
    own |= {both[0]: AFTER} if both else {}
    return {name: own.get(name, SERIES[-1]) for name in found.systems}


def _bars(found: MeasuredSystem, data: str) -> list[ChartBar]:
    by_colour, known = colours(found), found.intervals.get(data, {})
    return [
        ChartBar(name, measures[found.deciding], known.get((name, found.deciding)), by_colour[name])
        for name, measures in found.means[data].items()
        if found.deciding in measures
    ]


def _table(found: MeasuredSystem, data: str) -> PageTable:
    rows = [
        (name, *(value(measures[one], 4) if one in measures else "" for one in found.measures))
        for name, measures in found.means[data].items()
    ]
    return _ranked(f"All measures on {data}", found, rows)


def _ranked(caption: str, found: MeasuredSystem, rows: Sequence[Sequence[str]]) -> PageTable:
    """A table of every measure, with the highest values marked."""
    return PageTable(caption, ("system", *found.measures), rows, ranked=range(1, len(found.measures) + 1))


def _mean_table(found: MeasuredSystem) -> PageTable:
    rows = []
    for name in found.systems:
        own = [by[name] for by in found.means.values() if name in by]
        whole = len(own) == len(found.means)  # a mean over other collections could not be compared
        cells = [
            value(sum(one[m] for one in own) / len(own), 4) if whole and all(m in one for one in own) else ""
            for m in found.measures
        ]
        rows.append((name, *cells))
    return _ranked(f"Means over {len(found.means)} collections", found, rows)


def _against(source: ReportSource, found: MeasuredSystem) -> tuple[list[tuple[str, str, Paired]], list[Sequence[str]]]:
    """Every system compared with one on every data set, and the same as rows of a table."""
    other, measure = rivals_name(found), found.deciding
    pairs: list[tuple[str, str, Paired]] = []
    rows: list[Sequence[str]] = []
    for one in source.values:
        here = [name for name in one.systems if name != other] if other in one.systems else []
        ours = [
            (name, paired(one.systems[name][measure], one.systems[other][measure]))
            for name in here
            if measure in one.systems[name]
        ]
        corrected = holm([pair.p for _, pair in ours])
        for (name, pair), p in zip(ours, corrected, strict=True):
            pairs.append((name, one.data, pair))
            tally = (f"{count:,}" for count in (pair.won, pair.tied, pair.lost))
            rows.append(
                (
                    name,
                    one.data,
                    signed(pair.difference, 4),
                    f"{signed(pair.low, 4)} to {signed(pair.high, 4)}",
                    format_p(pair.p),
                    format_p(p),
                    *tally,
                )
            )
    return pairs, rows


def _forest(pairs: Sequence[tuple[str, str, Paired]], found: MeasuredSystem, key: str) -> list[Chart]:
    several = len(found.means) > 1
    by_data: dict[str, list[Difference]] = {}
    for name, data, pair in pairs:
        by_data.setdefault(data, []).append(Difference(name, pair.difference, pair.low, pair.high))
    title = f"Difference to {rivals_name(found)}"
    return [
        forest(
            f"{key}-forest-{place}", f"{title}, {data}" if several else title, f"difference of {found.deciding}", ours
        )
        for place, (data, ours) in enumerate(list(by_data.items())[:_CHARTS])
    ]


__all__ = ["FEW", "MeasuredSystem", "measured", "rivals", "sides", "systems", "verdict"]
