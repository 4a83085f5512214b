"""A corpus in the staging database, in which every id is one document: the same text without an id twice is read once.

This is the one way in for a corpus that a user gives; ids are compared in the database, where they need no memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from tardif.data.assemble import source_name
from tardif.data.chunking import PIECE
from tardif.data.document_report import DocumentReport
from tardif.data.documents import join_repeated, stream_documents
from tardif.data.json_metadata import metadata_json
from tardif.data.reading import Reading
from tardif.data.staging import Chunk, Staging
from tardif.types import Document


def add_corpus(
    staging: Staging,
    documents: Any,
    reading: Reading,
    *,
    chunk: Chunk | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> tuple[int, DocumentReport]:
    """Add a corpus as a source; returns its number, and what was read.

    Args:
        staging: the collection.
        documents: anything that :func:`tardif.data.documents.stream_documents` reads.
        reading: how its tables are read.
        chunk: cuts a document into pieces.
        advance: is told of each document.

    Raises:
        DataError: the corpus cannot be read, or two of its documents have one id.
        SettingError: columns are chosen where there is no table.
    """
    report = DocumentReport()
    source = staging.source(source_name(documents))
    stream = stream_documents(documents, reading=reading, report=report)

    def told() -> Iterator[tuple[int, Document]]:
        for item in stream:
            yield item
            advance(1)

    staging.add_documents(source, told(), chunk=chunk, rows=False)
    staging.columns[source] = report.columns
    _join_repeated(staging, source, report)
    return source, report


def _join_repeated(staging: Staging, source: int, report: DocumentReport) -> None:
    """Leave each text without an id once, with the metadata that all of its rows have."""
    whole = "source = ? AND piece_of IS NULL"
    # Of one content, title and text may divide differently: which row stays does not depend on their order.
    count = staging.one(
        f"""CREATE OR REPLACE TEMP TABLE repeated AS
        SELECT rowid AS row, id, place, metadata, min(place) OVER (PARTITION BY id) AS first,
          content_id = first_value(content_id) OVER (PARTITION BY id ORDER BY place) AS is_same,
          row_number() OVER (PARTITION BY id ORDER BY title, text, place) AS nth
        FROM documents WHERE {whole} AND id IN (
          SELECT id FROM documents WHERE {whole} GROUP BY id HAVING count(*) > 1
        )""",
        [source, source],
    )
    if not count:
        return
    last: Document | None = None
    kept: dict[str, dict[str, Any]] = {}
    for identity, place, first, is_same, metadata in staging.stream(
        "SELECT id, place, first, is_same, metadata FROM repeated ORDER BY first, id, place"
    ):
        document = Document(identity, "", metadata=json.loads(metadata))
        if last is None or last.id != identity:
            last = document
            continue
        both = kept.get(identity, last.metadata)
        common = join_repeated(document, is_same, both, (first, place), staging.sources[source], report)
        if common is not None:
            kept[identity] = common
    staging.run(
        """DELETE FROM documents WHERE source = ? AND (piece_of, place) IN (
          SELECT (id, place) FROM repeated WHERE nth > 1
        )""",
        [source],
    )
    staging.run("DELETE FROM documents WHERE rowid IN (SELECT row FROM repeated WHERE nth > 1)")
    if kept:
        _set_metadata(staging, source, kept)


def _set_metadata(staging: Staging, source: int, kept: dict[str, dict[str, Any]]) -> None:
    """Set the metadata of documents by their ids, and of their pieces, which have their place besides."""
    columns, rows = "id VARCHAR, metadata VARCHAR", [(found, metadata_json(both)) for found, both in kept.items()]
    staging.table("kept", columns, rows)
    pieces = staging.all(
        "SELECT d.id, d.piece_of, d.metadata FROM documents d JOIN kept ON d.piece_of = kept.id WHERE source = ?",
        [source],
    )
    for identity, whole, metadata in pieces:
        rows.append((identity, metadata_json({**kept[whole], PIECE: json.loads(metadata)[PIECE]})))
    staging.table("kept", columns, rows)
    staging.run(
        "UPDATE documents SET metadata = kept.metadata FROM kept WHERE documents.id = kept.id AND source = ?", [source]
    )
