"""What may come in as an id, a text, a query or a number of hits: said once, for every entrance.

A value that one entrance takes and another chokes on, or that is stored and cannot be read back, is worse than one
that is refused. So :class:`~tardif.types.Document` and :class:`~tardif.types.Query` are held to these rules when they
are made, rows of tables when they are read, and ids and queries where they are asked for.

- A text is a ``str`` that UTF-8 can hold. Not bytes, not None, not an array.
- An id is a text that is not empty. A whole number, NumPy's too, is taken as its digits; a bool and a float are none.
- A value is missing that is None or says so in a library's own way (:func:`is_missing`): it is never stored as a text.
- A list of ids or queries is not one text: its characters would be taken for ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from numbers import Integral, Real
from os import PathLike
from typing import Any

from tardif.errors import DataError, SettingError

MAX_ID = 100_000
"""Characters of an id: far more than any path or URL has."""

MAX_TEXT = 240_000_000
"""Characters of a text. SQLite, which an index keeps texts in, holds 1,000,000,000 bytes: four for each character."""

_EXACT = 2**53  # a greater float may stand for several whole numbers

MOST_HITS = 2**31 - 1
"""The most hits that are asked for: a greater number is this one, since no index holds more documents."""


def storable(text: str) -> bool:
    """Whether UTF-8 can hold the text: it has no lone surrogate."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_MISSING = {("pandas", "NAType"), ("pandas", "NaTType"), ("numpy", "MaskedConstant")}
_TIMES = ("datetime64", "timedelta64")


def is_missing(value: object) -> bool:
    """Whether a value says that there is none: None, NaN, pandas' NA and NaT, NumPy's NaT and masked, Arrow's null."""
    if value is None:
        return True
    if isinstance(value, str):
        return False
    if isinstance(value, Real | Decimal):
        return value.is_nan() if isinstance(value, Decimal) else bool(value != value)  # noqa: PLR0124
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    if (library, kind.__name__) in _MISSING:
        return True
    if library == "numpy" and kind.__name__ in _TIMES:
        return bool(value != value)  # noqa: PLR0124
    return library == "pyarrow" and getattr(value, "is_valid", True) is False


def text_fault(value: object) -> str:
    """Why a value cannot be a document's text, to follow its name; empty if it can."""
    if not isinstance(value, str):
        return f"must be text, not {called(value)}"
    if len(value) > MAX_TEXT:
        return f"has {len(value):,} characters, and a text has at most {MAX_TEXT:,}: cut it"
    if not storable(value):
        return "holds half a character (a lone surrogate): write it as UTF-8"
    return ""


def id_fault(value: object) -> str:
    """Why a value cannot be an id, to follow its name; empty if it can."""
    if isinstance(value, bool) or not isinstance(value, str | Integral):
        return f"must be text or a whole number, not {called(value)}"
    if not isinstance(value, str):
        return "" if abs(int(value)) < 10**1000 else "is a number too long to be an id"
    if not value:
        return "is empty"
    if len(value) > MAX_ID:
        return f"has {len(value):,} characters, and an id has at most {MAX_ID:,}"
    return text_fault(value)


def whole(value: Any) -> Any:
    """A whole number that a frame with gaps holds as a float (17.0), as that number; any other value as it is."""
    if not isinstance(value, Real) or isinstance(value, Integral):
        return value
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < _EXACT else value


def plain_text(value: Any) -> str:
    """A value without a fault as a ``str`` itself: NumPy's texts, and the digits of a number."""
    return str.__str__(value) if isinstance(value, str) else str(int(value))


def check_ids(ids: Iterable[Any]) -> list[str]:
    """Return ids that somebody asks for, as texts.

    Raises:
        DataError: it is one text and no list, or one of them can be no id.
    """
    found = []
    for place, value in enumerate(check_list(ids, "ids", DataError), start=1):
        if fault := id_fault(value):
            raise DataError(f"ids: number {place} {fault}.")
        found.append(plain_text(value))
    return found


def check_query(query: Any) -> str:
    """Return the one query of a search, as a text, to which the same applies as in :func:`check_queries`.

    Raises:
        SettingError: it is empty, no text, or several texts.
    """
    if hasattr(query, "__iter__") and not isinstance(query, str | bytes | bytearray | Mapping):
        raise SettingError(f"query={shown(query)}: give one text, not {called(query)}; search_many takes several.")
    return check_queries([query])[0]


def check_queries(queries: Iterable[Any]) -> list[str]:
    """Return queries, as texts. A lone surrogate may stand in one: it is searched for and never stored.

    Raises:
        SettingError: it is one text and no list, or one of them is empty or no text.
    """
    found = []
    for query in check_list(queries, "queries", SettingError):
        if not isinstance(query, str):
            raise SettingError(f"The query is empty or no text, but {called(query)}: give some words.")
        if not query.strip():
            raise SettingError("The query is empty: give some words.")
        found.append(str.__str__(query))
    return found


def check_hits(k: Any) -> int:
    """Return how many hits are asked for; NumPy's whole numbers count as such.

    Raises:
        SettingError: it is no whole number from 1.
    """
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise SettingError(f"k={shown(k)}: give a whole number of hits, 1 or more.")
    return min(int(k), MOST_HITS)


def check_mapping(value: Any, name: str, example: str) -> Mapping[Any, Any]:
    """Return an option that is a dict.

    Raises:
        SettingError: it is none.
    """
    if not isinstance(value, Mapping):
        raise SettingError(f"{name}={shown(value)}: give a dict, such as {example}, not {called(value)}.")
    return value


def is_number(value: object) -> bool:
    """Whether a value counts as a number: NumPy's do, true and false do not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_list(values: Any, name: str, error: type[Exception]) -> list[Any]:
    """Return several values as a list.

    Raises:
        error: it is one text, path or mapping where several are meant, or nothing to go through.
    """
    if isinstance(values, str | bytes | bytearray | PathLike | Mapping) or not hasattr(values, "__iter__"):
        raise error(f"{name}={shown(values)}: give a list, such as [...], not {called(values)}.")
    try:
        return list(values)
    except TypeError:  # an array without a dimension says that it can be gone through
        raise error(f"{name}={shown(values)}: give a list, such as [...], not {called(values)}.") from None


def called(value: object) -> str:
    """What a value is, in a few words."""
    if value is None:
        return "None"
    if isinstance(value, str):
        return "one text"
    names = {"bool": "true or false", "int": "a number", "float": "a number", "list": "a list", "dict": "a dict"}
    names |= {"tuple": "a tuple", "ndarray": "an array", "generator": "a generator"}
    kind = type(value).__name__
    return names.get(kind, kind)


def shown(value: object) -> str:
    """A value for a message, cut short."""
    try:
        return f"{value!r:.100}"
    except Exception:  # whatever a stranger's repr raises; thousands of digits
        return type(value).__name__
