"""Character ranges of scripts, from the Unicode database, for use inside a regular expression's ``[...]``."""

from __future__ import annotations

import re

# Chinese characters, as used in Chinese, Japanese and Korean.
HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"

# Korean letters and syllables.
HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7fb"

# Scripts written without spaces between words: Chinese, Japanese, Thai, Lao, Khmer and Burmese.
UNSPACED = (
    "\u0e01-\u0e7f\u0e81-\u0eff\u1000-\u109f\u1780-\u17d3\u3005\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)

# Combining marks that belong to a word. Python's \w matches letters and digits but no combining marks; without them a
# Hindi, Thai or pointed Hebrew word falls apart at every vowel sign. The Indic blocks are included whole, except the
# dandas, which are punctuation.
MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0900-\u0963\u0966-\u096f\u0971-\u0df3\u0e31\u0e34-\u0e3a"
    "\u0e47-\u0e4e\u200c\u200d"
)

# Vowels and signs of Thai, Lao, Burmese and Khmer that belong to the letter before them.
SOUTH_EAST_MARKS = (
    "\u0e30-\u0e3a\u0e45\u0e47-\u0e4e\u0eb0-\u0ebc\u0ec8-\u0ece"
    "\u102b-\u1038\u103a-\u103e\u1056-\u1059\u105e-\u1060\u1062-\u1064\u1067-\u106d\u1071-\u1074\u1082-\u108d\u108f"
    "\u109a-\u109d\u17b4-\u17d1\u17d3"
)

# Burmese and Khmer signs after which the next consonant is written below the last one.
STACKERS = "\u1039\u17d2"

# Thai and Lao vowels that are written before the consonant that they follow in speech.
LEADING_VOWELS = "\u0e40-\u0e44\u0ec0-\u0ec4"

_UNSPACED = re.compile(f"[{UNSPACED}]")


def is_unspaced(text: str) -> bool:
    """Return whether a text holds a character of a script that is written without spaces.

    >>> is_unspaced("late interaction"), is_unspaced("late 交互")
    (False, True)
    """
    return not text.isascii() and _UNSPACED.search(text) is not None
