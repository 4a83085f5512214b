"""BM25 search over a corpus, with the language's stemmer and stopwords (bm25s, PyStemmer)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tardif.checks import check_list
from tardif.errors import DataError, SettingError
from tardif.ranking import Ids, top
from tardif.text.languages import Language
from tardif.text.terms import Terms, pieces
from tardif.types import Document

# Scores held at a time. 2**24 scores with their columns are 128 MB, if every query matches every document.
_SCORES = 1 << 24


class LexicalSearcher:
    """A corpus that is searched by words.

    BM25 has bm25s' defaults (Lucene's variant, k1 = 1.5, b = 0.75). Many queries are scored at once, as one sparse
    product ``[queries, terms] @ [terms, documents]``.

    Args:
        documents: the corpus. Titles and texts are searched.
        language: the language of the stemmer and stopwords. Without a stemmer, words are matched as they are. Scripts
            without spaces are matched by pairs of characters (:mod:`tardif.text.terms`).

    Raises:
        DataError: two documents have the same id.

    >>> from tardif.text.languages import language
    >>> searcher = LexicalSearcher([Document("a", "red buttons"), Document("b", "a blue lamp")], language("en"))
    >>> [identity for identity, _ in searcher.search(["button"], k=2)[0]]
    ['a']
    """

    def __init__(self, documents: Sequence[Document], language: Language) -> None:
        documents = check_list(documents, "documents", DataError)
        self._ids = Ids(document.id for document in documents)
        self._vocabulary = _Vocabulary(Terms(language))
        rows = [self._vocabulary.numbers(document.content, document=True) for document in documents]
        self._vocabulary.grows = False
        self._weights = _weights(rows, self._vocabulary.size)  # [terms, documents]

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
        if 0 < k < len(scores):
            near = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
            found, scores = found[near], scores[near]
        return top(scores, self._ids.array[found], k)


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


def _weights(rows: list[list[int]], terms: int) -> Any:
    """Return BM25's weight of each term in each document: sparse ``[terms, documents]``; None if there are no terms."""
    import bm25s
    from scipy import sparse

    if not terms:
        return None
    index = bm25s.BM25()
    index.index((rows, {str(number): number for number in range(terms)}), create_empty_token=False, show_progress=False)
    stored = index.scores  # columns of [documents, terms], that is rows of [terms, documents]
    return sparse.csr_matrix((stored["data"], stored["indices"], stored["indptr"]), shape=(terms, len(rows)))
