"""BM25 over an index's documents, in the same transactions as they: SQLite's FTS5 over the terms of a language."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import xxhash

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

    def terms(self, document: Document) -> str:
        """The terms of a document, as they are indexed."""
        return " ".join(self._of(document.content, document=True))

    def insert(self, database: sqlite3.Connection, numbered: Iterable[tuple[int, str]]) -> None:
        """Add documents' terms by their numbers, in a transaction."""
        database.executemany("INSERT INTO words (rowid, terms) VALUES (?, ?)", numbered)

    def held(self, database: sqlite3.Connection, number: int) -> str:
        """The terms that a document was indexed by; "" if it was not."""
        row = database.execute("SELECT terms FROM words WHERE rowid = ?", (number,)).fetchone()
        return "" if row is None else str(row[0])

    def checksum(self, database: sqlite3.Connection) -> str:
        """A checksum (XXH3) of all that a search reads of the words, which FTS5 keeps in four tables.

        It reads some 200 bytes a document, about 20 ms for 30,000 of them. Between changes one time is enough.
        """
        # FTS5 collects what is written and writes it to its tables at a savepoint.
        if database.in_transaction:
            database.execute("SAVEPOINT words")
            database.execute("RELEASE words")
        digest = xxhash.xxh3_64()
        for number, block in database.execute("SELECT id, block FROM words_data ORDER BY id"):
            digest.update(f"{number} {len(block)} ".encode())
            digest.update(block if isinstance(block, bytes) else repr(block).encode())
        for statement in (
            "SELECT segid, term, pgno FROM words_idx ORDER BY segid, term",
            "SELECT k, v FROM words_config ORDER BY k",
            "SELECT group_concat(id || ':' || hex(sz)) FROM (SELECT id, sz FROM words_docsize ORDER BY id)",
        ):
            digest.update(repr(database.execute(statement).fetchall()).encode())
        return digest.hexdigest()

    def remove(self, database: sqlite3.Connection, numbers: Iterable[int]) -> None:
        """Remove documents by their numbers, in a transaction."""
        database.executemany("DELETE FROM words WHERE rowid = ?", ((number,) for number in numbers))

    def create_anew(self, database: sqlite3.Connection) -> None:
        """Have the table be empty, in a transaction."""
        database.execute("DROP TABLE IF EXISTS words")
        self.create(database)

    def search(
        self, database: sqlite3.Connection, query: str, k: int, condition: str | None = None, values: Sequence[Any] = ()
    ) -> list[tuple[int, float]]:
        """The ``k`` best documents by BM25 (k1 = 1.2, b = 0.75) as (number, score), best first; equal scores in the
        order of adding. Documents that share no word with the query are not listed.

        Args:
            database: to read.
            query: the query; of more than 256 different words the first count.
            k: how many.
            condition: on the documents' columns: which of them may be found; None for all.
            values: of its placeholders.
        """
        terms = list(dict.fromkeys(self._of(query, document=False)))[:_MOST_TERMS]
        if not terms:
            return []
        wanted = " OR ".join(f'"{term}"' for term in terms)
        # CROSS JOIN keeps the order of the two: the words are matched once, not once for every document.
        joined = "" if condition is None else "CROSS JOIN documents ON documents.number = words.rowid"
        found = database.execute(
            f"SELECT words.rowid, -words.rank FROM words {joined} WHERE words MATCH ? AND ({condition or 1})"
            " ORDER BY words.rank, words.rowid LIMIT ?",
            [wanted, *values, k],
        )
        return [(int(number), float(score)) for number, score in found]

    def _of(self, text: str, *, document: bool) -> list[str]:
        terms = (self._terms.term(piece) for piece in pieces(text, document=document))
        return [term for term in terms if term]


def words_of(language: str | None) -> Words | None:
    """How an index whose manifest names this language searches by words; None where it does not."""
    return None if language is None else Words(find_language(language))
