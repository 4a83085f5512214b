"""Metadata as an index or a training set stores it: what JSON holds and every SQLite reads.

A filter then means the same in memory and on disk, and a set reads back as it was written.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any

from tardif.checks import is_missing, storable
from tardif.errors import DataError

# Levels of objects and lists in one document's metadata. SQLite's JSON stops at 1,000, Python's at its recursion limit.
MAX_NESTING = 100

_OF_A_TABLE = (
    'name the columns to keep, each with --columns metadata=COLUMN (in Python columns={"metadata": ["COLUMN"]}), or '
    'keep none with --columns metadata= (columns={"metadata": None})'
)
_UNHOLDABLE = re.compile("[\0\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Replace each NUL and lone surrogate by U+FFFD: SQLite's JSON cuts a text at the one and refuses the other.

    >>> clean_text("a\\0b")
    'a\ufffdb'
    """
    return text if text.isascii() and "\0" not in text else _UNHOLDABLE.sub("\ufffd", text)


def _exact_text(text: str) -> str:
    if not storable(text):
        raise DataError("holds half a character (a lone surrogate): write it as UTF-8")
    return clean_text(text)


def as_stored(metadata: Mapping[Any, Any], *, exact: bool = False) -> dict[str, Any]:
    """Return metadata as it is read back: only str, int, float, bool, None, list and dict.

    - Texts and keys have U+FFFD for NULs and lone surrogates (:func:`clean_text`).
    - Missing values (:func:`tardif.checks.is_missing`), infinities and integers beyond a double's range (1.8e308) are
      None: JSON has no word for them.
    - Tuples and sets are lists (a set sorted), dates and times their ISO texts, a Decimal a float; a value with
      ``tolist`` (NumPy's arrays and numbers) is its list or number. Anything else is its ``str``.

    Args:
        metadata: the metadata of one document.
        exact: refuse lone surrogates and bytes: in a table they are damage.

    Raises:
        DataError: a value is nested deeper than :data:`MAX_NESTING` levels, or cannot be converted. It names the field.

    >>> as_stored({"tags": ("a", "b"), 3: float("nan")})
    {'tags': ['a', 'b'], '3': None}
    """
    text = _exact_text if exact else clean_text
    stored = {}
    for key, value in metadata.items():
        try:
            stored[_key(key, text)] = _plain(value, 1, text)
        except DataError as error:
            way_out = _OF_A_TABLE if exact else "take it out of the document's metadata"
            raise DataError(f"the metadata {key!r:.100} {error.what}, or {way_out}.") from error.__cause__
    return stored


def metadata_json(metadata: Mapping[str, Any]) -> str:
    """Metadata as the text of a set's ``metadata`` column. The same metadata gives the same text."""
    # Sorted keys: two rows with equal metadata give equal bytes.
    return json.dumps(as_stored(metadata), ensure_ascii=False, sort_keys=True)


_Text = Callable[[str], str]


def _key(key: object, text: _Text) -> str:
    if not isinstance(key, str):
        key = json.dumps(key) if key is None or isinstance(key, bool | int | float) else str(key)
    return text(key)


def _plain(value: Any, depth: int, text: _Text) -> Any:
    if depth > MAX_NESTING:
        raise DataError(f"is nested deeper than {MAX_NESTING} levels: flatten it")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        # A subclass of str, such as NumPy's or an enum's, becomes a plain one.
        return text(str.__str__(value))
    if isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, Mapping):
        return {_key(key, text): _plain(inner, depth + 1, text) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, depth + 1, text) for inner in value]
    if isinstance(value, bytes) and text is _exact_text:
        raise DataError("holds bytes, which metadata cannot: write them as text")
    return _foreign(value, depth, text)


def _foreign(value: Any, depth: int, text: _Text) -> Any:
    """What JSON has no type for."""
    if is_missing(value):
        return None
    if isinstance(value, set | frozenset):
        # A set has no order of its own: by repr its members of any types have one.
        return [_plain(inner, depth + 1, text) for inner in sorted(value, key=repr)]
    if isinstance(value, date | time):
        return value.isoformat()
    try:
        listed = value.tolist() if callable(getattr(value, "tolist", None)) else None
        if listed is None:
            return text(str(value))
    except Exception as error:  # another library's code may raise anything
        raise DataError(f"holds a {type(value).__name__} that cannot be converted: convert it") from error
    return _plain(listed, depth + 1, text)


def _number(value: int | float | Decimal) -> int | float | None:
    try:
        nearest = float(value)
    except (OverflowError, ValueError):  # an integer beyond 1.8e308; a signalling NaN
        return None
    if not math.isfinite(nearest):
        return None
    return int(value) if isinstance(value, int) else nearest
