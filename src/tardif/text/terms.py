"""The terms of lexical search in any script, by rules and character classes, without a model or dictionary.

Words of scripts with spaces are stemmed. In other scripts the terms are overlapping pairs:

- Chinese and Japanese: pairs of characters. They retrieve as well as words from a segmenter (Nie, Gao, Zhang and Zhou,
  IRAL 2000).
- Korean: pairs of syllables between spaces, because particles are attached to nouns (Lee and Ahn, SIGIR 1996).
- Thai, Lao, Khmer and Burmese: pairs of character clusters. A cluster is a consonant with its vowels and signs, which
  are never separated (Theeramunkong, Sornlertlamvanich, Tanhermhong and Chinnan, IRAL 2000).

A run of one character is a term. The single Chinese characters and Korean syllables of a *document* are terms too, so
that a query of one character finds them. In a query only pairs count, if there are any.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable

from tardif.text.languages import Language
from tardif.text.scripts import HAN, HANGUL, LEADING_VOWELS, MARKS, SOUTH_EAST_MARKS, STACKERS, UNSPACED
from tardif.text.stopwords import stopwords

_JOINED = f"{UNSPACED}{HAN}{HANGUL}"
_ASCII_WORD = re.compile(r"\w\w+", re.ASCII)
_WORD = re.compile(f"[\\w{MARKS}]{{2,}}")
_STRETCH = re.compile(f"[\\w{MARKS}{_JOINED}]+")
_RUN = re.compile(f"[{_JOINED}]+|[^{_JOINED}]{{2,}}")
_HAS_JOINED = re.compile(f"[{_JOINED}]")
_CLUSTER = re.compile(f"[{LEADING_VOWELS}]?[{_JOINED}](?:[{STACKERS}].|[{SOUTH_EAST_MARKS}])*")
_ALONE = re.compile(f"[{HAN}{HANGUL}]")


def pieces(text: str, *, document: bool) -> list[str]:
    """Return the words and pairs of a text in their order and in lower case. Words of one letter are left out.

    Args:
        text: a query or a document.
        document: whether it is a document, which also has single Chinese characters and Korean syllables as terms.

    >>> pieces("Late 交互期", document=False)
    ['late', '交互', '互期']
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    text = unicodedata.normalize("NFKC", text).lower()
    if not _HAS_JOINED.search(text):
        return _WORD.findall(text)
    found: list[str] = []
    for stretch in _STRETCH.findall(text):
        for run in _RUN.findall(stretch):
            if _HAS_JOINED.match(run):
                found += _pairs(run, document=document)
            else:
                found.append(run)
    return found


def _pairs(run: str, *, document: bool) -> list[str]:
    units = _CLUSTER.findall(run)
    if len(units) == 1:
        return units
    pairs = [one + other for one, other in itertools.pairwise(units)]
    return pairs + _ALONE.findall(run) if document else pairs


class Terms:
    """Maps pieces of text in a language to terms: the stem of a word, or nothing for a stopword."""

    def __init__(self, language: Language) -> None:
        self._stopwords = stopwords(language)
        self._stem = stemmer(language)

    def term(self, piece: str) -> str:
        """Return the term of a piece; empty for a stopword."""
        return "" if piece in self._stopwords else self._stem(piece)


def stemmer(language: Language) -> Callable[[str], str]:
    """Return the language's stemmer, or one that leaves every word as it is."""
    if language.stemmer is None:
        return str
    import Stemmer

    stem: Callable[[str], str] = Stemmer.Stemmer(language.stemmer).stemWord
    return stem
