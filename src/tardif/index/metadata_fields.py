"""The fields of an index's metadata: their types and most frequent values, from which a person can make filters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

Plain: TypeAlias = str | int | float | bool | None
# Values of a field that are shown, the most frequent first.
SHOWN_VALUES = 20
# A field with more different values than this is no choice but free text or a number.
_MOST_VALUES = 1000
# A text of more characters is no choice either.
_LONGEST = 100

# The types of SQLite's JSON by the names that JSON Schema has for them.
_TYPES = {
    "text": "string",
    "integer": "number",
    "real": "number",
    "true": "boolean",
    "false": "boolean",
    "null": "null",
    "array": "array",
    "object": "object",
}
# Each key with the type of its value, and each element of a list under the list's key.
# json_each reads a list only: a text there would be an error.
ELEMENTS = """
SELECT key, type, value, count(*) FROM (
  SELECT top.key AS key, top.type AS type,
    CASE WHEN top.type IN ('array', 'object') THEN NULL ELSE top.value END AS value
  FROM documents, json_each(documents.metadata) AS top
  UNION ALL
  SELECT top.key, element.type, CASE WHEN element.type IN ('array', 'object') THEN NULL ELSE element.value END
  FROM documents, json_each(documents.metadata) AS top,
    json_each(CASE top.type WHEN 'array' THEN top.value END) AS element
)
GROUP BY key, type, value ORDER BY key, count(*) DESC, value
"""


@dataclass(frozen=True, slots=True)
class MetadataField:
    """A key of the metadata.

    Attributes:
        name: the key.
        types: of its values, by the names of JSON Schema, sorted. A list counts as ``array``, and its elements count.
        values: the most frequent ones, at most 20; None if there are too many different ones to choose from, or if they
            are long texts.
    """

    name: str
    types: tuple[str, ...]
    values: tuple[Plain, ...] | None

    def as_json(self) -> dict[str, Any]:
        """Return the field as JSON can hold it."""
        return {
            "name": self.name,
            "types": list(self.types),
            "values": None if self.values is None else list(self.values),
        }


def fields_of(rows: Iterable[tuple[str, str, Any, int]]) -> list[MetadataField]:
    """Return the fields of the rows that :data:`ELEMENTS` gives: key, type, value and count, by key.

    >>> fields_of([("lang", "text", "en", 7), ("lang", "text", "fr", 2), ("new", "true", 1, 9)])[1]
    MetadataField(name='new', types=('boolean',), values=(True,))
    """
    return [_field(name, list(found)) for name, found in groupby(rows, key=itemgetter(0))]


def _field(name: str, rows: list[tuple[str, str, Any, int]]) -> MetadataField:
    types = tuple(sorted({_TYPES[kind] for _, kind, _, _ in rows}))
    single = [(kind, value) for _, kind, value, _ in rows if kind not in ("array", "object")]
    free = len(single) > _MOST_VALUES or any(isinstance(value, str) and len(value) > _LONGEST for _, value in single)
    if free or not single:
        return MetadataField(str(name), types, None)
    return MetadataField(str(name), types, tuple(_plain(*each) for each in single[:SHOWN_VALUES]))


def _plain(kind: str, value: Any) -> Plain:
    """A value as JSON has it: SQLite gives true and false as numbers."""
    return kind == "true" if kind in ("true", "false") else value
