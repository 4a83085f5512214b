"""BM25 over a corpus, with the language's stemmer and stopwords (bm25s, PyStemmer)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tardif.languages import Language
from tardif.scoring import top
from tardif.types import Document


class LexicalSearcher:
    """A corpus that can be searched by words.

    BM25 with bm25s' defaults (Lucene's variant, k1 = 1.5, b = 0.75).

    Args:
        documents: the corpus; title and text are searched.
        language: whose stemmer and stopwords to use; a language without them is searched by its
            words as they stand.
    """

    def __init__(self, documents: Sequence[Document], language: Language) -> None:
        import bm25s

        self._language = language
        self._ids = np.array([document.id for document in documents], dtype=object)
        self._index: Any = None
        tokens = self._tokenise([document.content for document in documents])
        if tokens.vocab and any(tokens.ids):
            self._index = bm25s.BM25()
            self._index.index(tokens, show_progress=False)

    def _tokenise(self, texts: list[str]) -> Any:
        import bm25s
        import Stemmer

        stemmer = Stemmer.Stemmer(self._language.stemmer) if self._language.stemmer else None
        return bm25s.tokenize(texts, stopwords=self._language.stopwords or [], stemmer=stemmer, show_progress=False)

    def search(self, queries: Sequence[str], k: int) -> list[list[tuple[str, float]]]:
        """The ``k`` best documents of each query as (id, score), best first.

        Documents that share no word with the query are not listed. Equal scores are ordered by id.
        """
        if self._index is None or not queries:
            return [[] for _ in queries]
        import bm25s

        tokens = self._tokenise(list(queries))
        words = bm25s.tokenization.convert_tokenized_to_string_list(tokens)
        return [self._best(found, k) if found else [] for found in words]

    def _best(self, words: list[str], k: int) -> list[tuple[str, float]]:
        return [hit for hit in top(self._index.get_scores(words), self._ids, k) if hit[1] > 0]
