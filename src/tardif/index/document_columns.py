"""The columns of a document's row in an index: metadata, the whole document's id, and its place there as a piece."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tardif.data.json_metadata import as_stored, clean_text
from tardif.types import Document


def as_kept(document: Document) -> Document:
    """Return a document as an index gives it back: metadata and headings hold only what JSON and SQLite can hold.

    Raises:
        DataError: its metadata is nested deeper than :data:`tardif.data.json_metadata.MAX_NESTING` levels.
    """
    piece = document.piece
    if piece is not None:
        piece = replace(piece, headings=tuple(map(clean_text, piece.headings)))
    return Document(document.id, document.text, document.title, as_stored(document.metadata), piece)


def metadata_json(metadata: Mapping[Any, Any]) -> str:
    """Return the text of an index's ``metadata`` column: valid JSON (RFC 8259), with the keys in their order.

    >>> metadata_json({"year": 2026, "tags": ("a", "b"), "score": float("nan")})
    '{"year":2026,"tags":["a","b"],"score":null}'

    Raises:
        DataError: it is nested deeper than :data:`tardif.data.json_metadata.MAX_NESTING` levels.
    """
    return json.dumps(as_stored(metadata), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def columns_of(document: Document) -> tuple[str, str, str | None]:
    """Return the columns ``metadata``, ``document`` and ``piece`` of a document or piece.

    Raises:
        DataError: its metadata is nested deeper than :data:`tardif.data.json_metadata.MAX_NESTING` levels.
    """
    place = None if document.piece is None else metadata_json(document.piece.place())
    return metadata_json(document.metadata), document.whole_id, place
