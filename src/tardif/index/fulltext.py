"""BM25 over an index's documents, in the same transactions as they: SQLite's FTS5 over the terms of a language."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from tardif.errors import SettingError
from tardif.index.snapshot import without
from tardif.text.languages import Language
from tardif.text.languages import language as find_language
from tardif.text.terms import Terms, pieces
from tardif.types import Document

# Terms come as they are to count: nothing is left to FTS5's tokenizer but to part them. The second table holds nothing
# of its own: it shows the documents of a term, one row for each place in them.
_TABLES = (
    "CREATE VIRTUAL TABLE words USING fts5(terms, tokenize = \"ascii tokenchars '_'\")",
    "CREATE VIRTUAL TABLE places USING fts5vocab(words, instance)",
)
# As one text each: to make Python's objects of the rows takes three times as long as to read them.
_PLACES = "SELECT group_concat(doc) FROM places WHERE term = ?"
_LENGTHS = "SELECT group_concat(id), hex(group_concat(sz, '')) FROM (SELECT id, sz FROM words_docsize ORDER BY id)"
_K1, _B = 1.2, 0.75
# Of a term found in more than half of the documents.
_LEAST_IDF = 1e-6
# Bytes of a term that FTS5 keeps.
_TERM = 32_768
# Distinct terms of a query that are searched for: far more than a query has that a model reads.
_MOST_TERMS = 256


@dataclass(frozen=True, eq=False)
class Lengths:
    """What a search needs of the words besides the documents of its terms.

    Attributes:
        numbers: int64, the documents, ascending.
        damping: float64, what BM25 adds to the times that each has a term: 1.2 for one of the mean number of terms.
    """

    numbers: NDArray[np.int64]
    damping: NDArray[np.float64]

    def at(self, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places of documents."""
        first = int(self.numbers[0])
        if self.numbers[-1] - first == len(self.numbers) - 1:  # none between them was deleted
            return documents - first
        return np.searchsorted(self.numbers, documents)


class Words:
    """The words of an index's documents.

    Args:
        language: whose stemmer and stopwords to use (:mod:`tardif.text.terms`).
    """

    def __init__(self, language: Language) -> None:
        self._terms = Terms(language)

    def create(self, database: sqlite3.Connection) -> None:
        """Make the empty tables.

        Raises:
            SettingError: this Python's SQLite has no FTS5.
        """
        try:
            for table in _TABLES:
                database.execute(table)
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
        """A checksum (XXH3) of all that a search reads of the words, which FTS5 keeps in four tables."""
        return _read(database)[0]

    def lengths(self, database: sqlite3.Connection, checksum: str | None) -> Lengths | None:
        """The lengths of the documents; None where the words have another checksum: then they say nothing.

        It reads some 120 bytes a document, 10 ms for 43,000 of them. Between changes one time is enough.
        """
        found, numbers, sizes = _read(database)
        if found != checksum:
            return None
        terms = _varints(bytes.fromhex(sizes))
        mean = max(terms.sum(), 1) / max(len(terms), 1)
        return Lengths(_integers(numbers), _K1 * (1 - _B + _B * terms / mean))

    def remove(self, database: sqlite3.Connection, numbers: Iterable[int]) -> None:
        """Remove documents by their numbers, in a transaction."""
        database.executemany("DELETE FROM words WHERE rowid = ?", ((number,) for number in numbers))

    def recreate(self, database: sqlite3.Connection) -> None:
        """Replace the tables by empty ones."""
        database.execute("DROP TABLE IF EXISTS places")
        database.execute("DROP TABLE IF EXISTS words")
        self.create(database)

    def search(
        self,
        database: sqlite3.Connection,
        query: str,
        k: int,
        lengths: Lengths,
        allowed: NDArray[np.int64] | None = None,
    ) -> list[tuple[int, float]]:
        """The ``k`` best documents by BM25 (k1 = 1.2, b = 0.75) as (number, score), best first, and all that tie with
        the last: which of them is first, their ids say. Documents that share no word with the query are not listed.

        The scores are those of FTS5's own ``bm25()``, which takes four times as long: it looks for the length of every
        document that it meets, and goes through all terms at each of their places.

        Args:
            database: to read.
            query: the query; of more than 256 different words the first count.
            k: how many.
            lengths: of :meth:`lengths`, of the same transaction.
            allowed: the numbers of the documents that may be found, ascending; None for all.
        """
        terms = list(dict.fromkeys(self._of(query, document=False)))[:_MOST_TERMS]
        count = len(lengths.numbers)
        scores = np.zeros(count)
        for term in terms:
            documents, times = _documents(database, term)
            if len(documents):
                at = lengths.at(documents)
                idf = math.log((count - len(at) + 0.5) / (len(at) + 0.5))
                share = times * (_K1 + 1) / (times + lengths.damping[at])
                scores[at] += share * (idf if idf > 0 else _LEAST_IDF)
        if allowed is not None:
            scores[without(lengths.numbers, allowed)] = 0
        best = _best(scores, k)
        return list(zip(lengths.numbers[best].tolist(), scores[best].tolist(), strict=True))

    def _of(self, text: str, *, document: bool) -> list[str]:
        terms = (self._terms.term(piece) for piece in pieces(text, document=document))
        return [term for term in terms if term]


def words_of(language: str | None) -> Words | None:
    """How an index whose manifest names this language searches by words; None where it does not."""
    return None if language is None else Words(find_language(language))


def _read(database: sqlite3.Connection) -> tuple[str, str, str]:
    """The checksum of the words; the numbers and the lengths of the documents, which may be anything if it is wrong."""
    # FTS5 collects what is written and writes it to its tables at a savepoint.
    if database.in_transaction:
        database.execute("SAVEPOINT words")
        database.execute("RELEASE words")
    digest = xxhash.xxh3_64()
    for number, block in database.execute("SELECT id, block FROM words_data ORDER BY id"):
        raw = block if isinstance(block, bytes) else repr(block).encode()
        digest.update(f"{number} {len(raw)} ".encode())
        digest.update(raw)
    for statement in (
        "SELECT segid, term, pgno FROM words_idx ORDER BY segid, term",
        "SELECT k, v FROM words_config ORDER BY k",
    ):
        digest.update(repr(database.execute(statement).fetchall()).encode())
    numbers, sizes = (text or "" for text in database.execute(_LENGTHS).fetchone())
    digest.update(f"{numbers} {sizes}".encode())
    return digest.hexdigest(), numbers, sizes


def _documents(database: sqlite3.Connection, term: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The documents of a term, ascending, and how many times each has it."""
    known = term.encode()[:_TERM].decode(errors="ignore")
    (text,) = database.execute(_PLACES, (known,)).fetchone()
    places = _integers(text or "")
    is_first = np.ones(len(places), dtype=bool)
    np.not_equal(places[1:], places[:-1], out=is_first[1:])
    begins = np.flatnonzero(is_first)
    return places[begins], np.diff(begins, append=len(places))


def _integers(text: str) -> NDArray[np.int64]:
    """Of integers with commas between them; ascending, as all are here."""
    return np.fromstring(text, dtype=np.int64, sep=",")


def _varints(data: bytes) -> NDArray[np.int64]:
    """Of SQLite's varints one after the other: seven bits a byte, the highest first, the last byte below 128."""
    parts = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(parts < 128)
    begins = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]
    values = np.zeros(len(ends), dtype=np.int64)
    for place in range(int((ends - begins).max(initial=-1)) + 1):
        at = begins + place
        inside = at <= ends
        values[inside] = values[inside] << 7 | (parts[at[inside]] & 127)
    return values


def _best(scores: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """The places of the ``k`` largest of the scores above 0 and of all that tie with the last, the largest first."""
    found = np.flatnonzero(scores)
    if len(found) > k:
        found = found[scores[found] >= np.partition(scores[found], -k)[-k]]
    return found[np.argsort(-scores[found], kind="stable")]
