"""A BEIR folder as a benchmark: one split, whole in memory, its ids checked (Thakur et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tardif.data.formats.beir import open_beir
from tardif.data.formats.corpora import read_queries as stream_queries
from tardif.data.regular import is_folder, user_path
from tardif.errors import DataError
from tardif.showing import Short
from tardif.types import Document, Query


@dataclass(frozen=True, slots=True, repr=False)
class BeirSet(Short):
    """One split of a BEIR folder: the corpus, the judged queries, and their judgements."""

    name: str
    documents: list[Document]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


def read_beir(folder: str | Path, split: str) -> BeirSet:
    """Read one split; queries that it does not judge are left out.

    Raises:
        DataError: a file is missing or malformed, an id in the judgements is in no corpus or no
            list of queries, or ids are not unique.
    """
    folder = user_path(folder)
    if not is_folder(folder):
        raise DataError("no such folder: give a BEIR folder.", folder)
    source = open_beir(folder, split)
    documents = _documents(source.documents(), folder / "corpus.jsonl")
    queries = _texts(source.queries(), folder / "queries.jsonl")
    path = folder / "qrels" / f"{split}.tsv"
    qrels: dict[str, dict[str, int]] = {}
    for judgement in source.judgements():
        query, document = str(judgement.query_id), str(judgement.document_id)
        if query not in queries:
            raise DataError(f"the query id {query!r} is not in queries.jsonl.", path, judgement.place)
        if document not in documents:
            raise DataError(f"the document id {document!r} is not in corpus.jsonl.", path, judgement.place)
        qrels.setdefault(query, {})[document] = int(judgement.label or 0)
    asked = {query: queries[query] for query in qrels}
    return BeirSet(folder.resolve().name, list(documents.values()), asked, qrels)


def read_queries(path: Path) -> dict[str, str]:
    """Query texts by id, from a ``.jsonl``, ``.csv`` or ``.tsv`` file.

    Raises:
        DataError: the file is missing, empty or malformed, or an id stands twice; says where.
    """
    return _texts(stream_queries(path), path)


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


def _documents(placed: Iterable[tuple[int, Document]], path: Path) -> dict[str, Document]:
    found: dict[str, Document] = {}
    for line, document in placed:
        if document.id in found:
            raise DataError(f"two documents have the id {document.id!r}: ids must be unique.", path, line)
        found[document.id] = document
    return found
