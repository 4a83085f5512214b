"""Rows of an index's documents: what SQLite holds of a document or piece, its checksum, and the way back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from tardif.index.document_columns import columns_of
from tardif.types import Document, Piece

# Compared with the file's own schema when it is opened, to the last letter: a change is another version of the format.
SCHEMA = """
CREATE TABLE documents (
  number   INTEGER PRIMARY KEY,
  id       TEXT NOT NULL UNIQUE,
  title    TEXT NOT NULL,
  text     TEXT NOT NULL,
  metadata TEXT NOT NULL,
  document TEXT NOT NULL,
  piece    TEXT,
  source   TEXT NOT NULL,
  terms    INTEGER NOT NULL,
  tokens   BLOB,
  checksum INTEGER NOT NULL
);
CREATE INDEX documents_whole ON documents (document);
CREATE TABLE segments (name TEXT PRIMARY KEY, documents INTEGER NOT NULL, tokens INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE deleted (number INTEGER PRIMARY KEY);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class StoredRow(NamedTuple):
    """A row of the table ``documents``. A damaged file may hold values of other types.

    Attributes:
        number: never used twice.
        id: of the document, or of the piece.
        title: of the document.
        text: of the document or piece.
        metadata: JSON.
        document: the id of the whole document; its own id if it was not cut.
        piece: which piece it is (JSON); None for a whole document.
        source: the file or folder that the document came from.
        terms: :func:`terms_checksum` of its terms; 0 in an index without words.
        tokens: which vector each token is part of (:mod:`tardif.index.token_groups`); None where each has its own.
        checksum: :func:`row_checksum` of the other columns.
    """

    number: int
    id: str
    title: str
    text: str
    metadata: str
    document: str
    piece: str | None
    source: str
    terms: int
    tokens: bytes | None
    checksum: int

    @classmethod
    def of(cls, number: int, document: Document, source: str, terms: str, tokens: bytes | None) -> StoredRow:
        """Return the row of a document or piece."""
        columns = (number, document.id, document.title, document.text, *columns_of(document), source)
        return cls(*columns, terms_checksum(terms), tokens, 0).signed()

    def signed(self) -> StoredRow:
        """Return the row with the checksum that its other columns have."""
        return self._replace(checksum=row_checksum(self[:-1]))

    def to_document(self) -> Document:
        """Return the document or piece."""
        place = None if self.piece is None else json.loads(self.piece)
        piece = None if place is None else Piece(self.document, **{**place, "headings": tuple(place["headings"])})
        return Document(self.id, self.text, self.title, json.loads(self.metadata), piece)

    def siblings(self) -> int:
        """Return how many rows the whole document has."""
        return 1 if self.piece is None else int(json.loads(self.piece)["of"])


def row_checksum(columns: Sequence[Any]) -> int:
    """Return the checksum (XXH3) of a row without its last column, as one of SQLite's signed integers."""
    digest = xxhash.xxh3_64()
    for value in columns:
        part = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        # The length first: text cannot move from one column to the next unnoticed.
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.intdigest() - 2**63


def damaged_of(rows: Sequence[StoredRow]) -> list[StoredRow]:
    """Return the rows that are not what was written: their checksums are wrong."""
    return [row for row in rows if row_checksum(row[:-1]) != row.checksum]


def terms_checksum(terms: str) -> int:
    """Return the checksum of a document's terms; 0 for none."""
    return xxhash.xxh3_64_intdigest(terms.encode()) - 2**63 if terms else 0


def mixed_sum(numbers: NDArray[np.int64]) -> int:
    """Return a checksum of a set of numbers: the sum of their hashes (splitmix64), modulo 2**64.

    A sum can be updated when a number comes or goes, without reading the others.

    >>> mixed_sum(np.array([1, 2])) == mixed_sum(np.array([2, 1])) != mixed_sum(np.array([3]))
    True
    """
    x = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return int((x ^ (x >> np.uint64(31))).sum(dtype=np.uint64))


def checksums_of(rows: Sequence[StoredRow]) -> NDArray[np.int64]:
    """Return the rows' checksums."""
    return np.array([row.checksum for row in rows], dtype=np.int64)
