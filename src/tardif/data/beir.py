"""BEIR folders: ``corpus.jsonl``, ``queries.jsonl``, ``qrels/SPLIT.tsv`` (Thakur et al., NeurIPS 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tardif.data.documents import read_documents
from tardif.data.rows import read_lines, read_rows
from tardif.errors import DataError
from tardif.types import Document

VALIDATION_SPLITS = ("dev", "validation", "valid", "val")


@dataclass(frozen=True, slots=True)
class BeirSet:
    """One split of a BEIR folder: the corpus, the judged queries, and their judgements."""

    name: str
    documents: list[Document]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


def is_beir(folder: Path) -> bool:
    """Whether a folder is laid out as BEIR's."""
    return (folder / "corpus.jsonl").is_file() and (folder / "queries.jsonl").is_file()


def splits(folder: Path) -> list[str]:
    """The names of the splits that have judgements."""
    return sorted(path.stem for path in (folder / "qrels").glob("*.tsv"))


def read_beir(folder: str | Path, split: str) -> BeirSet:
    """Read one split; queries that it does not judge are left out.

    Raises:
        DataError: a file is missing or malformed, an id in the judgements is in no corpus or no
            list of queries, or ids are not unique.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise DataError("no such folder: give a BEIR folder.", folder)
    for name in ("corpus.jsonl", "queries.jsonl"):
        if not (folder / name).is_file():
            raise DataError(f"has no {name}: a BEIR folder has corpus.jsonl, queries.jsonl and qrels/.", folder)
    documents = read_documents(folder / "corpus.jsonl")
    queries = read_queries(folder / "queries.jsonl")
    path = folder / "qrels" / f"{split}.tsv"
    if not path.is_file():
        have = ", ".join(splits(folder)) or "none"
        raise DataError(f"has no qrels/{split}.tsv (it has: {have}): name one of its splits.", folder)
    qrels = _read_qrels(path, {document.id for document in documents}, queries)
    return BeirSet(folder.resolve().name, documents, {query: queries[query] for query in qrels}, qrels)


def read_queries(path: Path) -> dict[str, str]:
    """Query texts by id, from a ``.jsonl``, ``.csv`` or ``.tsv`` file with ``_id`` (or ``id``) and ``text``.

    Raises:
        DataError: a column is missing, a text is empty, an id stands twice; says where.
    """
    queries: dict[str, str] = {}
    for row in read_rows(path):
        identity, text = row.fields.get("_id", row.fields.get("id")), row.fields.get("text")
        if identity is None or text is None:
            raise row.error("missing column _id or text.")
        if not isinstance(text, str) or not text.strip():
            raise row.error("the query's text is empty.")
        if str(identity) in queries:
            raise row.error(f"two queries have the id {str(identity)!r}: ids must be unique.")
        queries[str(identity)] = text
    return queries


def _read_qrels(path: Path, documents: set[str], queries: dict[str, str]) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for number, line in read_lines(path):
        if not line.strip():
            continue
        cells = line.split("\t")
        if number == 1 and len(cells) == 3 and not _is_whole(cells[2]):
            continue  # the header
        if len(cells) != 3 or not _is_whole(cells[2]):
            raise DataError("malformed line: it must be query-id, corpus-id and score, with tabs.", path, number)
        query, document, relevance = cells[0], cells[1], int(cells[2])
        if query not in queries:
            raise DataError(f"the query id {query!r} is not in queries.jsonl.", path, number)
        if document not in documents:
            raise DataError(f"the document id {document!r} is not in corpus.jsonl.", path, number)
        qrels.setdefault(query, {})[document] = relevance
    if not qrels:
        raise DataError("is empty: it holds no judgement.", path)
    return qrels


def _is_whole(cell: str) -> bool:
    return cell.strip().removeprefix("-").isdecimal()
