"""The database of an index: its documents in SQLite, and the list of living segments, changed in one transaction.

documents   a row per document or piece (:class:`tardif.index.rows.StoredRow`)
segments    name of the file, and how many documents and tokens it holds
deleted     numbers of deleted documents with rows in a segment that was not rewritten yet
words       the documents' terms, in an index that is searched by words (:mod:`tardif.index.fulltext`)
facts       name and value: identity of the index; checksums of its manifest and query encoder; changes, next number,
            serial of the last segment, dim, the codebook's name; and the checksums of the rest (``documents``,
            ``rows``, ``documents sum``, ``deleted sum``, ``words sum``, ``state``)

SQLite does not notice a bit that another program or the disk has changed, so everything that is read is verified here.
``state`` covers facts, segments and deletions, and is compared whenever a view is opened. The names of segments and
codebooks hold the checksums of their contents, so ``state`` binds all files of an index together.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from tardif.errors import FolderError
from tardif.index.connections import Connections
from tardif.index.document_table import DocumentTable
from tardif.index.fulltext import Lengths, Words
from tardif.index.pieces import check_deletable, check_free
from tardif.index.rows import SCHEMA, StoredRow, checksums_of, damaged_of, mixed_sum, terms_checksum
from tardif.index.token_groups import Groups, packed
from tardif.types import Document

_SELECT = f"SELECT {', '.join(StoredRow._fields)} FROM documents"
# SQLite's indexes of the two columns that documents are looked up by.
_INDEXES = {"id": "sqlite_autoindex_documents_1", "document": "documents_whole"}
Name = Literal["id", "document"]

_LOST = "its index of the ids does not hold them all"
# Values in one statement: older SQLites bind at most 999.
_BLOCK = 500


class Store(DocumentTable):
    """The database of an index.

    Methods that take ``database`` are parts of a transaction (:meth:`writing`).

    Attributes:
        signs_words: whether each change of the words is signed.

    Args:
        path: the file.
        words: how documents are searched by words; None if they are not.
        identity: of the index that the file must belong to; None accepts any.

    Raises:
        FolderError: the file is missing, damaged, or cannot be written.
    """

    def __init__(self, path: Path, words: Words | None = None, identity: str | None = None) -> None:
        self.path = path
        self.words = words
        self.signs_words = True
        self._connections = Connections(path, SCHEMA, identity)
        self._verified = np.zeros(0, dtype=np.int64)  # numbers of rows
        self._lengths: tuple[int, Lengths] | None = None
        self._ids_verified = False

    @classmethod
    def create(cls, path: Path, facts: Mapping[str, str], words: Words | None = None) -> None:
        """Create the empty database.

        Args:
            path: the file.
            facts: its first facts.
            words: as for :class:`Store`.

        Raises:
            SettingError: this Python's SQLite cannot search by words.
        """
        with closing(sqlite3.connect(path)) as database:
            # WAL: readers continue while one process writes. FULL: a commit is on disk when it returns.
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.executescript(SCHEMA)
            if words is not None:
                words.create(database)
        with closing(cls(path, words)) as store, store.writing() as opened:
            for name, value in facts.items():
                store.set_fact(opened, name, value)
            store.sign_words(opened)

    def close(self) -> None:
        """Close the connections of all threads."""
        self._connections.close()

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """As :meth:`tardif.index.connections.Connections.reading`."""
        return self._connections.reading()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """As :meth:`tardif.index.connections.Connections.writing`; at its end :meth:`seal` is called."""
        with self._connections.writing() as database:
            yield database
            self.seal(database)

    def damaged(self, why: str) -> FolderError:
        """Return the error for a database that does not hold what was written."""
        return self._connections.damaged(why)

    # Facts, segments and deletions

    def fact(self, name: str) -> str | None:
        """Return a fact's value; None if there is none."""
        rows = self._rows("SELECT value FROM facts WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    def number(self, name: str) -> int:
        """Return the value of a fact that is a number; 0 if there is none.

        Raises:
            FolderError: the value is not a number.
        """
        value = self.fact(name) or "0"
        if not re.fullmatch(r"[0-9]{1,20}", value):
            raise self.damaged(f"{value!r:.100} is noted as the number of its {name}")
        return int(value)

    def set_fact(self, database: sqlite3.Connection, name: str, value: str | int) -> None:
        """Set a fact."""
        database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, str(value)))

    def segments(self) -> list[str]:
        """Return the names of the living segments, in the order in which they were made."""
        return [str(row[0]) for row in self._rows("SELECT name FROM segments ORDER BY name")]

    def deleted(self) -> NDArray[np.int64]:
        """Return the numbers of deleted documents with rows in a segment, ascending."""
        return np.array([row[0] for row in self._rows("SELECT number FROM deleted ORDER BY number")], dtype=np.int64)

    def living(self) -> tuple[list[str], NDArray[np.int64]]:
        """Return :meth:`segments` and :meth:`deleted`, verified together with the facts.

        Raises:
            FolderError: they are not what was written.
        """
        with self.reading() as database:
            names, deleted = self.segments(), self.deleted()
            if self.fact("state") != _state(database) or self.number("deleted sum") != mixed_sum(deleted):
                raise self.damaged("its facts, segments and deletions are not those that were written")
            return names, deleted

    def touch(self, database: sqlite3.Connection) -> None:
        """Count a change of what searches find: views that were opened before are out of date."""
        self.set_fact(database, "changes", self.number("changes") + 1)

    def seal(self, database: sqlite3.Connection) -> None:
        """Record the checksum of facts, segments and deletions."""
        self.set_fact(database, "state", _state(database))

    def forget(self, database: sqlite3.Connection, numbers: NDArray[np.int64]) -> None:
        """Remove numbers from the deletions: no segment holds rows of them any more."""
        database.executemany("DELETE FROM deleted WHERE number = ?", [(n,) for n in numbers.tolist()])
        self._add_to(database, "deleted sum", -mixed_sum(numbers))

    def set_deleted(self, database: sqlite3.Connection, numbers: NDArray[np.int64]) -> None:
        """Replace the deletions."""
        database.execute("DELETE FROM deleted")
        database.executemany("INSERT INTO deleted VALUES (?)", [(n,) for n in numbers.tolist()])
        self.set_fact(database, "deleted sum", mixed_sum(numbers))

    def _add_to(self, database: sqlite3.Connection, name: str, change: int) -> None:
        """Add to a fact that is a number, modulo 2**64."""
        self.set_fact(database, name, (self.number(name) + change) % 2**64)

    # Words

    def sign_words(self, database: sqlite3.Connection) -> None:
        """Record the checksum of the words, if there are any."""
        if self.words is not None and self.signs_words:
            self.set_fact(database, "words sum", self.words.checksum(database))

    def rebuild_words(self, database: sqlite3.Connection) -> None:
        """Index the words of all documents again."""
        assert self.words is not None
        self.words.recreate(database)
        for row in list(self.all_rows()):  # a list: the table is changed meanwhile
            terms = self.words.terms(row.to_document())
            new = row._replace(terms=terms_checksum(terms)).signed()
            database.execute(
                "UPDATE documents SET terms = ?, checksum = ? WHERE number = ?", (new.terms, new.checksum, row.number)
            )
            self.words.insert(database, [(row.number, terms)])
        self.recount(database)
        self.sign_words(database)

    def check_words(self, database: sqlite3.Connection) -> Lengths:
        """Verify the words, once after every change, and return the documents' lengths for a search of them.

        Raises:
            FolderError: the words are not what was written.
        """
        assert self.words is not None
        # Reading all lengths takes 10 ms for 43,000 documents: once per change, not once per query.
        change, known = self.number("changes"), self._lengths
        if known is not None and known[0] == change:
            return known[1]
        lengths = self.words.lengths(database, self.fact("words sum"))
        if lengths is None:
            raise self.damaged("its words are not those that were written")
        self._lengths = change, lengths
        return lengths

    # Counts

    def count(self) -> int:
        """Return how many documents there are; a document that was cut counts once."""
        return self.number("documents")

    def rows(self) -> int:
        """Return how many rows the documents have: one each, or one per piece."""
        return self.number("rows")

    def recount(self, database: sqlite3.Connection) -> None:
        """Count documents and rows again, and sum up their checksums again."""
        rows = [StoredRow._make(row) for row in database.execute(_SELECT)]
        self.set_fact(database, "documents", len({row.document for row in rows}))
        self.set_fact(database, "rows", len(rows))
        self.set_fact(database, "documents sum", mixed_sum(checksums_of(rows)))

    def _count_in(self, database: sqlite3.Connection, rows: Sequence[StoredRow], sign: int) -> int:
        """Add whole documents' rows to the counts and sums, or with sign -1 take them out. Returns how many documents
        they are."""
        count = len({row.document for row in rows})
        self._add_to(database, "documents", sign * count)
        self._add_to(database, "rows", sign * len(rows))
        self._add_to(database, "documents sum", sign * mixed_sum(checksums_of(rows)))
        return count

    # Changing documents

    def insert(
        self,
        database: sqlite3.Connection,
        documents: Sequence[Document],
        numbers: Sequence[int],
        source: str,
        groups: Groups | None = None,
    ) -> int:
        """Add documents with all of their pieces, and return how many documents of the same id were replaced.

        Raises:
            DataError: another document has the id of a piece.
        """
        # Old rows go first, so that the ids of their pieces are free for the new ones.
        wholes = {document.whole_id for document in documents}
        replaced = self._remove(database, self._rows_of(wholes, "document"))
        owners = self._owners({document.id for document in documents} | wholes)
        if not wholes.isdisjoint(owners.values()):
            raise self.damaged(_LOST)
        check_free(documents, owners)
        terms = [self.words.terms(document) if self.words is not None else "" for document in documents]
        rows = [
            StoredRow.of(number, document, source, words, tokens)
            for number, document, words, tokens in zip(
                numbers, documents, terms, packed(groups, len(documents)), strict=True
            )
        ]
        database.executemany(f"INSERT INTO documents VALUES ({', '.join('?' * len(StoredRow._fields))})", rows)
        self._count_in(database, rows, 1)
        if self.words is not None:
            self.words.insert(database, zip(numbers, terms, strict=True))
            self.sign_words(database)
        return replaced

    def _owners(self, names: set[str]) -> dict[str, str]:
        """The whole documents of the rows that have these names, as their own ids or as their documents'."""
        rows = [*self._rows_of(names, "id"), *self._rows_of(names, "document")]
        return {name: row.document for row in rows for name in (row.id, row.document)}

    def remove(self, database: sqlite3.Connection, ids: Sequence[str]) -> int:
        """Delete documents with all of their pieces, and return how many there were.

        Raises:
            DataError: an id is that of a piece.
            FolderError: a row, or SQLite's index of the ids, is not what was written.
        """
        rows = self._looked_up(ids, "document")
        there = {row.document for row in rows}
        others = [identity for identity in ids if identity not in there]
        check_deletable({row.id: row.document for row in self._rows_of(others, "id")})
        count = self._remove(database, rows)
        if count:
            self.sign_words(database)
        return count

    def _remove(self, database: sqlite3.Connection, rows: Sequence[StoredRow]) -> int:
        if len(self._rows_of([row.id for row in rows], "id")) != len(rows):
            raise self.damaged(_LOST)
        if self.words is not None:
            # FTS5 deletes the terms that it holds now: damaged ones would leave the true ones behind for ever.
            for row in rows:
                if terms_checksum(self.words.held(database, row.number)) != row.terms:
                    raise self.damaged(f"the words of the document {row.id!r:.200} are not those that were written")
        self.remove_numbers(database, [row.number for row in rows])
        return self._count_in(database, rows, -1)

    def remove_numbers(self, database: sqlite3.Connection, numbers: Sequence[int]) -> None:
        """Delete rows by their numbers, and leave the counts as they are."""
        if self.words is not None:
            self.words.remove(database, numbers)
        rows = [(number,) for number in numbers]
        database.executemany("DELETE FROM documents WHERE number = ?", rows)
        database.executemany("INSERT INTO deleted VALUES (?)", rows)
        self._add_to(database, "deleted sum", mixed_sum(np.array(numbers, dtype=np.int64)))

    def adopt(self, database: sqlite3.Connection, ids: Sequence[str], source: str) -> None:
        """Record another file or folder that documents came from."""
        rows = self._looked_up(ids, "document")
        moved = [row._replace(source=source).signed() for row in rows]
        # The source is part of a row's checksum, so counts and sums change with it.
        self._count_in(database, rows, -1)
        database.executemany(
            "UPDATE documents SET source = ?, checksum = ? WHERE number = ?",
            [(source, row.checksum, row.number) for row in moved],
        )
        self._count_in(database, moved, 1)

    # Looking documents up. All of these raise FolderError where a row, or SQLite's index of the ids, is not what was
    # written.

    def numbers(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the numbers of rows by id; unknown ids are left out."""
        return {row.id: row.number for row in self._looked_up(ids)}

    def located(self, ids: Sequence[str]) -> dict[str, StoredRow]:
        """Return the rows of documents and pieces by id; unknown ids are left out."""
        return {row.id: row for row in self._looked_up(ids)}

    def wholes(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the whole document's id for the id of each row; unknown ids are left out."""
        return {row.id: row.document for row in self._looked_up(ids)}

    def ids(self, numbers: Sequence[int]) -> dict[int, str]:
        """Return the ids of rows by number; all of them must exist."""
        found = {row.number: row.id for row in self._checked("number", numbers)}
        if len(found) < len(set(numbers)):
            raise self.damaged("a document of its segments is missing")
        return found

    def documents(self, ids: Sequence[str]) -> dict[str, Document]:
        """Return documents and pieces by id. The id of a document that was cut gives all of its pieces; unknown ids are
        left out."""
        rows = self._rows_of(ids, "id")
        there = {row.id for row in rows}
        others = [identity for identity in ids if identity not in there]
        pieces = self._looked_up(others, "document")
        if not {row.id for row in pieces}.isdisjoint(others):
            raise self.damaged(_LOST)
        return {row.id: row.to_document() for row in [*rows, *pieces]}

    def all_ids(self) -> list[str]:
        """Return the ids of all documents, in the order of adding."""
        self._check_ids()
        return list(self.sources())

    def each_id(self) -> Iterator[str]:
        """Yield the ids of all documents, sorted, some at a time."""
        self._check_ids()
        last = ""
        statement = f"SELECT DISTINCT document FROM documents WHERE document > ? ORDER BY document LIMIT {_BLOCK}"
        while rows := self._rows(statement, [last]):
            yield from (str(row[0]) for row in rows)
            last = str(rows[-1][0])

    def each_source(self) -> Iterator[tuple[str, str]]:
        """Yield the file or folder that each document came from, with its id, in the order of adding."""
        statement = f"SELECT number, document, source FROM documents WHERE number > ? ORDER BY number LIMIT {_BLOCK}"
        last, before = -1, None
        while rows := self._rows(statement, [last]):
            for _, document, source in rows:
                if document != before:  # the pieces of a document have numbers next to each other
                    yield str(document), str(source)
                before = document
            last = rows[-1][0]

    def all_numbers(self) -> NDArray[np.int64]:
        """Return the numbers of all rows, ascending."""
        return np.array([row[0] for row in self._rows("SELECT number FROM documents ORDER BY number")], dtype=np.int64)

    def all_rows(self) -> Iterator[StoredRow]:
        """Give every row, unverified, ordered by number."""
        with self.reading() as database:
            yield from map(StoredRow._make, database.execute(f"{_SELECT} ORDER BY number"))

    def sources(self) -> dict[str, str]:
        """Return the file or folder that each document came from, by id, in the order of adding."""
        rows = self._rows("SELECT document, source FROM documents ORDER BY number")
        return {str(row[0]): str(row[1]) for row in rows}

    def check(self, numbers: NDArray[np.int64]) -> None:
        """Verify the rows that no earlier call has verified: a row that a filter turns down is read nowhere else."""
        new = np.setdiff1d(numbers, self._verified, assume_unique=True)
        for begin in range(0, len(new), _BLOCK):
            self.ids(new[begin : begin + _BLOCK].tolist())
        self._verified = numbers

    def _rows_of(self, names: Iterable[str], column: Name) -> list[StoredRow]:
        """The rows of these names; SQLite's index must not lead to others."""
        wanted = set(names)
        rows = self._checked(column, list(wanted))
        if not {getattr(row, column) for row in rows} <= wanted:
            raise self.damaged("its index of the ids leads to other documents")
        return rows

    def _looked_up(self, ids: Sequence[str], column: Name = "id") -> list[StoredRow]:
        """The rows of these names. If one is not found, SQLite's indexes of the ids are verified, once."""
        rows = self._rows_of(ids, column)
        if len({getattr(row, column) for row in rows}) < len(set(ids)):
            self._check_ids()
        return rows

    def _check_ids(self) -> None:
        """Verify, once, that table and indexes hold the same ids: damage would change one of them alone."""
        if self._ids_verified:
            return
        # INDEXED BY and NOT INDEXED make SQLite compare its index with the table, and not the index with itself.
        for name, index in _INDEXES.items():
            lost = self._rows(
                "SELECT 1 FROM documents AS a NOT INDEXED WHERE NOT EXISTS (SELECT 1 FROM documents AS b"
                f" INDEXED BY {index} WHERE b.{name} = a.{name} AND b.number = a.number) LIMIT 1"
            )
            if lost:
                raise self.damaged(_LOST)
        if self._rows("SELECT count(*) FROM documents NOT INDEXED")[0][0] != self.rows():
            raise self.damaged(_LOST)
        self._ids_verified = True

    def _checked(self, column: str, values: Sequence[Any]) -> list[StoredRow]:
        """The rows with one of these values in a column, verified."""
        rows: list[StoredRow] = []
        for begin in range(0, len(values), _BLOCK):
            block = values[begin : begin + _BLOCK]
            marks = ", ".join("?" * len(block))
            rows += map(StoredRow._make, self._rows(f"{_SELECT} WHERE {column} IN ({marks})", block))
        if bad := damaged_of(rows):
            raise self.damaged(f"the checksum of the document {bad[0].id!r:.200} is wrong")
        return rows

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.reading() as database:
            return database.execute(statement, list(values)).fetchall()


def _state(database: sqlite3.Connection) -> str:
    digest = xxhash.xxh3_64()
    for statement in (
        "SELECT name, value FROM facts WHERE name <> 'state' ORDER BY name",
        "SELECT name, documents, tokens FROM segments ORDER BY name",
    ):
        digest.update(repr(database.execute(statement).fetchall()).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
