"""BM25 over an index's documents: SQLite's FTS5 holds their terms, in the same transactions as the documents."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xxhash
from numpy.typing import NDArray

from tardif.errors import SettingError
from tardif.index.snapshot import without
from tardif.text.languages import Language
from tardif.text.languages import language as find_language
from tardif.text.terms import Terms, pieces
from tardif.types import Document

# Terms are stemmed before they are inserted, so FTS5's tokenizer only splits them at spaces. The second table is a view
# of the first one's inverted index: one row per term, document and place.
_TABLES = (
    "CREATE VIRTUAL TABLE words USING fts5(terms, tokenize = \"ascii tokenchars '_'\")",
    "CREATE VIRTUAL TABLE places USING fts5vocab(words, instance)",
)
# Each as one text: making Python objects of the rows takes three times as long as reading them.
_PLACES = "SELECT group_concat(doc) FROM places WHERE term = ?"
# Some documents at a time, with the last number of them: a checksum of millions of lengths takes no memory.
_PART = 65_536
_LENGTHS = (
    "SELECT max(id), group_concat(id), hex(group_concat(sz, '')) FROM"
    f" (SELECT id, sz FROM words_docsize WHERE id > ? ORDER BY id LIMIT {_PART})"
)
# FTS5's own constants, so that scores are those of its bm25(). The IDF is that of terms in over half of the documents.
_K1, _B, _LEAST_IDF = 1.2, 0.75, 1e-6
# Bytes of a term that FTS5 keeps.
_TERM = 32_768
# Distinct terms of a query that are searched for: far more than a model reads of a query.
_MOST_TERMS = 256


@dataclass(frozen=True)
class WordStatistics:
    """What BM25 must know of all documents to score one. Those of the shards of an index add up to those of the whole.

    Attributes:
        documents: how many there are.
        terms: the sum of their lengths.
        frequencies: in how many of them each of a query's terms occurs.

    >>> WordStatistics(2, 9, {"cat": 1}) + WordStatistics(1, 3, {"cat": 1, "sea": 1})
    WordStatistics(documents=3, terms=12, frequencies={'cat': 2, 'sea': 1})
    """

    documents: int
    terms: int
    frequencies: Mapping[str, int]

    def __add__(self, other: WordStatistics) -> WordStatistics:
        both = dict(Counter(self.frequencies) + Counter(other.frequencies))
        return WordStatistics(self.documents + other.documents, self.terms + other.terms, both)


@dataclass(frozen=True, eq=False)
class Lengths:
    """The lengths of all documents.

    Attributes:
        numbers: int64, the documents, ascending.
        terms: int64, the length of each.
    """

    numbers: NDArray[np.int64]
    terms: NDArray[np.int64]

    @cached_property
    def total(self) -> int:
        """The sum of the lengths."""
        return int(self.terms.sum())

    @cached_property
    def _own(self) -> tuple[float, NDArray[np.float64]]:
        mean = _mean(self.total, len(self.terms))
        return mean, _damping(self.terms, mean)

    def damping(self, mean: float) -> NDArray[np.float64]:
        """Return the term that BM25 adds to a term's frequency in its denominator, of each document: float64,
        k1 * (1 - b + b * length / mean length). It is 1.2 for a document of the mean length."""
        own, found = self._own
        return found if mean == own else _damping(self.terms, mean)

    def at(self, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of documents in ``numbers``."""
        first = int(self.numbers[0])
        if self.numbers[-1] - first == len(self.numbers) - 1:  # no number between them is missing
            return documents - first
        return np.searchsorted(self.numbers, documents)


def _mean(terms: int, documents: int) -> float:
    return max(terms, 1) / max(documents, 1)


def _damping(terms: NDArray[np.int64], mean: float) -> NDArray[np.float64]:
    return np.asarray(_K1 * (1 - _B + _B * terms / mean), dtype=np.float64)


class Words:
    """The words of an index's documents.

    Args:
        language: its stemmer and stopwords are used (:mod:`tardif.text.terms`).
    """

    def __init__(self, language: Language) -> None:
        self._terms = Terms(language)

    def create(self, database: sqlite3.Connection) -> None:
        """Create the empty tables.

        Raises:
            SettingError: this Python's SQLite has no FTS5.
        """
        try:
            for table in _TABLES:
                database.execute(table)
        except sqlite3.OperationalError as error:
            raise SettingError(f"Hybrid search needs SQLite's FTS5, which this Python lacks ({error}).") from error

    def terms(self, document: Document) -> str:
        """Return the terms of a document, separated by spaces."""
        return " ".join(self._of(document.content, document=True))

    def insert(self, database: sqlite3.Connection, numbered: Iterable[tuple[int, str]]) -> None:
        """Add documents' terms by the documents' numbers, in a transaction."""
        database.executemany("INSERT INTO words (rowid, terms) VALUES (?, ?)", numbered)

    def held(self, database: sqlite3.Connection, number: int) -> str:
        """Return the terms that a document is indexed by; "" if it is not indexed."""
        row = database.execute("SELECT terms FROM words WHERE rowid = ?", (number,)).fetchone()
        return "" if row is None else str(row[0])

    def checksum(self, database: sqlite3.Connection) -> str:
        """Return a checksum (XXH3) of everything that a search reads: FTS5 keeps it in four tables."""
        return _checksum(database)

    def lengths(self, database: sqlite3.Connection, checksum: str | None) -> Lengths | None:
        """Return the lengths of the documents; None if the words do not have this checksum.

        It reads some 120 bytes per document, in 10 ms for 43,000 of them. Callers keep the result until a change.
        """
        if _checksum(database) != checksum:
            return None
        parts = [(_integers(numbers), _varints(bytes.fromhex(sizes))) for numbers, sizes in _lengths(database)]
        nothing = np.zeros(0, dtype=np.int64)
        numbers = np.concatenate([nothing, *(part for part, _ in parts)])
        return Lengths(numbers, np.concatenate([nothing, *(part for _, part in parts)]))

    def remove(self, database: sqlite3.Connection, numbers: Iterable[int]) -> None:
        """Remove documents by their numbers, in a transaction."""
        database.executemany("DELETE FROM words WHERE rowid = ?", ((number,) for number in numbers))

    def recreate(self, database: sqlite3.Connection) -> None:
        """Replace the tables by empty ones."""
        database.execute("DROP TABLE IF EXISTS places")
        database.execute("DROP TABLE IF EXISTS words")
        self.create(database)

    def statistics(self, database: sqlite3.Connection, query: str, lengths: Lengths) -> WordStatistics:
        """Return what BM25 must know of these documents to score those of all shards.

        Args:
            database, query, lengths: as for :meth:`search`.
        """
        frequencies = {term: len(_documents(database, term)[0]) for term in self._query_terms(query)}
        return WordStatistics(len(lengths.numbers), lengths.total, frequencies)

    def search(
        self,
        database: sqlite3.Connection,
        query: str,
        lengths: Lengths,
        allowed: NDArray[np.int64] | None = None,
        whole: WordStatistics | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the numbers of the documents that share a word with the query, and their scores by BM25.

        k1 is 1.2 and b 0.75. The scores are those of FTS5's ``bm25()``, which takes over twice as long
        (benchmarks/RESULTS.md): it looks up the length of every document that it meets, and visits every place of its
        terms.

        Args:
            database: to read.
            query: the query; only its first 256 distinct words count.
            lengths: from :meth:`lengths`, in the same transaction.
            allowed: the numbers of the documents that can be found, ascending; None for all.
            whole: the statistics of all shards, where these documents are one of them; None where they are all.
        """
        scores = np.zeros(len(lengths.numbers))
        many, total = (len(scores), lengths.total) if whole is None else (whole.documents, whole.terms)
        damping = lengths.damping(_mean(total, many))
        for term in self._query_terms(query):
            documents, times = _documents(database, term)
            if len(documents):
                at = lengths.at(documents)
                share = times * (_K1 + 1) / (times + damping[at])
                scores[at] += share * _idf(many, len(at) if whole is None else whole.frequencies.get(term, len(at)))
        if allowed is not None:
            scores[without(lengths.numbers, allowed)] = 0
        found = np.flatnonzero(scores)
        return lengths.numbers[found], scores[found]

    def _query_terms(self, query: str) -> list[str]:
        return list(dict.fromkeys(self._of(query, document=False)))[:_MOST_TERMS]

    def _of(self, text: str, *, document: bool) -> list[str]:
        terms = (self._terms.term(piece) for piece in pieces(text, document=document))
        return [term for term in terms if term]


def _idf(documents: int, frequency: int) -> float:
    # Shards without moments may count a document in one that another does not know of yet.
    found = math.log((max(documents, frequency) - frequency + 0.5) / (frequency + 0.5))
    return found if found > 0 else _LEAST_IDF


def words_of(language: str | None) -> Words | None:
    """Return the words of an index with this language in its manifest; None for an index without words."""
    return None if language is None else Words(find_language(language))


def _lengths(database: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """The numbers of the documents and their lengths, unverified, some documents at a time."""
    last: int | None = -(2**63)
    while True:
        last, numbers, sizes = database.execute(_LENGTHS, [last]).fetchone()
        if last is None:
            return
        yield numbers, sizes


def _checksum(database: sqlite3.Connection) -> str:
    """The checksum of the words."""
    # FTS5 buffers writes; a savepoint makes it write them to its tables.
    if database.in_transaction:
        database.execute("SAVEPOINT words")
        database.execute("RELEASE words")
    digest = xxhash.xxh3_64()
    for number, block in database.execute("SELECT id, block FROM words_data ORDER BY id"):
        raw = block if isinstance(block, bytes) else repr(block).encode()
        # Length and number first, so that two blocks cannot be split differently into the same bytes.
        digest.update(f"{number} {len(raw)} ".encode())
        digest.update(raw)
    for statement in (
        "SELECT segid, term, pgno FROM words_idx ORDER BY segid, term",
        "SELECT k, v FROM words_config ORDER BY k",
    ):
        digest.update(repr(database.execute(statement).fetchall()).encode())
    for place, (numbers, _) in enumerate(_lengths(database)):
        digest.update(f"{',' * (place > 0)}{numbers}".encode())
    digest.update(b" ")
    for _, sizes in _lengths(database):
        digest.update(sizes.encode())
    return digest.hexdigest()


def _documents(database: sqlite3.Connection, term: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The documents of a term, ascending, and the term's frequency in each."""
    # A term that is too long for FTS5 is cut where FTS5 cuts it.
    known = term.encode()[:_TERM].decode(errors="ignore")
    (text,) = database.execute(_PLACES, (known,)).fetchone()
    places = _integers(text or "")
    # A place per occurrence, in ascending order: the first of each document begins its run.
    is_first = np.ones(len(places), dtype=bool)
    np.not_equal(places[1:], places[:-1], out=is_first[1:])
    begins = np.flatnonzero(is_first)
    return places[begins], np.diff(begins, append=len(places))


def _integers(text: str) -> NDArray[np.int64]:
    """The integers of a text, separated by commas."""
    return np.fromstring(text, dtype=np.int64, sep=",")


def _varints(data: bytes) -> NDArray[np.int64]:
    """The values of SQLite varints: seven bits per byte, the highest first; a value's last byte is below 128."""
    parts = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(parts < 128)
    begins = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]
    values = np.zeros(len(ends), dtype=np.int64)
    for place in range(int((ends - begins).max(initial=-1)) + 1):
        at = begins + place
        inside = at <= ends
        values[inside] = values[inside] << 7 | (parts[at[inside]] & 127)
    return values
