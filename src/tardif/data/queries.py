"""Lists of queries: with ids, as training sets use them, and without, as a search takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tardif.data.formats.corpora import query_column, query_columns, query_id, query_of, query_text
from tardif.data.formats.form import Form
from tardif.data.formats.frames import frame_of, open_parquet
from tardif.data.formats.query_files import QUERY_CELLS, query_rows
from tardif.data.formats.table_rows import Row
from tardif.data.markup import without_markup
from tardif.data.reading import Reading
from tardif.data.regular import is_folder, user_path
from tardif.errors import DataError
from tardif.text.normal import text_id
from tardif.types import Query


def read_queries(path: Path, reading: Reading | None = None) -> dict[str, str]:
    """Read query texts by id from a table, which may be one that a model was trained on.

    Args:
        path: the table.
        reading: how to read it; of its columns ``query`` and ``query_id`` count. Queries without ids get those of the
            prepared set, made from their texts, and repeated ones are read once.

    Raises:
        DataError: the file is missing, empty or malformed, or two queries have one id.
    """
    reading = reading or Reading()
    chosen = query_columns(reading.judging)
    texts: dict[str, str] = {}
    has_ids: bool | None = None
    for row in query_rows(path, reading.form):
        for name in chosen.get("query", ()):
            if name not in row.fields:
                raise row.error(f"missing column {name}; it has {', '.join(row.fields)}: check --columns query=.")
        text = query_text(row, chosen)
        if not text.strip():
            raise row.error("the query's text is empty.")
        text = without_markup(text) if reading.markup == "clean" else text
        # The first row decides: ids for some rows only would give the others ids of another kind.
        if has_ids is None:
            # columns={"query_id": None} leaves the ids out
            has_ids = chosen.get("query_id") != () and query_column(row, "query_id", chosen) is not None
        identity = query_id(row, chosen) if has_ids else text_id("q-", text)
        if has_ids and identity in texts:
            raise row.error(f"two queries have the id {identity!r}: ids must be unique.")
        texts[identity] = text
    return texts


def stream_queries(
    source: Any, *, columns: Mapping[str, Any] | None = None, form: Form | None = None
) -> Iterator[tuple[int, Query]]:
    """Read a list of queries with ids, each with its place.

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
        item: Any = row.fields
        if isinstance(item, Query):
            yield row.line, item
        elif isinstance(item, tuple | list) and len(item) == len(QUERY_CELLS):
            yield row.line, query_of(replace(row, fields=dict(zip(QUERY_CELLS, item, strict=True))))
        elif isinstance(item, Mapping):
            yield row.line, query_of(row, chosen)
        else:
            raise row.error("a query must be (id, text), or a dict with an id and a text.")


def _rows(source: Any, form: Form | None) -> Iterator[Row]:
    """The rows of a list of queries; of a Python value each item, whatever it is."""
    # A file may lack a header (ColBERT's queries.tsv); values and Parquet files always have names.
    if isinstance(source, str | Path) and not is_folder(path := user_path(source)):
        yield from query_rows(path, form)
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
