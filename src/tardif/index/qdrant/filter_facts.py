"""What Tardif's filters test, in a form in which Qdrant's own conditions mean the same.

Qdrant tells 1 from 1.0, cannot tell a missing key from an empty list, compares texts for equality only, and has no
"another value" for a field of any type. So each point holds, beside its metadata:

facts             a keyword for each key that is there, and one for each value: ``["year"]=2024``
values.<path>     the values as JSON, of lists with two or more different ones, for ``!=`` and ``not in``
numbers.<path>    the numbers, for ranges
strings.<path>    the texts, for ``like`` and ``contains``
texts.<path>      the beginnings of the texts as numbers that order as the texts do, for ranges

Metadata are small beside token vectors: 100 vectors of 128 components are 50 kB.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import xxhash

from tardif.index.filter_nodes import Field
from tardif.index.filter_rules import MAX_NAMES
from tardif.types import Document

# Characters of a fact; a longer one is a hash of itself.
_LONGEST = 200
# A text's first bytes are numbers of six bytes each: 257**6 is below 2**53, so a double holds it.
_BYTES, _NUMBERS = 6, 4
# Bytes of a text that ranges compare: an ISO date with a time and milliseconds has 24.
COMPARED_BYTES = _BYTES * _NUMBERS
# The names of a text's numbers, the last one for what follows the compared bytes.
PLACES = "abcde"


def path_of(field: Field, names: Sequence[str]) -> str:
    """Return the name of a field in facts.

    Args:
        field: of a filter.
        names: its names as they are stored.

    >>> path_of(Field(("author", "name")), ("author", "name")), path_of(Field.own("piece.page"), ("page",))
    ('["author", "name"]', '@piece.page')
    """
    return str(field) if field.of_document or field.of_piece else json.dumps(list(names), ensure_ascii=False)


def key_of(path: str) -> str:
    """Return the key under which a path's values are: a hash, because Qdrant's paths cannot name every key."""
    return f"p{xxhash.xxh3_64_hexdigest(path.encode())}"


def fact(path: str, value: str | None = None) -> str:
    """Return the keyword for a path that is there, or for one of its values.

    Args:
        path: from :func:`path_of`.
        value: the value as :func:`value_text` writes it; ``None`` for the path alone.
    """
    whole = path if value is None else f"{path}={value}"
    return whole if len(whole) <= _LONGEST else f"#{xxhash.xxh3_128_hexdigest(whole.encode())}"


def some(path: str) -> str:
    """Return the keyword for a path with at least one value; an empty list has none."""
    return fact(f"{path}+")


def many(path: str) -> str:
    """Return the keyword for a path with two or more different values."""
    return fact(f"{path}++")


def value_text(value: Any) -> str:
    """Return a value as JSON: equal values have equal texts. Lists and objects equal nothing that a filter can name.

    >>> [value_text(value) for value in (1, 1.0, True, "1", None, 0.5, [1])]
    ['1', '1', 'true', '"1"', 'null', '0.5', '[]']
    """
    if isinstance(value, list | dict):
        return "[]" if isinstance(value, list) else "{}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = as_compared(value)
        return repr(int(value)) if float(value).is_integer() else repr(value)
    return json.dumps(value, ensure_ascii=False)


def nearest(value: int) -> float:
    """Return the double that is nearest to an integer; beyond all of them, the largest, for JSON has no infinity.

    >>> nearest(2**70), nearest(-(10**400))
    (1.1805916207174113e+21, -1.7976931348623157e+308)
    """
    try:
        return float(value)
    except OverflowError:
        return sys.float_info.max if value > 0 else -sys.float_info.max


def as_compared(value: int | float) -> int | float:
    """Return a number as filters compare it: an integer beyond 64 bits is the nearest double."""
    return nearest(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def ordered(text: str) -> list[int]:
    """Return numbers that order as texts do, by code point, over their first :data:`COMPARED_BYTES` bytes.

    >>> ordered("2024-05-01") < ordered("2024-05-02") < ordered("2024-05-02T08:00") < ordered("3")
    True
    """
    raw = text.encode()  # UTF-8 orders as code points do
    found = []
    for begin in range(0, COMPARED_BYTES, _BYTES):
        number = 0
        for place in range(begin, begin + _BYTES):
            # Nothing is less than the byte 0.
            number = number * 257 + (raw[place] + 1 if place < len(raw) else 0)
        found.append(number)
    return [*found, int(len(raw) > COMPARED_BYTES)]


def facts_of(document: Document) -> dict[str, Any]:
    """Return what filters test of a document: ``facts``, and values by path."""
    facts: list[str] = []
    values: dict[str, dict[str, Any]] = {"values": {}, "numbers": {}, "strings": {}, "texts": {}}
    for path, value in _paths(document):
        elements = value if isinstance(value, list) else [value]
        different = list(dict.fromkeys(map(value_text, elements)))
        facts += [fact(path), *[some(path)][: len(different)], *(fact(path, text) for text in different)]
        key = key_of(path)
        if len(different) > 1:
            facts.append(many(path))
            values["values"][key] = [fact("", text) for text in different]
        if numbers := [float(as_compared(e)) for e in elements if _is_number(e)]:
            values["numbers"][key] = numbers
        if strings := [element for element in elements if isinstance(element, str)]:
            values["strings"][key] = strings
            values["texts"][key] = [dict(zip(PLACES, ordered(text), strict=True)) for text in strings]
    return {"facts": facts, **{name: found for name, found in values.items() if found}}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _paths(document: Document) -> Iterator[tuple[str, Any]]:
    """Every path that a filter can name, with its value."""
    yield str(Field.own("id")), document.whole_id
    yield str(Field.own("title")), document.title
    if document.piece is not None:
        for name, value in document.piece.place().items():
            yield str(Field.own(f"piece.{name}")), value
    yield from _within(document.metadata, ())


def _within(metadata: Any, above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if len(above) == MAX_NAMES:
        return
    for name, value in metadata.items():
        names = (*above, name)
        yield path_of(Field(names), names), value
        if isinstance(value, dict):
            yield from _within(value, names)
