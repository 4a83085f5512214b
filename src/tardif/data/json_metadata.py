"""Metadata as it is stored, in an index or a training set: what JSON holds and every SQLite reads.

So a filter means the same in memory and on disk, and a set reads back as it was written.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any

from tardif.checks import is_missing
from tardif.errors import DataError

MAX_NESTING = 100
"""Levels of objects and lists in one document's metadata. SQLite's JSON stops at 1,000, Python's at its recursion."""

_UNHOLDABLE = re.compile("[\0\ud800-\udfff]")


def clean_text(text: str) -> str:
    """``text`` with U+FFFD for each NUL and lone surrogate: SQLite's JSON would cut at the one and refuse the other."""
    return text if text.isascii() and "\0" not in text else _UNHOLDABLE.sub("\ufffd", text)


def as_stored(metadata: Mapping[Any, Any]) -> dict[str, Any]:
    """Metadata as it will be read back: only str, int, float, bool, None, list and dict.

    - Texts and keys have U+FFFD for NULs and lone surrogates (:func:`clean_text`).
    - What is missing (:func:`tardif.checks.is_missing`), infinities and integers beyond a double's range
      (1.8e308) are None: JSON has no word for them.
    - Tuples and sets are lists (a set sorted), dates and times their ISO texts, a Decimal a float, and what has
      ``tolist`` (NumPy's arrays and numbers) what that gives. Anything else is its ``str``.

    Raises:
        DataError: it is nested deeper than :data:`MAX_NESTING` levels, or a value does not say what it is.
    """
    return {_key(key): _plain(value, 1) for key, value in metadata.items()}


def _key(key: object) -> str:
    if not isinstance(key, str):
        key = json.dumps(key) if key is None or isinstance(key, bool | int | float) else str(key)
    return clean_text(key)


def _plain(value: Any, depth: int) -> Any:
    if depth > MAX_NESTING:
        raise DataError(f"metadata is nested deeper than {MAX_NESTING} levels: flatten it or leave some of it out.")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clean_text(str.__str__(value))
    if isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, Mapping):
        return {_key(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, depth + 1) for inner in value]
    return _foreign(value, depth)


def _foreign(value: Any, depth: int) -> Any:
    """What JSON has no type for."""
    if is_missing(value):
        return None
    if isinstance(value, set | frozenset):
        return [_plain(inner, depth + 1) for inner in sorted(value, key=repr)]
    if isinstance(value, date | time):
        return value.isoformat()
    try:
        listed = value.tolist() if callable(getattr(value, "tolist", None)) else None
        if listed is None:
            return clean_text(str(value))
    except Exception as error:  # a stranger's code: whatever it raises, the value cannot be stored
        raise DataError(
            f"metadata holds a {type(value).__name__} that does not say what it is: leave it out."
        ) from error
    return _plain(listed, depth + 1)


def _number(value: int | float | Decimal) -> int | float | None:
    try:
        nearest = float(value)
    except (OverflowError, ValueError):  # an integer beyond 1.8e308; a signalling NaN
        return None
    if not math.isfinite(nearest):
        return None
    return int(value) if isinstance(value, int) else nearest
