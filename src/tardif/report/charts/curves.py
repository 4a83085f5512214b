"""Curves over the steps of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tardif.report.charts.canvas import AFTER, GROUND, Box, Chart, ChartWords, draw, name_values, variable
from tardif.report.numbers import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Points of a line: more lie closer than a pixel.
POINTS = 240
_ROWS = 24  # of the table behind a curve
_SMOOTH = 0.08  # of the points: the width of the running mean


@dataclass(frozen=True)
class Line:
    """One curve: points of a step and a value, in order of the steps.

    Attributes:
        marked: a step of it to mark, such as the one that is kept.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: str = AFTER
    marked: float | None = None

    def thinned(self) -> list[tuple[float, float]]:
        """At most :data:`POINTS` points: the means of neighbours."""
        size = math.ceil(len(self.points) / POINTS)
        groups = [self.points[start : start + size] for start in range(0, len(self.points), max(size, 1))]
        return [(_mean([x for x, _ in group]), _mean([y for _, y in group])) for group in groups]


@dataclass(frozen=True)
class Axis:
    """How a curve is drawn: the name of its values, on a logarithmic scale or not, smoothed, with dots."""

    title: str
    label: str
    log: bool = False
    smooth: bool = False
    dots: bool = False
    levels: Sequence[tuple[str, float, str]] = field(default=())  # name, value, colour


def curves(key: str, axis: Axis, lines: Sequence[Line]) -> Chart:
    """Draw some curves over the steps.

    Args:
        key: tells the chart apart from the page's others.
        axis: what is drawn, and how.
        lines: the curves.
    """
    box = Box(height=230, left=48, right=16, top=26)

    def paint(axes: Axes, words: ChartWords) -> None:
        if axis.log:
            axes.set_yscale("log")
        axes.grid(axis="y")
        axes.set_xlabel("step")
        name_values(axes, words, axis.label, box.left)
        for _, level, colour in axis.levels:
            axes.axhline(level, color=colour, linewidth=1.5, linestyle=(0, (4, 3)))
        for line in lines:
            _paint_line(axes, line, axis)
        _ticks(axes, axis, lines)

    several = len(lines) > 1 or axis.levels
    named = [*((line.name, line.colour) for line in lines), *((name, colour) for name, _, colour in axis.levels)]
    legend = [(name, variable(colour)) for name, colour in named] if several else []
    svg, (head, rows) = draw(key, _told(axis, lines), box, paint), _table(axis, lines)
    return Chart(axis.title, svg, head, rows, _note(axis, lines), legend)


def _paint_line(axes: Axes, line: Line, axis: Axis) -> None:
    points = line.thinned()
    xs, ys = [x for x, _ in points], [y for _, y in points]
    if axis.smooth and len(points) > 20:
        axes.plot(xs, ys, color=line.colour, linewidth=1, alpha=0.3)
        ys = _smoothed(ys)
    axes.plot(xs, ys, color=line.colour, linewidth=2, marker="o" if axis.dots else "", markersize=5)
    kept = [(x, y) for x, y in line.points if x == line.marked]
    for x, y in kept[:1]:
        axes.plot([x], [y], marker="o", markersize=11, color=line.colour, markeredgecolor=GROUND, markeredgewidth=2)


def _ticks(axes: Axes, axis: Axis, lines: Sequence[Line]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.3g}"))
    if axis.log:
        axes.yaxis.set_minor_formatter(NullFormatter())
        ys = [y for line in lines for _, y in line.points]
        if max(ys) / min(ys) < 10:  # no power of ten may lie between
            axes.set_yscale("linear")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.3g}"))
    if not axis.log:
        axes.yaxis.set_major_locator(MaxNLocator(5))


def _smoothed(ys: Sequence[float]) -> list[float]:
    """The running mean over neighbours on both sides."""
    reach = max(1, round(len(ys) * _SMOOTH / 2))
    return [_mean(ys[max(0, place - reach) : place + reach + 1]) for place in range(len(ys))]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _told(axis: Axis, lines: Sequence[Line]) -> str:
    parts = [
        f"{line.name}: from {figure(float(line.points[0][1]))} at step {line.points[0][0]:,.0f} to "
        f"{figure(float(line.points[-1][1]))} at step {line.points[-1][0]:,.0f}"
        + (f", kept at step {line.marked:,.0f}" if line.marked is not None else "")
        for line in lines
    ]
    parts += [f"{name}: {figure(float(level))}" for name, level, _ in axis.levels]
    return f"Curve of {axis.label} over the steps. {'; '.join(parts)}."


def _table(axis: Axis, lines: Sequence[Line]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Some of the points of every curve, its last one among them."""
    steps = sorted({x for line in lines for x, _ in line.points})
    stride = math.ceil(len(steps) / _ROWS)
    chosen = steps[::-1][::stride][::-1]
    by_line = [dict(line.points) for line in lines]
    rows = [(f"{step:,.0f}", *(figure(float(by[step])) if step in by else "" for by in by_line)) for step in chosen]
    return ("step", *(line.name if len(lines) > 1 else axis.label for line in lines)), rows


def _note(axis: Axis, lines: Sequence[Line]) -> str:
    notes = []
    if axis.smooth and any(len(line.points) > 20 for line in lines):
        notes.append("The strong line is a running mean.")
    if any(line.marked is not None for line in lines):
        notes.append("The large dot is the checkpoint that was kept.")
    return " ".join(notes)
