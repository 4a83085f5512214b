"""Words, function words and sentences in any script: Unicode properties and a few rules, no model.

Scripts written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) are cut into overlapping
pairs of characters, the usual unit of lexical search where no dictionary segments the text
(Nie, Gao, Zhang and Zhou 2000).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tardif.text.languages import Language
from tardif.text.scripts import MARKS, UNSPACED

_WORD = re.compile(f"[\\w{MARKS}]+")
_ASCII_WORD = re.compile(r"\w+", re.ASCII)
_RUN = re.compile(f"[{UNSPACED}]+|[^{UNSPACED}]+")
_IS_UNSPACED = re.compile(f"[{UNSPACED}]")

_CLOSING = "\"'»”’)\\]」』）】"
# A full stop of a script that needs no space after it; or one followed by space.
_END = re.compile(
    f"[。！？｡؟۔।॥։።၊။។][{_CLOSING}]*|[.!?…]+[{_CLOSING}]*(?=\\s)|\\n\\s*\\n\\s*|\\n(?=\\s*(?:[-*•+]|\\d+[.)])\\s)"
)
_INITIAL = re.compile(
    r"(?:^|[\s(.])(?:\w|[A-Za-z]\.\w|[A-Z][a-z]|vs|al|etc|cf|eg|ie|ca|approx|resp|Fig|Figs|Eq|No|Nos|Vol|Mrs|Prof|bzw|usw|[Nn]r|[Ss]tr)$"
)
_THAI_GAP = re.compile(r"(?<=[\u0e01-\u0e4e]) +(?=[\u0e01-\u0e4e])")
_THAI_SENTENCE = 60
_BULLET = re.compile(r"\s*(?:[-*•+·#>|]+|\d+[.)])\s+|\s+")


class Token(NamedTuple):
    """A term and where it stands in the text."""

    term: str
    start: int
    end: int


class Vocabulary:
    """What counts as the same word in a language: folded, and stemmed where there is a stemmer."""

    def __init__(self, language: Language) -> None:
        self._stems: dict[str, str] = {}
        self._stem = _stemmer(language)
        self.stopwords = frozenset(self._fold(word) for word in _stopwords(language))

    def terms(self, text: str) -> list[str]:
        """The terms of a text, in its order."""
        if text.isascii():
            words = _ASCII_WORD.findall(text.lower())
        else:
            folded = unicodedata.normalize("NFKC", text).casefold()
            words = (
                [folded[start:end] for start, end in _spans(folded)]
                if _IS_UNSPACED.search(folded)
                else _WORD.findall(folded)
            )
        known, fold = self._stems, self._fold
        return [known.get(word) or fold(word) for word in words]

    def tokens(self, text: str) -> list[Token]:
        """The terms with their places in ``text``."""
        known, fold = self._stems, self._fold
        spans = [(text[start:end].casefold(), start, end) for start, end in _spans(text)]
        return [Token(known.get(word) or fold(word), start, end) for word, start, end in spans]

    def _fold(self, word: str) -> str:
        stem = self._stems.get(word)
        if stem is None:
            if len(self._stems) > 1_000_000:  # a cache: forgetting costs time only
                self._stems.clear()
            stem = self._stems[word] = self._stem(word)
        return stem


def count_words(text: str) -> int:
    """How many words a text has; two characters of a script without spaces count as one."""
    if text.isascii():
        return len(text.split())
    unspaced = len(_IS_UNSPACED.findall(text))
    return len((_IS_UNSPACED.sub(" ", text) if unspaced else text).split()) + (unspaced + 1) // 2


def sentences(text: str) -> list[tuple[int, int]]:
    """The sentences of a text as (start, end), without the bullets and white space around them.

    A full stop ends a sentence where white space follows, unless the next letter is small (in text
    that has capitals) or an initial or common abbreviation stands before it. The full stops of East
    Asian, Indic, Arabic, Armenian and Ethiopic script need no space. Blank lines and list items end
    sentences too. Thai has no full stop: a space does, once enough text has gathered.
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


def _stemmer(language: Language) -> Callable[[str], str]:
    if language.stemmer is None:
        return str
    import Stemmer

    stem: Callable[[str], str] = Stemmer.Stemmer(language.stemmer).stemWord
    return lambda word: stem(word) or word


def _stopwords(language: Language) -> tuple[str, ...]:
    """bm25s' list; frequent words are treated as function words besides, so a language may have none."""
    if language.stopwords is None:
        return ()
    from bm25s import stopwords

    name = "EN_PLUS" if language.code == "en" else language.name.upper()
    return tuple(getattr(stopwords, f"STOPWORDS_{name}", ()))
