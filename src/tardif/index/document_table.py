"""Tables of documents that a filter can query: the base of an index's database, and the table of an index in memory.

A filter is SQL and nothing else, so both kinds of index find the same documents.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from tardif.forks import ForkAware, register
from tardif.index.document_columns import columns_of
from tardif.index.filter_nodes import Filter
from tardif.index.metadata_fields import MetadataField, fields_of
from tardif.types import Document

_SCHEMA = """
CREATE TABLE documents (
  number   INTEGER PRIMARY KEY,
  id       TEXT NOT NULL UNIQUE,
  title    TEXT,
  metadata TEXT NOT NULL,
  document TEXT NOT NULL,
  piece    TEXT
);
CREATE INDEX documents_whole ON documents (document);
"""


class DocumentTable(ABC):
    """The queries of a table ``documents``."""

    @abstractmethod
    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that a statement selects."""

    def matching(self, where: Filter, column: str = "number") -> list[Any]:
        """Return the numbers, or another column, of the rows that pass a filter."""
        condition, values = where.sql()
        return [row[0] for row in self._rows(f"SELECT {column} FROM documents WHERE {condition}", values)]

    def any_matching(self, where: Filter) -> bool:
        """Whether any row passes a filter."""
        condition, values = where.sql()
        return bool(self._rows(f"SELECT 1 FROM documents WHERE {condition} LIMIT 1", values))

    def all_matching(self, where: Filter) -> list[str]:
        """Return the ids of the documents that pass a filter with all of their pieces."""
        condition, values = where.sql()
        statement = (
            f"SELECT document FROM documents GROUP BY document HAVING min(({condition}) IS TRUE) ORDER BY min(number)"
        )
        return [str(row[0]) for row in self._rows(statement, values)]

    def keys(self) -> list[str]:
        """Return the keys of all documents' metadata, sorted."""
        # json_each yields a row for each key at the top of the metadata.
        return sorted(str(row[0]) for row in self._rows("SELECT DISTINCT key FROM documents, json_each(metadata)"))

    def fields(self) -> list[MetadataField]:
        """Return the fields of all documents' metadata, sorted by name, with their types, values and ranges."""
        return fields_of(self._rows)


class _MemoryLock(ForkAware):
    """The lock of all tables in memory: one thread at a time uses SQLite, and none while a process forks.

    SQLite has locks of its own, and a child would inherit them as they are. There is no file, so a child's copy of a
    table is its own.
    """

    def __init__(self) -> None:
        # Reentrant: a table may be garbage-collected, and closed, while this thread holds the lock.
        self.lock = threading.RLock()
        register(self)

    def before_fork(self) -> None:
        """As :meth:`tardif.forks.ForkAware.before_fork`."""
        self.lock.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        """As :meth:`tardif.forks.ForkAware.after_fork`."""
        self.lock.release()

    def close(self, database: sqlite3.Connection) -> None:
        """Close the database of a table that was collected."""
        with self.lock:
            database.close()


_MEMORY = _MemoryLock()


class MemoryTable(DocumentTable):
    """The rows of documents in memory."""

    def __init__(self) -> None:
        with _MEMORY.lock:
            self._database = sqlite3.connect(":memory:", check_same_thread=False)
            self._database.executescript(_SCHEMA)
        weakref.finalize(self, _MEMORY.close, self._database)

    def change(self, gone: Sequence[str], come: Sequence[Document]) -> None:
        """Remove rows by their ids, then add the rows of documents, in one transaction.

        Raises:
            DataError: metadata are nested too deeply.
        """
        rows = [(document.id, document.title, *columns_of(document)) for document in come]
        # One transaction for both: a search sees the old row or the new one.
        with _MEMORY.lock, self._database as database:
            database.executemany("DELETE FROM documents WHERE id = ?", [(identity,) for identity in gone])
            database.executemany("INSERT INTO documents VALUES (NULL, ?, ?, ?, ?, ?)", rows)  # SQLite numbers them

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with _MEMORY.lock:
            return self._database.execute(statement, list(values)).fetchall()
