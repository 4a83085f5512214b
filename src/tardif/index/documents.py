"""The documents of an index: ids, titles, texts and metadata in SQLite, by position."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from tardif.errors import FolderError
from tardif.types import Document

_SCHEMA = """
CREATE TABLE documents (
  position INTEGER PRIMARY KEY,
  id       TEXT NOT NULL UNIQUE,
  title    TEXT NOT NULL,
  text     TEXT NOT NULL,
  metadata TEXT NOT NULL
)
"""


def write_documents(path: Path, documents: Iterable[Document]) -> None:
    """Create the database with the documents at positions 0, 1, 2, ..."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(_SCHEMA)
        database.executemany(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?)",
            (
                (
                    position,
                    d.id,
                    d.title,
                    d.text,
                    json.dumps(dict(d.metadata), ensure_ascii=False, default=str),
                )
                for position, d in enumerate(documents)
            ),
        )


class DocumentStore:
    """Reads the documents back. Each call opens the file anew, so any thread may call.

    Raises:
        FolderError: the file is missing or no database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def ids(self) -> list[str]:
        """Every id, by position."""
        return [str(row[0]) for row in self._select("SELECT id FROM documents ORDER BY position", ())]

    def get(self, ids: Sequence[str]) -> dict[str, Document]:
        """Documents by id; an id that is not there is not in the result."""
        found: dict[str, Document] = {}
        for begin in range(0, len(ids), 500):  # SQLite bounds the variables of one statement
            block = list(ids[begin : begin + 500])
            marks = ", ".join("?" * len(block))
            for identity, title, text, metadata in self._select(
                f"SELECT id, title, text, metadata FROM documents WHERE id IN ({marks})",
                block,
            ):
                found[identity] = Document(identity, text, title, json.loads(metadata))
        return found

    def _select(self, statement: str, values: Sequence[str]) -> list[tuple[str, ...]]:
        if not self._path.is_file():
            raise FolderError(f"{self._path} is missing: the index is damaged; build it again.")
        try:
            uri = f"{self._path.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True)) as database:
                return database.execute(statement, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise FolderError(f"{self._path} is damaged ({error}): build the index again.") from error
