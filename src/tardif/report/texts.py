"""Texts of users' data as a page shows them: cut, made visible, with marked words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from tardif.escaping import visible

# Characters that are shown of a passage. Tardif writes some 600; other files may hold a megabyte.
MOST = 900
_LEVELS = 5
Mark = tuple[int, int, float]


def cut(text: str, most: int = MOST) -> str:
    """Cut a text at a number of characters, and say how many are left out.

    >>> cut("abcdefgh", 5)
    'abcde… (3 more characters)'
    """
    left = len(text) - most
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most and left < 3 * most else f"{line[:most]}… ({left:,} more characters)"


def marked(text: str, marks: Sequence[Mark], most: int = MOST) -> Markup:
    """Mark the words of a text by their weights, in five levels.

    >>> marked("a red button", [(2, 5, 1.0)])
    Markup('a <mark class="m5">red</mark> button')

    Args:
        text: the text; beyond ``most`` characters it is cut.
        marks: the place of the first character, the place after the last, and a weight from 0 to 1; in any order.
        most: characters to show.
    """
    shown = text[:most]
    parts, place = [], 0
    for begin, stop, weight in sorted(marks):
        start, end = max(begin, place), min(stop, len(shown))
        # What overlaps an earlier mark, or lies in the part that is cut off, is not marked.
        if start >= end or not math.isfinite(weight):
            continue
        level = min(_LEVELS, max(1, math.ceil(weight * _LEVELS)))
        parts += [
            _shown(shown[place:start]),
            Markup('<mark class="m{}">{}</mark>').format(level, _shown(shown[start:end])),
        ]
        place = end
    parts.append(_shown(shown[place:]))
    if len(text) > most:
        parts.append(escape(f"… ({len(text) - most:,} more characters)"))
    return Markup("").join(parts)


def _shown(text: str) -> Markup:
    return escape(visible(text, keep="\n\t"))
