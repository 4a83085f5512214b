"""What is common in a corpus: words, sentences, titles and headings, by the documents they stand in."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping

from tardif.data.chunking import PIECE
from tardif.synthesis.article import Article, Span
from tardif.synthesis.sentences import Vocabulary, count_words
from tardif.text.normal import keyed_order, normalise
from tardif.types import Document

SAMPLE = 200_000
"""Frequencies are counted on about this many documents at most, which bounds their memory."""

_FUNCTION_WORD = 0.2
_SPECIFIC = 0.05
_FEW_DOCUMENTS = 50
_NAME_WORDS = 5
_NO_DIGITS = str.maketrans("", "", "0123456789")


class Statistics:
    """Counted in one pass over the corpus.

    Attributes:
        weights: how well a term serves as a keyword: its rarity, or 0 where it is none or too frequent
            to find one document.
        title_weights: the same for a term of the document's title, which may be frequent.

    Args:
        vocabulary: what a word is.
        seed: of the sample, in a corpus larger than :data:`SAMPLE`.
        passage_words: how documents are cut.
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
        self._content: dict[str, bool] = {}
        self.weights: Mapping[str, float] = _Memo(lambda term: self._key_weight(term, named=False))
        self.title_weights: Mapping[str, float] = _Memo(lambda term: self._key_weight(term, named=True))

    def read(self, documents: Collection[Document]) -> None:
        """Count a corpus."""
        share = SAMPLE / max(len(documents), 1)
        for document in documents:
            key = _key(normalise(document.content))
            other = self._first.get(key)
            if other is not None:
                # The smallest id stands for all copies, whatever the order of the corpus.
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
        """How many documents are passed over because another stands for all with their text."""
        return len(self._passed_over)

    def is_first(self, document: Document) -> bool:
        """Whether a document stands for all that have its text."""
        return document.id not in self._passed_over

    def is_common(self, article: Article, sentence: Span) -> bool:
        """Whether a sentence stands in another document too, but for its numbers and that one's title."""
        return self._phrases[_phrase(article, sentence)] > 1

    def common(self, article: Article) -> frozenset[Span]:
        """The sentences that at least two more documents have.

        Two, for where long documents were cut with an overlap, neighbours share a sentence by right.
        """
        return frozenset(span for span in article.sentences if self._phrases[_phrase(article, span)] > 2)

    def is_shared(self, name: str) -> bool:
        """Whether a title, heading or question stands in several documents."""
        return self._phrases[_key(normalise(name))] > 1

    def is_name(self, title: str) -> bool:
        """Whether a title names a thing: it is short, or stands in several documents, which tell of the same thing.

        What stands in more than a twentieth of the documents (where there are enough to tell) is no name, but the
        collection's.
        """
        times = self._phrases[_key(normalise(title))]
        if self._counted >= _FEW_DOCUMENTS and times > _SPECIFIC * self._counted:
            return False
        return times > 1 or count_words(title) <= _NAME_WORDS

    def frequency(self, term: str) -> int:
        """In how many of the counted documents a term stands."""
        return self._terms[term]

    def rarity(self, term: str) -> float:
        """Inverse document frequency."""
        return math.log(1 + self._counted / (1 + self._terms[term]))

    def is_content(self, term: str) -> bool:
        """Whether a term says what a text is about: no function word, no number.

        Function words are the language's stopwords and, for the languages without a list, what stands
        in more than a fifth of the documents (where there are enough to tell).
        """
        known = self._content.get(term)
        if known is None:
            known = self._content[term] = self._tells(term)
        return known

    def _key_weight(self, term: str, *, named: bool) -> float:
        if not self.is_content(term) or (term.isascii() and (len(term) < 3 or not term.isalpha())):
            return 0.0
        specific = self._counted < _FEW_DOCUMENTS or self._terms[term] <= _SPECIFIC * self._counted
        return self.rarity(term) if named or specific else 0.0

    def _tells(self, term: str) -> bool:
        if len(term) < 2 or term.isdigit() or term in self._vocabulary.stopwords:
            return False
        return self._counted < _FEW_DOCUMENTS or self._terms[term] <= _FUNCTION_WORD * self._counted


class _Memo(dict[str, float]):
    """Values worked out when they are first asked for."""

    def __init__(self, work_out: Callable[[str], float]) -> None:
        super().__init__()
        self._work_out = work_out

    def __missing__(self, key: str) -> float:
        value = self[key] = self._work_out(key)
        return value


def unit(seed: int, *parts: str) -> float:
    """A number in (0, 1] drawn by a keyed hash: the same in any process and order."""
    key = keyed_order(seed, "\x00".join(parts))
    return (int.from_bytes(key[:6], "big") + 1) / 2**48


def _begins(document: Document) -> bool:
    """Whether it is a whole document, or the first piece of one."""
    piece = document.metadata.get(PIECE)
    return not isinstance(piece, Mapping) or piece.get("number", 1) == 1


def _phrase(article: Article, sentence: Span) -> int:
    """A sentence's key: the same for sentences that differ in numbers and their documents' titles only.

    Templates ("The following tests diagnose X") tell nothing but the title apart.
    """
    text = normalise(article.text[slice(*sentence)])
    if article.title:
        text = text.replace(article.title_key, "\x00")
    return _key(text.translate(_NO_DIGITS))


def _key(text: str) -> int:
    # 64 bits, and never compared with those of another process: equal texts are all that matters.
    return hash(text)
