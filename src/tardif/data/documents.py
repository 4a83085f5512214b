"""A corpus: from values, tables, or files and folders of text, Markdown, reStructuredText, HTML, PDF and Word."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tardif.checks import shown, text_fault
from tardif.data.document_files import find_files, read_file, stream_files
from tardif.data.document_report import DocumentReport
from tardif.data.document_rows import Columns, Row, RowReader, fields_of
from tardif.data.document_tables import is_table, stream_rows
from tardif.data.extraction import KINDS, kind_of
from tardif.data.formats.form import Form
from tardif.data.formats.frames import Frame, is_a, open_arrow, open_pandas, open_polars
from tardif.data.regular import check_regular, is_folder, user_path
from tardif.data.text import text_id
from tardif.errors import DataError, SettingError
from tardif.showing import ShortList
from tardif.types import Document

Placed = Iterator[tuple[int, Document]]


def read_documents(
    source: str | Path | Iterable[Any],
    *,
    text: str | Sequence[str] | None = None,
    title: str | None = None,
    id: str | None = None,  # noqa: A002 - the column's usual name
    metadata: Sequence[str] | None = None,
    form: Form | None = None,
    report: DocumentReport | None = None,
) -> list[Document]:
    """Read a whole corpus: :func:`stream_documents` in a list, whose ids are checked to be unique.

    Raises:
        DataError: as there, or two documents share an id (the very same text without one is one document).
        SettingError: as there.
    """
    report = DocumentReport() if report is None else report
    stream = stream_documents(source, text=text, title=title, id=id, metadata=metadata, form=form, report=report)
    return _unique(stream, str(source) if isinstance(source, str | Path) else "documents", report)


def stream_documents(
    source: str | Path | Iterable[Any],
    *,
    text: str | Sequence[str] | None = None,
    title: str | None = None,
    id: str | None = None,  # noqa: A002
    metadata: Sequence[str] | None = None,
    form: Form | None = None,
    report: DocumentReport | None = None,
) -> Placed:
    """A corpus document by document, each with its place; ids are kept where there are any, else made from the texts.

    The place is the line in a table, and the document's number elsewhere. Ids are not compared here:
    that takes all of them in memory.

    Args:
        source: a table with a text column (JSONL, CSV, TSV, Parquet; an id, a title and any other columns are kept,
            the others as metadata); a file of text, Markdown, reStructuredText, HTML, PDF or Word (.docx); a folder of
            such files, searched through, whose ids are the paths inside it; a folder of tables only, read one after
            the other; a BEIR folder, which is its corpus; a pandas or polars frame, an Arrow table; or an
            iterable of strings, dicts, :class:`Document`, or the documents of LangChain, LlamaIndex and Haystack.
        text: a table's column to read as the text, or several, joined by an empty line.
        title: the column of the title.
        id: the column of the id.
        metadata: the columns to keep as metadata; all that are left by default.
        form: separator, encoding and sheet of tables, where a file does not say so itself.
        report: is told what was read, and every file that was not.

    Raises:
        DataError: nothing to read, a table's text is empty, not UTF-8 or of another kind, a column is missing, a
            library is not installed; says where.
        SettingError: columns are chosen where there is no table.
    """
    report = DocumentReport() if report is None else report
    columns, form = Columns.of(text, title, id, metadata), form or Form()
    if not isinstance(source, str | Path):
        return _from_values(source, columns, report)
    path = user_path(source)
    if not os.path.lexists(path):
        raise DataError(f"{shown(source)}: no such file: check the path, or give texts as a list, such as [...].")
    if is_folder(path):
        return _from_folder(path, columns, form, report)
    if kind_of(path) and not is_table(path, form):
        return _from_file(path, columns, report)
    return _from_table(path, columns, form, report)


def _from_values(source: Iterable[Any], columns: Columns, report: DocumentReport) -> Placed:
    reader = RowReader(columns)
    number = 0
    for number, item in enumerate(_records(source), start=1):
        if isinstance(item, Document):
            document = item
        elif isinstance(item, str):
            if fault := text_fault(item) or ("" if item.strip() else "is empty"):
                raise DataError(f"the text {fault}.", "documents", number)
            document = Document(text_id("d-", item), item)
        elif (fields := fields_of(item)) is not None:
            document = reader.document(Row(fields, Path("documents"), number))
        else:
            raise DataError(
                f"a document must be a text, a dict or a Document (LangChain's, LlamaIndex's and Haystack's too), "
                f"not {type(item).__name__}.",
                "documents",
                number,
            )
        report.read["values"] += 1
        _note_empty(document, "", number, report)
        yield number, document
    if not number:
        raise DataError("The corpus is empty: it holds no document.")
    reader.finish(Path("documents"))


def _records(source: Any) -> Iterable[Any]:
    """The items of a source; a data frame's are its rows, as dicts."""
    if (frame := _frame(source)) is not None:
        return (dict(zip(frame.names, row, strict=True)) for _, row in frame.rows(frame.names))
    one = isinstance(source, bytes | bytearray | Document) or fields_of(source) is not None
    if one or not hasattr(source, "__iter__"):
        raise DataError(f"documents are a list of texts, dicts or Documents, not one {type(source).__name__}.")
    items: Iterable[Any] = source
    return items


def _frame(source: Any) -> Frame | None:
    """A data frame or table as rows whose missing values are None; None for any other source."""
    if is_a(source, "pandas", "DataFrame"):
        return open_pandas(source)
    if is_a(source, "polars", "DataFrame", "LazyFrame"):
        return open_polars(source)
    if is_a(source, "pyarrow", "Table"):
        return open_arrow(source)
    return None


def _from_file(path: Path, columns: Columns, report: DocumentReport) -> Placed:
    check_regular(path)
    _refuse_columns(columns, path)
    yield 1, read_file(path, report)


def _from_folder(folder: Path, columns: Columns, form: Form, report: DocumentReport) -> Placed:
    if (folder / "corpus.jsonl").is_file():
        yield from _from_table(folder / "corpus.jsonl", columns, form, report)
        return
    paths = find_files(folder, report)
    if any(kind_of(Path(path)) for path in paths):
        _refuse_columns(columns, folder)
        yield from _numbered(stream_files(folder, paths, report), folder, report)
        return
    # A lone .json is more often somebody's settings than a corpus.
    tables = [path for path in paths if is_table(Path(path)) and not path.lower().endswith(".json")]
    documents = (document for path in tables for _, document in _from_table(folder / path, columns, form, report))
    for _ in stream_files(folder, [path for path in paths if path not in tables], report):
        pass  # none is a document: counts what they are
    yield from _numbered(documents, folder, report)


def _numbered(documents: Iterable[Document], folder: Path, report: DocumentReport) -> Placed:
    number = 0
    for number, document in enumerate(documents, start=1):
        yield number, document
    if not number:
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(report.skipped.items()))
        raise DataError(
            f"holds no text: no file that ends in {', '.join(KINDS)} has any ({why or 'no files'}).", folder
        )


def _refuse_columns(columns: Columns, path: Path) -> None:
    if columns != Columns():
        raise SettingError(f"{path} is no table: columns (text, title, id, metadata) cannot be chosen in it.")


def _from_table(path: Path, columns: Columns, form: Form, report: DocumentReport) -> Placed:
    reader = RowReader(columns)
    for row in stream_rows(path, form, report):
        document = reader.document(row)
        report.read["rows"] += 1
        _note_empty(document, path.name, row.line, report)
        yield row.line, document
    reader.finish(path)


def _note_empty(document: Document, file: str, line: int, report: DocumentReport) -> None:
    if not document.content.strip():
        report.remark(file, "without text or title, so never found", line=line, document=document.id)


def _unique(documents: Placed, where: str, report: DocumentReport) -> list[Document]:
    """Refuse two documents with one id; the very same document twice is one document."""
    seen: dict[str, Document] = {}
    for place, document in documents:
        other = seen.setdefault(document.id, document)
        if other is document:
            continue
        if other != document or not document.id.startswith("d-"):
            raise DataError(f"{where}: two documents have the id {document.id!r:.200}: ids must be unique.")
        kind = next(iter(report.read))  # rows or values: no others come without ids
        report.read[kind] -= 1
        report.skip_row("" if where == "documents" else Path(where).name, place, "the same text as a row before")
    return ShortList(seen.values())
