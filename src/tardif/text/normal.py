"""The normal form in which texts are compared, their words, and ids and random keys made from texts."""

from __future__ import annotations

import hashlib
import heapq
import re
import unicodedata
from collections.abc import Iterable

from tardif.text.scripts import MARKS, UNSPACED

# 80 bits: among a hundred million texts, the probability that two share an id is 4 in a billion.
_ID_BYTES = 10

# Invisible characters: soft hyphens, joiners, marks of direction. Of two texts that read the same, one may have them.
_UNSEEN = dict.fromkeys([0xAD, 0x2060, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F)])
# In scripts without spaces each character is a word. Underscores are Markdown, not part of a word.
_WORD = re.compile(f"[{UNSPACED}]|(?:(?![{UNSPACED}])(?:[^\\W_]|[{MARKS}]))+")
_ASCII_WORD = re.compile(r"[a-z0-9]+")
# Stretches that are normalised by themselves: none separates a mark from the letter that NFKC joins it with.
_STRETCH = re.compile(f"[{UNSPACED}][\u3099\u309a]?|[^\\s{UNSPACED}]+")


def normalise(text: str) -> str:
    """Return the normal form of a text: NFKC, case folded, white space collapsed, invisible characters removed.

    >>> normalise("Ｌate\u00ad  INTERACTION\\n")
    'late interaction'
    """
    if text.isascii():  # the same result, ten times as fast
        return " ".join(text.lower().split())
    return " ".join(unicodedata.normalize("NFKC", text.translate(_UNSEEN)).casefold().split())


def words_in_order(text: str) -> list[str]:
    """Return the normalised words of a text in their order; for scripts without spaces, its characters.

    Punctuation, quotation marks, case and spacing do not matter.

    >>> words_in_order("“It\u2019s **late**”,  she said")
    ['it', 's', 'late', 'she', 'said']
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _WORD.findall(normalise(text))


def word_places(text: str) -> list[tuple[int, int]]:
    """Return the place in the text of each word of :func:`words_in_order`: its first character, and the one after it.

    If a stretch of text becomes several words (a fraction, two words joined by a hyphen), each has its place.

    >>> word_places("Late  interaction")
    [(0, 4), (6, 17)]
    """
    return [found.span() for found in _STRETCH.finditer(text) for _ in words_in_order(found.group())]


def text_id(prefix: str, text: str) -> str:
    """Return an id made from the text, so that it does not depend on the order of the input."""
    return prefix + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_ID_BYTES).hexdigest()


def keyed_order(seed: int, text: str) -> bytes:
    """Return a pseudo-random sort key of a text, which does not depend on the process or the order of the input."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=str(seed).encode()).digest()


def keyed_sample(seed: int, texts: Iterable[str], count: int) -> list[str]:
    """Return ``count`` texts, drawn by :func:`keyed_order`; empty texts are left out."""
    return heapq.nsmallest(count, filter(None, texts), key=lambda text: keyed_order(seed, text))
