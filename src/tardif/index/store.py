"""The documents of an index in SQLite, and which segments live: one transaction changes both.

documents   number (never used twice), id, title, text, metadata (JSON), checksum of all these (XXH3)
segments    name of the file, documents and tokens in it
deleted     numbers whose rows still lie in a segment
words       their terms, where they are searched by words as well (:mod:`tardif.index.words`)
facts       name, value: changes, next number, serial of the last segment, dim, the codebook's file; and what tells
            that segments and deletions are those that were written (``deleted sum``, ``state``)

SQLite would not notice a bit that another program or the disk has changed in a text; what is read is checked here.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from tardif.errors import FolderError
from tardif.index.metadata import metadata_json
from tardif.index.words import Words
from tardif.types import Document

_SCHEMA = """
CREATE TABLE documents (
  number   INTEGER PRIMARY KEY,
  id       TEXT NOT NULL UNIQUE,
  title    TEXT NOT NULL,
  text     TEXT NOT NULL,
  metadata TEXT NOT NULL,
  checksum INTEGER NOT NULL
);
CREATE TABLE segments (name TEXT PRIMARY KEY, documents INTEGER NOT NULL, tokens INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE deleted (number INTEGER PRIMARY KEY);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

_COLUMNS = "number, id, title, text, metadata, checksum"

WAIT = 30.0
"""Seconds that SQLite waits for another process's transaction."""

# Values in one statement: SQLite bounds them.
_BLOCK = 500


class Store:
    """The database of an index. Each thread has a connection of its own.

    Args:
        path: the file.
        words: how documents are searched by words; None where they are not.

    Raises:
        FolderError: the file is missing, damaged, or cannot be written.
    """

    def __init__(self, path: Path, words: Words | None = None) -> None:
        self.path = path
        self.words = words
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._known_good = np.zeros(0, dtype=np.int64)

    @classmethod
    def create(cls, path: Path, words: Words | None = None) -> None:
        """Make the empty database; arguments as :class:`Store`.

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

    def close(self) -> None:
        """Close all threads' connections."""
        with self._lock:
            for connection in self._all:
                connection.close()
            self._all.clear()
        self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            if not self.path.is_file():
                raise FolderError(f"{self.path} is missing: the index is damaged; build it again.")
            uri = self.path.absolute().as_uri()
            try:
                found = sqlite3.connect(f"{uri}?mode=rw", uri=True, timeout=WAIT, check_same_thread=False)
                found.execute("SELECT count(*) FROM segments")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                    raise  # another holds it: what is read without its log would be old
                found = self._read_only(uri)
            found.isolation_level = None
            found.execute("PRAGMA synchronous = FULL")
            self._local.connection = found
            with self._lock:
                self._all.append(found)
        return found

    def _read_only(self, uri: str) -> sqlite3.Connection:
        """A connection in a folder that cannot be written: SQLite can keep no log there, and read none."""
        log = self.path.with_name(f"{self.path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise FolderError(
                f"{self.path.parent} cannot be written, and its last writer was killed: "
                "open the index once where it can be written."
            )
        return sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, check_same_thread=False)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A view of the database as it is now, whatever others write meanwhile."""
        with self._explained():
            connection = self._connection()
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is there when the block ends well, and none of it else."""
        with self._explained():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise FolderError(f"{self.path} cannot be used ({error}).") from error
        except sqlite3.DatabaseError as error:
            raise self.damaged(str(error)) from error

    def fact(self, name: str) -> str | None:
        """A fact's value."""
        with self.reading() as database:
            row = database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def number(self, name: str) -> int:
        """A fact that is a number; 0 where it was never noted."""
        return int(self.fact(name) or 0)

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
        """:meth:`segments` and :meth:`deleted`, checked to be what was written.

        Raises:
            FolderError: they are not.
        """
        with self.reading():
            names, deleted = self.segments(), self.deleted()
            if (self.fact("state") or _state([], 0)) != _state(names, mixed_sum(deleted)):
                raise self.damaged("its segments and deletions are not those that were written")
            return names, deleted

    def sign(self, database: sqlite3.Connection) -> None:
        """Note, at the end of a transaction, which segments and deletions there are, and that something changed."""
        self.set_fact(database, "state", _state(self.segments(), self.number("deleted sum")))
        self.set_fact(database, "changes", self.number("changes") + 1)

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
        return FolderError(f"{self.path} is damaged ({why}): see tardif doctor {self.path.parent}.")

    def count(self) -> int:
        """How many documents there are."""
        return int(self._rows("SELECT count(*) FROM documents")[0][0])

    def insert(self, database: sqlite3.Connection, documents: Sequence[Document], numbers: Sequence[int]) -> int:
        """Add documents in a transaction; one of the same id is replaced. Returns how many were."""
        replaced = self.remove(database, [document.id for document in documents])
        database.executemany(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)",
            [
                (*row, row_checksum(row))
                for row in (
                    (number, d.id, d.title, d.text, metadata_json(d.metadata))
                    for number, d in zip(numbers, documents, strict=True)
                )
            ],
        )
        if self.words is not None:
            self.words.insert(database, zip(numbers, documents, strict=True))
        return replaced

    def remove(self, database: sqlite3.Connection, ids: Sequence[str]) -> int:
        """Delete documents in a transaction. Returns how many there were."""
        numbers = list(self.numbers(ids).values())
        self.remove_numbers(database, numbers)
        return len(numbers)

    def remove_numbers(self, database: sqlite3.Connection, numbers: Sequence[int]) -> None:
        """Delete documents by their numbers, in a transaction."""
        if self.words is not None:
            self.words.remove(database, numbers)
        rows = [(number,) for number in numbers]
        database.executemany("DELETE FROM documents WHERE number = ?", rows)
        database.executemany("INSERT INTO deleted VALUES (?)", rows)
        self._add_to_sum(database, mixed_sum(np.array(numbers, dtype=np.int64)))

    def numbers(self, ids: Sequence[str]) -> dict[str, int]:
        """The numbers of documents by id; an id that is not there is not in the result."""
        return {str(i): int(n) for n, i in self._among("SELECT number, id FROM documents WHERE id IN", ids)}

    def ids(self, numbers: Sequence[int]) -> dict[int, str]:
        """The ids of documents by number.

        Raises:
            FolderError: one is missing, or is not what was written.
        """
        found = {row[0]: str(row[1]) for row in self._checked("number", numbers)}
        if len(found) < len(set(numbers)):
            raise self.damaged("a document of its segments is missing")
        return found

    def all_ids(self) -> list[str]:
        """Every document's id, in the order of the numbers."""
        return [str(row[0]) for row in self._rows("SELECT id FROM documents ORDER BY number")]

    def documents(self, ids: Sequence[str]) -> dict[str, Document]:
        """Documents by id; an id that is not there is not in the result.

        Raises:
            FolderError: one is not what was written.
        """
        return {row[1]: document_of(row) for row in self._checked("id", ids)}

    def all_rows(self) -> Iterator[tuple[Any, ...]]:
        """Every document's number, id, title, text, metadata and checksum, unchecked, in the order of the numbers."""
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

    def matching(self, condition: str, values: Sequence[Any]) -> list[int]:
        """The numbers of the documents that a condition on their columns lets through."""
        return [int(row[0]) for row in self._rows(f"SELECT number FROM documents WHERE {condition}", values)]

    def _among(self, statement: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        for begin in range(0, len(values), _BLOCK):
            block = list(values[begin : begin + _BLOCK])
            yield from self._rows(f"{statement} ({', '.join('?' * len(block))})", block)

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.reading() as database:
            return database.execute(statement, list(values)).fetchall()


def document_of(row: Sequence[Any]) -> Document:
    """The document of a row of :meth:`Store.all_rows`."""
    return Document(row[1], row[3], row[2], json.loads(row[4]))


def row_checksum(row: Sequence[Any]) -> int:
    """The checksum of a document's number, id, title, text and metadata, as SQLite's signed integers hold it."""
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


def _state(names: Sequence[str], deleted: int) -> str:
    return xxhash.xxh3_64_hexdigest("\n".join([*names, str(deleted)]).encode())
