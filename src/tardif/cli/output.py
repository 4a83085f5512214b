"""The output of verbs: lines, tables and JSON on stdout.

Texts and ids can come from anywhere, so control characters are escaped (:mod:`tardif.escaping`). JSON uses its own
escapes and reads back to the same text.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tardif.escaping import json_text, visible


def show_hits(query: str, hits: Sequence[Any], as_json: bool) -> None:
    """Print hits as JSON, or as two lines each for a person."""
    if as_json:
        put_json({"query": query, "hits": [hit.as_json() for hit in hits]})
        return
    for hit in hits:
        text = " ".join(f"{hit.title} {hit.text}".split())
        put(f"{hit.rank:>3}  {hit.score:8.3f}  {hit.document_id}{_cited(hit.piece)}")
        put(f"     {text[:160]}")  # two lines of a terminal


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
