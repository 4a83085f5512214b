"""A sheet of an Excel workbook (.xlsx, .xlsm, .xls) as a table of cells; rows have Excel's numbers.

calamine reads a sheet as a whole, as a rectangle. Its size is bounded first by a scan of the XML: a package of a
kilobyte can unpack to gigabytes, and two cells in opposite corners of a sheet span 17 billion cells. The scan also
finds the cells that calamine returns as empty: Excel's errors, and formulas saved without a result.
"""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from tardif.data.extraction.extracted import library
from tardif.data.formats.cells import BadCell, CellTable, Rows, is_blank, named_table
from tardif.data.formats.column_names import is_usual
from tardif.data.formats.form import Form
from tardif.data.regular import open_regular
from tardif.errors import DataError, first_line

WORKBOOKS = (".xlsx", ".xlsm", ".xls")
# Bytes of a workbook's XML, unpacked. A million rows of five columns have a quarter of that.
LARGEST = 2**29
# Cells of a sheet's rectangle with the empty ones: two gigabytes of memory.
MOST_CELLS = 2**26

_BLOCK = 2**20  # bytes unpacked at a time
_PARTS = 10_000  # of a package: opening each costs time
# The reference of a cell, r="AB12", as column and row.
_CELL = re.compile(rb"\br\s*=\s*[\"']([A-Za-z]{1,7})(\d{1,9})\b")
# The number of a row, which may be far below the last cell.
_ROW = re.compile(rb"<(?:\w+:)?row\s[^>]*?\br\s*=\s*[\"'](\d{1,9})\b")
# A cell of type "e" and its error, such as #REF!.
_ERROR = re.compile(rb'<(?:\w+:)?c\s([^>]*\bt="e"[^>]*)>(?:<f[^>]*(?:/>|>[^<]*</f>))?\s*<(?:\w+:)?v>([^<]*)')
# A cell with a formula and without a value: the program that wrote it did not compute.
_UNKNOWN = re.compile(
    rb"<(?:\w+:)?c\s([^>/]*)>\s*<(?:\w+:)?f[^>]*(?:/>|>[^<]*</(?:\w+:)?f>)\s*(?:<(?:\w+:)?v\s*/>|<v>\s*</v>)?\s*</(?:\w+:)?c>"
)
_OTHERS = frozenset({"workbook.bin", "content.xml"})  # parts of other formats, which the scan does not cover
# workbook.xml maps names of sheets to relations, workbook.xml.rels relations to parts.
_TAG = re.compile(rb"<(?:\w+:)?(sheet|Relationship)\s([^>]*)>")
_ATTRIBUTE = re.compile(rb'(?:\w+:)?(\w+)\s*=\s*"([^"]*)"')

# The fault of a cell by its row and column from 0.
Faults = dict[tuple[int, int], str]


@dataclass
class _Package:
    """The result of a scan: the faulty cells by part of the package, and the parts that map sheets to parts."""

    faults: dict[str, Faults] = field(default_factory=dict)
    parts: dict[str, bytes] = field(default_factory=dict)

    def of_sheet(self, name: str) -> Faults:
        """The faulty cells of a sheet."""
        from html import unescape

        sheets = {unescape(tag["name"]): tag["id"] for tag in self._tags("workbook.xml") if "sheetId" in tag}
        targets = {tag["Id"]: tag["Target"] for tag in self._tags("workbook.xml.rels") if "Target" in tag}
        target = targets.get(sheets.get(name, ""), "")
        return self.faults.get(target.rpartition("/")[2], {})

    def _tags(self, part: str) -> Iterator[dict[str, str]]:
        for found in _TAG.finditer(self.parts.get(part, b"")):
            yield {key.decode(): value.decode("utf-8", "replace") for key, value in _ATTRIBUTE.findall(found[2])}


def open_sheet(path: Path, form: Form, named: Collection[str] = ()) -> CellTable:
    """Open a sheet of a workbook: the one that the user named, else the only one with a table.

    Args:
        path: the file.
        form: the user's options, among them the name of the sheet.
        named: the columns that the user named, which help to find the sheet.

    Raises:
        DataError: the file is damaged, encrypted or too large, there is no such sheet, or several sheets fit.
    """
    calamine = library("Excel")
    with open_regular(path) as file:
        # One byte more than allowed shows that the file is larger, whatever size the system reports.
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise DataError(f"has more than {LARGEST >> 20} MiB: save it as CSV.", path)
    package = _scanned(content, path) if content[:2] == b"PK" else _Package()
    if content[:2] == b"PK" and ("workbook.xml" not in package.parts or not _OTHERS.isdisjoint(package.parts)):
        raise DataError("cannot be read as a workbook (its package is of another kind): save it as .xlsx.", path)
    try:
        book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        sheets = {
            found.name: (found.visible is calamine.SheetVisibleEnum.Visible)
            for found in book.sheets_metadata
            if found.typ is calamine.SheetTypeEnum.WorkSheet
        }
        opened = {name: book.get_sheet_by_name(name) for name in _among(sheets, form.sheet, path)}
    except DataError:
        raise
    except calamine.PasswordError:
        raise DataError("needs a password: save it without one.", path) from None
    except BaseException as error:  # calamine panics on some damaged files
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise DataError(f"cannot be read as a workbook ({first_line(error)}): save it again.", path) from None
    # calamine gives an empty sheet no first cell.
    tables = {name: _Sheet(sheet, package.of_sheet(name)) for name, sheet in opened.items() if sheet.start is not None}
    return _chosen(path, tables, sheets, form.sheet, named)


def _among(sheets: Mapping[str, bool], asked: str | None, path: Path) -> list[str]:
    """The sheets to open: the one that the user named, else those that are not hidden."""
    if asked is None:
        return [name for name, is_visible in sheets.items() if is_visible]
    if asked in sheets:
        return [asked]
    raise DataError(f"has no sheet {asked!r:.100}; it has {_listed(sheets)} (--sheet; in Python sheet=).", path)


def _chosen(
    path: Path, tables: Mapping[str, _Sheet], sheets: Mapping[str, bool], asked: str | None, named: Collection[str]
) -> CellTable:
    """The table of one sheet: of several that are not empty, the sheet with most usual names in its header."""
    if not tables:
        where = "" if asked is None else f" in its sheet {asked!r:.100}"
        raise DataError(f"is empty: it holds no row{where}.", path)
    among = list(tables)
    if len(among) > 1:
        counts = {
            name: sum(column.strip() in named or is_usual(column) for column in tables[name].header) for name in among
        }
        among = [name for name in among if counts[name] and counts[name] == max(counts.values())]
    if len(among) != 1:
        raise DataError(
            f"has several sheets that hold something ({_listed(tables)}): name one (--sheet NAME; in Python sheet=).",
            path,
        )
    name = among[0]
    others = [other for other in sheets if other != name]
    said = f"sheet {name}" + (f", not read: {_listed(others)}" if others and asked is None else "")
    table = named_table(path, tables[name].rows, f"Excel ({said})", typed=True)
    table.more = tables[name].remarks
    return table


def _listed(names: Mapping[str, Any] | Sequence[str]) -> str:
    found = [repr(name)[:60] for name in names]
    return ", ".join([*found[:10], *(["..."] if len(found) > 10 else [])]) or "none"


class _Sheet:
    """The rows of a sheet as values; merged cells are filled in, faulty cells are marked."""

    def __init__(self, sheet: Any, faults: Faults) -> None:
        self._sheet, self._faults = sheet, faults
        self._left = sheet.start[1]
        self._filled = 0
        self.header = next(([str(cell) for cell in cells] for _, cells in self.rows() if not is_blank(cells)), [])

    def rows(self) -> Rows:
        """Stream the rows, the header too, with their numbers in Excel."""
        spans = self._spans()
        running: dict[int, tuple[int, Any]] = {}  # column -> the last row of merged cells, and their value
        self._filled = 0
        for row, cells in enumerate(self._sheet.iter_rows()):
            values = [_value(cell) for cell in cells]
            for column, (last, value) in list(running.items()):
                if row <= last and values[column] == "":
                    values[column] = value
                    self._filled += 1
                elif row > last:
                    del running[column]
            for column, last in spans.get(row, ()):
                running[column] = last, values[column]
            for column in range(len(values)) if self._faults else ():
                if (what := self._faults.get((row, column + self._left))) is not None:
                    values[column] = BadCell(what)
            yield row + 1, values

    def remarks(self) -> list[str]:
        """Remarks on the rows that were read, for the report."""
        return [f"{self._filled} merged cells filled in"] if self._filled else []

    def _spans(self) -> dict[int, list[tuple[int, int]]]:
        """Cells merged over several rows: their column and last row, by the row in which they begin."""
        found: dict[int, list[tuple[int, int]]] = {}
        for (top, left), (bottom, _) in self._sheet.merged_cell_ranges or ():
            if bottom > top and left >= self._left:
                found.setdefault(top, []).append((left - self._left, bottom))
        return found


def _value(cell: Any) -> Any:
    """The value of a cell: whole numbers without a fraction, dates in ISO format."""
    if isinstance(cell, float):
        # Excel stores all numbers as floats.
        return int(cell) if cell.is_integer() and abs(cell) < 1e21 else cell
    # str() writes dates and times in ISO format, with a space between the two.
    is_time = isinstance(cell, datetime.date | datetime.time | datetime.timedelta)
    return str(cell) if is_time else cell


def _scanned(content: bytes, path: Path) -> _Package:
    """Scan the XML of a package block by block: the sizes that it declares may be false.

    Raises:
        DataError: the package is damaged, encrypted or too large.
    """
    found, left = _Package(), LARGEST
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            parts = package.infolist()
            if len(parts) > _PARTS:
                raise DataError(f"has more than {_PARTS} parts: save it again, or as CSV.", path)
            for part in parts:
                if part.flag_bits & 1:
                    raise DataError("needs a password: save it without one.", path)
                name = part.filename.rpartition("/")[2]
                scan, kept = _SheetScan(path), bytearray()
                with package.open(part) as packed:
                    while block := packed.read(_BLOCK):
                        left -= len(block)
                        if left < 0:
                            raise DataError(f"unpacks to more than {LARGEST >> 20} MiB: save it as CSV.", path)
                        scan.feed(block)
                        if name in ("workbook.xml", "workbook.xml.rels"):
                            kept += block
                scan.close()
                found.faults[name] = scan.faults
                found.parts[name] = bytes(kept)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, RuntimeError) as error:
        raise DataError(f"is damaged or cut short ({first_line(error)}): save it again.", path) from None
    return found


class _SheetScan:
    """A scan of a sheet's XML, fed in blocks: the size of its rectangle, and its faulty cells."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.faults: Faults = {}
        self._columns: set[bytes] = set()
        self._last = 0
        self._rest = b""

    def feed(self, block: bytes) -> None:
        """Scan the next block.

        Raises:
            DataError: the sheet's rectangle is too large.
        """
        text = self._rest + block
        # A block ends anywhere, so what follows the last opening tag of a cell waits for the next block.
        end = max(text.rfind(b"<c "), text.rfind(b":c ")) if len(text) < 4 * _BLOCK else len(text)
        text, self._rest = (text[:end], text[end:]) if end > 0 else (text, b"")
        self._scan(text)

    def close(self) -> None:
        """Scan the rest; errors as for :meth:`feed`."""
        self._scan(self._rest)

    def _scan(self, text: bytes) -> None:
        places = _CELL.findall(text)
        self._columns |= {column for column, _ in places}
        rows = {row for _, row in places}.union(_ROW.findall(text))
        self._last = max(self._last, max(map(int, rows), default=0))
        width = max(map(_number, self._columns), default=0)
        if width * self._last > MOST_CELLS:
            raise DataError(
                f"spans {self._last:,} rows and {width:,} columns, too many: clear what is far from the table, or save "
                "it as CSV.",
                self.path,
            )
        for found in _ERROR.finditer(text):
            self._note(found[1], f"Excel's error {found[2].decode('ascii', 'replace')}")
        for found in _UNKNOWN.finditer(text):
            # Formulas with an empty text as their result have type "str" and no value.
            if b't="str"' not in found[1]:
                self._note(found[1], "a formula whose result was not saved: open it in Excel and save it")

    def _note(self, attributes: bytes, what: str) -> None:
        if place := _CELL.search(b" " + attributes):
            self.faults[int(place[2]) - 1, _number(place[1]) - 1] = what


def _number(column: bytes) -> int:
    """The number of a column from 1: AA is 27."""
    return reduce(lambda number, letter: number * 26 + letter - 64, column.upper(), 0)
