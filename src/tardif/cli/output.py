"""The output of verbs: lines, tables and JSON on stdout.

Texts and ids can come from anywhere, so control characters are escaped (:mod:`tardif.escaping`). JSON uses its own
escapes and reads back to the same text.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tardif.escaping import json_text, visible

if TYPE_CHECKING:
    from tardif.types import Hit


def show_hits(query: str, hits: Sequence[Any], as_json: bool) -> None:
    """Print hits as JSON, or as two lines each for a person."""
    if as_json:
        put_json({"query": query, "hits": [hit.as_json() for hit in hits]})
        return
    for hit in hits:
        put(f"{hit.rank:>3}  {hit.score:8.3f}  {hit.document_id}{_cited(hit.piece)}")
        if hit.snippet is None:
            text = " ".join(f"{hit.title} {hit.text}".split())
            put(f"     {text[:160]}")  # two lines of a terminal
        else:
            _show_explained(hit)


def _show_explained(hit: Hit) -> None:
    """Print a hit's title and its snippet, with the words that earned the score marked."""
    from tardif.cli.explained import marked, takes_colour
    from tardif.search.snippet import one_line, shown_marks

    title = one_line(hit.title.strip())
    lead = len(hit.title) - len(hit.title.lstrip())
    in_title = shown_marks(hit.title, hit.title_matches, lead, len(hit.title.rstrip()))
    for text, marks in ((title, in_title), (hit.snippet or "", hit.matches)):
        for start, end in _lines(text):
            inside = [(max(m.start, start) - start, min(m.end, end) - start, m.weight) for m in marks]
            parts = [part for part in inside if part[0] < part[1]]
            sys.stdout.write(f"     {marked(text[start:end], parts, takes_colour())}\n")


def _lines(text: str) -> list[tuple[int, int]]:
    """Where the lines of a text begin and end in a terminal of this width; one line where stdout is no terminal."""
    width = shutil.get_terminal_size().columns - 6 if sys.stdout.isatty() else len(text)
    found, start = [], 0
    while start < len(text):
        space = text.rfind(" ", start, start + width + 1) if len(text) - start > width else -1
        end = space if space > start else min(start + max(width, 1), len(text))
        found.append((start, end))
        start = end + (space > start)
    return found


def _cited(piece: Any) -> str:
    """Say where a piece begins in its document: page and section."""
    if piece is None:
        return ""
    page = [] if piece.page is None else [f"page {piece.page}"]
    parts = [*page, *([" > ".join(piece.headings)] if piece.headings else [])]
    return f"  ({', '.join(parts)})" if parts else ""


def put(line: str) -> None:
    """Print a line on stdout."""
    sys.stdout.write(visible(line) + "\n")


def put_row(cells: Sequence[str]) -> None:
    """Print a row of a table on stdout, with tabs between the cells."""
    # One line for each row, whatever is in a cell: visible() escapes tabs and line ends.
    sys.stdout.write("\t".join(map(visible, cells)) + "\n")


def put_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json_text(value, indent=2) + "\n")
