"""The documents of data that a model was trained on: tables of queries with documents, and collections.

The readers and options are those of training, and the documents have the ids of the prepared set. So training data can
be indexed without another file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from tardif.data.document_report import DocumentReport
from tardif.data.formats.column_names import DOCUMENT_COLUMNS, ROW_IDS, first_usual
from tardif.data.formats.columns import ColumnChoices
from tardif.data.hygiene.ids import NEARLY_ALL, looks_like_an_id
from tardif.data.markup import clean_document, treated
from tardif.data.reading import Reading
from tardif.data.records import Source
from tardif.errors import DataError
from tardif.text.normal import normalise, text_id
from tardif.types import Document


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
    digests: dict[str, str] = {}
    rows = repeated = like_ids = 0
    example = ""
    file = Path(source.name).name
    for judgement in source.judgements():
        if judgement.document is None:
            continue
        rows += 1
        text = clean(judgement.place, judgement.document)
        identity, digest = judgement.document_id or text_id("d-", text), text_id("", text)
        if identity in digests:
            if digests[identity] != digest:
                raise DataError(
                    f"two documents have the id {identity!r:.200}: ids must be unique.", source.name, judgement.place
                )
            repeated += 1
        elif judgement.document_id is None and not normalise(text):  # an empty cell is no document
            report.skip_row(file, judgement.place, "without text")
        else:
            digests[identity] = digest
            if looks_like_an_id(judgement.document):
                like_ids, example = like_ids + 1, judgement.document
            report.read["from queries with documents"] += 1
            yield judgement.place, Document(identity, text)
    if not digests:
        raise DataError("holds no text of a document: give the documents themselves.", source.name)
    if like_ids >= NEARLY_ALL * len(digests):
        raise DataError(
            f"the texts of documents look like ids, such as {example!r:.60}: give the documents that they name. If "
            "they are texts, name their column as one of documents: --columns text=COLUMN (columns={'text': ...}).",
            source.name,
        )
    again = f", {repeated} of the {rows} repeat one" if repeated else ""
    report.tables.append(
        f"{file}: {source.shape}; each different document is read once{again}, and no query (to read rows as "
        "documents, with their other columns as metadata: --columns text=COLUMN, in Python columns={'text': ...})"
    )
