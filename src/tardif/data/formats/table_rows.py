"""The rows of a table, one at a time: JSON lines, a JSON array, CSV, TSV, Excel, Parquet and Arrow.

Tables of documents and lists of queries are both read from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tardif.data.document_report import DocumentReport
from tardif.data.formats.cells import TEXT_TABLES, BadCell, bad_cell, cell_text, open_cells, tsv_rows
from tardif.data.formats.column_names import DOCUMENT_COLUMNS, QUERY_COLUMNS, plain
from tardif.data.formats.files import PACKED, bare_lines, check_file, kind_of
from tardif.data.formats.form import Form
from tardif.data.formats.frames import open_ipc, open_parquet
from tardif.data.formats.json_files import json_objects
from tardif.data.formats.values import Cell
from tardif.data.formats.workbooks import WORKBOOKS, open_sheet
from tardif.errors import DataError

JSON_LINES = (".jsonl", ".ndjson")
ARROW = (".arrow", ".feather", ".ipc")
# What a collection's corpus or queries may be, the first that is there before the others.
COLLECTION_TABLES = (*JSON_LINES, ".csv", ".tsv", ".json", ".parquet", *ARROW)
# What is read as a table, by suffix; the text ones also in gzip and zstd.
TABLES = (*COLLECTION_TABLES, *WORKBOOKS)
_NEVER_PACKED = (".parquet", *ARROW, *WORKBOOKS)
# A row of MS MARCO's documents, which have a cell more than the tables of its passages.
_WITH_URL = ("id", "url", "title", "text")
_IDS = {*DOCUMENT_COLUMNS["id"], *QUERY_COLUMNS["query_id"]}
_TEXTS = {*DOCUMENT_COLUMNS["text"], *QUERY_COLUMNS["query"]}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Attributes:
        fields: the cells by column name.
        path: the table, or a word for it.
        line: the line on which the row begins; its number in an array, a frame or a workbook.
        typed: the cells are a workbook's, where a number may serve as a text and an empty cell is missing.
    """

    fields: Mapping[str, Any]
    path: Path | str
    line: int
    typed: bool = False

    def error(self, what: str) -> DataError:
        """An error that points at this row."""
        return DataError(what, self.path, self.line)

    def cell(self, name: str) -> Cell:
        """The cell of a column; a workbook's as a text.

        Raises:
            DataError: the cell is an error of Excel's, or a formula without a result.
        """
        value = self.fields[name]
        if self.typed:
            if isinstance(value, BadCell):
                raise bad_cell(name, value, self.path, self.line)
            value = cell_text(value)
        return Cell(value, name, self.path, self.line)


def is_table(path: Path, form: Form | None = None) -> bool:
    """Whether a file is read as a table, by its suffix; a ``.txt`` is one where its separator is given."""
    if form is not None and form.separator is not None and kind_of(path) in TEXT_TABLES:
        return True
    return kind_of(path) in TABLES and not (kind_of(path) in _NEVER_PACKED and path.suffix.lower() in PACKED)


def stream_rows(
    path: Path, form: Form | None = None, report: DocumentReport | None = None, bare: Sequence[str] = ()
) -> Iterator[Row]:
    """Stream the rows of a table.

    Args:
        path: the table.
        form: separator, encoding and sheet, where the file does not state them.
        report: receives how the table was read.
        bare: column names for a TSV file without a header, as ColBERT's; empty: every TSV file has a header.

    Raises:
        DataError: the file is missing, empty, damaged or no table, its encoding is unclear, or a row is malformed.
    """
    check_file(path)
    form = form or Form()
    if not is_table(path, form):
        raise DataError(
            f"is of a kind that is not read ({path.suffix or 'no suffix'}): use {', '.join(TABLES)}, "
            ".txt, .md, .rst, .html, .pdf or .docx.",
            path,
        )
    is_typed, empty = kind_of(path) in WORKBOOKS, True
    for line, fields in _records(path, form, report, bare):
        empty = False
        yield Row(fields, path, line, is_typed)
    if empty:
        raise DataError("is empty: it holds no row.", path)


def _records(
    path: Path, form: Form, report: DocumentReport | None, bare: Sequence[str]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    kind = kind_of(path)
    if kind in (*JSON_LINES, ".json"):
        yield from json_objects(path, form.encoding)
    elif kind in (".parquet", *ARROW):
        yield from (open_parquet([path], path) if kind == ".parquet" else open_ipc(path)).records()
    elif bare and form == Form() and _is_bare(path):
        yield from _bare_records(path, bare)
    else:
        yield from _cell_records(path, form, report)


def _cell_records(path: Path, form: Form, report: DocumentReport | None) -> Iterator[tuple[int, Mapping[str, Any]]]:
    table = open_sheet(path, form) if kind_of(path) in WORKBOOKS else open_cells(path, form)
    for line, cells in table.rows():
        # Documents may have empty cells. Judgements may not: CellTable.texts refuses these cells.
        table.bad += table.typed and sum(isinstance(cell, BadCell) for cell in cells)
        yield line, dict(zip(table.names, cells, strict=True))
    said = [*([table.what] if "(" in table.what else []), *table.remarks()]
    if report is not None and said:
        report.tables.append(f"{path.name}: {'; '.join(said)}")


def _is_bare(path: Path) -> bool:
    """Whether a TSV file has no header: its first line does not name an id and a text."""
    if kind_of(path) != ".tsv":
        return False
    names = {plain(cell) for cell in next((cells for _, cells in tsv_rows(path)), ())}
    # Both are needed: "text" alone may be the first word of a document.
    return not (names & _IDS and names & _TEXTS)


def _bare_records(path: Path, names: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, text in bare_lines(path):
        cells = text.split("\t")
        if 2 <= len(cells) <= len(names):
            yield line, dict(zip(names, cells, strict=False))
        elif len(names) == len(_WITH_URL) - 1 and len(cells) == len(_WITH_URL):
            yield line, dict(zip(_WITH_URL, cells, strict=True))
        elif text:
            raise DataError(f"malformed line: it must be {', '.join(names)} with tabs between.", path, line)
