"""The rows of a table of documents, one at a time: JSON lines, a JSON array, CSV, TSV and Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tardif.data.document_rows import Row
from tardif.data.formats.cells import csv_rows, tsv_rows
from tardif.data.formats.corpora import table_records
from tardif.data.formats.files import PACKED, check_file, kind_of
from tardif.data.formats.json_files import json_array, json_objects
from tardif.errors import DataError

_OBJECTS = {".jsonl": json_objects, ".ndjson": json_objects, ".json": json_array}
_CELLS = {".csv": csv_rows, ".tsv": tsv_rows}
TABLES = (*_OBJECTS, *_CELLS, ".parquet")
"""What is read as a table, by suffix; all but Parquet also in gzip and zstd."""


def is_table(path: Path) -> bool:
    """Whether a file is read as a table, by its suffix."""
    return kind_of(path) in TABLES and not (kind_of(path) == ".parquet" and path.suffix.lower() in PACKED)


def stream_rows(path: Path) -> Iterator[Row]:
    """The rows of a table with the line each began on (its number in JSON arrays and Parquet).

    Raises:
        DataError: the file is missing, empty, damaged, no table, not UTF-8, or a row is malformed; says where.
    """
    check_file(path)
    if not is_table(path):
        raise DataError(
            f"is of a kind that is not read ({path.suffix or 'no suffix'}): use {', '.join(TABLES)}, "
            ".txt, .md, .rst, .html, .pdf or .docx.",
            path,
        )
    kind = kind_of(path)
    empty = True
    rows: Iterator[tuple[int, Mapping[str, Any]]]
    if kind in _OBJECTS:
        rows = _OBJECTS[kind](path)
    else:
        rows = _parquet(path) if kind == ".parquet" else table_records(_CELLS[kind](path), path)
    for line, fields in rows:
        empty = False
        yield Row(dict(fields), path, line)
    if empty:
        raise DataError("is empty: it holds no row.", path)


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
