"""Rules for both forms of a filter, text and dict: limits, and which values an operator takes."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Iterator, Sequence

from tardif.index import patterns
from tardif.index.filter_nodes import ORDERS, And, Compare, Field, Filter, In, Not, Or, Value

# Characters of a filter.
MAX_LENGTH = 500_000
# Parentheses, `not` and dicts that are open at once: the parser is recursive.
MAX_OPEN = 50
# Levels of `and`, `or` and `not` within each other. SQLite before 3.46 parses with a stack of 100 entries, which 19
# levels fill; the rest is left to the query around the filter.
MAX_DEPTH = 12
# Tests in a filter. SQLite nests a chain of them, and its expressions have at most 1,000 levels.
MAX_TESTS = 500
# Values in a filter. Each is bound twice, and SQLite binds at most 32,766.
MAX_VALUES = 10_000
# Names of a path. Each adds a table to a join.
MAX_NAMES = 10

# Other spellings of operators.
ALIASES = {"==": "=", "<>": "!="}


class UnfitError(Exception):
    """A part of a filter cannot be used: the message says why, and the parser adds where."""


def comparison(field: Field, operator: str, value: Value) -> Compare:
    """Return the test ``field operator value``, if the operator takes such a value.

    Raises:
        UnfitError: it does not.
    """
    if operator in ORDERS and value.kind not in ("text", "number"):
        raise UnfitError(f"{value} has no order: `{operator}` takes a text or a number")
    if operator in ("like", "contains"):
        if not isinstance(value.raw, str):
            raise UnfitError(f"`{operator}` takes a text in quotes, not {value}")
        if reason := patterns.objection(value.raw, escapes=operator == "like"):
            raise UnfitError(reason)
    return Compare(field, operator, value)


def number(given: str | numbers.Real) -> Value:
    """Return a number as a value: an integer if it is written as one.

    Raises:
        UnfitError: it is not finite.
    """
    try:
        if math.isfinite(nearest := float(given)):
            whole = isinstance(given, numbers.Integral) or (isinstance(given, str) and given.lstrip("-").isdigit())
            return Value("number", int(given) if whole else nearest)  # type: ignore[arg-type]
    except (OverflowError, ValueError):  # beyond a double; thousands of leading zeros
        pass
    raise UnfitError("a number must be finite, between -1.8e308 and 1.8e308")


def name_path(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that lead to a key, if they are not too many.

    Raises:
        UnfitError: there are none, or too many.
    """
    path = tuple(names)
    if not 1 <= len(path) <= MAX_NAMES:
        raise UnfitError(f"a path has from 1 to {MAX_NAMES} names, not {len(path)}")
    return path


def joined(kind: type[And | Or], parts: Sequence[Filter]) -> Filter:
    """Join parts with ``and`` or ``or``; nested ones of the same kind become one node."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, kind) else (part,))]
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


def negation(part: Filter) -> Filter:
    """Negate a part; a double negation is removed."""
    return part.part if isinstance(part, Not) else Not(part)


def beyond(whole: Filter) -> str:
    """Return the message of the limit that a filter as a whole exceeds; "" if it exceeds none."""
    depth = _depth(whole)
    if depth > MAX_DEPTH:
        return f"The filter has {depth} levels of and, or and not; at most {MAX_DEPTH} can be asked."
    tests = list(_tests(whole))
    if len(tests) > MAX_TESTS:
        return f"The filter has {len(tests):,} tests; at most {MAX_TESTS:,} can be asked (`in` takes many values)."
    values = sum(len(test.values) for test in tests if isinstance(test, In))
    if values > MAX_VALUES:
        return f"The filter has {values:,} values in its lists; at most {MAX_VALUES:,} can be asked."
    return ""


def _inner(part: Filter) -> tuple[Filter, ...]:
    return part.parts if isinstance(part, And | Or) else (part.part,) if isinstance(part, Not) else ()


def _depth(part: Filter) -> int:
    inner = _inner(part)
    return 1 + max(map(_depth, inner)) if inner else 0


def _tests(part: Filter) -> Iterator[Filter]:
    inner = _inner(part)
    if not inner:
        yield part
    for each in inner:
        yield from _tests(each)
