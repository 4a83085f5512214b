"""The rows of a table of documents, one at a time: JSON lines, a JSON array, CSV, TSV, Excel and Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tardif.data.document_report import DocumentReport
from tardif.data.document_rows import Row
from tardif.data.formats.cells import TEXT_TABLES, BadCell, open_cells
from tardif.data.formats.corpora import table_records
from tardif.data.formats.files import PACKED, check_file, kind_of
from tardif.data.formats.form import Form
from tardif.data.formats.json_files import json_array, json_objects
from tardif.data.formats.workbooks import WORKBOOKS, open_sheet
from tardif.errors import DataError

_OBJECTS = {".jsonl": json_objects, ".ndjson": json_objects, ".json": json_array}
_CELLS = (".csv", ".tsv")
_WHOLE = (".parquet", *WORKBOOKS)
TABLES = (*_OBJECTS, *_CELLS, *_WHOLE)
"""What is read as a table, by suffix; the text ones also in gzip and zstd."""


def is_table(path: Path, form: Form | None = None) -> bool:
    """Whether a file is read as a table, by its suffix; a ``.txt`` is one where its separator is given."""
    if form is not None and form.separator is not None and kind_of(path) in TEXT_TABLES:
        return True
    return kind_of(path) in TABLES and not (kind_of(path) in _WHOLE and path.suffix.lower() in PACKED)


def stream_rows(path: Path, form: Form | None = None, report: DocumentReport | None = None) -> Iterator[Row]:
    """The rows of a table with the line each began on (its number in JSON arrays and Parquet).

    Args:
        path: the table.
        form: separator, encoding and sheet, where the file does not say so itself.
        report: is told how the table was read.

    Raises:
        DataError: the file is missing, empty, damaged, no table, in no clear encoding, or a row is malformed; says
            where.
    """
    check_file(path)
    form = form or Form()
    if not is_table(path, form):
        raise DataError(
            f"is of a kind that is not read ({path.suffix or 'no suffix'}): use {', '.join(TABLES)}, "
            ".txt, .md, .rst, .html, .pdf or .docx.",
            path,
        )
    empty = True
    for line, fields in _records(path, form, report):
        empty = False
        yield Row(dict(fields), path, line, typed=kind_of(path) in WORKBOOKS)
    if empty:
        raise DataError("is empty: it holds no row.", path)


def _records(path: Path, form: Form, report: DocumentReport | None) -> Iterator[tuple[int, Mapping[str, Any]]]:
    kind = kind_of(path)
    if kind in _OBJECTS:
        yield from _OBJECTS[kind](path, form.encoding)
    elif kind == ".parquet":
        yield from _parquet(path)
    else:
        table = open_sheet(path, form) if kind in WORKBOOKS else open_cells(path, form)
        for line, fields in table_records(table):
            table.bad += table.typed and sum(isinstance(cell, BadCell) for cell in fields.values())
            yield line, fields
        said = [*([table.what] if "(" in table.what else []), *table.remarks()]
        if report is not None and said:
            report.tables.append(f"{path.name}: {'; '.join(said)}")


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as pa
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if len(set(names)) != len(names):
                raise DataError("names a column twice.", path)
            for batch in file.iter_batches(batch_size=1024):
                for fields in batch.to_pylist():
                    number += 1
                    yield number, fields
    except (pa.ArrowException, OSError, ValueError) as error:
        what = next(iter(str(error).splitlines()), "")
        raise DataError(f"cannot be read as Parquet ({what}): write it again.", path) from error
