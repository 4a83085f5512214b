"""The heat map of an explanation: how similar each query token is to each token of the document, as SVG.

A long document is shown by its matched tokens, or whole in a map that is scrolled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from unicodedata import east_asian_width

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from tardif.display import Short
from tardif.escaping import visible
from tardif.explanation import Explanation, Match

# Steps of colour. The lowest is blank.
LEVELS = 9
# Columns of a map of matched tokens: more are the whole document, which is scrolled.
MOST_COLUMNS = 60
# In pixels: a cell, the space before a column that is no neighbour of the last one, and a character of a label.
CELL, GAP, _LETTER = 22, 7, 7.3
_LABEL = 18  # characters of a label
_NEXT = 2  # tokens named after a match


@dataclass(frozen=True, repr=False)
class HeatMap(Short):
    """A heat map, ready to be drawn.

    Attributes:
        rows: the labels of the query's tokens.
        columns: the numbers of the document's tokens that are shown.
        labels: their labels.
        values: the similarities shown ``[rows, columns]``.
        best: the columns that each row's best vector stands for.
        low: the similarity below which a cell is blank.
        high: the similarity of the darkest cell.
        of: how many tokens the document has.
    """

    rows: Sequence[str]
    columns: Sequence[int]
    labels: Sequence[str]
    values: NDArray[np.float32]
    best: Sequence[Sequence[int]]
    low: float
    high: float
    of: int

    @property
    def levels(self) -> NDArray[np.int64]:
        """The step of colour of each cell ``[rows, columns]``, from 0 (blank) to 9."""
        share = (self.values - self.low) / (self.high - self.low)
        return np.ceil(share.clip(0, 1) * LEVELS - 1e-6).astype(np.int64)

    @property
    def names_svg(self) -> Markup:
        """The labels of the rows, drawn: they stay in place while the cells beside them are scrolled."""
        top, width = _top(self), _width(self.rows) + 8
        names = (
            Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(width - 8, top + CELL * row + 15, name)
            for row, name in enumerate(self.rows)
        )
        drawn = Markup("").join(names)
        return _svg("names", width, top + CELL * len(self.rows), drawn, Markup('aria-hidden="true"'))

    def cells_svg(self, title: str) -> Markup:
        """Draw the labels of the columns and the cells; the cell of each row's best match has a frame.

        Args:
            title: what a screen reader says of it.
        """
        top, xs = _top(self), _places(self.columns)
        drawn = [*_ground(self, xs, top), *_cells(self, xs, top), *_frames(self, xs, top), *_heads(self, xs, top)]
        about = Markup('role="img" aria-label="{}"').format(visible(title))
        width = (xs[-1] if xs else 0) + CELL
        return _svg("cells", width, top + CELL * len(self.rows), Markup("").join(drawn), about)

    @property
    def key_svg(self) -> Markup:
        """The steps of colour, drawn."""
        steps = (Markup('<path class="l{}" d="M{} 6h12"/>').format(n, 12 * (n - 1)) for n in range(1, LEVELS + 1))
        return _svg("steps", 12 * LEVELS, 12, Markup("").join(steps), Markup('aria-hidden="true"'))


def heat_map(explanation: Explanation, *, whole: bool = False) -> HeatMap:
    """Return the heat map of an explanation.

    Args:
        explanation: of a score.
        whole: show every token of the document; by default only those that matched, unless the document is short.
    """
    similarities, of = explanation.similarities, len(explanation.document_tokens)
    columns = range(of) if whole or of <= MOST_COLUMNS else _matched(explanation)
    place = {column: number for number, column in enumerate(columns)}
    low, high = scale(similarities)
    return HeatMap(
        rows=[label(token.text) for token in explanation.query_tokens],
        columns=list(columns),
        labels=[label(explanation.document_tokens[column].text) for column in columns],
        values=similarities[:, list(columns)],
        best=[[place[token] for token in match.document_tokens if token in place] for match in explanation.matches],
        low=low,
        high=high,
        of=of,
    )


def scale(similarities: NDArray[np.float32]) -> tuple[float, float]:
    """Return the similarities at both ends of the colours: the middle one and the highest, to a tenth.

    Half of the cells are blank, whatever the model's similarities lie between.
    """
    if not similarities.size:
        return 0.0, 1.0
    low = math.floor(float(np.median(similarities)) * 10) / 10
    return low, max(math.ceil(float(similarities.max()) * 10 - 1e-6) / 10, low + 0.1)


def label(text: str) -> str:
    """Return a token's text as a label: on one line, visible, cut where it is long."""
    line = visible(" ".join(text.split()))
    return line if len(line) <= _LABEL else f"{line[: _LABEL - 1]}…"


def _matched(explanation: Explanation) -> list[int]:
    """The tokens that won a match, and the next best of each query token; the best of them where there are too many."""
    value: dict[int, float] = {}
    for match in explanation.matches:
        row = explanation.similarities[match.query_token]
        for token in (*match.document_tokens, *next_best(explanation, match)):
            value[token] = max(value.get(token, -math.inf), float(row[token]))
    won = {token for match in explanation.matches for token in match.document_tokens}
    ranked = sorted(value, key=lambda token: (token not in won, -value[token], token))
    return sorted(ranked[:MOST_COLUMNS])


def next_best(explanation: Explanation, match: Match) -> list[int]:
    """Return the document's tokens that are most similar to a query token after its match: two, of other characters."""
    row = explanation.similarities[match.query_token]
    seen = {explanation.document_tokens[place].text.casefold() for place in match.document_tokens}
    found: list[int] = []
    for place in np.argsort(-row, kind="stable").tolist():
        text = explanation.document_tokens[place].text.casefold()
        if text not in seen:
            seen.add(text)
            found.append(place)
        if len(found) == _NEXT:
            break
    return found


def _svg(name: str, width: int, height: int, drawn: Markup, about: Markup) -> Markup:
    return Markup('<svg class="{}" {} width="{w}" height="{h}" viewBox="0 0 {w} {h}">{}</svg>').format(
        name, about, drawn, w=width, h=height
    )


def _width(labels: Sequence[str]) -> int:
    """The width of the widest label. East Asian characters and emoji are two letters wide."""
    widths = (sum(2 if east_asian_width(letter) in "WF" else 1 for letter in name) for name in labels)
    return math.ceil(max(widths, default=0) * _LETTER)


def _top(heat: HeatMap) -> int:
    return _width(heat.labels) + 10


def _places(columns: Sequence[int]) -> list[int]:
    """Where each column begins. Columns that are no neighbours stand apart."""
    found: list[int] = []
    for number, column in enumerate(columns):
        is_next = number > 0 and column == columns[number - 1] + 1
        found.append(found[-1] + CELL + (0 if is_next else GAP) if number else 0)
    return found


def _ground(heat: HeatMap, xs: Sequence[int], top: int) -> Iterator[Markup]:
    """What is behind the cells: a rectangle for each stretch of neighbours."""
    columns, height = heat.columns, CELL * len(heat.rows) - 1
    starts = [n for n in range(len(columns)) if not n or columns[n] != columns[n - 1] + 1]
    for start, end in pairwise([*starts, len(columns)]):
        width = xs[end - 1] - xs[start] + CELL - 1
        yield Markup('<rect class="l0" x="{}" y="{}" width="{}" height="{}"/>').format(xs[start], top, width, height)


def _heads(heat: HeatMap, xs: Sequence[int], top: int) -> Iterator[Markup]:
    for x, name in zip(xs, heat.labels, strict=True):
        yield Markup('<text transform="translate({} {}) rotate(-90)">{}</text>').format(x + 15, top - 6, name)


def _frames(heat: HeatMap, xs: Sequence[int], top: int) -> Iterator[Markup]:
    side = CELL - 2.5
    for row, columns in enumerate(heat.best):
        for column in columns:
            yield Markup('<rect class="best" x="{}" y="{}" width="{}" height="{}"/>').format(
                xs[column] + 0.75, top + CELL * row + 0.75, side, side
            )


def _cells(heat: HeatMap, xs: Sequence[int], top: int) -> Iterator[Markup]:
    """A path for each row and step of colour: a stroke for each cell."""
    for row, levels in enumerate(heat.levels.tolist()):
        y = top + CELL * row + CELL // 2 - 0.5
        for level in range(1, LEVELS + 1):
            strokes = "".join(f"M{xs[n]} {y}h{CELL - 1}" for n, found in enumerate(levels) if found == level)
            if strokes:
                yield Markup('<path class="l{} r{}" d="{}"/>').format(level, row, strokes)
