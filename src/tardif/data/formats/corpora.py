"""A corpus or a list of queries in a file: ids and texts, streamed with the line of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tardif.checks import is_missing, storable
from tardif.data.formats.cells import CellTable, named_table, open_cells, tsv_rows
from tardif.data.formats.columns import plain
from tardif.data.formats.files import bare_lines, kind_of
from tardif.data.formats.form import Form
from tardif.data.formats.frames import open_ipc, open_parquet
from tardif.data.formats.json_files import first_character, json_array, json_objects
from tardif.data.formats.values import Cell
from tardif.errors import DataError
from tardif.types import Document, Query

PACKINGS = ("", ".gz", ".zst", ".zstd")
SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".json", ".parquet", ".arrow", ".feather", ".ipc")

_ID_NAMES = ("_id", "id", "query_id", "qid", "document_id", "doc_id", "docid", "docno", "pid", "corpus_id")
_TEXT_NAMES = ("text", "query", "question", "document", "passage", "content", "contents", "body")

Fields = Mapping[str, Any]


def find_file(folder: Path, *names: str) -> Path | None:
    """The first of these files that a folder has, plain or packed. Whether it is a regular one is asked when it is
    read: a pipe of that name is to be refused, not passed over."""
    candidates = (folder / f"{name}{packing}" for name in names for packing in PACKINGS)
    return next((path for path in candidates if path.exists() and not path.is_dir()), None)


def read_queries(path: Path) -> Iterator[tuple[int, Query]]:
    """The queries of a table (:data:`SUFFIXES`); a TSV file may have no header: id, text.

    Raises:
        DataError: a line is malformed, or an id or text is missing.
    """
    for line, fields in _records(path, ("id", "text")):
        yield line, query_of(fields, path, line)


def query_of(
    fields: Fields, path: Path | str, line: int, id_column: str | None = None, text_column: str | None = None
) -> Query:
    """The query of a row.

    Args:
        fields: the row.
        path: where it stands.
        line: on which line.
        id_column: the column of its id, where it has that one.
        text_column: the column of its text, likewise.

    Raises:
        DataError: its id or text is missing.
    """
    names = _names(fields)
    if id_column is not None and id_column in fields:
        names = {**names, _ID_NAMES[0]: id_column}
    if text_column is not None and text_column in fields:
        names = {**names, _TEXT_NAMES[0]: text_column}
    return Query(_identity(fields, names, path, line), _text(fields, names, path, line))


def records(path: Path, form: Form | None = None) -> Iterator[tuple[int, Fields]]:
    """The rows of a table of ids and texts by field name; a TSV file without a header has ``id`` and ``text``."""
    yield from _records(path, ("id", "text"), form)


def read_corpus(path: Path) -> Iterator[tuple[int, Document]]:
    """The documents of a table (:data:`SUFFIXES`); a TSV file may have no header: id, text, title.

    Other fields are the documents' metadata. A document may be empty: its id may be judged.

    Raises:
        DataError: a line is malformed, or an id or text is missing.
    """
    for line, fields in _records(path, ("id", "text", "title")):
        names = _names(fields)
        identity, text = _identity(fields, names, path, line), _text(fields, names, path, line)
        title = ""
        if (name := names.get("title")) is not None and not is_missing(fields[name]):
            title = Cell(fields[name], name, path, line).text()
        used = {names.get("title"), _first(names, _ID_NAMES), _first(names, _TEXT_NAMES)}
        metadata = _metadata(fields, used)
        if metadata and not _storable(metadata):
            raise DataError(
                "the metadata cannot be stored: it is nested too deep or holds half a character.", path, line
            )
        yield line, Document(identity, text, title, metadata)


def read_groups(path: Path, field: str) -> dict[str, str]:
    """The value of a field (of a row, or of its metadata) by id, of those rows that have it.

    Raises:
        DataError: a value can be no group.
    """
    groups: dict[str, str] = {}
    for line, fields in _records(path, ("id", "text")):
        names = _names(fields)
        value = _metadata(fields, set()).get(field)
        if value is not None:
            groups[_identity(fields, names, path, line)] = Cell(value, field, path, line).group()
    return groups


def _records(path: Path, bare: Sequence[str], form: Form | None = None) -> Iterator[tuple[int, Fields]]:
    """The rows of a file by field name; ``bare`` names the cells of a TSV file without a header."""
    kind = kind_of(path)
    if kind in (".jsonl", ".ndjson"):
        yield from json_objects(path)
    elif kind == ".csv":
        yield from table_records(open_cells(path, form))
    elif kind == ".tsv":
        yield from _tsv_records(path, bare, form)
    elif kind == ".json":
        yield from (json_array if first_character(path) == "[" else json_objects)(path)
    elif kind in SUFFIXES and kind == path.suffix.lower():
        frame = open_parquet([path], path) if kind == ".parquet" else open_ipc(path)
        for number, row in frame.rows(frame.names):
            yield number, dict(zip(frame.names, row, strict=True))
    else:
        raise DataError(f"is of a kind that holds no ids and texts ({kind or 'no suffix'}): use {_or()}.", path)


def table_records(table: CellTable) -> Iterator[tuple[int, Fields]]:
    """The rows of a table by its header."""
    for line, cells in table.rows():
        yield line, dict(zip(table.names, cells, strict=True))


def is_bare(path: Path) -> bool:
    """Whether a file is one of ids and texts with tabs between, without a header."""
    if kind_of(path) != ".tsv":
        return False
    names = {plain(cell) for cell in next((cells for _, cells in tsv_rows(path)), [])}
    return not (names & set(_ID_NAMES) and names & set(_TEXT_NAMES))


def _tsv_records(path: Path, bare: Sequence[str], form: Form | None) -> Iterator[tuple[int, Fields]]:
    if form is not None and form.given:
        yield from table_records(open_cells(path, form))
        return
    if not is_bare(path):
        yield from table_records(named_table(path, lambda: tsv_rows(path), "TSV", separator="\t"))
        return
    for line, text in bare_lines(path):
        cells = text.split("\t")
        if not 2 <= len(cells) <= len(bare):
            if not text:
                continue
            raise DataError(f"malformed line: it must be {', '.join(bare)} with tabs between.", path, line)
        yield line, dict(zip(bare, cells, strict=False))


def _names(fields: Fields) -> dict[str, str]:
    return {plain(name): name for name in fields}


def _first(names: Mapping[str, str], known: Sequence[str]) -> str | None:
    return next((names[name] for name in known if name in names), None)


def _identity(fields: Fields, names: Mapping[str, str], path: Path | str, line: int) -> str:
    name = _first(names, _ID_NAMES)
    identity = None if name is None else Cell(fields[name], name, path, line).identity()
    if identity is None:
        raise DataError(f"has no id: it must have a column _id or id; it has {', '.join(fields)}.", path, line)
    return identity


def _text(fields: Fields, names: Mapping[str, str], path: Path | str, line: int) -> str:
    name = _first(names, _TEXT_NAMES)
    if name is None:
        raise DataError(f"missing column text; it has {', '.join(fields)}.", path, line)
    return Cell(fields[name], name, path, line).text()


def _metadata(fields: Fields, used: set[str | None]) -> dict[str, Any]:
    extra = {name: value for name, value in fields.items() if name not in used}
    if isinstance(extra.get("metadata"), dict):
        extra = {**extra.pop("metadata"), **extra}
    return {name: value for name, value in extra.items() if value != {} and not is_missing(value)}


def _storable(metadata: Mapping[str, Any]) -> bool:
    try:
        return storable(json.dumps(metadata, ensure_ascii=False))
    except RecursionError:
        return False


def _or() -> str:
    return f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
