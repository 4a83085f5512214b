"""Metadata as an index's column holds it; :mod:`tardif.data.json_metadata` says what that is of what was given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tardif.data.json_metadata import as_stored, clean_text
from tardif.types import Document


def as_kept(document: Document) -> Document:
    """A document as it is read back from an index: its metadata and its piece's headings of JSON's own types and texts.

    Raises:
        DataError: its metadata is nested deeper than :data:`tardif.data.json_metadata.MAX_NESTING` levels.
    """
    piece = document.piece
    if piece is not None:
        piece = replace(piece, headings=tuple(map(clean_text, piece.headings)))
    return Document(document.id, document.text, document.title, as_stored(document.metadata), piece)


def metadata_json(metadata: Mapping[Any, Any]) -> str:
    """The text of an index's ``metadata`` column: valid JSON (RFC 8259), the keys in their order.

    Raises:
        DataError: it is nested deeper than :data:`tardif.data.json_metadata.MAX_NESTING` levels.
    """
    return json.dumps(as_stored(metadata), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def columns_of(document: Document) -> tuple[str, str, str | None]:
    """What an index's columns ``metadata``, ``document`` and ``piece`` hold of a document or piece.

    Raises:
        DataError: its metadata is nested deeper than :data:`tardif.data.json_metadata.MAX_NESTING` levels.
    """
    place = None if document.piece is None else metadata_json(document.piece.place())
    return metadata_json(document.metadata), document.whole_id, place
