"""A corpus from Python values, tables, or files and folders of text, Markdown, reStructuredText, HTML, PDF and Word.

Also the documents of training data: tables of queries with documents, and collections. The readers and options are
those of training, and the documents have the ids of the prepared set. So training data can be indexed on its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tardif.checks import shown, text_fault
from tardif.data.document_report import DocumentReport
from tardif.data.extraction.extract import KINDS, find_files, kind_of, read_file, stream_files
from tardif.data.formats import open_source
from tardif.data.formats.column_names import DOCUMENT_COLUMNS, ROW_IDS, first_usual
from tardif.data.formats.columns import ColumnChoices, columns_option
from tardif.data.formats.corpora import find_file
from tardif.data.formats.document_rows import EMPTY, DocumentReader, fields_of
from tardif.data.formats.frames import frame_of, is_a
from tardif.data.formats.irds import irds_id, open_irds
from tardif.data.formats.opening import open_collection, saved_dataset
from tardif.data.formats.table_rows import Row, is_table, stream_rows
from tardif.data.formats.trec_text import document_files, holds_documents, read_trec_documents
from tardif.data.hygiene.ids import NEARLY_ALL, looks_like_an_id
from tardif.data.inputs import source_tables
from tardif.data.markup import clean_document, treated
from tardif.data.reading import Reading
from tardif.data.records import Source
from tardif.data.regular import check_regular, is_folder, user_path
from tardif.data.seen import SeenTexts
from tardif.display import ShortList
from tardif.errors import DataError, SettingError
from tardif.text.normal import normalise, text_id
from tardif.types import Document

Placed = Iterator[tuple[int, Document]]
_OrEmpty = Iterator[tuple[int, Document | None]]


def read_documents(
    source: str | Path | Iterable[Any], *, reading: Reading | None = None, report: DocumentReport | None = None
) -> list[Document]:
    """Read a whole corpus: :func:`stream_documents` as a list, with unique ids.

    Raises:
        DataError: as for :func:`stream_documents`, or two documents have one id. Rows with the same text and without
            an id are one document.
        SettingError: as for :func:`stream_documents`.

    >>> read_documents([{"docno": "X1", "text": "The sea."}])[0].id
    'X1'
    """
    report = DocumentReport() if report is None else report
    stream = stream_documents(source, reading=reading, report=report)
    return _unique(stream, str(source) if isinstance(source, str | Path) else "documents", report)


def stream_documents(
    source: str | Path | Iterable[Any], *, reading: Reading | None = None, report: DocumentReport | None = None
) -> Placed:
    """Stream a corpus with the place of each document: its line in a table, its number elsewhere.

    A document without an id gets one made from its text. Ids are not compared here: that needs all of them in memory.

    Args:
        source: a table with a text column (JSONL, CSV, TSV, Excel, Parquet, Arrow; an id, a title and any other columns
            are kept, the others as metadata); a file of text, Markdown, reStructuredText, HTML, PDF or Word (.docx); a
            folder of such files, searched through, with their paths inside it as ids; a folder of tables only, read one
            after the other; a file or folder of TREC's documents (``<DOC>``); a BEIR folder, read as its corpus; a
            folder saved by ``datasets``; a pandas or polars frame, an Arrow table, a Hugging Face dataset; or
            an iterable of strings, dicts, :class:`Document`, or the documents of LangChain, LlamaIndex and Haystack.
            Also training data (:func:`tardif.data.formats.open_source`), by path or as ``irds:ID``: each document of
            its queries once, or the corpus of a collection.
        reading: how tables are read, and their columns ``text`` (or several, joined by an empty line), ``title``,
            ``id`` and ``metadata``.
        report: receives what was read and every file that was not.

    Raises:
        DataError: there is nothing to read, a document is empty and has no id, a text is not UTF-8 or no text, a column
            is missing, or a library is not installed.
        SettingError: columns are chosen where there is no table.
    """
    report = DocumentReport() if report is None else report
    reading = reading or Reading()
    reading.check()
    if (identity := irds_id(source)) is not None:
        return stream_judged(open_irds(identity, corpus_only=True), report, reading.markup)
    parts = source_tables(source, "train")
    source = source if parts is None or parts.documents is None else parts.documents
    if not isinstance(source, str | Path):
        return _from_values(source, reading, report)
    path = user_path(source)
    if not os.path.lexists(path):
        raise DataError(f"{shown(source)}: no such file: check the path, or give texts as a list, such as [...].")
    if is_folder(path):
        return _from_folder(path, reading, report)
    if not is_table(path, reading.form) and holds_documents(path):
        return _from_trec(path, reading, report)
    if kind_of(path) and not is_table(path, reading.form):
        return _from_file(path, reading, report)
    return _from_table(path, reading, report)


def _from_values(source: Iterable[Any], reading: Reading, report: DocumentReport) -> Placed:
    if is_a(source, "datasets", "DatasetDict", "IterableDatasetDict"):
        raise DataError(f"documents are one split, and this has {', '.join(source)}: give one, such as data[...].")
    if (frame := frame_of(source)) is not None:
        if holds_judgements(frame.names, reading):
            yield from _as_judged(open_source(source, columns=reading.judging), frame.names, reading, report)
            return
        items: Iterable[Any] = (fields for _, fields in frame.records())
    else:
        first, items = _glance(_records(source))
        if isinstance(first, tuple) or (isinstance(first, Mapping) and holds_judgements(first, reading)):
            names = first if isinstance(first, Mapping) else ()
            yield from _as_judged(open_source(items, columns=reading.judging), names, reading, report)
            return
    reader = _row_reader(reading)
    documents = ((number, _value(item, number, reader, reading.empty)) for number, item in enumerate(items, start=1))
    before = report.read.total()
    yield from _read(documents, "documents", reading, report)
    if report.read.total() == before:
        raise DataError("The corpus is empty: it holds no document.")
    reader.finish("documents")


def _read(documents: _OrEmpty, where: Path | str, reading: Reading, report: DocumentReport) -> Placed:
    """Treat the markup of some documents of a table or of values, and count them in the report.

    None in place of a document is an empty one that is dropped.
    """
    kind, file = ("rows", where.name) if isinstance(where, Path) else ("values", "")
    action = reading.markup
    for place, given in documents:
        if given is None:
            report.skip(file, "without text, title and id", line=place)
            continue

        def clean(text: str, place: int = place) -> str:
            return treated(text, action, where, place, lambda found: report.mark(file, place, found, action))

        report.read[kind] += 1
        document = clean_document(given, clean)
        if not document.content.strip():
            report.remark(file, "without text or title, so never found", line=place, document=document.id)
        yield place, document


def _value(item: Any, number: int, reader: DocumentReader, empty: str) -> Document | None:
    """Make a document of a Python value; None of an empty one that is dropped."""
    if isinstance(item, Document):
        return item
    if isinstance(item, str):
        if fault := text_fault(item):
            raise DataError(f"the text {fault}.", "documents", number)
        if not item.strip():
            if empty == "drop":
                return None
            raise DataError(EMPTY, "documents", number)
        return Document(text_id("d-", item), item)
    if (fields := fields_of(item)) is not None:
        return reader.document(Row(fields, "documents", number))
    raise DataError(
        f"a document must be a text, a dict or a Document (LangChain's, LlamaIndex's and Haystack's too), "
        f"not {type(item).__name__}.",
        "documents",
        number,
    )


def _glance(items: Iterable[Any]) -> tuple[Any, Iterable[Any]]:
    """The first of some items, and an iterable of all of them."""
    rest = iter(items)
    head = list(islice(rest, 1))
    return (head[0] if head else None), chain(head, rest)


def _records(source: Any) -> Iterable[Any]:
    """Check that a source that is no frame has items."""
    # One dict or document would be read as a list of its keys or fields.
    one = isinstance(source, bytes | bytearray | Document) or fields_of(source) is not None
    if one or not hasattr(source, "__iter__"):
        raise DataError(f"documents are a list of texts, dicts or Documents, not one {type(source).__name__}.")
    items: Iterable[Any] = source
    return items


def _from_file(path: Path, reading: Reading, report: DocumentReport) -> Placed:
    check_regular(path)
    _refuse_columns(reading, path)
    yield 1, read_file(path, report)


def _from_folder(folder: Path, reading: Reading, report: DocumentReport) -> Placed:
    # A collection before loose files: in a BEIR folder the queries are no documents.
    if (corpus := find_file(folder, "corpus.jsonl")) is not None:
        yield from _from_table(corpus, reading, report)
        return
    if (dataset := saved_dataset(folder)) is not None:
        yield from _from_values(dataset, reading, report)
        return
    if (collection := open_collection(folder)) is not None:
        yield from stream_judged(collection, report, reading.markup)
        return
    if document_files(folder):
        yield from _from_trec(folder, reading, report)
        return
    paths = find_files(folder, report)
    if any(kind_of(Path(path)) for path in paths):
        _refuse_columns(reading, folder)
        yield from _numbered(stream_files(folder, paths, report), folder, report)
        return
    # A .json file in a folder is more often a settings file than a corpus.
    tables = [path for path in paths if is_table(Path(path)) and not path.lower().endswith(".json")]
    documents = (document for path in tables for _, document in _from_table(folder / path, reading, report))
    for _ in stream_files(folder, [path for path in paths if path not in tables], report):
        pass  # none of them is a document; the report counts them
    yield from _numbered(documents, folder, report)


def _from_trec(path: Path, reading: Reading, report: DocumentReport) -> Placed:
    """The documents of a file or folder in TREC's markup, which is no markup of the texts."""
    _refuse_columns(reading, path)
    for place, document in read_trec_documents(path, reading.form.encoding, report):
        report.read["in TREC's markup"] += 1
        if not document.content.strip():
            report.remark(path.name, "without text or title, so never found", line=place, document=document.id)
        yield place, document


def _numbered(documents: Iterable[Document], folder: Path, report: DocumentReport) -> Placed:
    number = 0
    for number, document in enumerate(documents, start=1):
        yield number, document
    if not number:
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(report.skipped.items()))
        raise DataError(
            f"holds no text: no file that ends in {', '.join(KINDS)} has any ({why or 'no files'}).", folder
        )


def _refuse_columns(reading: Reading, path: Path) -> None:
    if reading.columns:
        raise SettingError(
            f"{path} is no table: columns ({', '.join(reading.columns)}) cannot be chosen in it, leave --columns out."
        )


def _from_table(path: Path, reading: Reading, report: DocumentReport) -> Placed:
    # The first row decides between the two kinds of table: its names are all that a JSON lines file has of a header.
    first, rows = _glance(stream_rows(path, reading.form, report))
    if first is not None and holds_judgements(first.fields, reading):
        source = open_source(path, columns=reading.judging, form=reading.form)
        yield from _as_judged(source, first.fields, reading, report)
        return
    reader = _row_reader(reading)
    yield from _read(((row.line, reader.document(row)) for row in rows), path, reading, report)
    reader.finish(path)


def _as_judged(source: Source, names: Iterable[str], reading: Reading, report: DocumentReport) -> Placed:
    """Read the documents of a table of queries with documents, which has columns of these names."""
    roles: Mapping[str, Sequence[str]] = getattr(source, "columns", {})
    texts = roles.get("positive") or roles.get("documents") or ()
    identity = first_usual(names, ROW_IDS)
    # The id of such a row may be the question's, so it is not taken for the document's unasked.
    if identity is not None and len(texts) == 1 and not any(identity in used for used in roles.values()):
        report.columns = {"text": tuple(texts), "id": (identity,)}
    yield from stream_judged(source, report, reading.markup)


def _row_reader(reading: Reading) -> DocumentReader:
    """The reader of a table of documents.

    Raises:
        DataError: the user chose only columns of a table of queries with documents.
    """
    if reading.judging and not reading.of_documents:
        roles = ", ".join(reading.judging)
        raise DataError(
            f"this is a table of documents, which has no {roles}: leave --columns out, or name the column of the text "
            "(--columns text=COLUMN, in Python columns={'text': ...})."
        )
    return DocumentReader(reading.documents, empty=reading.empty)


def _unique(documents: Placed, where: str, report: DocumentReport) -> list[Document]:
    """Refuse two documents with one id; the same text without an id twice is one document."""
    seen: dict[str, tuple[int, Document]] = {}
    for place, document in documents:
        first, other = seen.setdefault(document.id, (place, document))
        if other is not document:
            is_same = other.content == document.content
            joined = join_repeated(document, is_same, other.metadata, (first, place), where, report)
            if joined is not None:
                seen[document.id] = first, replace(other, metadata=joined)
    return ShortList(document for _, document in seen.values())


def join_repeated(
    document: Document,
    is_same: bool,
    metadata: Mapping[str, Any],
    places: tuple[int, int],
    where: str,
    report: DocumentReport,
) -> dict[str, Any] | None:
    """Join a document with an earlier one of the same id, if both are the same text without an id of its own.

    Args:
        document: the later one.
        is_same: whether the earlier one has the same content: title and text may divide it differently.
        metadata: of the earlier one.
        places: of both in the source.
        where: the source, for the error.
        report: counts the text that is repeated.

    Returns:
        The metadata that both have; None if they have the same.

    Raises:
        DataError: they are two documents.
    """
    # An id made from a text begins with d-. The user's own ids must be unique even for equal texts.
    if not is_same or not document.id.startswith("d-"):
        unit = "lines" if where != "documents" and user_path(where).is_file() else "documents"
        raise DataError(
            f"{where}: two documents have the id {document.id!r:.200} ({unit} {places[0]} and {places[1]}): ids must "
            "be unique."
        )
    kind = next(iter(report.read))  # rows or values: other kinds have ids
    report.read[kind] -= 1
    said = "the same text as a row before"
    common = None
    if metadata != document.metadata:
        common = dict(item for item in metadata.items() if item in document.metadata.items())
        said += " with other metadata: what both have is kept"
    report.skip("" if where == "documents" else Path(where).name, said, line=places[1])
    return common


def holds_judgements(names: Iterable[str], reading: Reading) -> bool:
    """Whether a table with these columns holds queries with documents, rather than documents alone.

    It does if it has a column of each and does not look like a corpus (ids beside a usual name for a document's text),
    or if the user names the column of positives. It does not if the user names the column of texts, titles or ids.

    >>> holds_judgements(["question", "answer"], Reading())
    True
    >>> holds_judgements(["id", "title", "text"], Reading())
    False
    """
    names = [name for name in names if isinstance(name, str)]
    if reading.of_documents:
        return False
    found = ColumnChoices.of(reading.judging, None).find(names)
    if "positive" not in found and "documents" not in found:
        return False
    if any(reading.judging.get(role) for role in ("positive", "documents")):
        return True
    is_corpus = first_usual(names, DOCUMENT_COLUMNS["text"]) and first_usual(names, ROW_IDS)
    return "query" in found and not is_corpus


def stream_judged(source: Source, report: DocumentReport, markup: str = "keep") -> Iterator[tuple[int, Document]]:
    """Read each document of a source once, with its place: its corpus or, without one, the texts of its rows.

    Args:
        source: opened, as for training.
        report: takes how the source was read.
        markup: the action of the rule ``markup``.

    Raises:
        DataError: the source cannot be read, two texts have one id, or no row holds a document's text.
    """

    def clean(place: int, text: str) -> str:
        return treated(text, markup, source.name, place, lambda found: report.mark(file, place, found, markup))

    file, is_collection = Path(source.name).name, False
    for place, document in source.documents():
        is_collection = True
        report.read["from a collection"] += 1
        yield place, clean_document(document, partial(clean, place))
    if is_collection:  # its judgements name documents by their ids
        report.tables.append(f"{file}: {source.shape}")
    else:
        yield from _texts_of_rows(source, report, clean)


def _texts_of_rows(
    source: Source, report: DocumentReport, clean: Callable[[int, str], str]
) -> Iterator[tuple[int, Document]]:
    rows = repeated = like_ids = 0
    example = ""
    file = Path(source.name).name
    with SeenTexts() as seen:
        for judgement in source.judgements():
            if judgement.document is None:
                continue
            rows += 1
            text = clean(judgement.place, judgement.document)
            if judgement.document_id is None and not normalise(text):  # an empty cell is no document
                report.skip(file, "without text", line=judgement.place)
                continue
            identity, digest = judgement.document_id or text_id("d-", text), text_id("", text)
            known = seen.put(identity, digest)
            if known is None:
                if looks_like_an_id(judgement.document):
                    like_ids, example = like_ids + 1, judgement.document
                report.read["from queries with documents"] += 1
                yield judgement.place, Document(identity, text)
            elif known == digest:
                repeated += 1
            else:
                raise DataError(
                    f"two documents have the id {identity!r:.200}: ids must be unique.", source.name, judgement.place
                )
        different = len(seen)
    if not different:
        raise DataError("holds no text of a document: give the documents themselves.", source.name)
    if like_ids >= NEARLY_ALL * different:
        raise DataError(
            f"the texts of documents look like ids, such as {example!r:.60}: give the documents that they name. If "
            "they are texts, name their column as one of documents: --columns text=COLUMN (columns={'text': ...}).",
            source.name,
        )
    again = f", {repeated} of the {rows} repeat one" if repeated else ""
    how = "documents, with their other columns as metadata: --columns text=COLUMN, in Python columns={'text': ...}"
    if report.columns:
        (text,), (identity,) = report.columns["text"], report.columns["id"]
        how = f"documents with {identity} as their id: {columns_option(text=text, id=identity)}"
    report.tables.append(
        f"{file}: {source.shape}; each different document is read once{again}, and no query (to read rows as {how})"
    )
