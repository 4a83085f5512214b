"""The table of an evaluation: which figures are side by side, which is best, and which differences are real.

One data set: systems down, measures across. Several: systems down, data sets and their mean across, a section for each
measure. A letter names each system. The letters beside a figure are those of the systems that it is significantly
better than, as papers on retrieval write it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tardif.evaluation.figures import Figures, Pair, means_over_data
from tardif.evaluation.measure_names import is_count
from tardif.evaluation.verdict import BETTER, WORSE

MEAN = "mean"


@dataclass(frozen=True)
class TableCell:
    """One figure.

    Attributes:
        text: the figure, with the decimals that are shown.
        best: it is the highest of its column, and there are others.
        beats: the letters of the systems that it is significantly better than.
    """

    text: str
    best: bool = False
    beats: str = ""


@dataclass(frozen=True)
class TableSection:
    """Some rows under a heading; each row is a system's.

    Attributes:
        heading: the measure, or empty if there is one section.
        rows: the cells of each system, in the order of :attr:`Table.systems`.
    """

    heading: str
    rows: tuple[tuple[TableCell, ...], ...]


@dataclass(frozen=True)
class EvaluationTable:
    """The figures of an evaluation, as they are shown.

    Attributes:
        systems: their names, in the order asked.
        letters: a letter for each, or empty if nothing was compared.
        columns: the measures, or the data sets and their mean.
        sections: one, or one for each measure.
        title: the data set, where it is no column.
    """

    systems: tuple[str, ...]
    letters: tuple[str, ...]
    columns: tuple[str, ...]
    sections: tuple[TableSection, ...]
    title: str = ""


def make_table(figures: Sequence[Figures], comparisons: Sequence[Pair] = ()) -> EvaluationTable:
    """Lay out the figures of an evaluation.

    >>> made = make_table([Figures("a", "faq", {"RR": 0.5}), Figures("b", "faq", {"RR": 0.25})])
    >>> made.columns, [cell.best for row in made.sections[0].rows for cell in row]
    (('RR',), [True, False])
    """
    systems, data, measures = (list(dict.fromkeys(names)) for names in _names(figures))
    letters = dict(zip(systems, _letters() if comparisons else itertools.repeat(""), strict=False))
    values = {(item.name, item.data, name): value for item in figures for name, value in item.measures.items()}
    beats = _beats(comparisons, letters)

    averages = means_over_data(figures)

    def column(name: str, one: str) -> list[TableCell]:
        own = [values[system, one, name] for system in systems]
        return _column(name, own, [beats.get((system, one, name), "") for system in systems])

    def mean(name: str) -> list[TableCell]:
        return _column(name, [averages[system][name] for system in systems], [""] * len(systems))

    def section(heading: str, columns: list[list[TableCell]]) -> TableSection:
        return TableSection(heading, tuple(zip(*columns, strict=True)))

    if len(data) == 1:
        sections, title = [section("", [column(name, data[0]) for name in measures])], data[0]
        names = measures
    else:
        sections = [section(name, [*(column(name, one) for one in data), mean(name)]) for name in measures]
        names, title = [*data, mean_name(data)], ""
    return EvaluationTable(tuple(systems), tuple(letters.values()), tuple(names), tuple(sections), title)


def mean_name(data: Sequence[str]) -> str:
    """The name of the means over data sets: ``mean``, unless one is called so."""
    names = itertools.chain([MEAN], (f"{MEAN} {number}" for number in itertools.count(2)))
    return next(name for name in names if name not in data)


def _names(figures: Sequence[Figures]) -> tuple[list[str], list[str], list[str]]:
    return [f.name for f in figures], [f.data for f in figures], list(figures[0].measures if figures else ())


def _letters() -> Iterator[str]:
    """a, b, ..., z, aa, ab, ..."""
    for length in itertools.count(1):
        yield from map("".join, itertools.product("abcdefghijklmnopqrstuvwxyz", repeat=length))


def _beats(comparisons: Sequence[Pair], letters: dict[str, str]) -> dict[tuple[str, str, str], str]:
    """The letters of the systems that each is significantly better than: (system, data, measure) -> letters.

    A measure that counts has none: more hits are not better.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    for pair in comparisons:
        if pair.verdict in (BETTER, WORSE) and not is_count(pair.measure):
            better, worse = (pair.system, pair.other) if pair.verdict == BETTER else (pair.other, pair.system)
            found.setdefault((better, pair.data, pair.measure), []).append(letters[worse])
    joint = "" if all(len(letter) == 1 for letter in letters.values()) else ","
    order = {letter: place for place, letter in enumerate(letters.values())}
    return {key: joint.join(sorted(own, key=order.__getitem__)) for key, own in found.items()}


def _column(measure: str, values: Sequence[float], beats: Sequence[str]) -> list[TableCell]:
    """The cells of a column. Of equal figures, as they are shown, all are best; of counts none is."""
    texts = [number(measure, value) for value in values]
    highest = max((value for value in values if not math.isnan(value)), default=math.nan)
    best = number(measure, highest) if len(texts) > 1 and not is_count(measure) else None
    return [TableCell(text, text == best, own) for text, own in zip(texts, beats, strict=True)]


def number(measure: str, value: float) -> str:
    """Write a figure: four decimals; of a measure that counts none, or one in a mean.

    >>> number("nDCG@10", 0.31234), number("NumRet", 1200.0), number("NumRet", 600.5)
    ('0.3123', '1200', '600.5')
    """
    if math.isnan(value):
        return "-"
    return f"{value:.1f}".removesuffix(".0") if is_count(measure) else f"{value:.4f}"
