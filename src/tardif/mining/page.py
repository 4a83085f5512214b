"""The mining report as one HTML page. It holds all it shows: no script, font or picture comes from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tardif.escaping import visible

# A histogram in units of its own. The browser stretches it to the width of the page and draws it 64 pixels high.
WIDTH, HEIGHT = 640, 64

_KINDS = {"positives": "positives", "mined": "mined negatives", "random": "random documents"}
_SCALES = {"searcher": "The miner's scores", "teacher": "The teacher's scores"}


def page(report: Mapping[str, Any], lines: Sequence[str] = ()) -> str:
    """Render a report as an HTML document; the same report gives the same text.

    Args:
        report: as :meth:`tardif.mining.report.MiningReport.as_json` returns it, and ``mining.json`` holds it.
        lines: the report's short table for a terminal.
    """
    environment = Environment(
        loader=PackageLoader("tardif.mining", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Texts and ids come from anywhere: characters that reorder or hide a part of the page are shown as escapes.
        finalize=_escaped,
    )
    scales = [
        {"title": _SCALES[by], "rows": _histograms(scores), "ticks": _ticks(scores["edges"])}
        for by, scores in report["scores"].items()
    ]
    return environment.get_template("page.html").render(report, lines=lines, scales=scales, width=WIDTH, height=HEIGHT)


def _escaped(value: Any) -> Any:
    """A text as the page shows it; markup is the page's own."""
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return visible(value, keep="\n\t") if is_text else value


def _histograms(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The histogram of each kind that has scores; bars as (x, width, height)."""
    low, high = scores["edges"][0], scores["edges"][-1]
    step = WIDTH / (len(scores["edges"]) - 1)
    rows = []
    for kind, name in _KINDS.items():
        found = scores[kind]
        if not found["count"]:
            continue
        most, median = max(found["histogram"]), found["quantiles"]["0.5"]
        bars = [(step * place, step, HEIGHT * count / most) for place, count in enumerate(found["histogram"]) if count]
        middle = WIDTH * (median - low) / (high - low)
        rows.append({**found, "kind": kind, "name": name, "median": median, "middle": middle, "bars": bars})
    return rows


def _ticks(edges: Sequence[float]) -> list[float]:
    """Five values at equal distances along the axis."""
    low, high = edges[0], edges[-1]
    return [low + (high - low) * part / 4 for part in range(5)]
