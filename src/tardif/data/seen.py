"""Ids that a stream has shown, on disk: a corpus may have more of them than memory holds."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager


class SeenTexts(AbstractContextManager["SeenTexts"]):
    """The ids of texts, each with a digest of its text, in a temporary file of the system. Few stay in memory.

    >>> with SeenTexts() as seen:
    ...     seen.put("d-1", "0af3"), seen.put("d-1", "77b0"), len(seen)
    (None, '0af3', 1)
    """

    def __init__(self) -> None:
        # An empty name: SQLite makes a file without a name once the pages do not fit into its cache, of 2 MB.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("CREATE TABLE seen (id TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID")
        self._database.execute("BEGIN")
        self._count = 0

    def __exit__(self, *raised: object) -> None:
        self._database.close()

    def __len__(self) -> int:
        return self._count

    def put(self, identity: str, digest: str) -> str | None:
        """Add an id. Return the digest of an id that was there, which stays; None for a new one."""
        if self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (identity, digest)).rowcount:
            self._count += 1
            return None
        return str(self._database.execute("SELECT digest FROM seen WHERE id = ?", [identity]).fetchone()[0])
