"""Outlines: where the sections and pages of a text begin, so that a piece of it can be cited."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate, pairwise

from tardif.data.extraction.markdown import FRONT, MarkdownConverter
from tardif.types import Outline

# The parser counts these as line ends.
_LINE_END = re.compile(r"\r\n?|\n")
# Characters of a heading that are read. Only an attack on the parser has a longer one.
_LONGEST = 500
# Every heading has one of these signs; a text without them need not be parsed.
_SIGNS = re.compile(r"^ {0,3}(?:#|=|-)", re.MULTILINE)


def markdown_outline(text: str) -> Outline:
    """Find the headings of a Markdown text.

    Headings are CommonMark's, with ``#`` or underlined; those in code or quotations do not count.

    >>> markdown_outline("# Sea\\n\\nTides.\\n\\n## Moon\\n").headings
    ((0, 1, 'Sea'), (15, 2, 'Moon'))
    """
    front = FRONT.match(text)
    begin = front.end() if front else 0
    body = text[begin:]
    if not _SIGNS.search(body):
        return Outline()
    converter = MarkdownConverter()
    starts = [begin, *(begin + found.end() for found in _LINE_END.finditer(body))]
    headings = []
    for opening, inside in pairwise(converter.blocks(body)):
        if opening.type == "heading_open" and opening.level == 0 and opening.map:
            words = " ".join(converter.inline(inside.content[:_LONGEST]).split())
            if words:
                headings.append((starts[opening.map[0]], int(opening.tag[1:]), words))
    return Outline(headings=tuple(headings))


def lines_outline(text: str, headings: Iterable[tuple[int, str]]) -> Outline:
    """Find given headings in a text.

    Args:
        text: the text, in which each heading is a line of its own.
        headings: level and words of each heading, in order. One that is no line of the text is left out.
    """
    lines = text.split("\n")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    where: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        where.setdefault(" ".join(line.split()), []).append(number)
    found, last = [], -1
    for level, words in headings:
        places = where.get(words, [])
        # Only headings behind the last one found: equal headings are told apart by their order.
        at = bisect_right(places, last)
        if words and at < len(places):
            last = places[at]
            found.append((starts[last], level, words))
    return Outline(headings=tuple(found))


class Places:
    """The headings and the page of any character of a text.

    Args:
        outline: the outline of the text; None if it has none.
    """

    def __init__(self, outline: Outline | None) -> None:
        outline = outline or Outline()
        self._starts = [start for start, _, _ in outline.headings]
        self._paths: list[tuple[str, ...]] = []
        open_ones: list[tuple[int, str]] = []
        for _, level, words in outline.headings:
            # A heading closes all open ones of its level and below.
            open_ones = [known for known in open_ones if known[0] < level] + [(level, words)]
            self._paths.append(tuple(words for _, words in open_ones))
        self._pages = outline.pages

    def headings(self, at: int) -> tuple[str, ...]:
        """The headings above a character, the outermost first."""
        found = bisect_right(self._starts, at)
        return self._paths[found - 1] if found else ()

    def page(self, at: int) -> int | None:
        """The page that a character is on."""
        found = bisect_right(self._pages, at, key=lambda page: page[0])
        return self._pages[found - 1][1] if found else None
