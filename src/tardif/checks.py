"""Checks of ids, texts, queries and k, shared by every entry point.

A value that one entry point accepts and another cannot handle is worse than one that is refused. So
:class:`~tardif.types.Document` and :class:`~tardif.types.Query` are checked when they are made, rows of tables when
they are read, and ids and queries when they are asked for.

- A text is a ``str`` that UTF-8 can hold: not bytes, None or an array.
- An id is a text that is not empty. A whole number, NumPy's or a Decimal too, becomes its digits. A bool or a float is
  refused.
- A missing value is None or a library's own null (:func:`is_missing`). It is never stored as a text.
- A list of ids or queries is never a single text, because its characters would be taken for ids.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from numbers import Integral, Real
from os import PathLike
from typing import Any, TypeGuard

from tardif.errors import DataError, SettingError

# Characters of an id: far more than any path or URL has.
MAX_ID = 100_000
# Characters of a text. An index keeps texts in SQLite, which holds 1,000,000,000 bytes; UTF-8 needs up to 4 each.
MAX_TEXT = 240_000_000
# No index holds more documents, so a greater k means this one.
MOST_HITS = 2**31 - 1
# Of a number that is an id.
_DIGITS = 1000
# Above this, one float may mean several whole numbers.
_EXACT = 2**53
# Nulls of libraries, by module and class: recognised without importing the library.
_MISSING = {("pandas", "NAType"), ("pandas", "NaTType"), ("numpy", "MaskedConstant")}
_TIMES = ("datetime64", "timedelta64")


def storable(text: str) -> bool:
    """Return whether UTF-8 can hold the text, that is, whether it has no lone surrogate."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_missing(value: object) -> bool:
    """Return whether a value is a null: None, NaN, pandas' NA and NaT, NumPy's NaT and masked, Arrow's null.

    >>> is_missing(float("nan")), is_missing(""), is_missing(0)
    (True, False, False)
    """
    if value is None:
        return True
    if isinstance(value, str):
        return False
    if isinstance(value, Real | Decimal):  # NaN is the value that differs from itself; Decimal's raises instead
        return value.is_nan() if isinstance(value, Decimal) else bool(value != value)  # noqa: PLR0124
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    if (library, kind.__name__) in _MISSING:
        return True
    if library == "numpy" and kind.__name__ in _TIMES:
        return bool(value != value)  # noqa: PLR0124
    return library == "pyarrow" and getattr(value, "is_valid", True) is False


def text_fault(value: object) -> str:
    """Return why a value cannot be a text, to follow the field's name in an error; empty if it can."""
    if not isinstance(value, str):
        return f"must be text, not {called(value)}"
    if len(value) > MAX_TEXT:
        return f"has {len(value):,} characters, and a text has at most {MAX_TEXT:,}: cut it"
    if not storable(value):
        return "holds half a character (a lone surrogate): write it as UTF-8"
    return ""


def id_fault(value: object) -> str:
    """Return why a value cannot be an id, to follow the field's name in an error; empty if it can.

    >>> id_fault(""), id_fault(3.5), id_fault(7)
    ('is empty', 'must be text or a whole number, not a number', '')
    """
    value = exact(value)
    if isinstance(value, bool) or not isinstance(value, str | Integral):
        return f"must be text or a whole number, not {called(value)}"
    if not isinstance(value, str):
        return "" if abs(int(value)) < 10**_DIGITS else "is a number too long to be an id"
    if not value:
        return "is empty"
    if len(value) > MAX_ID:
        return f"has {len(value):,} characters, and an id has at most {MAX_ID:,}"
    return text_fault(value)


def exact(value: Any) -> Any:
    """Turn a Decimal, as databases write numbers, into an int or, where it has a fraction, a float; return any other
    value unchanged.

    >>> from decimal import Decimal
    >>> exact(Decimal("17.00")), exact(Decimal("0.5"))
    (17, 0.5)
    """
    if not isinstance(value, Decimal):
        return value
    # 1e999999999 is whole too, and has more digits than memory.
    is_whole = value.is_finite() and value.adjusted() < _DIGITS and value == value.to_integral_value()
    return int(value) if is_whole else math.nan if value.is_nan() else float(value)


def whole(value: Any) -> Any:
    """Turn 17.0 into 17, and return any other value unchanged. A data frame with gaps holds whole numbers as floats."""
    if not isinstance(value, Real) or isinstance(value, Integral):
        return value
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < _EXACT else value


def plain_text(value: Any) -> str:
    """Return a checked text or whole number as a plain ``str``."""
    return str.__str__(value) if isinstance(value, str) else str(int(value))


def check_ids(ids: Iterable[Any]) -> list[str]:
    """Return the ids that a caller asks for, as texts.

    Raises:
        DataError: ``ids`` is a single text, or one of them cannot be an id.
    """
    found = []
    for place, value in enumerate(check_list(ids, "ids", DataError), start=1):
        if fault := id_fault(value):
            raise DataError(f"ids: number {place} {fault}.")
        found.append(plain_text(value))
    return found


def check_query(query: Any) -> str:
    """Return the single query of a search as a text, checked as in :func:`check_queries`.

    Raises:
        SettingError: it is empty, not a text, or several texts.
    """
    if hasattr(query, "__iter__") and not isinstance(query, str | bytes | bytearray | Mapping):
        raise SettingError(f"query={shown(query)}: give one text, not {called(query)}; search_many takes several.")
    return check_queries([query])[0]


def check_queries(queries: Iterable[Any]) -> list[str]:
    """Return queries as texts. A lone surrogate is allowed, because queries are never stored.

    Raises:
        SettingError: ``queries`` is a single text, or one of them is empty or not a text.
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
    """Return k, the number of hits to return, as an int. NumPy's whole numbers are accepted.

    Raises:
        SettingError: it is not a whole number from 1.
    """
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise SettingError(f"k={shown(k)}: give a whole number of hits, 1 or more.")
    return min(int(k), MOST_HITS)


def check_mapping(value: Any, name: str, example: str) -> Mapping[Any, Any]:
    """Return an option that must be a dict.

    Raises:
        SettingError: it is not a dict. ``example`` shows one in the message.
    """
    if not isinstance(value, Mapping):
        raise SettingError(f"{name}={shown(value)}: give a dict, such as {example}, not {called(value)}.")
    return value


def is_int(value: object) -> TypeGuard[int]:
    """Return whether a value is an int; true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Return whether a value is a number. NumPy's numbers are; true and false are not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_list(values: Any, name: str, error: type[Exception]) -> list[Any]:
    """Return several values as a list.

    Raises:
        error: as for :func:`check_stream`.
    """
    return list(check_stream(values, name, error))


def check_stream(values: Any, name: str, error: type[Exception]) -> Iterator[Any]:
    """Return several values one by one.

    Raises:
        error: ``values`` is a single text, path or mapping, or cannot be iterated.
    """
    if isinstance(values, str | bytes | bytearray | PathLike | Mapping) or not hasattr(values, "__iter__"):
        raise error(f"{name}={shown(values)}: give a list, such as [...], not {called(values)}.")
    try:
        return iter(values)
    except TypeError:  # a NumPy array without dimensions has __iter__ too
        raise error(f"{name}={shown(values)}: give a list, such as [...], not {called(values)}.") from None


def check_number(name: str, value: Any, least: float = 0, most: float = math.inf, *, whole: bool = False) -> None:
    """Raise unless an option is a finite number in its range. NaN is refused: no comparison with it holds.

    Raises:
        SettingError: it is not. The message names the option.

    >>> check_number("workers", 0, 1, whole=True)
    Traceback (most recent call last):
    tardif.errors.SettingError: workers=0: give 1 or more.
    """
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not abs(value) < math.inf:
        raise SettingError(f"{name}={shown(value)} is not a {'whole ' if whole else ''}number: give one.")
    if not least <= value <= most:
        bounds = f"{least} or more" if most == math.inf else f"{least} to {most:g}"
        raise SettingError(f"{name}={shown(value)}: give {bounds}.")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise unless an option is one of several words.

    Raises:
        SettingError: it is not. The message names the option and the words.

    >>> check_choice("size", "tiny", ("small", "base", "large"))
    Traceback (most recent call last):
    tardif.errors.SettingError: size='tiny' is not known: use small, base or large.
    """
    if value not in choices:
        known = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise SettingError(f"{name}={shown(value)} is not known: use {known}.")


def called(value: object) -> str:
    """Return the kind of a value in a few words, for an error."""
    if value is None:
        return "None"
    if isinstance(value, str):
        return "one text"
    names = {"bool": "true or false", "int": "a number", "float": "a number", "list": "a list", "dict": "a dict"}
    names |= {"tuple": "a tuple", "ndarray": "an array", "generator": "a generator"}
    kind = type(value).__name__
    return names.get(kind, kind)


def shown(value: object) -> str:
    """Return the ``repr`` of a value for an error, cut at 100 characters."""
    try:
        return f"{value!r:.100}"
    except Exception:  # a foreign repr may raise anything; so does int's for thousands of digits
        return type(value).__name__
