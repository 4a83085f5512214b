"""Tables of cells (CSV, TSV and the like), with the line on which each row begins.

Blank rows, columns without a name and Excel's line ``sep=;`` are left out; the report counts them. The module reads by
hand, because it refuses what DuckDB and pandas guess: a row with too many cells, an unclear separator or encoding.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from tardif.data.formats.column_names import is_usual
from tardif.data.formats.columns import listed
from tardif.data.formats.decoding import CODING, table_encoding
from tardif.data.formats.files import LONGEST, check_file, kind_of, text_lines
from tardif.data.formats.form import Form, spoken
from tardif.data.formats.separators import SEPARATORS, Dialect, find_dialect, head, stated, trimmed
from tardif.errors import DataError

Cells = Sequence[Any]
Rows = Iterator[tuple[int, Cells]]

# The suffixes of text tables. Documents in ``.txt`` are a table only if a separator is given.
TEXT_TABLES = (".csv", ".tsv", ".txt")

# TSV has no quotes by its registration (IANA), and most TSV files of published collections follow that.
_USUAL = {".csv": Dialect(","), ".tsv": Dialect("\t", quoted=False), ".txt": Dialect("\t", quoted=False)}


@dataclass(frozen=True, slots=True)
class BadCell:
    """A cell of a workbook without a value; ``what`` is the reason."""

    what: str


def bad_cell(column: str, cell: BadCell, path: Path | str, line: int) -> DataError:
    """The error for a cell without a value where one is needed."""
    return DataError(f"column {column} holds {cell.what}: correct the cell, or take the row out.", path, line)


@dataclass
class CellTable:
    """A table with a header. The counts are complete after the last row.

    Attributes:
        path: the file.
        header: the cells of the header; those without a name are empty.
        line: the line of the header.
        names: the columns that have a name.
        what: the format and how the file is read, for the report.
        typed: cells are values (numbers, true and false) and may be a :class:`BadCell`; otherwise they are texts.
        more: further remarks for the report.
        bad: the number of cells without a value.
        blank: the number of blank rows.
        nameless: the number of rows with a cell in a column without a name.
    """

    path: Path
    header: Sequence[str]
    line: int
    what: str
    _read: Callable[[], Rows]
    _separator: str = ""
    typed: bool = False
    more: Callable[[], list[str]] = list
    bad: int = 0
    blank: int = 0
    nameless: int = 0

    def __post_init__(self) -> None:
        self._positions = {name: position for position, name in enumerate(self.header) if name}
        self.names = list(self._positions)
        self._width = len(self.header)
        self._least = self._positions[self.names[-1]] + 1  # cells up to the last name

    def rows(self, columns: Sequence[str] | None = None) -> Rows:
        """Stream the rows after the header, from the first in each call.

        Args:
            columns: the columns to return, in this order; all by default.

        Raises:
            DataError: a row has more or fewer cells than the header.
        """
        positions = [self._positions[name] for name in (self.names if columns is None else columns)]
        nameless = [position for position, name in enumerate(self.header) if not name]
        # Most tables use all columns in order: their rows are passed on without a copy.
        as_is = positions == list(range(self._width))
        self.blank = self.nameless = self.bad = 0
        for line, cells in self._read():
            if line <= self.line:
                continue
            if (not cells[0] or str(cells[0]).isspace()) and is_blank(cells):
                self.blank += 1
                continue
            # Spreadsheets write or drop the empty cells at the end of a row as they like.
            if len(cells) != self._width:
                self._check_size(cells, line)
            if nameless or len(cells) > self._least:
                self.nameless += not is_blank([*(cells[at] for at in nameless if at < len(cells))])
            yield line, cells if as_is and len(cells) == self._width else [cells[position] for position in positions]

    def texts(self, columns: Sequence[str]) -> Rows:
        """Stream the rows as :meth:`rows` does, with every value as a text.

        Raises:
            DataError: as for :meth:`rows`, or a cell has no value.
        """
        for line, cells in self.rows(columns):
            for name, cell in zip(columns, cells, strict=True):
                if isinstance(cell, BadCell):
                    raise bad_cell(name, cell, self.path, line)
            yield line, [cell if isinstance(cell, str) else cell_text(cell) for cell in cells]

    def remarks(self) -> list[str]:
        """Remarks on the rows that were read, for the report."""
        counts = {
            f"{self.blank} blank rows left out": self.blank,
            f"not used: cells of {self.nameless} rows in columns without a name": self.nameless,
            f"{self.bad} cells of formulas without a result are read as empty": self.bad,
        }
        return [*(remark for remark, count in counts.items() if count), *self.more()]

    def _check_size(self, cells: Cells, line: int) -> None:
        if len(cells) >= self._least and len(trimmed(cells)) <= self._width:
            return
        by = f", separated by {spoken(self._separator)}" if self._separator not in ("", ",") else ""
        more = len(cells) > self._width and self._separator not in ("", "\t")
        hint = f": put a text that holds a {spoken(self._separator)} in quotes" if more else ""
        names = listed(self.names)
        raise DataError(
            f"has {len(cells)} columns where the header has {self._width} ({names}){by}{hint}.", self.path, line
        )


def cell_text(value: Any) -> str:
    """A value of a sheet as a text.

    >>> cell_text(True), cell_text(17), cell_text(None)
    ('true', '17', '')
    """
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def is_blank(cells: Iterable[Any]) -> bool:
    """Whether all cells are empty."""
    return all(cell is None or cell == "" or (isinstance(cell, str) and not cell.strip()) for cell in cells)


def open_cells(path: Path, form: Form | None = None, named: Collection[str] = ()) -> CellTable:
    """Open a text table; its separator and encoding are detected unless they are given.

    Args:
        path: the file, plain or packed.
        form: the options that the user gave for it.
        named: the columns that the user named, which help to detect the separator.

    Raises:
        DataError: the file is empty, its encoding or separator is unclear, or its header names a column twice.
    """
    check_file(path)
    form = form or Form()
    coding = table_encoding(path, form.encoding)
    kind = kind_of(path)
    usual = _USUAL.get(kind, _USUAL[".csv"])

    def lines(any_end: bool = True) -> Iterator[tuple[int, str]]:
        return text_lines(path, any_end=any_end, encoding=coding.name, way_out=CODING)

    first, whole = head(line for _, line in lines())
    # Excel's own first line, "sep=;", is no row.
    excels = stated(first[0]) if first else None
    if (given := form.separator or excels) is not None:
        dialect = usual if given == usual.separator else Dialect(given)
    else:
        dialect = find_dialect(first, usual, lambda name: name.strip() in named or is_usual(name), path, whole=whole)

    def read() -> Rows:
        # In TSV a lone carriage return may be a character of a text.
        found = islice(lines(any_end=dialect.quoted), 1 if excels else 0, None)
        return _rows(found, dialect, path, 2 if excels else 1)

    said = [coding.said] if coding.said else []
    if dialect.separator != usual.separator:
        said.insert(0, f"separated by {spoken(dialect.separator)}")
    what = kind[1:].upper() + (f" ({', '.join(said)})" if said else "")
    table = named_table(path, read, what, separator=dialect.separator)
    _check_split(table, dialect.separator)
    return table


def _rows(lines: Iterator[tuple[int, str]], dialect: Dialect, path: Path, begin: int) -> Rows:
    """The rows of some lines with the header, each with its first line; blank lines are skipped.

    Raises:
        DataError: a quote is not closed, or is where none may be.
    """
    if not dialect.quoted:
        for number, line in lines:
            if bare := line.removesuffix("\n").removesuffix("\r"):
                yield number, bare.split(dialect.separator)
        return
    # The limit is shared by the whole process and 128 KiB by default, so it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
    # strict: without it the reader would read a stray quote as text, and cells would shift in silence.
    reader = csv.reader((line for _, line in lines), delimiter=dialect.separator, strict=True)
    ahead = begin - 1
    try:
        for cells in reader:
            if cells:
                yield begin, cells
            # reader.line_num counts the lines that a row with line ends in its quotes took.
            begin = ahead + reader.line_num + 1
    except csv.Error as error:
        hint = ": the quote that opens here is never closed" if "unexpected end" in str(error) else ""
        raise DataError(f"malformed CSV ({error}){hint}.", path, begin) from None


def tsv_rows(path: Path) -> Rows:
    """The rows of a TSV file of a published layout: tabs, UTF-8, and quotes without a meaning."""
    return _rows(text_lines(path), _USUAL[".tsv"], path, 1)


def named_table(
    path: Path, read: Callable[[], Rows], what: str, *, separator: str = "", typed: bool = False
) -> CellTable:
    """Make a table of rows, the first of which that is not blank is the header.

    Args:
        path: the file.
        read: streams the rows with the header, from the first in each call.
        what: the format and how the file is read, for the report.
        separator: between two cells, for messages.
        typed: cells are values.

    Raises:
        DataError: there is no row, or the header has a name twice.
    """
    line, cells = next(((line, cells) for line, cells in read() if not is_blank(cells)), (0, ()))
    if not line:
        raise DataError("is empty: it holds no row.", path)
    header = ["" if cell is None else str(cell).strip() for cell in cells]
    if bad := next((cell for cell in cells if isinstance(cell, BadCell)), None):
        raise DataError(f"the header holds {bad.what}: give the column a name.", path, line)
    if twice := [name for name, times in Counter(filter(None, header)).items() if times > 1]:
        raise DataError(f"the header names the column {twice[0]!r:.100} twice.", path, line)
    return CellTable(path, header, line, what, read, separator, typed)


def _check_split(table: CellTable, separator: str) -> None:
    """Refuse a header of one column that another separator would split.

    Raises:
        DataError: the header has one; the message names it.
    """
    header = table.names[0]
    others = [other for other in SEPARATORS if other != separator and other in header]
    if len(table.names) == 1 and others:
        best = max(others, key=header.count)
        typed = "tab" if best == "\t" else f"'{best}'"
        raise DataError(
            f"the header {header!r:.100} is one column, separated by {spoken(separator)}: it seems to be separated by "
            f"{spoken(best)} (--separator {typed}; in Python separator={best!r}).",
            table.path,
            table.line,
        )
