"""What a filter is made of: immutable nodes that say what they ask in SQL.

Every condition is true or false, never NULL. A comparison asks one *element*: the value of a key, or each element of
it where it is a list. In SQL an element is a pair of expressions, its JSON type and its value, both from ``json_each``;
keys are compared with ``json_each.key`` and not looked up by a JSON path, since paths have no way to write some keys.
"""

from __future__ import annotations

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
KEYWORDS = frozenset(("and", "or", "not", "in", "like", "contains", "exists", "is", "missing", "true", "false", "null"))
ORDERS = ("<", "<=", ">", ">=")
OPERATORS = ("=", "!=", *ORDERS, "like", "contains")
BARE_NAME = r"[^\W\d][\w-]*"

_NUMBER_TYPES = "('integer', 'real')"


@dataclass(frozen=True, slots=True)
class Value:
    """A literal with its type, so that 1 and true are two. ``raw`` is None for true, false and null."""

    kind: Kind
    raw: str | int | float | None = None

    def __str__(self) -> str:
        if self.kind == "text":
            return "'" + str(self.raw).replace("'", "''") + "'"
        return repr(self.raw) if self.kind == "number" else self.kind


@dataclass(frozen=True, slots=True)
class Field:
    """A key of the metadata, by the names that lead to it; or a field of the document itself, ``@id`` or ``@title``, or
    of the piece that it is, such as ``@piece.page``."""

    names: tuple[str, ...]
    of_document: bool = False
    of_piece: bool = False

    @classmethod
    def own(cls, name: str) -> Field:
        """The field of the document itself, or of its piece, of a name in :data:`OWN_FIELDS`."""
        return cls((name.removeprefix("piece."),), of_document="." not in name, of_piece="." in name)

    def __str__(self) -> str:
        if self.of_document or self.of_piece:
            return f"@{'piece.' if self.of_piece else ''}{self.names[0]}"
        return ".".join(map(_quoted, self.names))

    def column(self) -> str:
        """The column of the table that holds a field of the document."""
        return "documents.document" if self.names == ("id",) else "ifnull(documents.title, '')"

    def steps(self) -> tuple[str, str, list[Any]]:
        """How SQL reaches the value: the tables to join, the condition on them, its parameters. Last table: s<n-1>."""
        tables = [f"json_each(documents.{'piece' if self.of_piece else 'metadata'}) AS s0"]
        for step in range(1, len(self.names)):
            before = f"s{step - 1}"
            tables.append(f"json_each(CASE {before}.type WHEN 'object' THEN {before}.value END) AS s{step}")
        keys = " AND ".join(f"s{step}.key = ?" for step in range(len(self.names)))
        return ", ".join(tables), keys, [clean_text(name) for name in self.names]


def _quoted(name: str) -> str:
    if re.fullmatch(BARE_NAME, name) and name.lower() not in KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


class Filter(ABC):
    """A condition on documents, by :func:`tardif.index.filters.parse_filter`; ``str`` gives it as an expression."""

    __slots__ = ()

    @abstractmethod
    def sql(self) -> Condition:
        """A WHERE condition on the table ``documents`` and the parameters to bind to its question marks.

        Nothing of what the user wrote is in the text. The table must go by the name ``documents``, with columns
        ``document``, ``title``, ``metadata`` and ``piece`` (:func:`tardif.index.document_columns.columns_of`).
        """


@dataclass(frozen=True, slots=True)
class And(Filter):
    """All of the parts; without parts, every document."""

    parts: tuple[Filter, ...]

    def sql(self) -> Condition:
        """As :meth:`Filter.sql`."""
        return _joined(self.parts, " AND ", "1")

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, And | Or) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or(Filter):
    """Any of the parts; without parts, no document."""

    parts: tuple[Filter, ...]

    def sql(self) -> Condition:
        """As :meth:`Filter.sql`."""
        return _joined(self.parts, " OR ", "0")

    def __str__(self) -> str:
        return " or ".join(f"({part})" if isinstance(part, Or) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not(Filter):
    """What the part is not: plain negation, so documents without the part's keys are in."""

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
    """The key is there, whatever its value, null among them."""

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
    """A condition that some element of the field's value must meet: the value itself where it is no list."""

    __slots__ = ()
    field: Field

    @abstractmethod
    def _element_sql(self, kind: str, value: str) -> Condition:
        """The condition on an element, given the SQL of its JSON type and of its value."""

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
        """A text as SQLite can be given it: a field of the document may hold NULs, metadata holds none."""
        return clean_text(text) if not self.field.of_document else "\0".join(map(clean_text, text.split("\0")))


@dataclass(frozen=True, slots=True)
class Compare(_OfElements):
    """An element compared with one value: one of :data:`OPERATORS`."""

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
        whole = f"instr({value}, char(0)) = 0 AND " if self.field.of_document else ""  # GLOB would end at the NUL
        return f"{kind} = 'text' AND {whole}{value} GLOB ?", [patterns.glob(clean_text(str(self.value.raw)))]

    def __str__(self) -> str:
        return f"{self.field} {self.operator} {self.value}"


@dataclass(frozen=True, slots=True)
class In(_OfElements):
    """An element that equals one of the values, or with ``negated`` none of them."""

    field: Field
    values: tuple[Value, ...]
    negated: bool = False

    def _element_sql(self, kind: str, value: str) -> Condition:
        text, parameters = _equals_sql(self, self.values, kind, value)
        return f"{'NOT ' if self.negated else ''}({text})", parameters

    def __str__(self) -> str:
        return f"{self.field} {'not ' if self.negated else ''}in ({', '.join(map(str, self.values))})"


def _equals_sql(asked: _OfElements, values: tuple[Value, ...], kind: str, value: str) -> Condition:
    """That an element equals one of the values, types apart."""
    texts = [asked._bound(str(v.raw)) for v in values if v.kind == "text"]
    numbers = [_comparable(v.raw) for v in values if v.kind == "number"]
    others = sorted({v.kind for v in values} - {"text", "number"})
    conditions = [f"{kind} = '{other}'" for other in others]
    if texts:
        conditions.append(f"{kind} = 'text' AND {value} IN ({', '.join('?' * len(texts))})")
    if numbers:
        conditions.append(f"{kind} IN {_NUMBER_TYPES} AND {value} IN ({', '.join('?' * len(numbers))})")
    return " OR ".join(conditions) or "0", [*texts, *numbers]


def _comparable(value: Any) -> Any:
    """What SQLite compares: an integer beyond 64 bits is the nearest double there."""
    return float(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value
