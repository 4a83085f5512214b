"""Filters: conditions on documents' metadata, as an expression or a dict.

``lang = 'en' and year >= 2020`` and ``{"lang": "en", "year": {">=": 2020}}`` are the same filter. Both become a
:class:`~tardif.index.filter_nodes.Filter`, which is a condition in SQL: every index, also one in memory, runs it in
SQLite.

- Types are strict and come from JSON: a text never equals or orders against a number, and true is not 1.
- A test of a missing key is false, also ``!=`` and ``not in``. ``not (...)`` is plain negation.
- A list passes a test if one of its elements does. A list or object itself equals nothing, so ``!=`` is true for it.
- Texts order by code point, so ISO 8601 dates order by time. Case matters everywhere, also in ``like``, because SQLite
  folds the case of ASCII letters only.
- Integers beyond 64 bits compare as the nearest double, as in SQLite.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence, Set
from typing import Any

from tardif.errors import SettingError
from tardif.index import filter_rules as rules
from tardif.index.filter_nodes import OPERATORS, OWN_FIELDS, OWN_NAMES, And, Exists, Field, Filter, In, Not, Or, Value
from tardif.index.filter_rules import UnfitError
from tardif.index.filter_text import parse_text

__all__ = ["Filter", "parse_filter"]

_ALL_OPERATORS = (*OPERATORS, "in", "not in", "exists")


def parse_filter(given: str | Mapping[Any, Any] | Filter) -> Filter:
    """Return the filter that an expression or a dict describes; a filter is returned as it is.

    A dict's entries must all be true. A key is a name; its value is the value to equal, a list of values to equal one
    of, or a dict of operators: ``{">=": 2020, "<": 2024}``, also ``in``, ``not in``, ``like``, ``contains``, and
    ``exists`` with True or False. ``"and"``, ``"or"`` and ``"not"`` take lists of such dicts: all, any, none of them.
    A dot in a name leads into an object, ``"author.name"``; a tuple names any key literally, ``("a.b",)``. Every
    document passes the empty dict.

    >>> str(parse_filter({"lang": "en", "year": {">=": 2020}}))
    "lang = 'en' and year >= 2020"

    Raises:
        SettingError: the filter cannot be parsed, or is too large; the message says what was found where, and what was
            expected.
    """
    if isinstance(given, Filter):
        return given
    if isinstance(given, str):
        found = parse_text(given)
    elif isinstance(given, Mapping):
        found = _all_of(given, "", 1)
    else:
        raise SettingError(f"A filter is an expression such as \"lang = 'en'\" or a dict, not {_shown(given)}.")
    if excess := rules.beyond(found):
        raise SettingError(excess)
    return found


def _all_of(given: Mapping[Any, Any], where: str, depth: int) -> Filter:
    """The filter of a dict. ``where`` is the path to it from the outermost dict, for messages."""
    if depth > rules.MAX_OPEN:
        raise SettingError(f"The filter has more than {rules.MAX_OPEN} dicts within each other.")
    parts: list[Filter] = []
    for key, value in given.items():
        here = f"{where}[{_shown(key)}]"
        if key in ("and", "or", "not"):
            parts.append(_joined(key, value, here, depth))
            continue
        try:
            parts += _tests(_field(key), value)
        except UnfitError as reason:
            raise SettingError(f"The filter, at {here}: {reason}.") from None
    return rules.joined(And, parts)


def _joined(word: str, given: Any, where: str, depth: int) -> Filter:
    if isinstance(given, Mapping):
        given = [given]
    if not isinstance(given, list | tuple) or not given or not all(isinstance(part, Mapping) for part in given):
        raise SettingError(f"The filter, at {where}: `{word}` takes a list of one or more dicts, not {_shown(given)}.")
    parts = [_all_of(part, f"{where}[{at}]", depth + 1) for at, part in enumerate(given)]
    found = rules.joined(And if word == "and" else Or, parts)
    return rules.negation(found) if word == "not" else found


def _field(key: Any) -> Field:
    if isinstance(key, tuple) and key and all(isinstance(name, str) for name in key):
        return Field(rules.name_path(map(_short_enough, key)))
    if not isinstance(key, str):
        raise UnfitError(f"{_shown(key)} is not a name; a name is a str, or a tuple of str that is taken literally")
    if key.startswith("@"):
        if key[1:] not in OWN_FIELDS:
            raise UnfitError(
                f"the fields of the document itself are {OWN_NAMES}; a key of that name is ({_shown(key)},)"
            )
        return Field.own(key[1:])
    names = key.split(".")
    if "" in names:
        raise UnfitError(f"a name is missing at a dot; a key of just that name is ({_shown(key)},)")
    return Field(rules.name_path(map(_short_enough, names)))


def _tests(field: Field, given: Any) -> list[Filter]:
    """The tests of one field, from a value, a list of values, or a dict of operators."""
    if not isinstance(given, Mapping):
        # A bare list means one of its values.
        return [In(field, _values(given)) if _is_list(given) else rules.comparison(field, "=", _value(given))]
    if not given:
        raise UnfitError("the dict holds no operator; the operators are " + ", ".join(_ALL_OPERATORS))
    return [_test(field, operator, value) for operator, value in given.items()]


def _test(field: Field, operator: Any, given: Any) -> Filter:
    operator = rules.ALIASES.get(operator, operator) if isinstance(operator, str) else operator
    if operator == "exists":
        if not isinstance(given, bool):
            raise UnfitError(f"`exists` takes True or False, not {_shown(given)}")
        return Exists(field) if given else Not(Exists(field))
    if operator in ("in", "not in"):
        if not _is_list(given):
            raise UnfitError(f"`{operator}` takes a list of values, not {_shown(given)}")
        return In(field, _values(given), negated=operator == "not in")
    if operator not in OPERATORS:
        raise UnfitError(
            f"{_shown(operator)} is not an operator; the operators are {', '.join(_ALL_OPERATORS)} "
            "(a key within is 'outer.inner')"
        )
    return rules.comparison(field, operator, _value(given))


def _is_list(given: Any) -> bool:
    return isinstance(given, Set) or (isinstance(given, Sequence) and not isinstance(given, str | bytes | bytearray))


def _values(given: Any) -> tuple[Value, ...]:
    if len(given) > rules.MAX_VALUES:
        raise UnfitError(f"the list has {len(given):,} values; at most {rules.MAX_VALUES:,} can be asked")
    # A set has no order of its own: sorted, so that equal filters have equal SQL.
    return tuple(map(_value, sorted(given, key=repr) if isinstance(given, Set) else given))


def _value(given: Any) -> Value:
    if given is None:
        return Value("null")
    if isinstance(given, bool):  # before the numbers: Python's True is an int
        return Value("true" if given else "false")
    if isinstance(given, str):
        return Value("text", _short_enough(str.__str__(given)))
    if isinstance(given, numbers.Real):
        return rules.number(given)
    raise UnfitError(f"{_shown(given)} is not a value: give a str, int, float, bool or None (a date as its ISO text)")


def _short_enough(text: str) -> str:
    if len(text) > rules.MAX_LENGTH:
        raise UnfitError(f"a text or name has {len(text):,} characters; at most {rules.MAX_LENGTH:,} can be asked")
    return text


def _shown(given: Any) -> str:
    """A value for a message, on one short line. A container is named by its type: its repr may be long, or endless."""
    if given is None or isinstance(given, str | int | float):
        try:
            words = ascii(given[:60] if isinstance(given, str) else given)
        except ValueError:  # an integer of thousands of digits
            return "int"
        return words if len(words) <= 40 else words[:37] + "..."
    return f"{'an empty ' if isinstance(given, Sequence) and not given else ''}{type(given).__name__}"
