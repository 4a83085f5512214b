"""Several trainings side by side: the same measures, their curves over each other, and the settings that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from tardif.evaluation.figures import holm
from tardif.evaluation.verdict import DECIDES, LEVEL, format_p, paired
from tardif.report.charts.bars import ChartBar, Difference, bars, forest
from tardif.report.charts.canvas import SERIES, Chart
from tardif.report.intervals import intervals
from tardif.report.numbers import duration, signed, value
from tardif.report.page_parts import GOOD, OPEN, PageSection, PageTable, Verdict
from tardif.report.sections.learning import comparison, elsewhere, learning_charts, systems
from tardif.report.sections.running import flat
from tardif.report.sources import ReportSource, numbers

# Every pair of these many trainings is compared at most.
_PAIRED = 6


def comparing(sources: Sequence[ReportSource]) -> list[PageSection]:
    """Compare some trainings; nothing for fewer than two."""
    if len(sources) < 2:
        return []
    charts = [*_bars(sources), *_gains(sources)]
    tables = [table for table in (_table(sources), _pairs(sources)) if table.rows]
    found = [
        PageSection(
            "compared", "Side by side", "charts.html", {"about": _about(sources), "charts": charts, "tables": tables}
        )
    ]
    if curves := learning_charts(sources, "compared-curves"):
        found.append(
            PageSection(
                "compared-curves",
                "Learning, side by side",
                "charts.html",
                {"about": [], "charts": curves, "tables": []},
            )
        )
    settings = _settings(sources)
    about = [] if settings.rows else ["All settings are the same."]
    tables = [settings] if settings.rows else []
    found.append(
        PageSection(
            "compared-settings", "Settings that differ", "charts.html", {"about": about, "charts": [], "tables": tables}
        )
    )
    return found


def verdict(sources: Sequence[ReportSource]) -> Verdict | None:
    """Say which training is the best, and whether that is more than chance; None for fewer than two."""
    means = {
        place: mean
        for place, source in enumerate(sources)
        if (mean := numbers(source.results.get("after")).get(DECIDES)) is not None
    }
    if len(means) < 2:
        return None
    first, second = sorted(means, key=lambda place: (-means[place], place))[:2]
    lead, rival, values = sources[first].name, sources[second].name, _values(sources)
    has = f" has the highest {DECIDES} after training: {value(means[first])}"
    if not values:
        return Verdict(OPEN, lead, f"{has}. They were not measured on the same queries, so this is no ranking.")
    one = paired(values[first], values[second])
    is_better = one.p < LEVEL and one.low > 0
    judged = "better" if is_better else "not shown to be better"
    interval = f"{signed(one.difference)}, 95 % interval {signed(one.low)} to {signed(one.high)}, p {format_p(one.p)}"
    rest = f"{has}, {judged} than {rival} on {len(values[first]):,} held-out queries ({interval})."
    warning = "The best of several was chosen on these queries: expect a little less on others."
    return Verdict(GOOD if is_better else OPEN, lead, rest, (), (one.won, one.tied, one.lost), [warning])


def _about(sources: Sequence[ReportSource]) -> list[str]:
    if _values(sources):
        return ["All were measured on the same held-out queries."]
    return [
        "They were not measured on the same held-out queries: compare each with its own before, not with the others."
    ]


def _values(sources: Sequence[ReportSource]) -> list[Mapping[str, float]]:
    """Each training's value of every query, if all have the same queries; else nothing."""
    found = []
    for source in sources:
        after = next((name for name, shown in systems(source).items() if shown == "after"), "")
        found.append(source.values[0].systems[after].get(DECIDES, {}) if after else {})
    return found if all(one and one.keys() == found[0].keys() for one in found) else []


def _bars(sources: Sequence[ReportSource]) -> list[Chart]:
    values = _values(sources)
    known = intervals({str(place): {DECIDES: one} for place, one in enumerate(values)})
    rows = []
    for place, source in enumerate(sources):
        mean = numbers(source.results.get("after")).get(DECIDES)
        if mean is not None:
            rows.append(ChartBar(source.name, mean, known.get((str(place), DECIDES)), SERIES[place % len(SERIES)]))
    return [bars("compared-bars", DECIDES, rows, title=f"{DECIDES} after training")] if rows else []


def _gains(sources: Sequence[ReportSource]) -> list[Chart]:
    rows = [
        Difference(source.name, found.deciding.difference, found.deciding.low, found.deciding.high)
        for source in sources
        if (found := comparison(source))
    ]
    return (
        [forest("compared-gains", "Each compared with its own before", f"difference of {DECIDES}", rows)]
        if rows
        else []
    )


def _table(sources: Sequence[ReportSource]) -> PageTable:
    names = list(dict.fromkeys(name for source in sources for name in numbers(source.results.get("after"))))
    guarded = any(elsewhere(source) for source in sources)
    rows = []
    for source in sources:
        after, found = numbers(source.results.get("after")), comparison(source)
        gain = found.deciding if found else None
        settings = source.results.get("settings") or {}
        training = numbers(source.results.get("seconds")).get("training")
        rows.append(
            (
                source.name,
                str(source.results.get("verdict", "not measured")),
                *(value(after[name], 4) if name in after else "" for name in names),
                ""
                if gain is None
                else f"{signed(gain.difference, 4)} ({signed(gain.low, 4)} to {signed(gain.high, 4)})",
                f"{settings.get('steps', '')}",
                "" if training is None else duration(training),
                *([_elsewhere(source)] if guarded else []),
            )
        )
    head = ("training", "verdict", *names, "gain (95 % interval)", "steps", "training time")
    head += ("elsewhere (95 % interval)",) if guarded else ()
    return PageTable("The trainings", head, rows, (1,), range(2, 2 + len(names)))


def _elsewhere(source: ReportSource) -> str:
    """What a training gained or lost on foreign queries, set by set."""
    found = [one.comparison.deciding for one in elsewhere(source)]
    return "; ".join(f"{signed(one.difference, 4)} ({signed(one.low, 4)} to {signed(one.high, 4)})" for one in found)


def _pairs(sources: Sequence[ReportSource]) -> PageTable:
    """Every pair of trainings on the same queries."""
    values = _values(sources)[:_PAIRED]
    both = list(combinations(range(len(values)), 2))
    found = [paired(values[one], values[other]) for one, other in both]
    corrected = holm([pair.p for pair in found])
    rows = [
        (
            sources[a].name,
            sources[b].name,
            signed(pair.difference, 4),
            f"{signed(pair.low, 4)} to {signed(pair.high, 4)}",
            format_p(p),
            *(f"{count:,}" for count in (pair.won, pair.tied, pair.lost)),
        )
        for (a, b), pair, p in zip(both, found, corrected, strict=True)
    ]
    head = ("training", "less", "difference", "95 % interval", "p, corrected", "won", "tied", "lost")
    return PageTable(f"Every pair, by {DECIDES}, query by query", head, rows, (1,))


def _settings(sources: Sequence[ReportSource]) -> PageTable:
    by_source = [flat(source.results.get("settings") or {}) for source in sources]
    names = dict.fromkeys(name for settings in by_source for name in settings)
    # What was measured belongs to the results.
    rows = [
        (name, *(settings.get(name, "not set") for settings in by_source))
        for name in names
        if len({settings.get(name) for settings in by_source}) > 1 and not name.startswith("evaluated")
    ]
    return PageTable(
        "Settings that differ",
        ("setting", *(source.name for source in sources)),
        rows,
        tuple(range(1, len(sources) + 1)),
    )
