"""What counts as a word in lexical search, in any script: rules and character classes, no model, no dictionary.

Words of scripts with spaces are stemmed. Where words are not separated, overlapping pairs are the unit:

- Chinese and Japanese: pairs of characters, which retrieve as well as words from a segmenter and need
  none (Nie, Gao, Zhang and Zhou, IRAL 2000).
- Korean: pairs of syllables within what stands between spaces, since particles stick to nouns
  (Lee and Ahn, SIGIR 1996).
- Thai, and likewise Lao, Khmer and Burmese: pairs of character clusters, a consonant with its vowels and
  signs, which are never torn apart (Theeramunkong, Sornlertlamvanich, Tanhermhong and Chinnan, IRAL 2000).

A run of one character is a term itself. So that a query of one finds them, the single Chinese characters
and Korean syllables of a *document* are terms too; in a query only its pairs count, where there are any.
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
    """The words and pairs of a text, in its order, in lower case; words of one letter are left out.

    Args:
        text: what to cut.
        document: whether it is searched, and so also gives the single characters of joined scripts.
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
    """The term of each piece of text in a language: its stem, or nothing for a stopword."""

    def __init__(self, language: Language) -> None:
        self._stopwords = stopwords(language)
        self._stem = stemmer(language)

    def term(self, piece: str) -> str:
        """The term that ``piece`` counts as; empty for a stopword."""
        return "" if piece in self._stopwords else self._stem(piece)


def stemmer(language: Language) -> Callable[[str], str]:
    """Return the language's stemmer, or one that leaves every word as it is."""
    if language.stemmer is None:
        return str
    import Stemmer

    stem: Callable[[str], str] = Stemmer.Stemmer(language.stemmer).stemWord
    return stem
