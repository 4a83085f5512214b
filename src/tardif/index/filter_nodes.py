"""The nodes of a filter: immutable conditions that translate themselves to SQL.

Every condition is true or false, never NULL. A comparison tests *elements*: the value of a key, or each element of the
value if it is a list. In SQL an element is a pair of expressions, its JSON type and its value, both from ``json_each``.
Keys are compared with ``json_each.key`` and not looked up by a JSON path, because paths cannot express some keys.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tardif.data.json_metadata import clean_text
from tardif.index import patterns

Kind: TypeAlias = Literal["text", "number", "true", "false", "null"]
Condition: TypeAlias = tuple[str, list[Any]]

DOCUMENT_FIELDS = ("id", "title")
PIECE_FIELDS = ("number", "of", "start", "end", "headings", "page")
OWN_FIELDS = (*DOCUMENT_FIELDS, *(f"piece.{name}" for name in PIECE_FIELDS))
OWN_NAMES = ", ".join(f"@{name}" for name in OWN_FIELDS)
KEYWORDS = frozenset(("and", "or", "not", "in", "like", "contains", "exists", "is", "missing", "true", "false", "null"))
ORDERS = ("<", "<=", ">", ">=")
OPERATORS = ("=", "!=", *ORDERS, "like", "contains")
BARE_NAME = r"[^\W\d][\w-]*"

_NUMBER_TYPES = "('integer', 'real')"
# Texts that are bound one by one.
_MOST_BOUND = 1000


@dataclass(frozen=True, slots=True)
class Value:
    """A literal with its type, so that 1 and true differ. ``raw`` is None for true, false and null."""

    kind: Kind
    raw: str | int | float | None = None

    def __str__(self) -> str:
        if self.kind == "text":
            return "'" + str(self.raw).replace("'", "''") + "'"
        return repr(self.raw) if self.kind == "number" else self.kind


@dataclass(frozen=True, slots=True)
class Field:
    """A key of the metadata, by its path of names; or a field of the document itself (``@id``, ``@title``) or of the
    piece that it is (``@piece.page``)."""

    names: tuple[str, ...]
    of_document: bool = False
    of_piece: bool = False

    @classmethod
    def own(cls, name: str) -> Field:
        """Return the field of the document or piece with a name of :data:`OWN_FIELDS`."""
        return cls((name.removeprefix("piece."),), of_document="." not in name, of_piece="." in name)

    def __str__(self) -> str:
        if self.of_document or self.of_piece:
            return f"@{'piece.' if self.of_piece else ''}{self.names[0]}"
        return ".".join(map(_quoted, self.names))

    def column(self) -> str:
        """Return the SQL of the column that holds a field of the document."""
        return "documents.document" if self.names == ("id",) else "ifnull(documents.title, '')"

    def steps(self) -> tuple[str, str, list[Any]]:
        """Return the SQL that reaches the value: tables to join, the condition on them, and its parameters.

        The last table, ``s<n - 1>`` of n names, has the value.
        """
        tables = [f"json_each(documents.{'piece' if self.of_piece else 'metadata'}) AS s0"]
        for step in range(1, len(self.names)):
            before = f"s{step - 1}"
            # NULL for a value that is no object: json_each then yields no row, where a text would be an error.
            tables.append(f"json_each(CASE {before}.type WHEN 'object' THEN {before}.value END) AS s{step}")
        keys = " AND ".join(f"s{step}.key = ?" for step in range(len(self.names)))
        return ", ".join(tables), keys, [clean_text(name) for name in self.names]


def _quoted(name: str) -> str:
    if re.fullmatch(BARE_NAME, name) and name.lower() not in KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


class Filter(ABC):
    """A condition on documents, made by :func:`tardif.index.filters.parse_filter`; ``str`` gives the expression."""

    __slots__ = ()

    @abstractmethod
    def sql(self) -> Condition:
        """Return a WHERE condition on the table ``documents``, and the parameters for its question marks.

        The condition contains nothing that the user wrote, so a filter cannot inject SQL. The table must be named
        ``documents``, with columns ``document``, ``title``, ``metadata`` and ``piece``
        (:func:`tardif.index.document_columns.columns_of`).
        """


@dataclass(frozen=True, slots=True)
class And(Filter):
    """True if all parts are; without parts, for every document."""

    parts: tuple[Filter, ...]

    def sql(self) -> Condition:
        """As :meth:`Filter.sql`."""
        return _joined(self.parts, " AND ", "1")

    def __str__(self) -> str:
        if not self.parts:
            return "@id exists"  # of every document; the language has no constant
        return " and ".join(f"({part})" if isinstance(part, And | Or) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or(Filter):
    """True if any part is; without parts, for no document."""

    parts: tuple[Filter, ...]

    def sql(self) -> Condition:
        """As :meth:`Filter.sql`."""
        return _joined(self.parts, " OR ", "0")

    def __str__(self) -> str:
        if not self.parts:
            return "@id in ()"  # of no document
        return " or ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """True if the part is not: plain negation, so documents without the part's keys pass."""

    part: Filter

    def sql(self) -> Condition:
        """As :meth:`Filter.sql`."""
        text, parameters = self.part.sql()
        return f"NOT {text}", parameters

    def __str__(self) -> str:
        return f"not ({self.part})"


def _joined(parts: Iterable[Filter], word: str, nothing: str) -> Condition:
    texts, parameters = [], []
    for part in parts:
        text, own = part.sql()
        texts.append(text)
        parameters += own
    return f"({word.join(texts) or nothing})", parameters


@dataclass(frozen=True, slots=True)
class Exists(Filter):
    """True if the key is there, whatever its value; null counts."""

    field: Field

    def sql(self) -> Condition:
        """As :meth:`Filter.sql`."""
        if self.field.of_document:
            return "1", []
        tables, keys, names = self.field.steps()
        return f"EXISTS (SELECT 1 FROM {tables} WHERE {keys})", names

    def __str__(self) -> str:
        return f"{self.field} exists"


class _OfElements(Filter):
    """A condition that some element of the field's value must meet; a value that is not a list is its own element."""

    __slots__ = ()
    field: Field

    @abstractmethod
    def _element_sql(self, kind: str, value: str) -> Condition:
        """The condition on an element, from the SQL of its JSON type and of its value."""

    def sql(self) -> Condition:
        """As :meth:`Filter.sql`."""
        if self.field.of_document:
            text, parameters = self._element_sql("'text'", self.field.column())
            return f"({text})", parameters
        tables, keys, names = self.field.steps()
        last = f"s{len(self.field.names) - 1}"
        each, of_each = self._element_sql("e.type", "e.value")
        whole, of_whole = self._element_sql(f"{last}.type", f"{last}.value")
        return (
            f"EXISTS (SELECT 1 FROM {tables} WHERE {keys} AND CASE {last}.type WHEN 'array' THEN"
            f" EXISTS (SELECT 1 FROM json_each({last}.value) AS e WHERE {each}) ELSE {whole} END)",
            [*names, *of_each, *of_whole],
        )

    def _bound(self, text: str) -> str:
        """A text as it is stored: metadata has no NULs (:func:`clean_text`), a field of the document may have some."""
        return clean_text(text) if not self.field.of_document else "\0".join(map(clean_text, text.split("\0")))


@dataclass(frozen=True, slots=True)
class Compare(_OfElements):
    """True if an element compares with the value by the operator, one of :data:`OPERATORS`."""

    field: Field
    operator: str
    value: Value

    def _element_sql(self, kind: str, value: str) -> Condition:
        if self.operator in ("=", "!="):
            negation = "NOT " if self.operator == "!=" else ""
            text, parameters = _equals_sql(self, (self.value,), kind, value)
            return f"{negation}({text})", parameters
        if self.operator in ORDERS:
            if self.value.kind == "text":
                return f"{kind} = 'text' AND {value} {self.operator} ?", [self._bound(str(self.value.raw))]
            return f"{kind} IN {_NUMBER_TYPES} AND {value} {self.operator} ?", [_comparable(self.value.raw)]
        if self.operator == "contains":
            return f"{kind} = 'text' AND instr({value}, ?) > 0", [self._bound(str(self.value.raw))]
        whole = f"instr({value}, char(0)) = 0 AND " if self.field.of_document else ""  # GLOB stops at a NUL
        return f"{kind} = 'text' AND {whole}{value} GLOB ?", [patterns.glob(clean_text(str(self.value.raw)))]

    def __str__(self) -> str:
        return f"{self.field} {self.operator} {self.value}"


@dataclass(frozen=True, slots=True)
class In(_OfElements):
    """True if an element equals one of the values, or with ``negated`` none of them."""

    field: Field
    values: tuple[Value, ...]
    negated: bool = False

    def _element_sql(self, kind: str, value: str) -> Condition:
        text, parameters = _equals_sql(self, self.values, kind, value)
        return f"{'NOT ' if self.negated else ''}({text})", parameters

    def __str__(self) -> str:
        return f"{self.field} {'not ' if self.negated else ''}in ({', '.join(map(str, self.values))})"


def _equals_sql(asked: _OfElements, values: tuple[Value, ...], kind: str, value: str) -> Condition:
    """The condition that an element equals one of the values; values of different types are never equal."""
    texts = [asked._bound(str(v.raw)) for v in values if v.kind == "text"]
    # SQLite binds at most 32,766 parameters, and JSON is one. But SQLite's JSON cuts a text at a NUL.
    listed = [text for text in texts if "\0" not in text] if len(texts) > _MOST_BOUND else []
    bound = [text for text in texts if "\0" in text] if listed else texts
    numbers = [_comparable(v.raw) for v in values if v.kind == "number"]
    others = sorted({v.kind for v in values} - {"text", "number"})
    conditions = [f"{kind} = '{other}'" for other in others]
    parameters: list[Any] = []
    if listed:
        conditions.append(f"{kind} = 'text' AND {value} IN (SELECT value FROM json_each(?))")
        parameters.append(json.dumps(listed, ensure_ascii=False))
    # Bound parameters, never text in the SQL: a value cannot become a part of the statement.
    for found, types in ((bound, "= 'text'"), (numbers, f"IN {_NUMBER_TYPES}")):
        if found:
            conditions.append(f"{kind} {types} AND {value} IN ({', '.join('?' * len(found))})")
            parameters += found
    return " OR ".join(conditions) or "0", parameters


def _comparable(value: Any) -> Any:
    """A number as SQLite compares it: an integer beyond 64 bits is the nearest double there."""
    return float(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value
