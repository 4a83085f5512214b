"""Words, function words and sentences in any script, by Unicode properties and a few rules, without a model.

Scripts written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) are cut into overlapping
pairs of characters, the usual unit of lexical search without a dictionary (Nie, Gao, Zhang and Zhou 2000).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from tardif.text.languages import Language
from tardif.text.scripts import MARKS, UNSPACED
from tardif.text.terms import stemmer

_WORD = re.compile(f"[\\w{MARKS}]+")
_ASCII_WORD = re.compile(r"\w+", re.ASCII)
_RUN = re.compile(f"[{UNSPACED}]+|[^{UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{UNSPACED}]")

_CLOSING = "\"'»”’)\\]」』）】"
# Ends of sentences: a full stop of a script that needs no space after it, a full stop before white space, a blank line,
# or a line end before a list item.
_END = re.compile(
    f"[。！？｡؟۔।॥։።၊။។][{_CLOSING}]*|[.!?…]+[{_CLOSING}]*(?=\\s)|\\n\\s*\\n\\s*|\\n(?=\\s*(?:[-*•+]|\\d+[.)])\\s)"
)
# An initial or an abbreviation before a full stop, which then ends no sentence.
_INITIAL = re.compile(
    r"(?:^|[\s(.])(?:\w|[A-Za-z]\.\w|[A-Z][a-z]|vs|al|etc|cf|eg|ie|ca|approx|resp|Fig|Figs|Eq|No|Nos|Vol|Mrs|Prof|bzw|usw|[Nn]r|[Ss]tr)$"
)
# Thai has no full stop: a space ends a sentence once this many characters have gathered.
_THAI_GAP = re.compile(r"(?<=[\u0e01-\u0e4e]) +(?=[\u0e01-\u0e4e])")
_THAI_SENTENCE = 60
_BULLET = re.compile(r"\s*(?:[-*•+·#>|]+|\d+[.)])\s+|\s+")


class SentenceToken(NamedTuple):
    """A term and its place in the text."""

    term: str
    start: int
    end: int


class Vocabulary:
    """Maps words to terms: case-folded, and stemmed if the language has a stemmer.

    >>> from tardif.text.languages import language
    >>> Vocabulary(language("en")).terms("Repairing violins, repaired VIOLIN")
    ['repair', 'violin', 'repair', 'violin']
    """

    def __init__(self, language: Language) -> None:
        self._stems: dict[str, str] = {}
        self._stem = stemmer(language)
        self.stopwords = frozenset(self._fold(word) for word in _stopwords(language))

    def terms(self, text: str) -> list[str]:
        """The terms of a text, in order."""
        if text.isascii():
            words = _ASCII_WORD.findall(text.lower())
        else:
            folded = unicodedata.normalize("NFKC", text).casefold()
            # Most texts have no such script, and one call of findall is several times as fast.
            has_unspaced = _IS_UNSPACED.search(folded)
            words = [folded[slice(*span)] for span in _spans(folded)] if has_unspaced else _WORD.findall(folded)
        known, fold = self._stems, self._fold
        return [known.get(word) or fold(word) for word in words]

    def tokens(self, text: str) -> list[SentenceToken]:
        """The terms with their places in ``text``."""
        known, fold = self._stems, self._fold
        spans = [(text[start:end].casefold(), start, end) for start, end in _spans(text)]
        return [SentenceToken(known.get(word) or fold(word), start, end) for word, start, end in spans]

    def _fold(self, word: str) -> str:
        stem = self._stems.get(word)
        if stem is None:
            if len(self._stems) > 1_000_000:  # a cache: forgetting costs time only
                self._stems.clear()
            stem = self._stems[word] = self._stem(word) or word
        return stem


def count_words(text: str) -> int:
    """The number of words of a text; two characters of a script without spaces count as one.

    >>> count_words("salt and resin"), count_words("海水和盐")
    (3, 2)
    """
    if text.isascii():
        return len(text.split())
    unspaced = len(_IS_UNSPACED.findall(text))
    return len((_IS_UNSPACED.sub(" ", text) if unspaced else text).split()) + (unspaced + 1) // 2


def sentences(text: str) -> list[tuple[int, int]]:
    """The sentences of a text as (start, end), without the bullets and white space around them.

    A full stop before white space ends a sentence, unless the next letter is in lower case (in a text
    that has capitals) or an initial or common abbreviation precedes it. The full stops of East
    Asian, Indic, Arabic, Armenian and Ethiopic scripts need no space. Blank lines and list items end
    sentences too. Thai has no full stop: a space ends a sentence once enough text has gathered.

    >>> text = "- Dr. Li came. She left."
    >>> [text[start:end] for start, end in sentences(text)]
    ['Dr. Li came.', 'She left.']
    """
    has_capitals = any(char.isupper() for char in text[:2000])
    found: list[tuple[int, int]] = []
    begin = 0
    for end in _ends(text, has_capitals):
        bullet = _BULLET.match(text, begin, end)
        start = bullet.end() if bullet else begin
        piece = text[start:end].rstrip()
        if piece:
            found.append((start, start + len(piece)))
        begin = end
    return found


def _ends(text: str, has_capitals: bool) -> Iterator[int]:
    begin = 0
    thai = [match.end() for match in _THAI_GAP.finditer(text)] if _THAI_GAP.search(text) else []
    stops = sorted([*((m.end(), m) for m in _END.finditer(text)), *((end, None) for end in thai)], key=lambda s: s[0])
    for end, match in stops:
        if match is None:
            if end - begin < _THAI_SENTENCE:
                continue
        elif match.group()[0] in ".!?…" and not _is_stop(text, match, has_capitals):
            continue
        yield end
        begin = end
    yield len(text)


def _is_stop(text: str, match: re.Match[str], has_capitals: bool) -> bool:
    following = text[match.end() : match.end() + 8].lstrip()[:1]
    if has_capitals and following.islower():
        return False
    if match.group()[0] != "." or match.group().startswith(".."):
        return True
    return not _INITIAL.search(text[max(0, match.start() - 8) : match.start()])


def _spans(text: str) -> Iterator[tuple[int, int]]:
    if text.isascii():
        yield from (match.span() for match in _ASCII_WORD.finditer(text))
        return
    for match in _WORD.finditer(text):
        word, start = match.group(), match.start()
        if word.isascii() or not _IS_UNSPACED.search(word):
            yield start, match.end()
            continue
        for run in _RUN.finditer(word):
            first, last = start + run.start(), start + run.end()
            if _IS_UNSPACED.match(run.group()) and last - first > 2:
                yield from ((place, place + 2) for place in range(first, last - 1))
            else:
                yield first, last


def _stopwords(language: Language) -> tuple[str, ...]:
    """bm25s' list. A language may have none: frequent words count as function words too."""
    from bm25s import stopwords

    name = "EN_PLUS" if language.code == "en" else language.name.upper()
    return tuple(getattr(stopwords, f"STOPWORDS_{name}", ()))
