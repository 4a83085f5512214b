"""Sources become one collection of documents, queries and judgements: ids given, equal texts merged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tardif.data.beir import VALIDATION_SPLITS, BeirSet, is_beir, read_beir, splits
from tardif.data.pairs import Pair, read_pairs
from tardif.data.text import text_id
from tardif.errors import DataError
from tardif.types import Document


@dataclass
class Gathered:
    """What has been read so far.

    ``held_out`` are queries that the source itself declares to be for validation.
    """

    documents: dict[str, Document] = field(default_factory=dict)
    queries: dict[str, str] = field(default_factory=dict)
    qrels: dict[str, dict[str, int]] = field(default_factory=dict)
    held_out: set[str] = field(default_factory=set)
    report: list[str] = field(default_factory=list)
    by_text: dict[str, str] = field(default_factory=dict)

    def add_documents(self, documents: Iterable[Document], *, where: str) -> None:
        """Add a corpus.

        Raises:
            DataError: an id stands for two different documents.
        """
        for document in documents:
            other = self.documents.setdefault(document.id, document)
            if other is not document and other != document:
                raise DataError(f"{where}: the document id {document.id!r} already stands for another text.")
            for text in (document.content, document.text):
                self.by_text.setdefault(text, document.id)

    def add_pairs(self, pairs: Iterable[Pair], *, held_out: bool = False) -> None:
        """Add judged pairs; a text that is in the corpus keeps its id, any other joins it."""
        pairs = list(pairs)
        added = 0
        for pair in pairs:
            document = self.by_text.get(pair.document)
            if document is None:
                document = text_id("d-", pair.document)
                added += document not in self.documents
                self.documents.setdefault(document, Document(document, pair.document))
                self.by_text[pair.document] = document
            query = text_id("q-", pair.query)
            self.queries.setdefault(query, pair.query)
            judged = self.qrels.setdefault(query, {})
            # Judged twice: what is relevant once is relevant.
            judged[document] = max(pair.relevance, judged.get(document, pair.relevance))
            if held_out:
                self.held_out.add(query)
        first = {text_id("q-", pair.query): pair for pair in reversed(pairs)}
        for query, pair in first.items():
            if not any(relevance > 0 for relevance in self.qrels[query].values()):
                raise DataError(
                    f"{pair.where}: the query {pair.query[:60]!r} has no positive: add one, or take the query out."
                )
        if added:
            self.report.append(f"{added} texts of the training data joined the corpus")

    def add_beir(self, found: BeirSet, *, held_out: bool = False) -> None:
        """Add one split of a BEIR folder, ids kept."""
        self.add_documents(found.documents, where=found.name)
        for query, text in found.queries.items():
            if self.queries.setdefault(query, text) != text:
                raise DataError(f"{found.name}: the query id {query!r} already stands for another text.")
            if not any(relevance > 0 for relevance in found.qrels[query].values()):
                raise DataError(f"{found.name}: the query {query!r} has no positive: add one, or take the query out.")
            self.qrels[query] = {**self.qrels.get(query, {}), **found.qrels[query]}
            if held_out:
                self.held_out.add(query)


def gather(sources: Iterable[Any], documents: Any = None, *, validation: Any = None, split: str = "train") -> Gathered:
    """Read every source into one collection.

    Args:
        sources: each a path (a file of rows, or a BEIR folder) or an iterable of rows.
        documents: the corpus, if it is not in the sources.
        validation: a file of rows, or rows, whose queries are held out.
        split: the BEIR split to train on. A ``dev`` or ``validation`` split beside it is held out.

    Raises:
        DataError: something cannot be read; says what and where.
    """
    from tardif.data.documents import read_documents

    gathered = Gathered()
    if documents is not None:
        found = read_documents(documents)
        gathered.add_documents(found, where="documents")
        gathered.report.append(f"corpus: {len(found)} documents read")
    for source in sources:
        _add(gathered, source, split)
    if validation is not None:
        pairs, line = read_pairs(validation)
        gathered.add_pairs(pairs, held_out=True)
        gathered.report.append(f"{line}, held out")
    if not gathered.queries:
        raise DataError("There is nothing to train on: give pairs, triplets or a BEIR folder.")
    return gathered


def _add(gathered: Gathered, source: Any, split: str) -> None:
    if isinstance(source, str | Path) and Path(source).expanduser().is_dir():
        folder = Path(source).expanduser()
        if not is_beir(folder):
            raise DataError("is a folder without corpus.jsonl and queries.jsonl: give a file or a BEIR folder.", folder)
        found = read_beir(folder, split)
        gathered.add_beir(found)
        gathered.report.append(
            f"{folder.name}: BEIR folder, split {split}: {len(found.queries)} judged queries, "
            f"{len(found.documents)} documents"
        )
        for name in splits(folder):
            if name in VALIDATION_SPLITS and name != split:
                held = read_beir(folder, name)
                gathered.add_beir(held, held_out=True)
                gathered.report.append(f"{folder.name}: split {name} held out: {len(held.queries)} queries")
        return
    pairs, line = read_pairs(source)
    gathered.add_pairs(pairs)
    gathered.report.append(line)
