"""Data hygiene: what the data are, what was dropped or kept in doubt and why, and examples."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tardif.data.hygiene.rules import RULES
from tardif.report.numbers import counted
from tardif.report.page_parts import OPEN, PageSection, PageTable, Verdict
from tardif.report.sources import Hygiene, ReportSource
from tardif.report.texts import cut

_COUNTED = ("documents", "training queries", "validation queries", "queries", "qrels", "examples", "hard negatives")
_PLACE = ("source", "place", "query_id", "query", "document_id", "document", "detail")
_LINES = 60
_READ = re.compile(r"(\d+) judgements read: (\d+) used, (\d+) not")


def hygiene(source: ReportSource, key: str) -> PageSection | None:
    """Show the counts, the rules with the rows they concern, and the lines of the preparation."""
    counts, lines = _counts(source), _lines(source)
    if not counts and not lines:
        return None
    found = source.hygiene
    tables = [PageTable("The data", ("what", "number"), [(name, f"{count:,}") for name, count in counts.items()])]
    tables += [_rules(found)] if found else []
    about = [] if found or source.manifest is None else ["No rule found anything to drop or to report."]
    content = {"about": about, "tables": tables, "examples": _examples(found) if found else [], "lines": lines}
    return PageSection(key, "Data", "hygiene.html", content)


def summary(source: ReportSource) -> Verdict | None:
    """Say in one sentence what a prepared set is; None without its counts."""
    counts = _counts(source)
    if not {"documents", "queries"} <= counts.keys():
        return None
    sizes = f"{counted(counts['documents'], 'document')}, {counted(counts['queries'], 'query', 'queries')}"
    read = next((found for line in _lines(source) if (found := _READ.match(line))), None)
    if read is None:
        return Verdict(OPEN, sizes, ".")
    used = "all of them used" if read[3] == "0" else f"{int(read[2]):,} used and {int(read[3]):,} not"
    return Verdict(OPEN, sizes, f": {int(read[1]):,} judgements were read, {used}.")


def _counts(source: ReportSource) -> dict[str, int]:
    found: Mapping[str, Any] = (
        (source.manifest or {}).get("counts") or source.results.get("settings", {}).get("data") or {}
    )
    if not isinstance(found, dict):  # an evaluation's settings name its data sets
        return {}
    return {name: found[name] for name in _COUNTED if isinstance(found.get(name), int)}


def _lines(source: ReportSource) -> list[str]:
    """The report of the preparation, as it was printed."""
    lines: Sequence[Any] = (source.manifest or {}).get("report") or ()
    return [cut(str(line), 300) for line in lines[:_LINES]]


def _rules(found: Hygiene) -> PageTable:
    rows = [
        (rule, RULES[rule].what if rule in RULES else "", action, f"{count:,}")
        for rule, counts in sorted(found.counts.items(), key=lambda item: -sum(item[1].values()))
        for action, count in sorted(counts.items())
    ]
    return PageTable(
        "What the rules found, and what was done about it", ("rule", "it concerns", "action", "rows"), rows, (1, 2)
    )


def _examples(found: Hygiene) -> list[dict[str, Any]]:
    """Some rows of each rule: where each was read, and what it concerns."""
    groups = []
    for rule, rows in sorted(found.examples.items()):
        names = [name for name in _PLACE if any(name in row for row in rows)]
        cells = [[cut(str(row.get(name, "")), 160) for name in names] for row in rows]
        total = sum(found.counts[rule].values())
        caption = f"{rule}: {len(rows)} of {counted(total, 'row')}"
        head = [name.replace("_", " ") for name in names]
        groups.append(
            {"rule": rule, "count": total, "table": PageTable(caption, head, cells, tuple(range(len(names))))}
        )
    return groups
