"""A list of queries, whole in memory, its ids checked."""

from __future__ import annotations

from pathlib import Path

from tardif.data.formats.corpora import QUERY_CELLS, query_column, query_columns, query_id, query_text
from tardif.data.formats.table_rows import stream_rows
from tardif.data.markup import without_markup
from tardif.data.reading import Reading
from tardif.text.normal import text_id


def read_queries(path: Path, reading: Reading | None = None) -> dict[str, str]:
    """Read query texts by id from a table, which may be one that a model was trained on.

    Args:
        path: the table.
        reading: how it is read; the columns that count are ``query`` and ``query_id``. Queries without ids have those
            of the prepared set, made from their texts, and each is there once.

    Raises:
        DataError: the file is missing, empty or malformed, or two queries have one id.
    """
    reading = reading or Reading()
    chosen = query_columns(reading.judging)
    texts: dict[str, str] = {}
    has_ids: bool | None = None
    for row in stream_rows(path, reading.form, bare=QUERY_CELLS):
        for name in chosen.get("query", ()):
            if name not in row.fields:
                raise row.error(f"missing column {name}; it has {', '.join(row.fields)}: check --columns query=.")
        text = query_text(row, chosen)
        if not text.strip():
            raise row.error("the query's text is empty.")
        text = without_markup(text) if reading.markup == "clean" else text
        if has_ids is None:
            # columns={"query_id": None} leaves the ids out
            has_ids = chosen.get("query_id") != () and query_column(row, "query_id", chosen) is not None
        identity = query_id(row, chosen) if has_ids else text_id("q-", text)
        if has_ids and identity in texts:
            raise row.error(f"two queries have the id {identity!r}: ids must be unique.")
        texts[identity] = text
    return texts
