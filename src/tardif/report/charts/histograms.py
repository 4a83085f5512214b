"""Histograms of the scores of a mining."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tardif.report.charts.canvas import AFTER, BM25, INK, SOFT, TEXT, TIE, Box, Chart, ChartWords, draw
from tardif.report.numbers import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KINDS = {
    "positives": ("positives", AFTER),
    "mined": ("mined negatives", BM25),
    "random": ("random documents", TIE),
}
_ROW, _BAR = 96, 62  # CSS pixels of a row, and of its highest bar


def histograms(key: str, title: str, scores: Mapping[str, Any]) -> Chart:
    """Draw the scores of positives, mined negatives and random documents below each other, on one axis.

    Args:
        key: tells the chart apart from the page's others.
        title: whose scores they are.
        scores: as ``mining.json`` has them: shared edges, and a histogram and quantiles for each kind.
    """
    edges = [float(edge) for edge in scores["edges"]]
    kinds = [(name, colour, scores[kind]) for kind, (name, colour) in _KINDS.items() if scores[kind]["count"]]
    box = Box(height=len(kinds) * _ROW + 44, left=4, right=14, top=2, bottom=42)

    def paint(axes: Axes, words: ChartWords) -> None:
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(len(kinds) * _ROW, 0)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("score")
        ticks = [edges[0] + (edges[-1] - edges[0]) * part / 4 for part in range(5)]
        axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        axes.get_xticklabels()[0].set_horizontalalignment("left")
        axes.get_xticklabels()[-1].set_horizontalalignment("right")
        widths = [high - low for low, high in itertools.pairwise(edges)]
        for place, (name, colour, found) in enumerate(kinds):
            foot, counts = (place + 1) * _ROW, found["histogram"]
            tops = [-_BAR * count / max(counts) for count in counts]
            axes.bar(
                edges[:-1], tops, [0.88 * wide for wide in widths], bottom=foot, color=colour, align="edge", linewidth=0
            )
            axes.axhline(foot, color=SOFT, linewidth=0.6)
            middle = float(found["quantiles"]["0.5"])
            axes.plot([middle, middle], [foot, foot - _BAR - 6], color=INK, linewidth=1.3, linestyle=(0, (3, 2)))
            axes.text(edges[0], foot - _BAR - 14, words(f"{found['count']:,} {name}"), fontsize=TEXT, color=INK)
            axes.text(edges[-1], foot - _BAR - 14, f"median {middle:.4g}", fontsize=TEXT, color=SOFT, ha="right")

    rows = [
        (
            name,
            f"{found['count']:,}",
            *(figure(float(found["quantiles"][quantile])) for quantile in ("0.05", "0.5", "0.95")),
        )
        for name, _, found in kinds
    ]
    told = "; ".join(f"{count} {name}, median {median}" for name, count, _, median, _ in rows)
    svg = draw(key, f"Histograms of scores. {told}.", box, paint)
    note = "Each row has its own height; the dashed line is its median."
    return Chart(title, svg, ("documents", "number", "5 % are below", "median", "5 % are above"), rows, note)
