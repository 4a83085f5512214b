"""Files of queries: tables, TREC topics, and lines of an id and a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tardif.data.formats.files import check_file, text_lines
from tardif.data.formats.form import Form
from tardif.data.formats.table_rows import Row, is_table, stream_rows
from tardif.data.formats.trec_text import holds_topics, read_topics
from tardif.errors import DataError

# The columns of a TSV file without a header.
QUERY_CELLS = ("id", "text")
# A line as TREC's web track has it: 12:where do owls live
_NUMBERED = re.compile(r"([0-9]{1,9}):(.*)", re.DOTALL)


def query_rows(path: Path, form: Form | None = None) -> Iterator[Row]:
    """Stream the rows of a file of queries.

    A table as :func:`tardif.data.formats.table_rows.stream_rows` reads it; TREC topics, with a column for each field
    and the first of these as ``text``; or lines of an id, a tab or (after a number) a colon, and a text.

    Raises:
        DataError: the file is missing, empty or damaged, or a line is malformed.
    """
    form = form or Form()
    if is_table(path, form):
        yield from stream_rows(path, form, bare=QUERY_CELLS)
        return
    check_file(path)
    if holds_topics(path):
        for line, fields in read_topics(path, form.encoding):
            yield Row(fields, path, line)
        return
    for line, text in text_lines(path, encoding=form.encoding):
        if bare := text.rstrip("\r\n"):
            yield Row(dict(zip(QUERY_CELLS, _line(bare, path, line), strict=True)), path, line)


def _line(text: str, path: Path, line: int) -> list[str]:
    cells = text.split("\t")
    if len(cells) == 2:
        return cells
    if len(cells) == 1 and (found := _NUMBERED.fullmatch(text)):
        return [found[1], found[2]]
    raise DataError(
        "is no query: queries are a table, TREC topics (<top>), or lines of an id, a tab and a text.",
        path,
        line,
    )
