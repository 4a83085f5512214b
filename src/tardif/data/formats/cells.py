"""Rows of CSV and TSV files by the line each begins on."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tardif.data.formats.columns import listed
from tardif.data.formats.files import LONGEST, bare_lines, text_lines
from tardif.errors import DataError

Cells = Sequence[str]


def csv_rows(path: Path) -> Iterator[tuple[int, Cells]]:
    """The rows of a CSV file, the header among them, by the line each begins on; blank lines are none.

    Raises:
        DataError: a quote is not closed, or stands where none can.
    """
    # The limit is one for the whole process, and 128 KiB by default: only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST))
    reader = csv.reader((line for _, line in text_lines(path, any_end=True)), strict=True)
    begin = 1
    try:
        for cells in reader:
            if cells:
                yield begin, cells
            begin = reader.line_num + 1
    except csv.Error as error:
        hint = ""
        if "unexpected end" in str(error):
            hint = ": the quote that opens here is never closed"
        raise DataError(f"malformed CSV ({error}){hint}.", path, begin) from None


def tsv_rows(path: Path) -> Iterator[tuple[int, Cells]]:
    """The rows of a TSV file, the header among them; a quote is a character like any other."""
    for number, line in bare_lines(path):
        if line:
            yield number, line.split("\t")


def read_header(rows: Iterator[tuple[int, Cells]], path: Path) -> list[str]:
    """Take the first row as the columns' names.

    Raises:
        DataError: there is no row, or a name stands twice.
    """
    line, cells = next(rows, (0, ()))
    if not line:
        raise DataError("is empty: it holds no row.", path)
    header = [cell.strip() for cell in cells]
    if twice := [name for name, times in Counter(header).items() if times > 1]:
        raise DataError(f"the header names the column {twice[0]!r:.100} twice.", path, line)
    return header


def sized_rows(rows: Iterator[tuple[int, Cells]], header: Cells, path: Path) -> Iterator[tuple[int, Cells]]:
    """The rows after the header.

    Raises:
        DataError: a row has more or fewer cells than the header.
    """
    width = len(header)
    for number, cells in rows:
        if len(cells) != width:
            what = f"has {len(cells)} columns where the header has {width} ({listed(header)})."
            raise DataError(what, path, number)
        yield number, cells
