"""Keys of a filter that no document has, and tests of another type than a key's values.

A filter on a misspelt key, or on numbers where the index holds texts, is valid, but no document passes it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import fields

from tardif.index.filter_nodes import ORDERS, Compare, Exists, Field, Filter, In, Or, Value
from tardif.index.protocol import Index

_ZERO, _EMPTY, _BOTH = Value("number", 0), Value("text", ""), (Value("true"), Value("false"))
# What values of a type are called: many of them, and one.
_CALLED = {"text": ("texts", "a text"), "number": ("numbers", "a number"), "true": ("true or false", "true or false")}


def unknown_keys(index: Index, where: Filter) -> list[str]:
    """Return a sentence for each key of a filter that no document has, with similar keys that exist, and for each test
    whose value is of a type that the key holds in no document.

    It is fast if all keys exist and hold such values; otherwise the metadata of every document are read.
    """
    tests = list(_tests(where))
    known = {field: index.has(Exists(field)) for field in dict.fromkeys(field for field, _, _ in tests)}
    said = [_sentence(index, field) for field, exists in known.items() if not exists]
    pairs = dict.fromkeys((field, value.kind) for field, _, value in tests if value is not None and known[field])
    held = {pair: index.has(_any_of(*pair)) for pair in pairs if pair[1] != "null"}
    missed = {(field, value.kind): (operator, value) for field, operator, value in reversed(tests) if value is not None}
    said += [_of_another_type(index, pair[0], *missed[pair]) for pair, holds in held.items() if not holds]
    return [line for line in said if line]


def _tests(where: Filter) -> Iterator[tuple[Field, str, Value | None]]:
    """The metadata keys of a filter, each with the operators and values that it is tested with; None for no value."""
    if isinstance(where, Compare | In):
        operator = where.operator if isinstance(where, Compare) else "in"
        values = (where.value,) if isinstance(where, Compare) else where.values
        if not (where.field.of_document or where.field.of_piece):
            yield from ((where.field, operator, value) for value in values or (None,))
        return
    for attribute in fields(where):  # type: ignore[arg-type]  # every filter is a dataclass
        value = getattr(where, attribute.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Filter):
                yield from _tests(part)
            elif isinstance(part, Field) and not (part.of_document or part.of_piece):
                yield part, "exists", None


def _any_of(field: Field, kind: str) -> Filter:
    """The filter on documents that hold a value of a type."""
    if kind == "text":
        return Compare(field, ">=", _EMPTY)
    if kind == "number":
        return Or((Compare(field, ">=", _ZERO), Compare(field, "<", _ZERO)))
    return In(field, _BOTH)


def _sentence(index: Index, field: Field) -> str:
    keys = index.keys()
    near = difflib.get_close_matches(field.names[0], keys, n=3)
    if field.names[0] in keys:
        return f"No document has the key {field}: {field.names[0]} is there, and holds no such name."
    if not near:
        named = ", ".join(keys[:10]) + (" and others" if len(keys) > 10 else "")
        return f"No document has the key {field}" + (f". Keys present: {named}." if keys else ": none has metadata.")
    return f"No document has the key {field}: did you mean {' or '.join(near)}?"


def _of_another_type(index: Index, field: Field, operator: str, value: Value) -> str:
    """Say what a key holds instead of values like one that it is tested with; nothing where it holds no values."""
    kinds = [kind for kind in _CALLED if index.has(_any_of(field, kind))]
    if not kinds:
        return ""
    asked = "true" if value.kind == "false" else value.kind
    found = " and ".join(_CALLED[kind][0] for kind in kinds)
    said = f"{field} holds {found} here, and {value} is {_CALLED[asked][1]}, which equals none of them"
    if operator in ORDERS:
        said = f"{field} holds {found} here, and {value} is {_CALLED[asked][1]}: the two have no order"
    if "text" in kinds:
        said += f". As a text it is '{value}' (cells of CSV are texts"
        if operator in ORDERS:
            said += ", which order by their characters: '998' comes after '2020'; for numbers, index JSON Lines"
        return f"{said})."
    if asked == "text" and operator not in ("like", "contains"):
        return f"{said}: leave out the quotes."
    return f"{said}."
