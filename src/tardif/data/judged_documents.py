"""The documents of what a model was trained on: of tables of queries with documents, and of collections.

They are read by what reads them for training, with the same options, and have the ids that they have in the prepared
set: so what was trained on can be indexed as it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from tardif.data.document_report import DocumentReport
from tardif.data.formats.column_names import DOCUMENT_COLUMNS, ROW_IDS, first_usual
from tardif.data.formats.columns import Wishes
from tardif.data.hygiene.ids import NEARLY_ALL, looks_like_an_id
from tardif.data.markup import clean_document, treated
from tardif.data.reading import Reading
from tardif.data.records import Source
from tardif.errors import DataError
from tardif.text.normal import normalise, text_id
from tardif.types import Document


def holds_judgements(names: Iterable[str], reading: Reading) -> bool:
    """Whether a table with these columns holds queries with documents, and no documents alone.

    It does if it has a column of each, and no column of ids beside one that is usual for the text of a document; or if
    the user says which column is the positive. It does not if the user says which is the text, title or id.
    """
    names = [name for name in names if isinstance(name, str)]
    if reading.of_documents:
        return False
    found = Wishes.of(reading.judging, None).find(names)
    if "positive" not in found and "documents" not in found:
        return False
    if any(reading.judging.get(role) for role in ("positive", "documents")):
        return True
    is_corpus = first_usual(names, DOCUMENT_COLUMNS["text"]) and first_usual(names, ROW_IDS)
    return "query" in found and not is_corpus


def stream_judged(source: Source, report: DocumentReport, markup: str = "keep") -> Iterator[tuple[int, Document]]:
    """Each document of a source once, with its place: its corpus, and the texts that its rows hold.

    Args:
        source: opened, as for training.
        report: is told what was read as what.
        markup: what is done with markup in texts, by the rule of that name.

    Raises:
        DataError: the source cannot be read, two texts have one id, or it holds no text of a document.
    """
    seen: dict[str, str] = {}
    rows = repeated = alike = 0
    example = ""
    kind, file = "from a collection", Path(source.name).name

    def clean(place: int, text: str) -> str:
        return treated(text, markup, source.name, place, lambda found: report.mark(file, place, found, markup))

    for place, document in source.documents():
        seen[document.id] = ""
        report.read[kind] += 1
        yield place, clean_document(document, partial(clean, place))
    texts = not seen  # a collection's judgements name documents by their ids
    for judgement in source.judgements() if texts else ():
        if judgement.document is None:
            continue
        rows += 1
        text = clean(judgement.place, judgement.document)
        identity = judgement.document_id or text_id("d-", text)
        digest = text_id("", text)
        if (other := seen.setdefault(identity, digest)) is not digest:
            if other != digest:
                raise DataError(
                    f"two documents have the id {identity!r:.200}: ids must be unique.", source.name, judgement.place
                )
            repeated += 1
            continue
        if judgement.document_id is None and not normalise(text):  # an empty cell is no document
            del seen[identity]
            report.skip_row(file, judgement.place, "without text")
            continue
        if looks_like_an_id(judgement.document):
            alike, example = alike + 1, judgement.document
        report.read["from queries with documents"] += 1
        yield judgement.place, Document(identity, text)
    if texts and alike >= NEARLY_ALL * len(seen) and seen:
        raise DataError(
            f"the texts of documents look like ids, such as {example!r:.60}: give the documents that they name. If "
            "they are texts, name their column as one of documents: --columns text=COLUMN (columns={'text': ...}).",
            source.name,
        )
    if not seen:
        raise DataError("holds no text of a document: give the documents themselves.", source.name)
    said = f"{file}: {source.shape}"
    if texts:
        again = f", {repeated} of the {rows} repeat one" if repeated else ""
        said += (
            f"; each different document is read once{again}, and no query (to read rows as documents, with their other "
            "columns as metadata: --columns text=COLUMN, in Python columns={'text': ...})"
        )
    report.tables.append(said)
