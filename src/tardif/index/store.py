"""The documents of an index in SQLite, and which segments live: one transaction changes both.

documents   number (never used twice), id, title, text, metadata (JSON)
segments    name of the file, documents and tokens in it
deleted     numbers whose rows still lie in a segment
words       their terms, where they are searched by words as well (:mod:`tardif.index.words`)
facts       name, value: changes, next number, serial of the last segment, dim, the codebook's file
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
  metadata TEXT NOT NULL
);
CREATE TABLE segments (name TEXT PRIMARY KEY, documents INTEGER NOT NULL, tokens INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE deleted (number INTEGER PRIMARY KEY);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

WAIT = 30.0
"""Seconds that SQLite waits for another process's transaction."""


class Store:
    """The database of an index. Each thread has a connection of its own.

    Args:
        path: the file.
        words: how documents are searched by words; None where they are not.

    Raises:
        FolderError: the file is missing, damaged, or cannot be written.
    """

    def __init__(self, path: Path, words: Words | None = None) -> None:
        self._path = path
        self.words = words
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

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
            if not self._path.is_file():
                raise FolderError(f"{self._path} is missing: the index is damaged; build it again.")
            uri = self._path.absolute().as_uri()
            try:
                found = sqlite3.connect(f"{uri}?mode=rw", uri=True, timeout=WAIT, check_same_thread=False)
                found.execute("SELECT count(*) FROM segments")
            except sqlite3.OperationalError:
                # A folder that cannot be written: no log can be kept there, so none is read.
                found = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, check_same_thread=False)
            found.isolation_level = None
            found.execute("PRAGMA synchronous = FULL")
            self._local.connection = found
            with self._lock:
                self._all.append(found)
        return found

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
            raise FolderError(f"{self._path} cannot be used ({error}).") from error
        except sqlite3.DatabaseError as error:
            raise FolderError(f"{self._path} is damaged ({error}): see tardif doctor {self._path.parent}.") from error

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

    def deleted(self) -> list[int]:
        """The numbers of deleted documents whose rows still lie in a segment."""
        return [int(row[0]) for row in self._rows("SELECT number FROM deleted ORDER BY number")]

    def count(self) -> int:
        """How many documents there are."""
        return int(self._rows("SELECT count(*) FROM documents")[0][0])

    def insert(self, database: sqlite3.Connection, documents: Sequence[Document], numbers: Sequence[int]) -> int:
        """Add documents in a transaction; one of the same id is replaced. Returns how many were."""
        replaced = self.remove(database, [document.id for document in documents])
        database.executemany(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?)",
            [
                (number, d.id, d.title, d.text, metadata_json(d.metadata))
                for number, d in zip(numbers, documents, strict=True)
            ],
        )
        if self.words is not None:
            self.words.insert(database, zip(numbers, documents, strict=True))
        return replaced

    def remove(self, database: sqlite3.Connection, ids: Sequence[str]) -> int:
        """Delete documents in a transaction. Returns how many there were."""
        numbers = [(number,) for number in self.numbers(ids).values()]
        if self.words is not None:
            self.words.remove(database, [number for (number,) in numbers])
        database.executemany("DELETE FROM documents WHERE number = ?", numbers)
        database.executemany("INSERT INTO deleted VALUES (?)", numbers)
        return len(numbers)

    def numbers(self, ids: Sequence[str]) -> dict[str, int]:
        """The numbers of documents by id; an id that is not there is not in the result."""
        return {str(i): int(n) for n, i in self._among("SELECT number, id FROM documents WHERE id IN", ids)}

    def ids(self, numbers: Sequence[int]) -> dict[int, str]:
        """The ids of documents by number."""
        return {int(n): str(i) for n, i in self._among("SELECT number, id FROM documents WHERE number IN", numbers)}

    def all_ids(self) -> list[str]:
        """Every document's id, in the order of the numbers."""
        return [str(row[0]) for row in self._rows("SELECT id FROM documents ORDER BY number")]

    def documents(self, ids: Sequence[str]) -> dict[str, Document]:
        """Documents by id; an id that is not there is not in the result."""
        rows = self._among("SELECT id, title, text, metadata FROM documents WHERE id IN", ids)
        return {i: Document(i, text, title, json.loads(metadata)) for i, title, text, metadata in rows}

    def matching(self, condition: str, values: Sequence[Any]) -> list[int]:
        """The numbers of the documents that a condition on their columns lets through."""
        return [int(row[0]) for row in self._rows(f"SELECT number FROM documents WHERE {condition}", values)]

    def _among(self, statement: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        for begin in range(0, len(values), 500):  # SQLite bounds the variables of one statement
            block = list(values[begin : begin + 500])
            yield from self._rows(f"{statement} ({', '.join('?' * len(block))})", block)

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.reading() as database:
            return database.execute(statement, list(values)).fetchall()
