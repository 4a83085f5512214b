"""Places where a text may be cut: never inside what a reader sees as one character.

A flag, a family of emoji, a letter with its accents and a Thai syllable are several code points. The rules are the main
ones of Unicode's grapheme clusters (UAX 29), and those of the scripts of India and South-East Asia for letters that are
written below or before their neighbour.
"""

from __future__ import annotations

import unicodedata

from tardif.text.scripts import LEADING_VOWELS, SOUTH_EAST_MARKS, STACKERS

_JOINER = "\u200d"
# Ends of half an emoji: skin tones, and the tags that spell a region's flag.
_MODIFIERS = "\U0001f3fb", "\U0001f3ff"
_TAGS = "\U000e0020", "\U000e007f"
_REGIONAL = "\U0001f1e6", "\U0001f1ff"
# The sign of Indic scripts after which the next consonant joins the last one, in ten blocks; STACKERS has the others.
_VIRAMAS = frozenset("\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca")
# A text with more marks on one letter is no language: it is cut, so that the search for a place always ends.
_LONGEST = 64


def _ranges(pattern: str) -> frozenset[str]:
    """The characters of ranges such as ``a-z``."""
    found: set[str] = set()
    place = 0
    while place < len(pattern):
        is_range = pattern[place + 1 : place + 2] == "-"
        last = pattern[place + 2] if is_range else pattern[place]
        found |= {chr(code) for code in range(ord(pattern[place]), ord(last) + 1)}
        place += 3 if is_range else 1
    return frozenset(found)


_LEADING, _SIGNS = _ranges(LEADING_VOWELS), _ranges(SOUTH_EAST_MARKS)
_BINDING = _VIRAMAS | frozenset(STACKERS) | _LEADING | {_JOINER}


def is_boundary(text: str, place: int) -> bool:
    r"""Return whether a text may be cut before the character at ``place``.

    >>> [place for place in range(6) if is_boundary("e\u0301 🇫🇷", place)]
    [0, 2, 3, 5]
    """
    if not 0 < place < len(text):
        return True
    before, after = text[place - 1], text[place]
    if before.isascii() and after.isascii():
        return before + after != "\r\n"
    if before in _BINDING or after in _SIGNS or _extends(after):
        return False
    if _is_in(after, _REGIONAL) and _is_in(before, _REGIONAL):
        return _regionals_before(text, place) % 2 == 0
    return not (_is_jamo(before) and _is_jamo(after))


def last_boundary(text: str, place: int) -> int:
    """Return the last place, at most ``place``, where a text may be cut.

    >>> last_boundary("日本 👩‍🚀", 5)
    3
    """
    if is_boundary(text, place):  # nearly always
        return place
    for candidate in range(place - 1, max(place - _LONGEST, 0), -1):
        if is_boundary(text, candidate):
            return candidate
    return place if place > _LONGEST else 0


def next_boundary(text: str, place: int) -> int:
    """Return the first place, at least ``place``, where a text may be cut."""
    if is_boundary(text, place):
        return place
    for candidate in range(place + 1, min(place + _LONGEST, len(text))):
        if is_boundary(text, candidate):
            return candidate
    return min(place + _LONGEST, len(text))


def _extends(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Mn", "Mc", "Me")
        or character in "\u200c\u200d"
        or _is_in(character, _MODIFIERS)
        or _is_in(character, _TAGS)
    )


def _is_in(character: str, ends: tuple[str, str]) -> bool:
    return ends[0] <= character <= ends[1]


def _is_jamo(character: str) -> bool:
    """Whether it is a part of a Korean syllable that is written as parts; whole syllables begin one."""
    return "\u1100" <= character <= "\u11ff"


def _regionals_before(text: str, place: int) -> int:
    first = place
    while first and place - first < _LONGEST and _is_in(text[first - 1], _REGIONAL):
        first -= 1
    return place - first
