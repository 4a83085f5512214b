"""A list of queries, whole in memory, its ids checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tardif.data.document_tables import stream_rows
from tardif.data.formats.columns import Wishes, listed, plain
from tardif.data.formats.corpora import is_bare
from tardif.data.formats.corpora import read_queries as stream_queries
from tardif.data.formats.values import Cell
from tardif.data.markup import without_markup
from tardif.data.reading import Reading
from tardif.errors import DataError
from tardif.text.normal import text_id
from tardif.types import Query

ID_NAMES = ("_id", "id", "query_id", "qid")
QUERY_NAMES = ("text", "query", "question")


def read_queries(path: Path, reading: Reading | None = None) -> dict[str, str]:
    """Query texts by id, from a ``.jsonl``, ``.csv`` or ``.tsv`` file, which may be one that was trained on.

    Args:
        path: the file.
        reading: how it is read; the columns that count are ``query`` and ``query_id``. Queries without ids have those
            of the prepared set, made from their texts, and each is there once.

    Raises:
        DataError: the file is missing, empty or malformed, or an id stands twice; says where.
    """
    reading = reading or Reading()
    if reading == Reading() and (is_bare(path) or _first_row(path).keys() & set(ID_NAMES)):
        return _texts(stream_queries(path), path)
    return _texts(_named(path, reading), path)


def _first_row(path: Path) -> dict[str, Any]:
    return next(({plain(name): value for name, value in row.fields.items()} for row in stream_rows(path)), {})


def _named(path: Path, reading: Reading) -> Iterator[tuple[int, Query]]:
    """The queries of a table with a header: their ids are in a column that is named or usual, or are made."""
    made: set[str] = set()
    columns = reading.judging
    wishes = Wishes.of({role: columns[role] for role in ("query", "query_id") if role in columns}, None)
    for row in stream_rows(path, reading.form):
        roles, names = wishes.find(row.fields), {plain(name): name for name in row.fields}
        usual = [names[name] for name in QUERY_NAMES if name in names and "query" not in columns]
        column = next(iter((*roles.get("query", ()), *usual)), None)
        if column is None:
            raise row.error(
                f"missing column {columns.get('query') or 'query'}; it has {listed(row.fields)}: "
                'name it with columns={"query": ...} (--columns query=...).'
            )
        text = Cell(row.fields[column], column, path, row.line).text()
        if reading.markup == "clean":
            text = without_markup(text)
        own = roles.get("query_id") or [names[name] for name in ID_NAMES if name in names and "query_id" not in columns]
        identity = Cell(row.fields[own[0]], own[0], path, row.line).identity() if own else None
        if identity is None:
            identity = text_id("q-", text)
            if identity in made:
                continue
            made.add(identity)
        yield row.line, Query(identity, text)


def _texts(placed: Iterable[tuple[int, Query]], path: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for line, query in placed:
        if not query.text.strip():
            raise DataError("the query's text is empty.", path, line)
        if query.id in texts:
            raise DataError(f"two queries have the id {query.id!r}: ids must be unique.", path, line)
        texts[query.id] = query.text
    if not texts:
        raise DataError("is empty: it holds no query.", path)
    return texts
