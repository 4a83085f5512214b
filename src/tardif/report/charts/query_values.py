"""Charts of single queries: the value of each with one system beside its value with another."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tardif.report.charts.canvas import LINE, LOSS, SOFT, TIE, WIN, Box, Chart, ChartWords, draw, name_values, variable
from tardif.report.numbers import counted, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# With more queries, dots would cover each other: squares of a grid count them instead.
MOST_DOTS = 1500
_CELLS = 25  # of the grid, along each side
_BANDS = 5  # of the table behind it
_POINTS = 400  # of the line of all differences


@dataclass(frozen=True)
class Sides:
    """The values of one measure with two systems, query by query.

    Attributes:
        before, after: the systems' names.
        measure: the measure's name.
        values: query id -> the value before, and after.
    """

    before: str
    after: str
    measure: str
    values: Mapping[str, tuple[float, float]]

    @property
    def differences(self) -> list[float]:
        """From the biggest gain to the biggest loss."""
        return sorted((after - before for before, after in self.values.values()), reverse=True)

    @property
    def tally(self) -> tuple[int, int, int]:
        """Queries won, lost and tied."""
        found = self.differences
        won, lost = sum(one > 0 for one in found), sum(one < 0 for one in found)
        return won, lost, len(found) - won - lost

    def told(self) -> str:
        """The tally in words."""
        won, lost, tied = self.tally
        return f"{counted(len(self.values), 'query', 'queries')}: {won:,} won, {lost:,} lost, {tied:,} tied"


def scatter(key: str, sides: Sides) -> Chart:
    """Draw each query as a dot, or beyond :data:`MOST_DOTS` the number of queries in each square of a grid."""
    box = Box(height=376, left=48, right=20, top=26, bottom=46)
    dots = len(sides.values) <= MOST_DOTS

    def paint(axes: Axes, words: ChartWords) -> None:
        _frame(axes, sides)
        axes.set_xlabel(words(f"{sides.measure}, {sides.before}", 56))
        name_values(axes, words, f"{sides.measure}, {sides.after}", box.left)
        (_paint_dots if dots else _paint_cells)(axes, sides)

    what = "Dots above the line are queries won, dots below it lost. Larger dots are several queries."
    if not dots:
        what = "Squares above the line are queries won, those below it lost. The stronger the colour, the more queries."
    legend = [(name, variable(colour)) for name, colour in (("won", WIN), ("lost", LOSS), ("tied", TIE))]
    svg = draw(key, f"{sides.measure} of each query, {sides.before} and {sides.after}. {sides.told()}.", box, paint)
    return Chart(
        "Each query, before and after" if sides.before == "before" else "Each query", svg, *_bands(sides), what, legend
    )


def _most(sides: Sides) -> float:
    """The end of both axes: 1 for nearly all measures."""
    return max(1.0, *(max(pair) for pair in sides.values.values()))


def _frame(axes: Axes, sides: Sides) -> None:
    most, least = _most(sides), min(0.0, *(min(pair) for pair in sides.values.values()))
    room = (most - least) * 0.03
    axes.set_xlim(least - room, most + room)
    axes.set_ylim(least - room, most + room)
    axes.grid(visible=True)
    axes.plot([least, most], [least, most], color=SOFT, linewidth=1.2, linestyle=(0, (4, 3)))


def _colour(before: float, after: float) -> str:
    return WIN if after > before else LOSS if after < before else TIE


def _paint_dots(axes: Axes, sides: Sides) -> None:
    """One marker for each distinct pair of values; sizes in a few steps, so that each shape is written once."""
    counts = Counter((round(before, 3), round(after, 3)) for before, after in sides.values.values())
    groups: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for (before, after), count in sorted(counts.items()):
        size = 6.0 + 4 * math.floor(math.log2(count))
        groups.setdefault((_colour(before, after), min(size, 26.0)), []).append((before, after))
    for (colour, size), found in sorted(groups.items(), key=lambda group: (-group[0][1], group[0][0])):
        xs, ys = zip(*found, strict=True)
        axes.plot(
            xs, ys, marker="o", markersize=size, color=colour, linestyle="", alpha=0.6, markeredgewidth=0, clip_on=False
        )


def _paint_cells(axes: Axes, sides: Sides) -> None:
    from matplotlib.patches import Rectangle

    most = _most(sides)
    counts = Counter(
        (_place(before, most), _place(after, most), _colour(before, after)) for before, after in sides.values.values()
    )
    highest, side = math.log1p(max(counts.values())), most / _CELLS
    for (x, y, colour), count in sorted(counts.items()):
        strength = 0.12 + 0.88 * math.log1p(count) / highest
        axes.add_patch(Rectangle((x * side, y * side), side, side, color=colour, alpha=strength, linewidth=0))


def _place(number: float, most: float, cells: int = _CELLS) -> int:
    return min(max(int(number / most * cells), 0), cells - 1)


def _bands(sides: Sides) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """How many queries went from each band of values to each."""
    most = _most(sides)
    counts = Counter((_place(a, most, _BANDS), _place(b, most, _BANDS)) for a, b in sides.values.values())
    names = [f"{band * most / _BANDS:.1f} to {(band + 1) * most / _BANDS:.1f}" for band in range(_BANDS)]
    rows = [
        (f"{sides.before} {names[row]}", *(f"{counts[row, column]:,}" for column in range(_BANDS)))
        for row in range(_BANDS)
    ]
    return ("queries", *(f"{sides.after} {name}" for name in names)), rows


def sorted_differences(key: str, sides: Sides) -> Chart:
    """Draw the difference of every query, from the biggest gain to the biggest loss."""
    box = Box(height=376, left=48, right=20, top=26, bottom=46)
    found = sides.differences
    won, lost, tied = sides.tally

    def paint(axes: Axes, words: ChartWords) -> None:
        reach = max(0.05, abs(found[0]), abs(found[-1])) * 1.06
        axes.set_ylim(-reach, reach)
        axes.set_xlim(0, len(found))
        axes.grid(axis="y")
        axes.set_xlabel("queries, from the biggest gain to the biggest loss")
        name_values(axes, words, f"difference of {sides.measure}", box.left)
        xs, ys = _steps(found)
        for colour, part in ((WIN, [max(y, 0) for y in ys]), (LOSS, [min(y, 0) for y in ys])):
            axes.fill_between(xs, part, color=colour, alpha=0.85, linewidth=0)
        axes.axhline(0, color=SOFT, linewidth=1.2)
        for edge in (won, won + tied):
            if 0 < edge < len(found):
                axes.axvline(edge, color=LINE, linewidth=1)

    shares = [0, 5, 10, 25, 50, 75, 90, 95, 100]
    rows = [(f"{share} %", signed(found[min(len(found) - 1, share * len(found) // 100)])) for share in shares]
    alternative = f"The difference of {sides.measure} of every query, sorted. {sides.told()}."
    note = f"{won:,} won, {tied:,} tied, {lost:,} lost."
    svg = draw(key, alternative, box, paint)
    return Chart("All differences, sorted", svg, ("share of the queries with more", "difference"), rows, note)


def _steps(found: Sequence[float]) -> tuple[list[float], list[float]]:
    """The line over the queries: a step for each, or for groups of neighbours."""
    size = math.ceil(len(found) / _POINTS)
    xs: list[float] = []
    ys: list[float] = []
    for start in range(0, len(found), size):
        group = found[start : start + size]
        xs += [start, start + len(group)]
        ys += [math.fsum(group) / len(group)] * 2
    return xs, ys
