"""Rows of JSONL, CSV and TSV files with the line each came from; nothing unreadable gets through."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tardif.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv")
ROW_SUFFIXES = (".jsonl", ".ndjson", *TABLE_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Row:
    """One record: its fields by column name, and where it stood."""

    fields: dict[str, Any]
    path: Path
    line: int

    def error(self, what: str) -> DataError:
        """An error that points at this row."""
        return DataError(what, self.path, self.line)


def read_rows(path: Path) -> list[Row]:
    """Read a ``.jsonl``, ``.csv`` or ``.tsv`` file (the tables with a header line).

    Raises:
        DataError: the file is missing, empty, of another kind, not UTF-8, or a line is malformed.
    """
    if not path.exists():
        raise DataError("no such file: check the path.", path)
    if path.is_dir():
        raise DataError("is a folder: give a file, or a BEIR folder with corpus.jsonl.", path)
    suffix = path.suffix.lower()
    if suffix not in ROW_SUFFIXES:
        raise DataError(f"is of a kind that is not read ({suffix or 'no suffix'}): use .jsonl, .csv or .tsv.", path)
    rows = list(_json_rows(path) if suffix in (".jsonl", ".ndjson") else _table_rows(path, suffix))
    if not rows:
        raise DataError("is empty: it holds no row.", path)
    return rows


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file, numbered from 1, without their ends; a leading byte order mark is taken off.

    Raises:
        DataError: a line is not UTF-8 (named), or the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                try:
                    line = raw.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise DataError(
                        f"is not UTF-8 (byte {error.start + 1} of the line): save the file as UTF-8.",
                        path,
                        number,
                    ) from None
                if number == 1:
                    line = line.removeprefix("\ufeff")
                yield number, line.removesuffix("\n").removesuffix("\r")
    except FileNotFoundError:
        raise DataError("no such file: check the path.", path) from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}).", path) from error


def _json_rows(path: Path) -> Iterator[Row]:
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            if "\\ud" in line.lower():
                json.dumps(fields, ensure_ascii=False).encode()  # half a surrogate pair cannot be stored
        except RecursionError:
            raise DataError("malformed JSON (nested too deeply).", path, number) from None
        except ValueError as error:
            raise DataError(f"malformed JSON ({error}): each line must be one JSON object.", path, number) from None
        if not isinstance(fields, dict):
            raise DataError("each line must be one JSON object with named fields.", path, number)
        yield Row(fields, path, number)


def _table_rows(path: Path, suffix: str) -> Iterator[Row]:
    """Rows of a table with a header. CSV may be quoted; in TSV a quote is a character like any other."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    lines = (line + "\n" for _, line in read_lines(path))
    if suffix == ".csv":
        reader = csv.reader(lines, strict=True)
    else:
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    header: list[str] | None = None
    begin = 1
    try:
        for cells in reader:
            if header is None:
                header = [cell.strip() for cell in cells]
                if len(set(header)) != len(header):
                    raise DataError("the header names a column twice.", path, 1)
            elif cells:
                if len(cells) != len(header):
                    raise DataError(
                        f"has {len(cells)} columns where the header has {len(header)} ({', '.join(header)}).",
                        path,
                        begin,
                    )
                yield Row(dict(zip(header, cells, strict=True)), path, begin)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"malformed line ({error}).", path, begin) from None
