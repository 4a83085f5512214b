"""When two texts are the same, and the ids of texts that come without one."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from tardif.text.scripts import MARKS, UNSPACED

# 80 bits: among a hundred million texts, two share an id with a probability of 4 in a billion.
_ID_BYTES = 10

# Soft hyphens, joiners and marks of direction are not seen: of two texts that read the same, one may have them.
_UNSEEN = dict.fromkeys([0xAD, 0x2060, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F)])
# In scripts without spaces every character counts as a word. Underscores are Markdown's, not the word's.
_WORD = re.compile(f"[{UNSPACED}]|(?:(?![{UNSPACED}])(?:[^\\W_]|[{MARKS}]))+")
_ASCII_WORD = re.compile(r"[a-z0-9]+")
# What is normalised by itself: no mark is parted from the letter that it may be joined with.
_STRETCH = re.compile(f"[{UNSPACED}][\u3099\u309a]?|[^\\s{UNSPACED}]+")


def normalise(text: str) -> str:
    """The text as it is compared: compatibility characters unified, case folded, white space collapsed, what nobody
    sees left out."""
    if text.isascii():  # the same, ten times as fast
        return " ".join(text.lower().split())
    return " ".join(unicodedata.normalize("NFKC", text.translate(_UNSEEN)).casefold().split())


def words_in_order(text: str) -> list[str]:
    """The normalised words of a text as they follow each other; of scripts without spaces, the characters.

    Punctuation, quotation marks, case and spacing make no difference.

    >>> words_in_order("“It\u2019s **late**”,  she said")
    ['it', 's', 'late', 'she', 'said']
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _WORD.findall(normalise(text))


def word_places(text: str) -> list[tuple[int, int]]:
    """Where in the text each of :func:`words_in_order` stands: its first character, and the one after its last.

    Where one stretch of the text becomes several words (a fraction, two words joined by a hyphen), all of them
    stand where the stretch does.
    """
    return [found.span() for found in _STRETCH.finditer(text) for _ in words_in_order(found.group())]


def text_id(prefix: str, text: str) -> str:
    """An id made from the text itself, so that it does not depend on the order of the input."""
    return prefix + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_ID_BYTES).hexdigest()


def keyed_order(seed: int, text: str) -> bytes:
    """A pseudo-random sort key of a text: the same in any process and order of the input."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=str(seed).encode()).digest()


def keyed_sample(seed: int, texts: Iterable[str], count: int) -> list[str]:
    """``count`` of the texts that are not empty, by :func:`keyed_order`."""
    return sorted(filter(None, texts), key=lambda text: keyed_order(seed, text))[:count]
