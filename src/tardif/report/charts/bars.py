"""Charts of means and of differences, with their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tardif.report.charts.canvas import AFTER, GROUND, INK, LOSS, SOFT, TEXT, TIE, WIN, Box, Chart, ChartWords, draw
from tardif.report.numbers import signed, value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW, _BAR = 42, 11  # CSS pixels of a row and of its bar


@dataclass(frozen=True)
class ChartBar:
    """The mean of one system, with its interval where there are values of each query."""

    name: str
    mean: float
    interval: tuple[float, float] | None = None
    colour: str = AFTER

    @property
    def told(self) -> str:
        """The interval in figures."""
        return "" if self.interval is None else f"{value(self.interval[0])} to {value(self.interval[1])}"


def bars(key: str, measure: str, systems: Sequence[ChartBar], *, title: str = "") -> Chart:
    """Draw the means of some systems by one measure, from 0 to a round number at or above the largest.

    Args:
        key: tells the chart apart from the page's others.
        measure: the measure's name.
        systems: in their order, the first on top.
        title: of the chart; the measure by default.
    """
    box = Box(height=len(systems) * _ROW + 44, left=2, right=14, top=2, bottom=42)
    top = _round_above(max(max((bar.mean, *(bar.interval or ()))) for bar in systems))
    ticks = [top * part / 4 for part in range(5)]

    def paint(axes: Axes, words: ChartWords) -> None:
        axes.set_xlim(0, top)
        axes.set_ylim(len(systems) * _ROW, 0)
        axes.set_xlabel(words(measure))
        axes.set_yticks([])
        axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        axes.get_xticklabels()[0].set_horizontalalignment("left")
        axes.get_xticklabels()[-1].set_horizontalalignment("right")
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        for place, bar in enumerate(systems):
            line = place * _ROW + 14
            axes.text(0, line, words(bar.name), fontsize=TEXT, color=INK, va="baseline")
            axes.text(top, line, value(bar.mean), fontsize=TEXT, color=INK, ha="right", va="baseline", weight="bold")
            middle = place * _ROW + 26
            axes.barh(middle, bar.mean, height=_BAR, color=bar.colour)
            if bar.interval is not None:
                _whisker(axes, *bar.interval, middle)

    told = "; ".join(f"{bar.name} {value(bar.mean)}" + f" ({bar.told})" * bool(bar.told) for bar in systems)
    rows = [(bar.name, value(bar.mean), bar.told or "not known") for bar in systems]
    svg = draw(key, f"Bars of {measure}: {told}.", box, paint)
    return Chart(title or measure, svg, ("system", f"mean {measure}", "95 % interval"), rows)


def _whisker(axes: Axes, low: float, high: float, y: float) -> None:
    # On a band of the page's ground, so that it is seen on the bar and beside it.
    axes.plot([low, high], [y, y], color=GROUND, linewidth=3.5)
    axes.plot([low, high], [y, y], color=INK, linewidth=1.4)
    for end in (low, high):
        axes.plot([end, end], [y - 4, y + 4], color=INK, linewidth=1.4)


def _round_above(most: float) -> float:
    """A round number at or above ``most`` that leaves it most of the axis."""
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next(step * power for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= most - 1e-12)


@dataclass(frozen=True)
class Difference:
    """The difference of one thing to another, with its interval."""

    name: str
    mean: float
    low: float
    high: float

    @property
    def colour(self) -> str:
        """Of a gain, of a loss, or of what may be either."""
        return WIN if self.low > 0 else LOSS if self.high < 0 else TIE


def forest(key: str, title: str, label: str, found: Sequence[Difference]) -> Chart:
    """Draw differences with their intervals around the line of no difference."""
    box = Box(height=len(found) * _ROW + 44, left=2, right=14, top=2, bottom=42)
    reach = _round_above(max(0.001, *(max(abs(one.low), abs(one.high)) for one in found)))

    def paint(axes: Axes, words: ChartWords) -> None:
        axes.set_xlim(-reach, reach)
        axes.set_ylim(len(found) * _ROW, 0)
        axes.set_xlabel(words(label))
        axes.set_yticks([])
        ticks = [-reach, -reach / 2, 0, reach / 2, reach]
        axes.set_xticks(ticks, [signed(tick) for tick in ticks])
        axes.get_xticklabels()[0].set_horizontalalignment("left")
        axes.get_xticklabels()[-1].set_horizontalalignment("right")
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.axvline(0, color=SOFT, linewidth=1.4)
        for place, one in enumerate(found):
            line, middle = place * _ROW + 14, place * _ROW + 27
            axes.text(-reach, line, words(one.name), fontsize=TEXT, color=INK)
            axes.text(reach, line, signed(one.mean), fontsize=TEXT, color=INK, ha="right", weight="bold")
            axes.plot([one.low, one.high], [middle, middle], color=one.colour, linewidth=5, alpha=0.35)
            axes.plot([one.mean], [middle], marker="o", markersize=9, color=one.colour, markeredgecolor=GROUND)

    rows = [(one.name, signed(one.mean), f"{signed(one.low)} to {signed(one.high)}") for one in found]
    told = "; ".join(f"{name} {mean}, 95 % interval {interval}" for name, mean, interval in rows)
    svg = draw(key, f"{title}: {told}.", box, paint)
    note = "A bar that crosses the line of no difference leaves open which is better."
    return Chart(title, svg, ("compared", "difference", "95 % interval"), rows, note)
