"""The documents of an index in SQLite, and which segments live: one transaction changes both.

documents   number (never used twice), id, title, text, metadata (JSON); the document that it is a piece of, or its own
            id, and which piece (JSON, NULL for a whole document); the folder or file that it came from; checksum of its
            terms (0 without words), and checksum (XXH3) of all these
segments    name of the file, documents and tokens in it
deleted     numbers whose rows still lie in a segment
words       their terms, where they are searched by words as well (:mod:`tardif.index.fulltext`)
facts       name, value: identity of the index, checksums of its manifest and query encoder; changes, next number,
            serial of the last segment, dim, the codebook's file; and what tells that all this is what was written
            (``documents``, ``rows``, ``documents sum``, ``deleted sum``, ``words sum``, ``state``)

SQLite would not notice a bit that another program or the disk has changed; what is read is checked here. ``state``
covers the facts, segments and deletions, and is compared whenever a view is opened. A document that was cut has a row
for each of its pieces; they come and go together, in one transaction. A segment's and a codebook's name
holds the checksum of its content, so ``state`` binds the files of an index together.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from tardif.errors import FolderError
from tardif.index.connections import Connections
from tardif.index.document_columns import columns_of
from tardif.index.document_table import DocumentTable
from tardif.index.fulltext import Lengths, Words
from tardif.index.pieces import check_deletable, check_free
from tardif.types import Document, Piece

# Compared with the file's own when it is opened, to the last letter: a change is another version of the format.
_SCHEMA = """
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
  checksum INTEGER NOT NULL
);
CREATE INDEX documents_whole ON documents (document);
CREATE TABLE segments (name TEXT PRIMARY KEY, documents INTEGER NOT NULL, tokens INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE deleted (number INTEGER PRIMARY KEY);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

_COLUMNS = "number, id, title, text, metadata, document, piece, source, terms, checksum"
# Where those stand in a row.
_DOCUMENT, _PIECE, _SOURCE, _TERMS = range(5, 9)
# The indexes of the rows' names, by their column.
_INDEXES = {"id": "sqlite_autoindex_documents_1", "document": "documents_whole"}

_LOST = "its index of the ids does not hold them all"
# Values in one statement: SQLite bounds them.
_BLOCK = 500


class Store(DocumentTable):
    """The database of an index.

    Args:
        path: the file.
        words: how documents are searched by words; None where they are not.
        identity: of the index that it has to belong to; None takes any.

    Raises:
        FolderError: the file is missing, damaged, or cannot be written.
    """

    def __init__(self, path: Path, words: Words | None = None, identity: str | None = None) -> None:
        self.path = path
        self.words = words
        self._connections = Connections(path, _SCHEMA, identity)
        self._known_good = np.zeros(0, dtype=np.int64)
        self._lengths: tuple[int, Lengths] | None = None
        self._ids_checked = False

    @classmethod
    def create(cls, path: Path, facts: Mapping[str, str], words: Words | None = None) -> None:
        """Make the empty database.

        Args:
            path: the file.
            facts: what it says of the index from the beginning.
            words: as for :class:`Store`.

        Raises:
            SettingError: words are wanted, and this Python's SQLite cannot search them.
        """
        database = sqlite3.connect(path)
        try:
            # Readers go on while one writes; a commit is on disk when it returns.
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.executescript(_SCHEMA)
            if words is not None:
                words.create(database)
        finally:
            database.close()
        store = cls(path, words)
        try:
            with store.writing() as opened:
                for name, value in facts.items():
                    store.set_fact(opened, name, value)
                store.sign_words(opened)
        finally:
            store.close()

    def close(self) -> None:
        """Close all threads' connections."""
        self._connections.close()

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """As :meth:`tardif.index.connections.Connections.reading`."""
        return self._connections.reading()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """As :meth:`tardif.index.connections.Connections.writing`; at its end the facts are sealed."""
        with self._connections.writing() as database:
            yield database
            self.seal(database)

    def fact(self, name: str) -> str | None:
        """A fact's value."""
        with self.reading() as database:
            row = database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def number(self, name: str) -> int:
        """A fact that is a number; 0 where it was never noted.

        Raises:
            FolderError: it is none.
        """
        value = self.fact(name) or "0"
        if not re.fullmatch(r"[0-9]{1,20}", value):
            raise self.damaged(f"{value!r:.100} is noted as the number of its {name}")
        return int(value)

    def set_fact(self, database: sqlite3.Connection, name: str, value: str | int) -> None:
        """Note a fact, in a transaction."""
        database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, str(value)))

    def segments(self) -> list[str]:
        """The files that live, in the order in which they were made."""
        return [str(row[0]) for row in self._rows("SELECT name FROM segments ORDER BY name")]

    def deleted(self) -> NDArray[np.int64]:
        """The numbers of deleted documents whose rows still lie in a segment, ascending."""
        return np.array([row[0] for row in self._rows("SELECT number FROM deleted ORDER BY number")], dtype=np.int64)

    def living(self) -> tuple[list[str], NDArray[np.int64]]:
        """:meth:`segments` and :meth:`deleted`, checked to be what was written, as are the facts.

        Raises:
            FolderError: they are not.
        """
        with self.reading() as database:
            names, deleted = self.segments(), self.deleted()
            if self.fact("state") != _state(database) or self.number("deleted sum") != mixed_sum(deleted):
                raise self.damaged("its facts, segments and deletions are not those that were written")
            return names, deleted

    def touch(self, database: sqlite3.Connection) -> None:
        """Note, in a transaction, that what can be found has changed."""
        self.set_fact(database, "changes", self.number("changes") + 1)

    def seal(self, database: sqlite3.Connection) -> None:
        """Note, at the end of a transaction, which facts, segments and deletions there are."""
        self.set_fact(database, "state", _state(database))

    def sign_words(self, database: sqlite3.Connection) -> None:
        """Note, in a transaction, what the words are, where there are any."""
        if self.words is not None:
            self.set_fact(database, "words sum", self.words.checksum(database))

    def rebuild_words(self, database: sqlite3.Connection) -> None:
        """Have the words be those of the documents, in a transaction."""
        assert self.words is not None
        self.words.create_anew(database)
        for row in list(self.all_rows()):
            terms = self.words.terms(document_of(row))
            held = terms_checksum(terms)
            database.execute(
                "UPDATE documents SET terms = ?, checksum = ? WHERE number = ?",
                (held, row_checksum((*row[:_TERMS], held)), row[0]),
            )
            self.words.insert(database, [(row[0], terms)])
        self.recount(database)
        self.sign_words(database)

    def check_words(self, database: sqlite3.Connection) -> Lengths:
        """Check, in a transaction, that the words are what was written, once for every change.

        Returns:
            What a search of them needs.

        Raises:
            FolderError: they are not.
        """
        assert self.words is not None
        change, known = self.number("changes"), self._lengths
        if known is not None and known[0] == change:
            return known[1]
        lengths = self.words.lengths(database, self.fact("words sum"))
        if lengths is None:
            raise self.damaged("its words are not those that were written")
        self._lengths = change, lengths
        return lengths

    def forget(self, database: sqlite3.Connection, numbers: NDArray[np.int64]) -> None:
        """Note that deleted documents' rows lie in no segment any more, in a transaction."""
        database.executemany("DELETE FROM deleted WHERE number = ?", [(n,) for n in numbers.tolist()])
        self._add_to_sum(database, -mixed_sum(numbers))

    def set_deleted(self, database: sqlite3.Connection, numbers: NDArray[np.int64]) -> None:
        """Have these be the deleted documents whose rows lie in a segment, in a transaction."""
        database.execute("DELETE FROM deleted")
        database.executemany("INSERT INTO deleted VALUES (?)", [(n,) for n in numbers.tolist()])
        self.set_fact(database, "deleted sum", mixed_sum(numbers))

    def _add_to_sum(self, database: sqlite3.Connection, change: int) -> None:
        self.set_fact(database, "deleted sum", (self.number("deleted sum") + change) % 2**64)

    def damaged(self, why: str) -> FolderError:
        """What to raise where the database does not hold what was written."""
        return self._connections.damaged(why)

    def count(self) -> int:
        """How many documents there are, each counted once however many pieces it has."""
        return self.number("documents")

    def rows(self) -> int:
        """How many rows they have: one each, or one for each piece."""
        return self.number("rows")

    def recount(self, database: sqlite3.Connection) -> None:
        """Have number and sum of the documents be those of the rows, in a transaction."""
        rows = database.execute("SELECT document, checksum FROM documents").fetchall()
        self.set_fact(database, "documents", len({row[0] for row in rows}))
        self.set_fact(database, "rows", len(rows))
        self.set_fact(database, "documents sum", mixed_sum(np.array([row[1] for row in rows], dtype=np.int64)))

    def _count_in(self, database: sqlite3.Connection, rows: Sequence[tuple[Any, ...]], sign: int) -> int:
        """Count whole documents' rows in, or out. Returns how many documents they are."""
        count = len({row[_DOCUMENT] for row in rows})
        part = sign * mixed_sum(np.array([row[-1] for row in rows], dtype=np.int64))
        self.set_fact(database, "documents", self.number("documents") + sign * count)
        self.set_fact(database, "rows", self.number("rows") + sign * len(rows))
        self.set_fact(database, "documents sum", (self.number("documents sum") + part) % 2**64)
        return count

    def insert(
        self, database: sqlite3.Connection, documents: Sequence[Document], numbers: Sequence[int], source: str
    ) -> int:
        """Add documents in a transaction, with all of their pieces; one of the same id is replaced, with all of its
        pieces. Returns how many were.

        Raises:
            DataError: another document has the id of a piece.
        """
        wholes = {document.whole_id for document in documents}
        replaced = self._remove(database, list(self._rows_of(wholes)))
        owners = self._owners({document.id for document in documents} | wholes)
        if not wholes.isdisjoint(owners.values()):
            raise self.damaged(_LOST)
        check_free(documents, owners)
        terms = [self.words.terms(d) if self.words is not None else "" for d in documents]
        rows = [
            (*row, row_checksum(row))
            for row in (
                (number, d.id, d.title, d.text, *columns_of(d), source, terms_checksum(words))
                for number, d, words in zip(numbers, documents, terms, strict=True)
            )
        ]
        database.executemany(f"INSERT INTO documents VALUES ({', '.join('?' * len(rows[0]))})", rows)
        self._count_in(database, rows, 1)
        if self.words is not None:
            self.words.insert(database, zip(numbers, terms, strict=True))
            self.sign_words(database)
        return replaced

    def _owners(self, names: set[str]) -> dict[str, str]:
        """The documents of the rows that have these names, as their own or as their document's."""
        rows = [*self._rows_of(names, "id"), *self._rows_of(names)]
        return {name: row[_DOCUMENT] for row in rows for name in (row[1], row[_DOCUMENT])}

    def remove(self, database: sqlite3.Connection, ids: Sequence[str]) -> int:
        """Delete documents with all of their pieces, in a transaction. Returns how many there were.

        Raises:
            DataError: an id is that of a piece.
            FolderError: one, or the index of the ids, is not what was written.
        """
        rows = self._looked_up(ids, "document")
        there = {row[_DOCUMENT] for row in rows}
        check_deletable({row[1]: row[_DOCUMENT] for row in self._rows_of([i for i in ids if i not in there], "id")})
        count = self._remove(database, rows)
        if count:
            self.sign_words(database)
        return count

    def _remove(self, database: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        numbers = [row[0] for row in rows]
        if len(list(self._rows_of([row[1] for row in rows], "id"))) != len(rows):
            raise self.damaged(_LOST)
        if self.words is not None:
            # What was deleted by other words than its own would be found by these for ever.
            for row in rows:
                if terms_checksum(self.words.held(database, row[0])) != row[_TERMS]:
                    raise self.damaged(f"the words of the document {row[1]!r:.200} are not those that were written")
        self.remove_numbers(database, numbers)
        return self._count_in(database, rows, -1)

    def adopt(self, database: sqlite3.Connection, ids: Sequence[str], source: str) -> None:
        """Note, in a transaction, that documents came from elsewhere than they did."""
        rows = self._looked_up(ids, "document")
        moved = [(*row[:_SOURCE], source, row[_TERMS]) for row in rows]
        self._count_in(database, rows, -1)
        moved = [(*row, row_checksum(row)) for row in moved]
        database.executemany(
            "UPDATE documents SET source = ?, checksum = ? WHERE number = ?",
            [(source, row[-1], row[0]) for row in moved],
        )
        self._count_in(database, moved, 1)

    def remove_numbers(self, database: sqlite3.Connection, numbers: Sequence[int]) -> None:
        """Delete documents by their numbers, in a transaction, and leave their count as it is."""
        if self.words is not None:
            self.words.remove(database, numbers)
        rows = [(number,) for number in numbers]
        database.executemany("DELETE FROM documents WHERE number = ?", rows)
        database.executemany("INSERT INTO deleted VALUES (?)", rows)
        self._add_to_sum(database, mixed_sum(np.array(numbers, dtype=np.int64)))

    def numbers(self, ids: Sequence[str]) -> dict[str, int]:
        """The numbers of rows by id; an id that is not there is not in the result.

        Raises:
            FolderError: one, or the index of the ids, is not what was written.
        """
        return {row[1]: row[0] for row in self._looked_up(ids)}

    def ids(self, numbers: Sequence[int]) -> dict[int, str]:
        """The ids of rows by number.

        Raises:
            FolderError: one is missing, or is not what was written.
        """
        found = {row[0]: str(row[1]) for row in self._checked("number", numbers)}
        if len(found) < len(set(numbers)):
            raise self.damaged("a document of its segments is missing")
        return found

    def all_ids(self) -> list[str]:
        """Every document's id, in the order of the numbers.

        Raises:
            FolderError: they, or the indexes of the ids, are not what was written.
        """
        self._check_ids()
        return list(dict.fromkeys(str(row[0]) for row in self._rows("SELECT document FROM documents ORDER BY number")))

    def all_numbers(self) -> NDArray[np.int64]:
        """Every row's number, ascending."""
        return np.array([row[0] for row in self._rows("SELECT number FROM documents ORDER BY number")], dtype=np.int64)

    def wholes(self, ids: Sequence[str]) -> dict[str, str]:
        """The documents that rows are, or are pieces of, by the rows' own ids.

        Raises:
            FolderError: one, or the index of the ids, is not what was written.
        """
        return {row[1]: row[_DOCUMENT] for row in self._looked_up(ids)}

    def sources(self) -> dict[str, str]:
        """Where each document came from, by id, in the order of the numbers."""
        return {
            str(row[0]): str(row[1]) for row in self._rows("SELECT document, source FROM documents ORDER BY number")
        }

    def documents(self, ids: Sequence[str]) -> dict[str, Document]:
        """Documents and pieces by id: one with that id, or all pieces of a document with that id. An id that is not
        there is not in the result.

        Raises:
            FolderError: one, or the index of the ids, is not what was written.
        """
        rows = list(self._rows_of(ids, "id"))
        there = {row[1] for row in rows}
        others = [identity for identity in ids if identity not in there]
        pieces = self._looked_up(others, "document")
        if not {row[1] for row in pieces}.isdisjoint(others):
            raise self.damaged(_LOST)
        return {row[1]: document_of(row) for row in [*rows, *pieces]}

    def _rows_of(self, ids: Iterable[str], column: str = "document") -> Iterator[tuple[Any, ...]]:
        wanted, place = set(ids), 1 if column == "id" else _DOCUMENT
        for row in self._checked(column, list(wanted)):
            if row[place] not in wanted:
                raise self.damaged("its index of the ids leads to other documents")
            yield row

    def _looked_up(self, ids: Sequence[str], column: str = "id") -> list[tuple[Any, ...]]:
        """The rows of that name. Before an id is said not to be there, the indexes of the ids are checked, once."""
        rows = list(self._rows_of(ids, column))
        place = 1 if column == "id" else _DOCUMENT
        if len({row[place] for row in rows}) < len(set(ids)):
            self._check_ids()
        return rows

    def _check_ids(self) -> None:
        """Check, once, that the documents' ids and the indexes of them are the same: damage would change one alone.

        Raises:
            FolderError: they are not.
        """
        if self._ids_checked:
            return
        for name, index in _INDEXES.items():
            lost = self._rows(
                "SELECT 1 FROM documents AS a NOT INDEXED WHERE NOT EXISTS (SELECT 1 FROM documents AS b"
                f" INDEXED BY {index} WHERE b.{name} = a.{name} AND b.number = a.number) LIMIT 1"
            )
            if lost:
                raise self.damaged(_LOST)
        if self._rows("SELECT count(*) FROM documents NOT INDEXED")[0][0] != self.rows():
            raise self.damaged(_LOST)
        self._ids_checked = True

    def all_rows(self) -> Iterator[tuple[Any, ...]]:
        """Every row with all of its columns, unchecked, ordered by number."""
        with self.reading() as database:
            yield from database.execute(f"SELECT {_COLUMNS} FROM documents ORDER BY number")

    def _checked(self, column: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        for row in self._among(f"SELECT {_COLUMNS} FROM documents WHERE {column} IN", values):
            if row_checksum(row[:-1]) != row[-1]:
                raise self.damaged(f"the checksum of the document {row[1]!r:.200} is wrong")
            yield row

    def check(self, numbers: NDArray[np.int64]) -> None:
        """Check those documents that no earlier call has checked: what a filter turns down is read by nobody else.

        Raises:
            FolderError: one is missing, or is not what was written.
        """
        new = np.setdiff1d(numbers, self._known_good, assume_unique=True)
        for begin in range(0, len(new), _BLOCK):
            self.ids(new[begin : begin + _BLOCK].tolist())
        self._known_good = numbers

    def _among(self, statement: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        for begin in range(0, len(values), _BLOCK):
            block = list(values[begin : begin + _BLOCK])
            yield from self._rows(f"{statement} ({', '.join('?' * len(block))})", block)

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.reading() as database:
            return database.execute(statement, list(values)).fetchall()


def document_of(row: Sequence[Any]) -> Document:
    """The document of a row of :meth:`Store.all_rows`."""
    piece = None if row[_PIECE] is None else _piece_of(row[_DOCUMENT], json.loads(row[_PIECE]))
    return Document(row[1], row[3], row[2], json.loads(row[4]), piece)


def whole_of(row: Sequence[Any]) -> tuple[str, int]:
    """The document that a row of :meth:`Store.all_rows` is of, and how many rows that has."""
    return str(row[_DOCUMENT]), 1 if row[_PIECE] is None else int(json.loads(row[_PIECE])["of"])


def _piece_of(document: str, place: Mapping[str, Any]) -> Piece:
    return Piece(document, **{**place, "headings": tuple(place["headings"])})


def row_checksum(row: Sequence[Any]) -> int:
    """The checksum of a document's row but the last column, as SQLite's signed integers hold it."""
    digest = xxhash.xxh3_64()
    for value in row:
        part = str(value).encode("utf-8", "surrogatepass")
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.intdigest() - 2**63


def mixed_sum(numbers: NDArray[np.int64]) -> int:
    """A sum over numbers, scrambled one by one (splitmix64), that hardly two sets of them share."""
    x = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return int((x ^ (x >> np.uint64(31))).sum(dtype=np.uint64))


def terms_checksum(terms: str) -> int:
    """The checksum of a document's terms; 0 for none."""
    return xxhash.xxh3_64_intdigest(terms.encode()) - 2**63 if terms else 0


def _state(database: sqlite3.Connection) -> str:
    digest = xxhash.xxh3_64()
    for statement in (
        "SELECT name, value FROM facts WHERE name <> 'state' ORDER BY name",
        "SELECT name, documents, tokens FROM segments ORDER BY name",
    ):
        digest.update(repr(database.execute(statement).fetchall()).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
