"""The table of an evaluation in a terminal: aligned, the best figures marked, and the comparisons in words below.

A table that is wider than the terminal continues below with its next columns. Names are shown without control
characters; one that takes over a third of the width is cut at its beginning, and whole below the table.
"""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tardif.escaping import visible
from tardif.evaluation.figures import Pair
from tardif.evaluation.forms import significance_note
from tardif.evaluation.table import EvaluationTable, TableCell
from tardif.evaluation.verdict import BETTER, WORSE

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

# The columns of the screen that a heading takes before it is folded, and those between two columns of a table.
_HEADING, _BETWEEN = 13, 2
_STYLES = {BETTER: "green", WORSE: "red"}
# Names may hold what rich reads as markup, an emoji, or a number to colour: all are texts.
_AS_IT_IS: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}


def show(table: EvaluationTable, comparisons: Sequence[Pair] = ()) -> None:
    """Print a table, and comparisons, on stdout, as wide as the terminal."""
    from rich.console import Console

    _print(Console(file=sys.stdout, **_AS_IT_IS), table, comparisons)


def text_of(table: EvaluationTable, comparisons: Sequence[Pair] = (), *, width: int = 100) -> str:
    """Return a table, and comparisons, as text without colours.

    >>> from tardif.evaluation.figures import Figures
    >>> from tardif.evaluation.table import make_table
    >>> made = make_table([Figures("a", "faq", {"RR": 0.5}), Figures("b", "faq", {"RR": 0.25})])
    >>> [line.rstrip() for line in text_of(made).splitlines()]
    ['faq      RR', '────────────', 'a    0.5000*', 'b    0.2500', '', '* best of its column']
    """
    from rich.console import Console

    written = io.StringIO()
    _print(Console(file=written, width=width, color_system=None, **_AS_IT_IS), table, comparisons)
    return "".join(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


def _print(console: Console, table: EvaluationTable, comparisons: Sequence[Pair]) -> None:
    names = _short_names(table.systems, console.width // 3)
    for columns in _parts(table, names, console.width):
        console.print(_grid(table, names, columns))
        console.print()
    for line in _legend(table, names, comparisons):
        console.print(line)
    for (system, other, data), pairs in _by_systems(comparisons).items():
        ours, theirs = (names[table.systems.index(name)] for name in (system, other))
        console.print()
        console.print(f"{ours} against {theirs} on {visible(data)}", style="bold")
        for pair in pairs:
            console.print(_words(pair))


def _by_systems(comparisons: Sequence[Pair]) -> dict[tuple[str, str, str], list[Pair]]:
    found: dict[tuple[str, str, str], list[Pair]] = {}
    for pair in comparisons:
        found.setdefault((pair.system, pair.other, pair.data), []).append(pair)
    return found


def _short_names(systems: Sequence[str], most: int) -> list[str]:
    """The names of systems as they are shown, all different."""
    found: list[str] = []
    for system in systems:
        name = _cut(visible(system), most)
        numbered = itertools.chain([name], (f"{name} ({number})" for number in itertools.count(2)))
        found.append(next(one for one in numbered if one not in found))
    return found


def _cut(name: str, most: int) -> str:
    """A name that fits into so many columns of the screen: what it is (``dense:``), and its end."""
    from rich.cells import cell_len

    if cell_len(name) <= most:
        return name
    kind = next((kind for kind in ("dense:", "hybrid:") if name.startswith(kind)), "")
    kept = name[len(kind) :][-most:]  # a character takes one column or two
    while cell_len(kept) > most - len(kind) - 1:
        kept = kept[1:]
    return f"{kind}…{kept}"


def _parts(table: EvaluationTable, names: Sequence[str], width: int) -> Iterator[list[int]]:
    """Split the places of the columns so that each part fits into the terminal, with the systems at its side."""
    from rich.cells import cell_len

    letters = max(map(len, table.letters), default=0)
    beside = max(cell_len(name) for name in (*names, table.title[:_HEADING])) + (letters + 1 if letters else 0)
    part: list[int] = []
    taken = beside
    for place in range(len(table.columns)):
        wide = _BETWEEN + max(cell_len(line) for lines in _column(table, place) for line in lines)
        if part and taken + wide > width:
            yield part
            part, taken = [], beside
        part.append(place)
        taken += wide
    yield part


def _column(table: EvaluationTable, place: int) -> tuple[list[str], list[str]]:
    """The lines of a column's heading, and the texts of its cells with their marks: figures below figures."""
    cells = [row[place] for section in table.sections for row in section.rows]
    figure, beats = max(len(cell.text) for cell in cells), max(len(cell.beats) for cell in cells)
    star = any(cell.best for cell in cells)
    stars = [("*" if cell.best else " ") * star for cell in cells]
    texts = [f"{c.text:>{figure}}{mark}{c.beats:<{beats}}" for c, mark in zip(cells, stars, strict=True)]
    heading = _folded(table.columns[place])
    # A wide heading moves the figures to the right; a narrow one ends where they end.
    before = max(0, max(map(len, heading)) - len(texts[0]))
    return [line.rjust(before + figure) for line in heading], [" " * before + text for text in texts]


def _folded(text: str, most: int = _HEADING) -> list[str]:
    """A heading in lines of at most so many characters, broken behind a mark where there is one."""
    lines, rest = [], visible(text)
    while len(rest) > most:
        cut = 1 + max((place for place in range(most) if not rest[place].isalnum()), default=most - 1)
        lines.append(rest[:cut])
        rest = rest[cut:]
        if len(lines) == 3 and len(rest) > most:  # no heading is higher
            rest = f"…{rest[1 - most :]}"
    return [*lines, rest]


def _grid(table: EvaluationTable, names: Sequence[str], columns: Sequence[int]) -> Grid:
    """The systems, and some of the columns."""
    from rich import box
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _BETWEEN - 1, 0, 0))
    grid.add_column(Text("\n".join(_folded(table.title))), no_wrap=True)
    for place in columns:
        grid.add_column(Text("\n".join(_column(table, place)[0])), no_wrap=True)
    texts = [_column(table, place)[1] for place in columns]
    row = itertools.count()
    for section in table.sections:
        if section.heading:
            grid.add_row(Text(visible(section.heading), style="bold"))
        for system, cells in enumerate(section.rows):
            shown = next(row)
            marked = [_styled(cells[place], own[shown]) for place, own in zip(columns, texts, strict=True)]
            letter = Text(f"{table.letters[system]} " if table.letters[system] else "", style="cyan")
            grid.add_row(letter.append(names[system], style="default"), *marked)
        grid.add_section()
    return grid


def _styled(cell: TableCell, text: str) -> Text:
    from rich.text import Text

    styled = Text(text, style="bold green" if cell.best else "")
    if cell.beats:
        styled.stylize("cyan", text.rindex(cell.beats))
    return styled


def _legend(table: EvaluationTable, names: Sequence[str], comparisons: Sequence[Pair]) -> Iterator[Text]:
    """What the marks mean, and the names that were cut."""
    from rich.text import Text

    cells = [cell for section in table.sections for row in section.rows for cell in row]
    if any(cell.best for cell in cells):
        yield Text("* best of its column")
    if comparisons:
        yield Text(f"{' '.join(table.letters)}  {significance_note(comparisons)}")
    for name, system in zip(names, table.systems, strict=True):
        if name != visible(system):
            yield Text(f"{name}  is {visible(system)}")


def _words(pair: Pair) -> Any:
    """A comparison in words, the verdict coloured, indented where it takes several lines."""
    from rich.padding import Padding
    from rich.text import Text

    words = Text(visible(pair.words()))
    words.stylize(_STYLES.get(pair.verdict, "dim"), 0, words.plain.index(":"))
    return Padding(words, (0, 0, 0, 2))
