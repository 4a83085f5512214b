"""Function words of a text in an unknown language: the stopwords of the language whose stopwords it has most of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cache

from tardif.text.languages import language
from tardif.text.stopwords import stopwords

# The languages with a short, reliable list; the first wins where two have as many. A text in another language has no
# known function words.
_CODES = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "no", "ru", "tr")
# The English list has the parts of "we'll" as words: alone they are the D of vitamin D, or seconds.
_PARTS = frozenset(("d", "ll", "m", "ma", "o", "re", "s", "t", "ve", "y"))
# One stopword of a short text may be a word of another language, as the German "war" is.
_FEWEST = 2


def function_words(words: Iterable[str]) -> frozenset[str]:
    """Return the stopwords of the language that a text seems to be in; none where that is unclear.

    Args:
        words: the text's words.

    >>> "the" in function_words("What makes the tides of the sea?".split())
    True
    """
    counts = Counter(word.casefold() for word in words)
    best: frozenset[str] = frozenset()
    most = _FEWEST - 1
    for code in _CODES:
        known = _listed(code)
        count = sum(counts[word] for word in known.intersection(counts))
        if count > most:
            best, most = known, count
    return best


@cache
def _listed(code: str) -> frozenset[str]:
    if code == "en":
        # The longer list: questions have "what", "how" and "do", which the short one lacks.
        from bm25s.stopwords import STOPWORDS_EN_PLUS

        return frozenset(STOPWORDS_EN_PLUS) - _PARTS
    return frozenset(word.casefold() for word in stopwords(language(code)))
