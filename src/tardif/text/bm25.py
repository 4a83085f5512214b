"""BM25 search over a corpus, with the language's stemmer and stopwords (PyStemmer).

Weights are those of bm25s to the last bit. Its own indexing takes the words of the whole corpus at once; here a corpus
is a stream, whose words are counted and let go.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.checks import check_list, check_stream
from tardif.errors import DataError, SettingError
from tardif.ranking import Ids, top
from tardif.text.languages import Language
from tardif.text.terms import Terms, pieces
from tardif.types import Document

# Scores held at a time. 2**24 scores with their columns are 128 MB, if every query matches every document.
_SCORES = 1 << 24
# BM25's parameters, those of bm25s and Lucene.
_K1, _B = 1.5, 0.75
# Terms of documents that are counted at a time.
_TERMS = 1 << 18
# Documents whose terms are weighted at a time.
_DOCUMENTS = 1 << 14


class LexicalSearcher:
    """A corpus that is searched by words.

    BM25 has bm25s' defaults (Lucene's variant, k1 = 1.5, b = 0.75) and gives its scores. Many queries are scored at
    once, as one sparse product ``[queries, terms] @ [terms, documents]``.

    The corpus is read once, as a stream: memory holds its ids, and 8 bytes for each distinct term of each document (16
    while they are put in order). No text is kept.

    Args:
        documents: the corpus, also from a generator. Titles and texts are searched.
        language: the language of the stemmer and stopwords. Without a stemmer, words are matched as they are. Scripts
            without spaces are matched by pairs of characters (:mod:`tardif.text.terms`).

    Raises:
        DataError: two documents have the same id.

    >>> from tardif.text.languages import language
    >>> searcher = LexicalSearcher([Document("a", "red buttons"), Document("b", "a blue lamp")], language("en"))
    >>> [identity for identity, _ in searcher.search(["button"], k=2)[0]]
    ['a']
    """

    def __init__(self, documents: Iterable[Document], language: Language) -> None:
        self._vocabulary = _Vocabulary(Terms(language))
        counts = _Counts()

        def read() -> Iterator[str]:
            for document in check_stream(documents, "documents", DataError):
                counts.add(self._vocabulary.numbers(document.content, document=True))
                yield document.id

        self._ids = Ids(read())
        self._vocabulary.grows = False
        self._weights = counts.weights(self._vocabulary.size)  # [terms, documents]

    def search(self, queries: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
        """Return the ``k`` best documents of each query as (id, score), best first.

        Documents that share no word with the query are left out. Ties are broken by id, the highest first.
        """
        asked = check_list(queries, "queries", SettingError)
        return [self._best(found, scores, k) for found, scores in self._matches(asked)]

    def score(self, queries: Sequence[str], documents: Sequence[Sequence[str]]) -> list[list[float]]:
        """Return the scores of given documents (ids) for each query, as in :meth:`search`; 0 without a common word.

        Raises:
            DataError: a document is not in the corpus.
        """
        asked = check_list(queries, "queries", SettingError)
        wanted = [self._ids.rows(ids) for ids in documents]
        scores = np.zeros(len(self._ids), dtype=np.float32)
        answers: list[list[float]] = []
        for rows, (found, values) in zip(wanted, self._matches(asked), strict=True):
            scores[found] = values
            answers.append(scores[rows].tolist())
            scores[found] = 0
        return answers

    def _matches(self, queries: Sequence[str]) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """Yield, for each query, the rows of the documents that match it, and their scores."""
        from scipy import sparse

        if self._weights is None:
            nothing = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32)
            yield from [nothing] * len(queries)
            return
        height = max(_SCORES // len(self._ids), 1)
        for begin in range(0, len(queries), height):
            rows = [self._vocabulary.numbers(text, document=False) for text in queries[begin : begin + height]]
            # A word that occurs twice in a query counts twice. Each query's terms are added in the order of their
            # numbers, so its scores do not depend on the other queries.
            counted = [np.unique(np.array(row, dtype=np.int32), return_counts=True) for row in rows]
            terms = np.concatenate([numbers for numbers, _ in counted])
            counts = np.concatenate([count for _, count in counted]).astype(np.float32)
            ends = np.cumsum([0, *(len(numbers) for numbers, _ in counted)])
            asked = sparse.csr_matrix((counts, terms, ends), shape=(len(rows), self._weights.shape[0]))
            scores = asked @ self._weights  # [queries, documents]
            for first, last in zip(scores.indptr, scores.indptr[1:], strict=False):
                yield scores.indices[first:last], scores.data[first:last]

    def _best(self, found: NDArray[np.int32], scores: NDArray[np.float32], k: int) -> list[tuple[str, float]]:
        return top(scores, self._ids.of(found), k)


class _Vocabulary(dict[str, int]):
    """The number of each piece's term; -1 for a stopword or a term that no document has.

    Each distinct piece is stemmed once, because pieces are looked up far more often than there are distinct ones.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._numbers: dict[str, int] = {}
        self.grows = True

    @property
    def size(self) -> int:
        return len(self._numbers)

    def numbers(self, text: str, *, document: bool) -> list[int]:
        """Return the numbers of a text's terms, in their order."""
        return [number for piece in pieces(text, document=document) if (number := self[piece]) >= 0]

    def __missing__(self, piece: str) -> int:
        term = self._terms.term(piece)
        if not self.grows:  # pieces of queries are not kept, or a service's memory would grow without bound
            return self._numbers.get(term, -1)
        number = self[piece] = self._numbers.setdefault(term, len(self._numbers)) if term else -1
        return number


class _Counts:
    """The terms of documents, counted."""

    def __init__(self) -> None:
        self._pending, self._ends = array("i"), array("i", [0])  # the terms of documents that are not counted yet
        self._lengths = array("i")  # the number of terms of each document
        self._starts = array("q", [0])  # where the distinct terms of each document begin, and where the last ones end
        self._terms, self._counts = array("i"), array("f")  # of the distinct terms

    def add(self, terms: list[int]) -> None:
        """Add a document."""
        self._pending.extend(terms)
        self._ends.append(len(self._pending))
        self._lengths.append(len(terms))
        if len(self._pending) >= _TERMS:
            self._count()

    def _count(self) -> None:
        """Count the pending terms of each document, in the order of their numbers."""
        terms, ends = np.array(self._pending, dtype=np.int64), np.array(self._ends, dtype=np.int64)
        documents = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        width = int(terms.max(initial=0)) + 1
        pairs, counts = np.unique(documents * width + terms, return_counts=True)
        found, number = np.divmod(pairs, width)
        distinct = np.bincount(found, minlength=len(ends) - 1)
        self._starts.frombytes((self._starts[-1] + np.cumsum(distinct)).astype(np.int64).tobytes())
        self._terms.frombytes(number.astype(np.int32).tobytes())
        self._counts.frombytes(counts.astype(np.float32).tobytes())
        self._pending, self._ends = array("i"), array("i", [0])

    def weights(self, terms: int) -> Any:
        """Return BM25's weight of each term in each document: sparse ``[terms, documents]``; None without terms.

        The counts are gone then.
        """
        from scipy import sparse

        self._count()
        if not terms:
            return None
        lengths, starts = np.array(self._lengths), np.array(self._starts)
        numbers, weights = np.frombuffer(self._terms, dtype=np.int32), np.frombuffer(self._counts, dtype=np.float32)
        idf = _idf(np.bincount(numbers, minlength=terms), len(lengths))
        norms = _K1 * ((1 - _B) + _B * lengths / lengths.mean())
        for first in range(0, len(lengths), _DOCUMENTS):
            own = slice(starts[first], starts[min(first + _DOCUMENTS, len(lengths))])
            norm = np.repeat(norms[first : first + _DOCUMENTS], np.diff(starts[first : first + _DOCUMENTS + 1]))
            # In double precision and rounded once, as bm25s does.
            counts = weights[own].astype(np.float64)
            weights[own] = idf[numbers[own]] * (counts / (norm + counts))
        # The rows of the transpose: each term's documents, in their order.
        return sparse.csr_matrix((weights, numbers, starts), shape=(len(lengths), terms)).tocsc().T


def _idf(frequencies: NDArray[np.int64], documents: int) -> NDArray[np.float32]:
    """Return the inverse document frequency of each term, of the number of documents that have it."""
    different, which = np.unique(frequencies, return_inverse=True)
    # math.log: NumPy's differs from it in the last bit on some processors.
    values = [math.log(1 + (documents - count + 0.5) / (count + 0.5)) for count in different.tolist()]
    return np.array(values, dtype=np.float32)[which]
