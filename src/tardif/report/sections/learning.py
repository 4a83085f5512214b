"""The verdict on a training, its measures and its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tardif.evaluation.elsewhere import Elsewhere
from tardif.evaluation.verdict import BETTER, DECIDES, FEW, WORSE, Comparison, format_p
from tardif.report.charts.bars import ChartBar, Difference, bars, forest
from tardif.report.charts.canvas import AFTER, BEFORE, BM25, Chart
from tardif.report.charts.curves import Axis, Line, curves
from tardif.report.charts.query_values import Sides
from tardif.report.intervals import intervals
from tardif.report.numbers import counted, signed, value
from tardif.report.page_parts import BAD, GOOD, OPEN, PageSection, PageTable, Verdict
from tardif.report.sources import ReportSource, numbers

# The systems of a training by the names that its files have.
_NAMES = {"bm25": "BM25", "raw": "the base's raw token vectors", "step 0": "step 0, the untrained recipe"}
_TRAINED = ("after", "trained")
# What a line of the log holds beside measures.
_STEP = ("step", "epoch", "seconds", "loss", "grad_norm", "learning_rate", "examples_per_second", "new_negatives")


def comparison(source: ReportSource) -> Comparison | None:
    """Read how the training compares with the stronger untrained system."""
    found = source.results.get("comparison")
    return Comparison.from_json(found) if found else None


def elsewhere(source: ReportSource) -> list[Elsewhere]:
    """Read what the published model gained or lost on foreign queries."""
    return [Elsewhere.from_json(found) for found in source.results.get("guard") or ()]


def verdict(source: ReportSource) -> Verdict:
    """Say in one sentence whether the training helped."""
    warnings = [str(line) for line in source.results.get("warnings", ())]
    if failure := source.results.get("failure"):
        warnings.insert(0, f"The training did not reach its end ({failure}). This is its best checkpoint.")
    elif source.results.get("interrupted"):
        warnings.insert(0, "The training was interrupted. This is its best checkpoint.")
    beside = [_elsewhere_sentence(one) for one in elsewhere(source)]
    found = comparison(source)
    if found is None:
        why = str(source.results.get("reason", "")) or "there are no figures"
        return Verdict(OPEN, "Not measured", f": {why}.", warnings=warnings, beside=beside)
    one, before = found.deciding, numbers(source.results.get("before")).get(DECIDES, 0.0)
    after = before + one.difference
    facts = [
        ("before", value(before)),
        ("after", value(after)),
        ("difference", signed(one.difference)),
        ("95 % interval", f"{signed(one.low)} to {signed(one.high)}"),
        ("p", format_p(one.p)),
    ]
    tone = {BETTER: GOOD, WORSE: BAD}.get(found.verdict, OPEN)
    lead = "Too few queries to tell" if found.verdict == FEW else found.verdict[:1].upper() + found.verdict[1:]
    tally = (one.won, one.tied, one.lost)
    return Verdict(tone, lead, _sentence(found, before, after), facts, tally, warnings, beside)


def _sentence(found: Comparison, before: float, after: float) -> str:
    """The rest of the verdict's sentence."""
    one = found.deciding
    interval = f"(95 % interval {signed(one.low)} to {signed(one.high)})"
    moved = f"{'rose' if one.difference > 0 else 'fell'} by {value(abs(one.difference))} {interval}"
    moved += f", from {value(before)} to {value(after)}"
    if value(before) == value(after):
        moved = f"stayed at {value(before)} {interval}"
    needed = f"; about {found.needed:,} would show a difference of {found.size:.2f}" if found.verdict == FEW else ""
    where = f"on {found.queries:,} held-out queries{needed}"
    return f": {DECIDES} {moved}, {where}."


def _elsewhere_sentence(found: Elsewhere) -> str:
    one = found.comparison.deciding
    where = f"on {found.comparison.queries:,} foreign queries of {found.data}"
    interval = f"95 % interval {signed(one.low)} to {signed(one.high)}, p {format_p(one.p)}"
    verdict = "too few queries to tell" if found.comparison.verdict == FEW else found.comparison.verdict
    return f"Elsewhere, {where}: {signed(one.difference)} {DECIDES} ({interval}), {verdict}."


def systems(source: ReportSource) -> dict[str, str]:
    """The systems that were measured on every query: name in the data -> name in the report, the baselines first."""
    if not source.values:
        return {}
    there = source.values[0].systems
    found = comparison(source)
    before = next((name for name in ("before", found.against if found else "") if name in there), "")
    after = next((name for name in _TRAINED if name in there), "")
    named = {"bm25": "BM25"} if "bm25" in there else {}
    named |= {before: "before"} if before else {}
    return {**named, **({after: "after"} if after else {})}


def sides(source: ReportSource, measure: str = DECIDES) -> Sides | None:
    """Each query's value before and after; None where they are not known."""
    by_name = {shown: name for name, shown in systems(source).items()}
    if not {"before", "after"} <= by_name.keys():
        return None
    there = source.values[0].systems
    before, after = (there[by_name[name]].get(measure, {}) for name in ("before", "after"))
    if not before or before.keys() != after.keys():
        return None
    return Sides("before", "after", measure, {query: (before[query], after[query]) for query in before})


def measures(source: ReportSource, key: str) -> PageSection | None:
    """The means before and after and BM25's, with intervals; and the differences."""
    rows = _means(source)
    if not rows:
        return None
    found = comparison(source)
    names = list(rows[next(iter(rows))])
    charts = [bars(f"{key}-{name}", name, _bars(source, rows, name)) for name in names]
    if found is not None:
        differences = [Difference(name, one.difference, one.low, one.high) for name, one in found.measures.items()]
        charts.append(forest(f"{key}-differences", "After less before", "difference", differences))
    about = [
        "Before is the stronger of two untrained systems"
        + (f", here {_NAMES.get(found.against, found.against)}." if found else ".")
    ]
    if len(source.results.get("settings", {}).get("evaluated") or ()) > 1:
        about.append("The checkpoint was chosen on these queries: expect a little less on others.")
    return PageSection(
        key, "Measures", "charts.html", {"about": about, "charts": charts, "tables": _table(source, found)}
    )


def _means(source: ReportSource) -> dict[str, dict[str, float]]:
    """The means that are charted: system -> measure -> mean, of BM25, before and after."""
    results = source.results
    before, after = numbers(results.get("before")), numbers(results.get("after"))
    if found := comparison(source):  # what was trained, although something else may be published
        after = {name: before.get(name, 0.0) + one.difference for name, one in found.measures.items()}
    bm25 = numbers((results.get("baselines") or {}).get("bm25"))
    return {name: means for name, means in (("BM25", bm25), ("before", before), ("after", after)) if means}


def _bars(source: ReportSource, rows: Mapping[str, Mapping[str, float]], measure: str) -> list[ChartBar]:
    colours = {"BM25": BM25, "before": BEFORE, "after": AFTER}
    named = systems(source)
    there = source.values[0].systems if named else {}
    found = intervals(
        {shown: {measure: there[name][measure]} for name, shown in named.items() if measure in there[name]}
    )
    return [
        ChartBar(name, means[measure], found.get((name, measure)), colours[name])
        for name, means in rows.items()
        if measure in means
    ]


def _table(source: ReportSource, found: Comparison | None) -> Sequence[PageTable]:
    """All systems by all measures, and every difference with its p-value."""
    results = source.results
    rows = {"before": numbers(results.get("before")), "the published model": numbers(results.get("after"))}
    for name, means in (results.get("baselines") or {}).items():
        rows[_NAMES.get(name, name)] = numbers(means)
    names = list(dict.fromkeys(name for means in rows.values() for name in means))
    if not names:
        return []
    cells = [
        (name, *(value(means[one], 4) if one in means else "" for one in names))
        for name, means in rows.items()
        if means
    ]
    tables = [
        PageTable("All systems on the held-out queries", ("system", *names), cells, ranked=range(1, len(names) + 1))
    ]
    if found is None:
        return [*tables, *_elsewhere_table(source)]
    lines = [
        (
            name,
            signed(one.difference, 4),
            f"{signed(one.low, 4)} to {signed(one.high, 4)}",
            format_p(one.p),
            *(f"{count:,}" for count in (one.won, one.tied, one.lost)),
        )
        for name, one in found.measures.items()
    ]
    head = ("measure", "difference", "95 % interval", "p", "won", "tied", "lost")
    return [*tables, PageTable("After training less before, query by query", head, lines), *_elsewhere_table(source)]


def _elsewhere_table(source: ReportSource) -> list[PageTable]:
    """The published model on foreign queries."""
    rows = [
        (
            found.data,
            name,
            value(found.before.get(name, 0.0), 4),
            value(found.after.get(name, 0.0), 4),
            signed(one.difference, 4),
            f"{signed(one.low, 4)} to {signed(one.high, 4)}",
            format_p(one.p),
            *(f"{count:,}" for count in (one.won, one.tied, one.lost)),
        )
        for found in elsewhere(source)
        for name, one in found.comparison.measures.items()
    ]
    head = ("queries", "measure", "before", "published", "difference", "95 % interval", "p", "won", "tied", "lost")
    return [PageTable("Elsewhere: foreign queries", head, rows, words=(1,))] if rows else []


def learning(source: ReportSource, key: str) -> PageSection | None:
    """The curves of the training."""
    charts = learning_charts([source], key)
    if not charts:
        return None
    kept = source.results.get("kept")
    about = [_kept_words(kept)] if isinstance(kept, int) else []
    refreshed = [line["step"] for line in source.log if "new_negatives" in line and "step" in line]
    if refreshed:
        at = ", ".join(map(str, refreshed[:12]))
        about.append(f"Hard negatives were mined again {counted(len(refreshed), 'time')}, at step {at}.")
    return PageSection(key, "Learning", "charts.html", {"about": about, "charts": charts, "tables": []})


def _kept_words(kept: int) -> str:
    return f"The checkpoint of step {kept:,} was kept." if kept else "The untrained model (step 0) was kept."


def learning_charts(sources: Sequence[ReportSource], key: str) -> list[Chart]:
    """The curves of one training, or of several over each other."""
    several = len(sources) > 1
    names = {
        "loss": ("Loss", "loss"),
        "learning_rate": ("Learning rate", "learning rate"),
        "grad_norm": ("Gradient norm", "norm before clipping"),
    }
    charts = []
    for measure in _measured(sources):
        lines = [
            line
            for place, source in enumerate(sources)
            if (line := _evaluations(source, measure, _series(place, several)))
        ]
        levels = [] if several else _levels(sources[0], measure)
        if any(len(line.points) > 1 for line in lines):
            charts.append(
                curves(
                    f"{key}-{measure}", Axis(f"{measure} on held-out queries", measure, dots=True, levels=levels), lines
                )
            )
    found = {}
    for name, (title, label) in names.items():
        lines = [
            line for place, source in enumerate(sources) if (line := _steps(source, name, _series(place, several)))
        ]
        log = name == "grad_norm" and all(y > 0 for line in lines for _, y in line.points)
        if any(len(line.points) > 1 for line in lines):
            found[name] = curves(f"{key}-{name}", Axis(title, label, log=log, smooth=name != "learning_rate"), lines)
    # The loss first, then what was measured.
    return [
        *(found[name] for name in found if name == "loss"),
        *charts,
        *(found[name] for name in found if name != "loss"),
    ]


def _series(place: int, several: bool) -> str:
    from tardif.report.charts.canvas import SERIES

    return SERIES[place % len(SERIES)] if several else AFTER


def _measured(sources: Sequence[ReportSource]) -> list[str]:
    names = dict.fromkeys(
        name for source in sources for line in source.log for name in numbers(dict(line)) if name not in _STEP
    )
    return sorted(names, key=lambda name: name != DECIDES)[:4]


def _steps(source: ReportSource, name: str, colour: str) -> Line | None:
    points = [
        (found["step"], found[name]) for line in source.log if {"step", name} <= (found := numbers(dict(line))).keys()
    ]
    # One point is no curve.
    name = source.name if colour != AFTER else "after"
    return Line(name, points, colour) if points else None


def _evaluations(source: ReportSource, measure: str, colour: str) -> Line | None:
    line = _steps(source, measure, colour)
    if line is None:
        return None
    untrained = numbers((source.results.get("baselines") or {}).get("step 0")).get(measure)
    points = list(line.points)
    if untrained is not None and points[0][0] > 0:
        points.insert(0, (0.0, untrained))
    kept = source.results.get("kept")
    return Line(line.name, points, colour, float(kept) if isinstance(kept, int) else None)


def _levels(source: ReportSource, measure: str) -> list[tuple[str, float, str]]:
    before = numbers(source.results.get("before")).get(measure)
    bm25 = numbers((source.results.get("baselines") or {}).get("bm25")).get(measure)
    found: list[tuple[str, Any, str]] = [("before", before, BEFORE), ("BM25", bm25, BM25)]
    return [(name, level, colour) for name, level, colour in found if level is not None]
