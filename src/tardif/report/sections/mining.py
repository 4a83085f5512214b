"""Mining: how hard the negatives are, what the rules dropped, and the negatives that look like answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tardif.report.charts.canvas import Chart
from tardif.report.charts.histograms import histograms
from tardif.report.numbers import counted, figure, value
from tardif.report.page_parts import PageSection, PageTable
from tardif.report.sources import ReportSource
from tardif.report.texts import cut

_SCALES = {"searcher": "The miner's scores", "teacher": "The teacher's scores"}
_SHOWN = 20  # suspects, and examples


def mining(source: ReportSource, key: str) -> PageSection | None:
    """Show what ``mining.json`` holds."""
    report = source.mining
    if report is None:
        return None
    charts = _charts(report, key)
    content = {
        "about": _about(report),
        "charts": charts,
        "tables": [table for table in (_rules(report), _settings(report)) if table.rows],
        "suspicious": [_row(row) for row in report.get("suspicious", ())[:_SHOWN]],
        "examples": [_row(row) for row in report.get("examples", ())[:_SHOWN]],
    }
    return PageSection(key, "Hard negatives", "mining.html", content)


def _charts(report: Mapping[str, Any], key: str) -> list[Chart]:
    return [
        histograms(f"{key}-{by}", _SCALES.get(by, by), scores)
        for by, scores in report["scores"].items()
        if any(scores[kind]["count"] for kind in ("positives", "mined", "random"))
    ]


def _about(report: Mapping[str, Any]) -> list[str]:
    queries, negatives = report["queries"], report["negatives"]
    if report["settings"].get("miner") == "none":
        return [f"None were mined; {negatives['own']:,} of the data's own were kept."]
    selection = report["settings"]["selection"]
    lines = [
        f"For {counted(queries['mined for'], 'query', 'queries')}: {negatives['mined']:,} mined from ranks "
        f"{selection['first']} to {selection['last']}, {negatives['own']:,} of the data's own, "
        f"{negatives['random']:,} at random."
    ]
    for name, words in (
        ("filled at random", "were filled up at random: the window left too few"),
        ("not judged by score", "could not be filtered by score: the searcher finds none of their positives"),
        ("fewer than asked", "got fewer negatives than asked for: the corpus is too small"),
    ):
        if count := queries.get(name):
            lines.append(f"{counted(count, 'query', 'queries')} {words}.")
    lines.append("Mined negatives that score like the positives are unlabelled answers, or very hard.")
    return lines


def _rules(report: Mapping[str, Any]) -> PageTable:
    rows = [
        (str(rule["rule"]), str(rule["what"]), f"{rule['dropped']:,}", f"{100 * rule['share']:.1f} %")
        for rule in report["rules"]
        if report["considered"]
    ]
    caption = f"What the rules dropped, of {report['considered']:,} hits within the window"
    return PageTable(caption, ("rule", "a hit that", "dropped", "share"), rows, words=(1,))


def _settings(report: Mapping[str, Any]) -> PageTable:
    settings = {name: found for name, found in report["settings"].items() if name != "selection" and found is not None}
    settings |= report["settings"].get("selection", {})
    rows = [(str(name), "none" if found is None else cut(figure(found), 200)) for name, found in settings.items()]
    return PageTable("Settings of the mining", ("setting", "value"), rows)


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "query": cut(str(row["query"]), 300),
        "id": cut(str(row["query_id"]), 80),
        "ratio": value(row["ratio"]) if "ratio" in row else "",
        "positives": [_document(found) for found in row["positives"]],
        "negatives": [_document(found) for found in row["negatives"]],
    }


def _document(found: Mapping[str, Any]) -> dict[str, Any]:
    scores = [figure(float(found["score"]))] if found.get("score") is not None else []
    scores += [f"teacher {figure(float(found['teacher']))}"] if found.get("teacher") is not None else []
    return {
        "id": cut(str(found["id"]), 80),
        "origin": str(found.get("origin", "")),
        "score": ", ".join(scores),
        "text": cut(str(found["text"]), 400),
    }
