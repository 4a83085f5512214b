"""A collection's corpus and its list of queries: files of ids and texts, streamed with the line of each row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tardif.checks import is_missing
from tardif.data.formats.column_names import QUERY_COLUMNS, first_usual
from tardif.data.formats.columns import ColumnChoices
from tardif.data.formats.document_rows import DocumentReader
from tardif.data.formats.form import Form
from tardif.data.formats.query_files import query_rows
from tardif.data.formats.table_rows import Row, is_table, stream_rows
from tardif.data.formats.trec_text import read_trec_documents
from tardif.data.formats.values import Cell
from tardif.data.regular import is_folder
from tardif.types import Document, Query

_PACKINGS = ("", ".gz", ".zst", ".zstd")
# The columns of a TSV file without a header.
DOCUMENT_CELLS = ("id", "text", "title")

Chosen = Mapping[str, Sequence[str]]
"""By role, the columns that the user named."""


def find_file(folder: Path, *names: str) -> Path | None:
    """The first of these files that a folder has, plain or packed.

    A pipe of that name is returned too: whoever reads it refuses it, which is better than to pass over it in silence.
    """
    # All packings of the first name come before the second name: the order of the names is a preference.
    candidates = (folder / f"{name}{packing}" for name in names for packing in _PACKINGS)
    return next((path for path in candidates if path.exists() and not path.is_dir()), None)


def read_corpus(path: Path, encoding: str | None = None) -> Iterator[tuple[int, Document]]:
    """Stream the documents of a table, or of a file or folder in TREC's markup.

    A TSV file may have no header: id, text, title, or as MS MARCO's documents id, url, title, text.

    Other columns are the documents' metadata. A document may be empty: its id may be judged.

    Raises:
        DataError: a line is malformed, or an id is missing.
    """
    if is_folder(path) or not is_table(path):
        yield from read_trec_documents(path, encoding)
        return
    reader = DocumentReader(needs_id=True)
    for row in stream_rows(path, bare=DOCUMENT_CELLS):
        if (document := reader.document(row)) is not None:
            yield row.line, document


def read_queries(path: Path, encoding: str | None = None) -> Iterator[tuple[int, Query]]:
    """Stream the queries of a table, of TREC topics, or of lines of an id and a text.

    Raises:
        DataError: a line is malformed, or an id or text is missing.
    """
    for row in query_rows(path, Form(encoding=encoding) if not is_table(path) else None):
        yield row.line, query_of(row)


def query_columns(columns: Mapping[str, Any]) -> Chosen:
    """The columns that the user named for a list of queries, of all that he named.

    Raises:
        DataError: a role takes one column, or two roles have one.
    """
    return ColumnChoices.of({role: columns[role] for role in QUERY_COLUMNS if role in columns}, None).chosen


def query_column(row: Row, role: str, chosen: Chosen) -> str | None:
    """The column of a query's text (``query``) or id (``query_id``): the named one, else one with a usual name."""
    named = next((name for name in chosen.get(role, ()) if name in row.fields), None)
    return named or first_usual(row.fields, QUERY_COLUMNS[role])


def query_of(row: Row, chosen: Chosen | None = None) -> Query:
    """The query of a row, which must have an id.

    Args:
        row: of a list of queries.
        chosen: the columns that the user named, which a row need not have.

    Raises:
        DataError: the id or the text is missing.
    """
    return Query(query_id(row, chosen or {}), query_text(row, chosen or {}))


def query_id(row: Row, chosen: Chosen) -> str:
    """The id of a query.

    Raises:
        DataError: it is missing.
    """
    column = query_column(row, "query_id", chosen)
    identity = None if column is None else row.cell(column).identity()
    if identity is None:
        raise row.error(f"has no id: it must have a column _id or id; it has {', '.join(row.fields)}.")
    return identity


def query_text(row: Row, chosen: Chosen) -> str:
    """The text of a query, which may be empty.

    Raises:
        DataError: there is no column of it, or it is no text.
    """
    column = query_column(row, "query", chosen)
    if column is None:
        raise row.error(
            f"missing column {'|'.join(chosen.get('query') or ('query', 'text'))}; it has {', '.join(row.fields)}: "
            'name it with columns={"query": ...} (--columns query=...).'
        )
    return row.cell(column).words()


def read_groups(path: Path, field: str, ids: Sequence[str]) -> dict[str, str]:
    """The value of a field by id, of the rows that have the field.

    Args:
        path: a list of queries or a corpus.
        field: a column, or a key of the metadata.
        ids: the usual names of the column of ids.

    Raises:
        DataError: a value can be no group.
    """
    groups: dict[str, str] = {}
    if is_folder(path) or not is_table(path):  # TREC's markup and lists of queries have no fields of the user's
        return groups
    for row in stream_rows(path, bare=DOCUMENT_CELLS):
        nested = row.fields.get("metadata")
        # The field may be at the top of a row or in its metadata, as BEIR has it.
        value = row.fields.get(field, nested.get(field) if isinstance(nested, Mapping) else None)
        column = first_usual(row.fields, ids)
        if is_missing(value) or column is None:
            continue
        if (identity := row.cell(column).identity()) is not None:
            groups[identity] = Cell(value, field, path, row.line).group()
    return groups
