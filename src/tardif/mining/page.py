"""The mining report as one page for a browser: what was drawn, what each rule dropped, and what to look at.

The page holds all it shows and asks for nothing else: no script, no font, no picture from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tardif.visible import visible

WIDTH, HEIGHT = 640, 64
"""Of one histogram, in units of its own: a screen stretches it to its width and draws it 64 pixels high."""

_KINDS = {"positives": "positives", "mined": "mined negatives", "random": "random documents"}
_SCALES = {"searcher": "The miner's scores", "teacher": "The teacher's scores"}


def page(report: Mapping[str, Any], lines: Sequence[str] = ()) -> str:
    """HTML of a report.

    Args:
        report: as :meth:`tardif.mining.report.MiningReport.as_json` gives it, and ``mining.json`` holds it.
        lines: the report's short table for a terminal.

    Returns:
        The whole document; the same report gives the same text.
    """
    environment = Environment(
        loader=PackageLoader("tardif.mining", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Texts and ids come from anywhere: what would reorder or hide a part of the page is seen as an escape.
        finalize=_seen,
    )
    scales = [
        {"title": _SCALES[by], "rows": _histograms(scores), "ticks": _ticks(scores["edges"])}
        for by, scores in report["scores"].items()
    ]
    return environment.get_template("page.html").render(report, lines=lines, scales=scales, width=WIDTH, height=HEIGHT)


def _seen(value: Any) -> Any:
    """A text as the page shows it; markup is the page's own."""
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return visible(value, keep="\n\t") if is_text else value


def _histograms(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of each kind that has scores: its name, count and median, and its bars as (x, width, height)."""
    low, high = scores["edges"][0], scores["edges"][-1]
    step = WIDTH / (len(scores["edges"]) - 1)
    rows = []
    for kind, name in _KINDS.items():
        found = scores[kind]
        if not found["count"]:
            continue
        most = max(found["histogram"])
        rows.append(
            {
                "kind": kind,
                "name": name,
                "count": found["count"],
                "median": found["quantiles"]["0.5"],
                "middle": WIDTH * (found["quantiles"]["0.5"] - low) / (high - low),
                "bars": [
                    (step * place, step, HEIGHT * count / most)
                    for place, count in enumerate(found["histogram"])
                    if count
                ],
            }
        )
    return rows


def _ticks(edges: Sequence[float]) -> list[float]:
    """Five values along the axis, as far from each other."""
    low, high = edges[0], edges[-1]
    return [low + (high - low) * part / 4 for part in range(5)]
