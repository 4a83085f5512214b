"""Rows of ids with a table of queries and one of documents beside them: the three tables of PyLate's data sets.

They come as a dict or as a folder. Either is another way to write three arguments: the rows, ``queries`` and
``documents``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tardif.checks import id_fault, is_missing, plain_text, text_fault, whole
from tardif.data.formats.corpora import QUERY_CELLS, find_file, query_columns, query_of
from tardif.data.formats.form import Form
from tardif.data.formats.frames import frame_of, open_parquet
from tardif.data.formats.table_rows import COLLECTION_TABLES, Row, stream_rows
from tardif.data.formats.trec import VALIDATION_SPLITS
from tardif.data.records import Source
from tardif.data.regular import is_folder, user_path
from tardif.errors import DataError
from tardif.types import Query

QUERIES, DOCUMENTS = ("queries",), ("documents", "corpus")


@dataclass(frozen=True, slots=True)
class SourceTables:
    """Where the rows, the queries and the documents are; and any rows that the user holds out."""

    rows: Any
    queries: Any = None
    documents: Any = None
    held_out: list[Any] = field(default_factory=list)


def source_tables(source: Any, split: str) -> SourceTables | None:
    """The parts of a dict or folder that names them; None for any other source.

    Args:
        source: a dict of ``train`` (or the split's name) with ``queries``, ``documents`` or both, each of them
            anything that is read as such; or a folder with files, or folders of Parquet files, of these names.
        split: the name of the rows.

    Raises:
        DataError: the dict has a part of another name.
    """
    if isinstance(source, str | Path):
        folder = user_path(source)
        # What is no path at all, a long text say, is refused by who reads it.
        return _in_folder(folder, split) if os.path.lexists(folder) and is_folder(folder) else None
    if not isinstance(source, Mapping) or split not in source:
        return None
    if not any(name in source for name in (*QUERIES, *DOCUMENTS)):
        return None
    known = (split, *QUERIES, *DOCUMENTS, *VALIDATION_SPLITS)
    for name in source:
        if name not in known and name not in ("train", "test"):
            raise DataError(f"the dict has a part {name!r:.60}, and the parts are: {', '.join(known)}.")
    return _parts(source, split)


def _parts(found: Mapping[Any, Any], split: str) -> SourceTables:
    documents = next((found[name] for name in DOCUMENTS if name in found), None)
    held_out = [found[name] for name in VALIDATION_SPLITS if name in found and name != split]
    return SourceTables(found[split], found.get(QUERIES[0]), documents, held_out)


def _in_folder(folder: Path, split: str) -> SourceTables | None:
    found = {name: place for name in (split, *QUERIES, *DOCUMENTS) if (place := _table(folder, name))}
    if split not in found and any(folder.glob(f"{split}-*.parquet")):
        found[split] = folder
    if split not in found or QUERIES[0] not in found:
        return None
    found |= {name: place for name in VALIDATION_SPLITS if (place := _table(folder, name))}
    return _parts(found, split)


def _table(folder: Path, name: str) -> Path | None:
    """A file of that name, or a folder of Parquet files."""
    if (file := find_file(folder, *(f"{name}{suffix}" for suffix in COLLECTION_TABLES))) is not None:
        return file
    return folder / name if any((folder / name).glob("*.parquet")) else None


@dataclass(frozen=True, slots=True)
class Input:
    """What is prepared: rows, their lists of queries and their corpora.

    Attributes:
        sources: what the user named.
        rows: the rows of each source.
        queries: lists of queries.
        documents: corpora.
        held_out: rows that a part of a source holds out.
        own_held_out: rows that the user holds out, which may have columns of their own.
    """

    sources: list[Any]
    rows: list[Any]
    queries: list[Any]
    documents: list[Any]
    held_out: list[Any]
    own_held_out: Any

    @classmethod
    def of(cls, sources: Sequence[Any], documents: Any, queries: Any, held_out: Any, split: str) -> Input:
        """Take sources apart that bring queries and documents beside their rows."""
        found = cls([*sources, documents], [], [], [], [], held_out)
        for source in sources:
            parts = None if isinstance(source, Source) else source_tables(source, split)
            if parts is None:
                found.rows.append(source)
                continue
            found.rows.append(parts.rows)
            found.held_out.extend(parts.held_out)
            found.queries.extend([parts.queries] if parts.queries is not None else [])
            found.documents.extend([parts.documents] if parts.documents is not None else [])
        if queries is not None:
            found.queries.append(queries)
            found.sources.append(queries)
        found.documents.extend([documents] if documents is not None else [])
        return found


def stream_queries(
    source: Any, *, columns: Mapping[str, Any] | None = None, form: Form | None = None
) -> Iterator[tuple[int, Query]]:
    """A list of queries with ids, query by query with its place.

    Args:
        source: a table with an id (``query_id``, ``_id``, ``id``) and a text (``text``, ``query``), as a file, a folder
            of Parquet files, a frame or a dataset; dicts, :class:`~tardif.types.Query`, (id, text); or a dict of id
            to text.
        columns: the columns of the roles ``query_id`` and ``query``, where a row has them.
        form: separator, encoding and sheet of a table.

    Raises:
        DataError: an id or text is missing; says where.
    """
    chosen = query_columns(columns or {})
    for row in _rows(source, form):
        yield row.line, query_of(row, chosen) if isinstance(row.fields, Mapping) else _query(row.fields, row.line)


def _rows(source: Any, form: Form | None) -> Iterator[Row]:
    """The rows of a list of queries; of a Python value each item, whatever it is."""
    if isinstance(source, str | Path) and not is_folder(path := user_path(source)):
        yield from stream_rows(path, form, bare=QUERY_CELLS)
        return
    where: Path | str = "queries"
    if isinstance(source, str | Path):
        where = path
        if not (shards := sorted(path.glob("*.parquet"))):
            raise DataError("holds no Parquet file of queries: give a table of ids and texts.", path)
        items: Iterable[tuple[int, Any]] = open_parquet(shards, path).records()
    elif (frame := frame_of(source)) is not None:
        items = frame.records()
    elif isinstance(source, bytes) or not hasattr(source, "__iter__"):
        raise DataError(f"queries are a table of ids and texts, not {type(source).__name__}.")
    else:
        items = enumerate(source.items() if isinstance(source, Mapping) else source, start=1)
    for place, item in items:
        yield Row(item, where, place)


def _query(item: Any, place: int) -> Query:
    if isinstance(item, Query):
        return item
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError("a query must be (id, text), or a dict with an id and a text.", "queries", place)
    identity, text = whole(item[0]), item[1]
    if is_missing(identity) or (fault := id_fault(identity)):
        raise DataError(f"the query's id {'is missing' if is_missing(identity) else fault}.", "queries", place)
    if fault := text_fault(text):
        raise DataError(f"the query's text {fault}.", "queries", place)
    return Query(plain_text(identity), plain_text(text))
