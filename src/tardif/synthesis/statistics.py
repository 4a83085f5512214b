"""Document frequencies of a corpus's words, sentences, titles and headings."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from functools import cache

from tardif.data.chunking import PIECE
from tardif.synthesis.article import Article, Span
from tardif.text.normal import keyed_order, normalise
from tardif.text.sentences import Vocabulary, count_words
from tardif.types import Document

# Frequencies are counted on about this many documents at most, which bounds their memory.
SAMPLE = 200_000

# A word in more than this share of the documents is a function word.
_FUNCTION_WORD = 0.2
# A word in more than this share does not find one document among them.
_SPECIFIC = 0.05
# With fewer documents, shares mean nothing.
_FEW_DOCUMENTS = 50
_NAME_WORDS = 5
_NO_DIGITS = str.maketrans("", "", "0123456789")


class Statistics:
    """Document frequencies, counted in one pass over the corpus.

    Args:
        vocabulary: maps words to terms.
        seed: of the sample, in a corpus larger than :data:`SAMPLE`.
        passage_words: the length of passages, for :class:`~tardif.synthesis.article.Article`.
    """

    def __init__(self, vocabulary: Vocabulary, seed: int, passage_words: int) -> None:
        self._vocabulary = vocabulary
        self._seed = seed
        self._passage_words = passage_words
        self._counted = 0
        self._terms: Counter[str] = Counter()
        self._phrases: Counter[int] = Counter()
        self._first: dict[int, str] = {}
        self._passed_over: set[str] = set()
        # Asked for each word of each document. A cache around the methods themselves would keep every instance alive.
        self.is_content = cache(self._is_content)
        self.keyword_weight = cache(self._keyword_weight)

    def read(self, documents: Collection[Document]) -> None:
        """Count a corpus."""
        share = SAMPLE / max(len(documents), 1)
        for document in documents:
            key = _key(normalise(document.content))
            other = self._first.get(key)
            if other is not None:
                # The copy with the smallest id represents all, whatever the order of the corpus.
                self._first[key] = min(other, document.id)
                self._passed_over.add(max(other, document.id))
                continue
            self._first[key] = document.id
            if share >= 1 or unit(self._seed, "sample", document.id) < share:
                self._count(Article(document, self._passage_words))

    def _count(self, article: Article) -> None:
        self._counted += 1
        self._terms.update(set(self._vocabulary.terms(article.document.content)))
        found = {_phrase(article, span) for span in article.sentences}
        found |= {_key(normalise(article.query(span))) for span in article.sentences if article.is_question(span)}
        found |= {_key(normalise(section.heading)) for section in article.sections}
        if article.title and _begins(article.document):  # pieces share their document's title
            found.add(_key(normalise(article.title)))
        self._phrases.update(found)

    @property
    def copies(self) -> int:
        """The number of documents that are skipped because another one has the same text."""
        return len(self._passed_over)

    def is_first(self, document: Document) -> bool:
        """Whether a document represents all with its text."""
        return document.id not in self._passed_over

    def is_common(self, article: Article, sentence: Span) -> bool:
        """Whether another document has the sentence too, apart from its numbers and the document's title."""
        return self._phrases[_phrase(article, sentence)] > 1

    def common(self, article: Article) -> frozenset[Span]:
        """The sentences that at least two other documents have.

        Not one: where long documents were cut with an overlap, two neighbours share a sentence.
        """
        return frozenset(span for span in article.sentences if self._phrases[_phrase(article, span)] > 2)

    def is_shared(self, name: str) -> bool:
        """Whether several documents have a title, heading or question."""
        return self._phrases[_key(normalise(name))] > 1

    def is_name(self, title: str) -> bool:
        """Whether a title names a thing: it is short, or several documents about the same thing have it.

        A title of more than a twentieth of the documents (if there are enough to tell) names the collection instead.
        """
        times = self._phrases[_key(normalise(title))]
        if self._counted >= _FEW_DOCUMENTS and times > _SPECIFIC * self._counted:
            return False
        return times > 1 or count_words(title) <= _NAME_WORDS

    def frequency(self, term: str) -> int:
        """The number of counted documents with a term."""
        return self._terms[term]

    def _is_content(self, term: str) -> bool:
        """Whether a term is a content word: neither a function word nor a number.

        Function words are the language's stopwords and, for languages without a list, the words in more
        than a fifth of the documents (if there are enough to tell).
        """
        if len(term) < 2 or term.isdigit() or term in self._vocabulary.stopwords:
            return False
        return self._counted < _FEW_DOCUMENTS or self._terms[term] <= _FUNCTION_WORD * self._counted

    def _keyword_weight(self, term: str, in_title: bool) -> float:
        """The value of a term as a keyword: its inverse document frequency, or 0 for a function word or a number.

        A term that is too frequent to find one document is worth 0 too, unless it is in the document's title.
        """
        if not self.is_content(term) or (term.isascii() and (len(term) < 3 or not term.isalpha())):
            return 0.0
        if not in_title and self._counted >= _FEW_DOCUMENTS and self._terms[term] > _SPECIFIC * self._counted:
            return 0.0
        return math.log(1 + self._counted / (1 + self._terms[term]))


def unit(seed: int, *parts: str) -> float:
    """A number in (0, 1] from a keyed hash: the same in any process and order of calls.

    >>> unit(0, "a") == unit(0, "a") != unit(1, "a")
    True
    """
    key = keyed_order(seed, "\x00".join(parts))
    return (int.from_bytes(key[:6], "big") + 1) / 2**48


def _begins(document: Document) -> bool:
    """Whether it is a whole document, or the first piece of one."""
    piece = document.metadata.get(PIECE)
    return not isinstance(piece, Mapping) or piece.get("number", 1) == 1


def _phrase(article: Article, sentence: Span) -> int:
    """A sentence's key, the same for sentences that differ only in numbers and their documents' titles.

    In templates ("The following tests diagnose X") nothing else differs.
    """
    text = normalise(article.text[slice(*sentence)])
    if article.title:
        text = text.replace(article.title_key, "\x00")
    return _key(text.translate(_NO_DIGITS))


def _key(text: str) -> int:
    # 64 bits. Hashes differ from process to process, but only equality within this one matters.
    return hash(text)
