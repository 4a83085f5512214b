"""Tardif's filters as Qdrant's, in the JSON of its API. What Qdrant cannot test exactly is refused with the way out.

The conditions test :mod:`tardif.index.qdrant.filter_facts`, so a filter means the same in every engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias

from tardif.data.json_metadata import clean_text
from tardif.errors import SettingError
from tardif.index import patterns
from tardif.index.filter_nodes import ORDERS, And, Compare, Exists, Field, Filter, In, Not, Or, Value
from tardif.index.qdrant import filter_facts as known

Condition: TypeAlias = dict[str, Any]

# A double holds whole numbers up to here, and Qdrant compares numbers as doubles.
_EXACT = 2**53
_RANGE = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
# Characters that SQLite reads as U+FFFD where it matches patterns.
_UNSURE = "\ufffd\ufffe\uffff"
_FACTS = "tardif.facts"
# No point has this fact.
_NOTHING: Condition = {"key": _FACTS, "match": {"value": "no point has this fact"}}


def one_of(key: str, values: Iterable[str]) -> Condition:
    """Return the condition that a field has one of some values."""
    return {"key": key, "match": {"any": list(values)}}


def all_of(*conditions: Condition) -> Condition:
    """Return the condition that all of some are met."""
    return {"must": list(conditions)}


def any_of(*conditions: Condition) -> Condition:
    """Return the condition that any of some is met."""
    return {"should": list(conditions)}


def none_of(*conditions: Condition) -> Condition:
    """Return the condition that none of some is met."""
    return {"must_not": list(conditions)}


def translated(where: Filter) -> Condition:
    """Return a filter as a condition of Qdrant.

    Raises:
        SettingError: Qdrant cannot test it exactly.

    >>> from tardif.index.filters import parse_filter
    >>> translated(parse_filter("lang = 'en'"))
    {'must': [{'key': 'tardif.facts', 'match': {'any': ['["lang"]="en"']}}]}
    """
    match where:
        case And():
            return all_of(*map(translated, where.parts)) if where.parts else none_of(_NOTHING)
        case Or():
            return any_of(*map(translated, where.parts)) if where.parts else all_of(_NOTHING)
        case Not():
            return none_of(translated(where.part))
        case Exists():
            return all_of(_fact(known.fact(_path(where.field))))
        case In():
            return _among(where.field, where.values, negated=where.negated)
        case Compare():
            return _compared(where)
    raise SettingError(f"{where}: Qdrant has no such test.")


def _path(field: Field) -> str:
    return known.path_of(field, [clean_text(name) for name in field.names])


def _fact(text: str) -> Condition:
    return {"key": _FACTS, "match": {"value": text}}


def _bound(field: Field, text: str) -> str:
    """A text as it is stored: metadata have no NULs, a field of the document may have some."""
    return clean_text(text) if not field.of_document else "\0".join(map(clean_text, text.split("\0")))


def _literal(field: Field, value: Value) -> str:
    """A value as facts have it."""
    if value.kind in ("true", "false", "null"):
        return value.kind
    return known.value_text(_bound(field, value.raw) if isinstance(value.raw, str) else value.raw)


def _among(field: Field, values: Sequence[Value], *, negated: bool) -> Condition:
    """An element equals one of the values, or with ``negated`` none of them."""
    path, texts = _path(field), [_literal(field, value) for value in values]
    equal = one_of(_FACTS, (known.fact(path, text) for text in texts)) if texts else _NOTHING
    if not negated:
        return all_of(equal)
    if not texts:
        return all_of(_fact(known.some(path)))
    several = _fact(known.many(path))
    other = {
        "key": f"tardif.values.{known.key_of(path)}",
        "match": {"except": [known.fact("", text) for text in texts]},
    }
    # One value: it must be another one. Several: one of them must be.
    one = {"must": [_fact(known.some(path))], "must_not": [several, equal]}
    return any_of(one, all_of(several, other))


def _compared(test: Compare) -> Condition:
    field, operator, value = test.field, test.operator, test.value
    if operator in ("=", "!="):
        return _among(field, (value,), negated=operator == "!=")
    key = known.key_of(_path(field))
    if operator in ORDERS:
        if isinstance(value.raw, str):
            return _text_range(test, key, _bound(field, value.raw))
        number = known.as_compared(value.raw or 0)
        if abs(number) >= _EXACT:
            raise SettingError(
                f"{test}: Qdrant compares numbers as doubles, which are not exact from 2^53 on: search with a number "
                "below 9007199254740992, or keep such numbers as texts of one length."
            )
        return all_of({"key": f"tardif.numbers.{key}", "range": {_RANGE[operator]: float(number)}})
    if operator == "contains":
        return _containing(key, _bound(field, str(value.raw)))
    return _like(test, key)


def _text_range(test: Compare, key: str, text: str) -> Condition:
    """A text in order: its numbers are compared one after another."""
    if len(text.encode()) > known.COMPARED_BYTES:
        raise SettingError(
            f"{test}: with Qdrant, {test.operator} compares texts of at most {known.COMPARED_BYTES} bytes: give a "
            "shorter one, such as a date without its fraction of a second."
        )
    numbers = known.ordered(text)
    strictly = test.operator[0]
    same: list[Condition] = []
    alternatives: list[Condition] = []
    for place, number in zip(known.PLACES, numbers, strict=True):
        alternatives.append(all_of(*same, {"key": place, "range": {_RANGE[strictly]: float(number)}}))
        same = [*same, {"key": place, "range": {"gte": float(number), "lte": float(number)}}]
    if test.operator.endswith("="):
        alternatives.append(all_of(*same))
    return all_of({"nested": {"key": f"tardif.texts.{key}", "filter": any_of(*alternatives)}})


def _has_text(key: str) -> Condition:
    return none_of({"is_empty": {"key": f"tardif.strings.{key}"}})


def _containing(key: str, text: str) -> Condition:
    return all_of({"key": f"tardif.strings.{key}", "match": {"substring": text}}) if text else _has_text(key)


def _like(test: Compare, key: str) -> Condition:
    """A pattern: a whole text, its beginning, or a part of it."""
    parts = patterns.split(clean_text(str(test.value.raw)))
    text = "".join(part for part, is_wild in parts if not is_wild)
    strings = f"tardif.strings.{key}"
    # GLOB stops at a NUL, which only a field of the document can hold.
    whole = (
        partial(all_of, none_of({"key": strings, "match": {"substring": "\0"}})) if test.field.of_document else all_of
    )
    if not any(unsure in text for unsure in _UNSURE):
        match [part if is_wild else "text" for part, is_wild in parts]:
            case [] | ["text"]:
                return whole(_fact(known.fact(_path(test.field), known.value_text(text))))
            case ["%"]:
                return whole(_has_text(key))
            case ["text", "%"]:
                return whole({"key": strings, "match": {"prefix": text}})
            case ["%", "text", "%"]:
                return whole(_containing(key, text))
    raise SettingError(
        f"{test}: with Qdrant, `like` takes 'text%' for a beginning and '%text%' for a part. Use one of them, or keep "
        "what you search for in a key of its own."
    )
