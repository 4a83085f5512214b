"""Detect the separator of a text table: with the right one, every row has as many cells as the header.

The header alone does not decide, nor does a count of characters: numbers contain commas, texts contain semicolons.
Excel's first line ``sep=;`` decides. If two separators fit every row, the one with more usual column names is taken;
if that decides nothing, the table is refused.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tardif.data.formats.form import spoken
from tardif.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
# The sample by which the separator is detected.
_ROWS = 1000
_CHARACTERS = 2**20
# Some programs quote the whole line.
_STATED = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How lines are split into cells.

    Attributes:
        separator: the character between two cells.
        quoted: a cell may be in double quotes; otherwise a quote is an ordinary character.
    """

    separator: str
    quoted: bool = True

    def cells(self, lines: Iterable[str]) -> Iterable[Sequence[str]]:
        """The rows of some lines; raises ``csv.Error`` for a misplaced quote."""
        if self.quoted:
            # strict: a quote inside a quoted cell must be doubled, or csv raises.
            return csv.reader(lines, delimiter=self.separator, strict=True)
        return (line.removesuffix("\n").removesuffix("\r").split(self.separator) for line in lines)


def stated(line: str) -> str | None:
    """The separator in Excel's first line ``sep=;``; None for any other line.

    >>> stated("sep=;")
    ';'
    """
    found = _STATED.fullmatch(line)
    return found[1] if found else None


def find_dialect(
    lines: Sequence[str], usual: Dialect, known: Callable[[str], bool], path: Path, *, whole: bool = True
) -> Dialect:
    """Detect the dialect of a table by its first lines.

    Args:
        lines: the lines with their ends, the header first.
        usual: the dialect that the file's suffix promises.
        known: tells whether a name is usual for a column or given by the user.
        path: the file, for messages.
        whole: these are all lines of the file; otherwise the last row may be incomplete.

    Raises:
        DataError: several separators fit every row; the message names them.
    """
    fits = {dialect: fit for dialect in _candidates(usual) if (fit := _fit(dialect, lines, whole)) is not None}
    wide = {dialect: fit for dialect, fit in fits.items() if fit.width > 1}
    if not wide:
        return usual
    even = [dialect for dialect, fit in wide.items() if fit.even]
    among = _first_of_each(even or wide)
    if len(among) > 1:
        counts = {dialect: sum(map(known, wide[dialect].header)) for dialect in among}
        among = [dialect for dialect in among if counts[dialect] == max(counts.values())]
    if len(among) > 1 and not even:
        return usual if usual in among else among[0]
    if len(among) > 1:
        words = " or ".join(f"{spoken(found.separator)} ({wide[found].width} columns)" for found in among)
        raise DataError(
            f"its cells may be separated by {words}: name one (--separator; in Python separator=).", path, 1
        )
    return among[0]


def _candidates(usual: Dialect) -> list[Dialect]:
    return list(dict.fromkeys((usual, *map(Dialect, SEPARATORS), Dialect("\t", quoted=False))))


def _first_of_each(dialects: Iterable[Dialect]) -> list[Dialect]:
    """One dialect for each separator: the first."""
    found: dict[str, Dialect] = {}
    for dialect in dialects:
        found.setdefault(dialect.separator, dialect)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _DialectFit:
    """The header in a dialect, its number of cells, and whether every row has as many."""

    header: Sequence[str]
    width: int
    even: bool


def _fit(dialect: Dialect, lines: Sequence[str], whole: bool) -> _DialectFit | None:
    rows: list[Sequence[str]] = []
    is_sound = True
    try:
        rows.extend(dialect.cells(lines))
    except csv.Error as error:
        # A quote that is still open at the end of the sample is no fault.
        is_sound = not whole and "unexpected end" in str(error)
    if not whole and rows and is_sound:
        # The last line of a sample may be cut.
        rows.pop()
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if not rows:
        return None
    width, least = len(rows[0]), len(trimmed(rows[0]))
    even = is_sound and all(len(row) >= least and len(trimmed(row)) <= width for row in rows[1:])
    return _DialectFit(rows[0], least, even)


def trimmed(cells: Sequence[str]) -> Sequence[str]:
    """A row without the empty cells at its end."""
    return cells[: max((place for place, cell in enumerate(cells, start=1) if cell.strip()), default=0)]


def head(lines: Iterable[str]) -> tuple[list[str], bool]:
    """The lines of the sample, and whether they are all lines."""
    found: list[str] = []
    size = 0
    for line in lines:
        if len(found) >= _ROWS or size >= _CHARACTERS:
            return found, False
        found.append(line)
        size += len(line)
    return found, True
