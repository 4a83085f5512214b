"""BM25 over an index's documents, in the same transactions as they: SQLite's FTS5 over the terms of a language."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from tardif.errors import SettingError
from tardif.languages import Language
from tardif.languages import language as find_language
from tardif.terms import Terms, pieces
from tardif.types import Document

# Terms come as they are to count: nothing is left to FTS5's tokenizer but to part them.
_TABLE = "CREATE VIRTUAL TABLE words USING fts5(terms, tokenize = \"ascii tokenchars '_'\")"
# Distinct terms of a query that are searched for: far more than a query has that a model reads.
_MOST_TERMS = 256


class Words:
    """The words of an index's documents.

    Args:
        language: whose stemmer and stopwords to use (:mod:`tardif.terms`).
    """

    def __init__(self, language: Language) -> None:
        self._terms = Terms(language)

    def create(self, database: sqlite3.Connection) -> None:
        """Make the empty table.

        Raises:
            SettingError: this Python's SQLite has no FTS5.
        """
        try:
            database.execute(_TABLE)
        except sqlite3.OperationalError as error:
            raise SettingError(f"Hybrid search needs SQLite's FTS5, which this Python lacks ({error}).") from error

    def rebuild(self, database: sqlite3.Connection, numbered: Iterable[tuple[int, Document]]) -> None:
        """Have the table hold these documents and no others, in a transaction."""
        database.execute("DROP TABLE IF EXISTS words")
        self.create(database)
        self.insert(database, numbered)

    def insert(self, database: sqlite3.Connection, numbered: Iterable[tuple[int, Document]]) -> None:
        """Add documents by their numbers, in a transaction."""
        rows = ((number, " ".join(self._of(document.content, document=True))) for number, document in numbered)
        database.executemany("INSERT INTO words (rowid, terms) VALUES (?, ?)", rows)

    def remove(self, database: sqlite3.Connection, numbers: Iterable[int]) -> None:
        """Remove documents by their numbers, in a transaction."""
        database.executemany("DELETE FROM words WHERE rowid = ?", ((number,) for number in numbers))

    def search(
        self, database: sqlite3.Connection, query: str, k: int, condition: str, values: Sequence[Any]
    ) -> list[tuple[str, float]]:
        """The ``k`` best documents by BM25 (k1 = 1.2, b = 0.75) as (id, score), best first; equal scores in the order
        of adding. Documents that share no word with the query are not listed.

        Args:
            database: to read.
            query: the query; of more than 256 different words the first count.
            k: how many.
            condition: on the documents' columns: which of them may be found.
            values: of its placeholders.
        """
        terms = list(dict.fromkeys(self._of(query, document=False)))[:_MOST_TERMS]
        if not terms:
            return []
        wanted = " OR ".join(f'"{term}"' for term in terms)
        found = database.execute(
            "SELECT documents.id, best.score FROM ("
            "  SELECT rowid AS number, -rank AS score FROM words WHERE words MATCH ? "
            f" AND rowid IN (SELECT number FROM documents WHERE {condition}) ORDER BY rank, rowid LIMIT ?"
            ") AS best JOIN documents ON documents.number = best.number ORDER BY best.score DESC, best.number",
            [wanted, *values, k],
        )
        return [(str(identity), float(score)) for identity, score in found]

    def _of(self, text: str, *, document: bool) -> list[str]:
        terms = (self._terms.term(piece) for piece in pieces(text, document=document))
        return [term for term in terms if term]


def words_of(language: str | None) -> Words | None:
    """How an index whose manifest names this language searches by words; None where it does not."""
    return None if language is None else Words(find_language(language))
