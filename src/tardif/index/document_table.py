"""Documents' rows that are asked by a filter: those of an index on disk, and those of one in memory.

A filter is SQL and nothing else, so that both kinds of index find the same.
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
    """What a table ``documents`` is asked."""

    @abstractmethod
    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a statement finds."""

    def matching(self, where: Filter, column: str = "number") -> list[Any]:
        """The numbers, or what another column holds, of the rows that a filter lets through."""
        condition, values = where.sql()
        return [row[0] for row in self._rows(f"SELECT {column} FROM documents WHERE {condition}", values)]

    def any_matching(self, where: Filter) -> bool:
        """Whether a filter lets any row through."""
        condition, values = where.sql()
        return bool(self._rows(f"SELECT 1 FROM documents WHERE {condition} LIMIT 1", values))

    def all_matching(self, where: Filter) -> list[str]:
        """The ids of the documents that a filter lets through with all of their pieces."""
        condition, values = where.sql()
        statement = (
            f"SELECT document FROM documents GROUP BY document HAVING min(({condition}) IS TRUE) ORDER BY min(number)"
        )
        return [str(row[0]) for row in self._rows(statement, values)]

    def keys(self) -> list[str]:
        """The keys of all documents' metadata, sorted."""
        return sorted(str(row[0]) for row in self._rows("SELECT DISTINCT key FROM documents, json_each(metadata)"))


class _Turns(ForkAware):
    """One thread at a time has SQLite open, ask or close a table in memory, and none while a process forks: SQLite has
    locks of its own, which a child would inherit as they are. There is no file, so its copy of a table is its own."""

    def __init__(self) -> None:
        # A table may be collected, and closed, at any moment: also within a turn.
        self.lock = threading.RLock()
        register(self)

    def before_fork(self) -> None:
        """As :meth:`tardif.forks.ForkAware.before_fork`."""
        self.lock.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        """As :meth:`tardif.forks.ForkAware.after_fork`."""
        self.lock.release()

    def close(self, database: sqlite3.Connection) -> None:
        """Close what nobody asks any more."""
        with self.lock:
            database.close()


_TURNS = _Turns()


class MemoryTable(DocumentTable):
    """The rows of documents in memory."""

    def __init__(self) -> None:
        with _TURNS.lock:
            self._database = sqlite3.connect(":memory:", check_same_thread=False)
            self._database.executescript(_SCHEMA)
        weakref.finalize(self, _TURNS.close, self._database)

    def change(self, gone: Sequence[str], come: Sequence[Document]) -> None:
        """Remove rows by their ids, then add others: all of it or nothing.

        Raises:
            DataError: metadata are nested too deep.
        """
        rows = [(document.id, document.title, *columns_of(document)) for document in come]
        with _TURNS.lock, self._database as database:
            database.executemany("DELETE FROM documents WHERE id = ?", [(identity,) for identity in gone])
            database.executemany(
                "INSERT INTO documents (id, title, metadata, document, piece) VALUES (?, ?, ?, ?, ?)", rows
            )

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with _TURNS.lock:
            return self._database.execute(statement, list(values)).fetchall()
