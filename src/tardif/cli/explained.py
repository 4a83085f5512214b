"""An explanation in the terminal: the query and the passage with their matched words marked, and a row for each token.

Where stdout takes colours, a stronger match has a stronger one. Elsewhere (a pipe, NO_COLOR) matched words are in
brackets.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tardif.escaping import visible

if TYPE_CHECKING:
    from tardif.explanation import Explanation, Match, Token

# Black on five yellows (of the 256 colours), from weak to strong: readable on a dark ground and on a light one.
_SHADES = (230, 229, 228, 221, 214)
# Characters of the passage: about eight lines.
_PASSAGE = 640
# A similarity below this has the weakest colour: unrelated tokens of most models have more than 0.
_WEAK = 0.3


def show_explanation(found: Explanation) -> None:
    """Print an explanation for a person."""
    from tardif.search.snippet import passage

    coloured = takes_colour()
    shown = passage(found, _PASSAGE)
    name = f"  {found.document_id}" if found.document_id else ""
    lines = [
        f"score {found.score:.3f}{name}",
        "",
        marked(found.query, _query_marks(found), coloured),
        "",
        marked(shown.text, [(mark.start, mark.end, mark.weight) for mark in shown.marks], coloured),
        "",
        *_rows(found),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


def takes_colour() -> bool:
    """Whether stdout shows colours: a terminal, unless NO_COLOR (no-color.org) is set or it is a dumb one."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def marked(text: str, marks: Sequence[tuple[int, int, float]], coloured: bool) -> str:
    """Return a text on one line with its marks (start, end, weight) in colours or brackets."""
    parts, done = [], 0
    for start, end, weight in marks:
        word = visible(text[start:end])
        shade = _SHADES[min(int(max(weight, 0.0) * len(_SHADES)), len(_SHADES) - 1)]
        parts += [visible(text[done:start]), f"\x1b[38;5;16;48;5;{shade}m{word}\x1b[0m" if coloured else f"[{word}]"]
        done = end
    return "".join([*parts, visible(text[done:])])


def _query_marks(found: Explanation) -> list[tuple[int, int, float]]:
    """The query's words, each with the largest similarity of its tokens, from 0 to 1."""
    words: dict[int, tuple[int, int, float]] = {}
    for match in found.matches:
        token = found.query_tokens[match.query_token]
        if token.word is None or token.start is None or token.end is None:
            continue
        start, end, most = words.get(token.word, (token.start, token.end, 0.0))
        weight = (match.similarity - _WEAK) / (1 - _WEAK)
        words[token.word] = min(start, token.start), max(end, token.end), max(most, weight)
    return [words[number] for number in sorted(words)]


def _rows(found: Explanation) -> list[str]:
    """A row for each token of the query: the token, the document's word, the similarity, and where the word stands."""
    from rich.cells import cell_len

    cells = [("query", "document", "similarity", "place")]
    cells += [_cells(found, match) for match in found.matches]
    widths = [max(cell_len(row[column]) for row in cells) for column in (0, 1)]

    def padded(text: str, width: int) -> str:
        return text + " " * (width - cell_len(text))

    return [
        f"{padded(query, widths[0])}  {padded(word, widths[1])}  {similarity:>10}  {place:>6}"
        for query, word, similarity, place in cells
    ]


def _cells(found: Explanation, match: Match) -> tuple[str, str, str, str]:
    matched = [found.document_tokens[number] for number in match.document_tokens]
    places = [token.start for token in matched if token.start is not None]
    words = dict.fromkeys(_word(found, token) for token in matched)
    query = visible(found.query_tokens[match.query_token].text)
    return query, ", ".join(words), f"{match.similarity:.3f}", str(min(places)) if places else "-"


def _word(found: Explanation, token: Token) -> str:
    """The whole word that a token of the document is part of."""
    own = [other for other in found.document_tokens if other.word is not None and other.word == token.word] or [token]
    starts = [other.start for other in own if other.start is not None]
    ends = [other.end for other in own if other.end is not None]
    return visible(found.document[min(starts) : max(ends)] if starts else token.text)
