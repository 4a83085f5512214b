"""The fields of an index's metadata: their types, values and ranges, from which a person can make filters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeAlias

from tardif.index.filter_nodes import Field

Plain: TypeAlias = str | int | float | bool | None
# A field with more different values is no choice between them.
MOST_VALUES = 20
# A longer text is no choice either.
_LONGEST = 100
# Names within each other, as in author.address.city.
_DEEPEST = 3
# Fields whose values one statement selects: older SQLites bind at most 999.
_TOGETHER = 100
_TYPES = {"text": "text", "integer": "number", "real": "number", "true": "boolean", "false": "boolean", "null": "null"}
# ISO 8601 dates, with or without a time: as texts they order by time.
_DATE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"

_NONE: Any = object()  # no value, where null is one

Rows: TypeAlias = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class MetadataField:
    """A key of the metadata, or one within another.

    Attributes:
        name: as a filter has it, quoted where it must be.
        types: of its values, or of the elements of its lists, sorted: ``text``, ``number``, ``boolean``, ``null``.
        values: all of them, the most frequent first; None if there are more than 20, or long texts.
        range: the least and the greatest, of numbers or of ISO dates; None of other values, and of a mixture.
    """

    name: str
    types: tuple[str, ...]
    values: tuple[Plain, ...] | None
    range: tuple[Plain, Plain] | None

    def as_json(self) -> dict[str, Any]:
        """Return the field as JSON can hold it."""
        return {
            "name": self.name,
            "types": list(self.types),
            "values": None if self.values is None else list(self.values),
            "range": None if self.range is None else list(self.range),
        }


def fields_of(rows: Rows) -> list[MetadataField]:
    """Return the fields of a table ``documents`` with a column ``metadata``, sorted by name.

    Args:
        rows: gives the rows that a statement selects.
    """
    found: list[MetadataField] = []
    for depth in range(1, _DEEPEST + 1):
        found += _fields_at(rows, depth)
        tables, last = _reach(depth)
        if not rows(f"SELECT 1 FROM documents, {tables} WHERE {last}.type = 'object' LIMIT 1", ()):
            break
    return sorted(found, key=lambda field: field.name)


def merged_fields(parts: Sequence[Sequence[MetadataField]]) -> list[MetadataField]:
    """Return the fields of an index from those of its shards. How frequent a value is in all of them is not known:
    values come in the order of their best place in a shard.

    >>> one = MetadataField("year", ("number",), (2026, 2020), (2020, 2026))
    >>> other = MetadataField("year", ("null", "number"), (1999, None), (1999, 1999))
    >>> merged_fields([[one], [other]])
    [MetadataField(name='year', types=('null', 'number'), values=(2026, 1999, 2020, None), range=(1999, 2026))]
    """
    found: dict[str, list[MetadataField]] = defaultdict(list)
    for field in (field for part in parts for field in part):
        found[field.name].append(field)
    return [_merged(name, found[name]) for name in sorted(found)]


def _merged(name: str, fields: Sequence[MetadataField]) -> MetadataField:
    types = tuple(sorted({kind for field in fields for kind in field.types}))
    values: tuple[Plain, ...] | None = None
    if all(field.values is not None for field in fields):
        ranks = zip_longest(*(field.values or () for field in fields), fillvalue=_NONE)
        # By type too: True equals 1.
        distinct = {(type(value), value): value for rank in ranks for value in rank if value is not _NONE}
        values = tuple(distinct.values()) if len(distinct) <= MOST_VALUES else None
    # Nulls are in no range.
    ranges = [field.range for field in fields if field.types != ("null",)]
    known = [ends for ends in ranges if ends is not None]
    is_one_kind = len(known) == len(ranges) and len({isinstance(ends[0], str) for ends in known}) == 1
    lows: list[Any] = [ends[0] for ends in known]
    highs: list[Any] = [ends[1] for ends in known]
    return MetadataField(name, types, values, (min(lows), max(highs)) if is_one_kind else None)


def _fields_at(rows: Rows, depth: int) -> list[MetadataField]:
    """The fields with names of one depth."""
    statistics: dict[tuple[str, ...], list[tuple[Any, ...]]] = defaultdict(list)
    keys = ", ".join(f"k{step}" for step in range(depth))
    for row in rows(
        f"SELECT {keys}, type, count(DISTINCT value), max(length(value)), min(value), max(value), "
        f"min(value GLOB '{_DATE}') FROM ({_elements(depth)}) GROUP BY {keys}, type",
        (),
    ):
        statistics[row[:depth]].append(row[depth:])
    few = [
        names
        for names, kinds in statistics.items()
        if sum(max(kind[1], 1) for kind in kinds) <= MOST_VALUES
        and all(kind[0] != "text" or kind[2] <= _LONGEST for kind in kinds)
    ]
    values = _values(rows, depth, few)
    return [
        MetadataField(
            str(Field(names)),
            tuple(sorted({_TYPES[kind[0]] for kind in kinds})),
            tuple(values[names]) if names in values else None,
            _range(kinds),
        )
        for names, kinds in statistics.items()
    ]


def _values(rows: Rows, depth: int, few: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], list[Plain]]:
    """The values of some fields, the most frequent first."""
    found: dict[tuple[str, ...], list[Plain]] = defaultdict(list)
    keys = ", ".join(f"k{step}" for step in range(depth))
    for begin in range(0, len(few), _TOGETHER):
        part = few[begin : begin + _TOGETHER]
        marks = ", ".join([f"({', '.join('?' * depth)})"] * len(part))
        for row in rows(
            f"SELECT {keys}, type, value FROM ({_elements(depth)}) WHERE ({keys}) IN (VALUES {marks}) "
            f"GROUP BY {keys}, type, value ORDER BY count(*) DESC, value",
            [name for names in part for name in names],
        ):
            found[row[:depth]].append(_plain(*row[depth:]))
    return found


def _range(kinds: Sequence[tuple[Any, ...]]) -> tuple[Plain, Plain] | None:
    known = [kind for kind in kinds if kind[0] != "null"]
    numbers = known and all(kind[0] in ("integer", "real") for kind in known)
    dates = known and all(kind[0] == "text" and kind[5] for kind in known)
    if not (numbers or dates):
        return None
    return min(kind[3] for kind in known), max(kind[4] for kind in known)


def _plain(kind: str, value: Any) -> Plain:
    """A value as JSON has it: SQLite gives true and false as numbers."""
    return kind == "true" if kind in ("true", "false") else value


def _reach(depth: int) -> tuple[str, str]:
    """The tables of the keys down to a depth, and the name of the last."""
    tables = ["json_each(documents.metadata) AS s0"]
    # NULL for a value that is no object: json_each then yields no row, where a text would be an error.
    tables += [
        f"json_each(CASE s{step - 1}.type WHEN 'object' THEN s{step - 1}.value END) AS s{step}"
        for step in range(1, depth)
    ]
    return ", ".join(tables), f"s{depth - 1}"


def _elements(depth: int) -> str:
    """A statement for the keys, type and value of every value at a depth: of a list each of its elements, as a filter
    tests them."""
    tables, last = _reach(depth)
    keys = ", ".join(f"s{step}.key AS k{step}" for step in range(depth))
    return (
        f"SELECT {keys}, {last}.type AS type, {last}.value AS value FROM documents, {tables} "
        f"WHERE {last}.type NOT IN ('array', 'object') UNION ALL "
        f"SELECT {keys}, element.type, element.value FROM documents, {tables}, "
        f"json_each(CASE {last}.type WHEN 'array' THEN {last}.value END) AS element "
        "WHERE element.type NOT IN ('array', 'object')"
    )
