"""Metadata as an index's column holds it; :mod:`tardif.data.metadata` says what that is of what was given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tardif.data.metadata import MAX_NESTING, as_stored, clean_text

__all__ = ["MAX_NESTING", "as_stored", "clean_text", "metadata_json"]


def metadata_json(metadata: Mapping[Any, Any]) -> str:
    """The text of an index's ``metadata`` column: valid JSON (RFC 8259), the keys in their order.

    Raises:
        DataError: it is nested deeper than :data:`MAX_NESTING` levels.
    """
    return json.dumps(as_stored(metadata), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
