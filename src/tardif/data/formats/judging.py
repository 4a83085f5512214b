"""A row of known columns becomes judgements: at least one, or an error that names the row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tardif.checks import storable
from tardif.data.formats.columns import Roles, plain
from tardif.data.formats.values import Cell
from tardif.data.records import Judgement, Role
from tardif.errors import DataError

Column = tuple[str, Any]
"""A column's name and its key in a row."""

_LABELS_KEPT = 1000  # labels known to be good: most data has few


class RowReader:
    """Reads rows that all have the same columns.

    Args:
        roles: the columns by role.
        keys: what finds each column in a row: a name or a position.
        path: what messages name.
        group_by: the column to group by.
        cells: rows are cells of a text table: an empty negative is none, and a column named in the
            plural may hold a JSON list.
    """

    def __init__(
        self,
        roles: Roles,
        keys: Mapping[str, Any],
        path: str | Path,
        *,
        group_by: str | None = None,
        cells: bool = False,
    ) -> None:
        def column(role: str) -> Column | None:
            names = roles.get(role)
            return (names[0], keys[names[0]]) if names else None

        self.rows = 0
        self._labels_seen: set[Any] = set()
        self._path = path
        self._cells = cells
        self._query = (roles["query"][0], keys[roles["query"][0]])
        self._many = "documents" in roles and "positive" not in roles
        self._primary = [(name, keys[name]) for name in roles["documents" if self._many else "positive"]]
        self._further = set(self._primary[1:])
        self._negative = [(name, keys[name]) for name in roles.get("negative", ())]
        self._label, self._scores = column("label"), column("scores")
        self._query_id, self._document_id = column("query_id"), column("document_id")
        self._group = None if group_by is None else (group_by, keys[group_by])
        lists = (self._label, self._scores, *self._primary) if self._many else (self._scores,)
        self._json = {found[0] for found in lists if found} if cells else set()
        if cells:
            self._json |= {name for name, _ in (*self._primary, *self._negative) if plain(name).endswith("s")}
        self._simple = set(roles) == {"query", "positive"} and len(self._primary) == 1 and group_by is None
        self._simple = self._simple and not self._json
        self._query_key, self._document_key = self._query[1], self._primary[0][1]

    def read(self, place: int, row: Any) -> Sequence[Judgement]:
        """The judgements of one row, never none.

        Raises:
            DataError: a value is missing or cannot be read exactly; names the row.
        """
        self.rows += 1
        if self._simple:
            query, document = row[self._query_key], row[self._document_key]
            if type(query) is str and type(document) is str and storable(query) and storable(document):
                return (Judgement(query, document, "positive", place),)
        return self._read(place, row)

    def _read(self, place: int, row: Any) -> list[Judgement]:
        query = row[self._query[1]]
        if type(query) is not str or not storable(query):
            query = self._cell(row, self._query, place).text()
        primary = [text for column in self._primary for text in self._texts(row, column, place)]
        negatives = [text for column in self._negative for text in self._texts(row, column, place, spare=True)]
        count = len(primary)
        if not count + len(negatives):
            raise DataError(f"holds no document: {self._primary[0][0]} is empty.", self._path, place)
        labels = self._labels(row, place, count)
        scores = self._teacher(row, place, count + len(negatives))
        query_id = None if self._query_id is None else self._cell(row, self._query_id, place).identity()
        ids = self._identities(row, place, count)
        group = None if self._group is None else self._cell(row, self._group, place).group()
        roles = self._roles(labels, scores, count, place)
        found = [
            Judgement(query, text, roles[at], place, query_id, ids[at], labels[at], scores[at], group)
            for at, text in enumerate(primary)
        ]
        found += [
            Judgement(query, text, "negative", place, query_id, None, None, scores[at], group)
            for at, text in enumerate(negatives, start=count)
        ]
        return found

    def _cell(self, row: Any, column: Column, place: int) -> Cell:
        name, key = column
        cell = Cell(row[key], name, self._path, place)
        return cell.parsed() if name in self._json else cell

    def _texts(self, row: Any, column: Column, place: int, *, spare: bool = False) -> list[str]:
        """The texts of a column; ``spare`` ones, and those of a numbered family, may be missing."""
        value = row[column[1]]
        if type(value) is str and value and column[0] not in self._json and storable(value):
            return [value]
        if type(value) is list and all(type(item) is str and storable(item) for item in value):
            return value
        cell = self._cell(row, column, place)
        is_missing = cell.value is None or (self._cells and cell.value == "")
        if is_missing and (spare or column in self._further):
            return []
        return cell.texts()

    def _labels(self, row: Any, place: int, count: int) -> list[str | float | None]:
        if self._label is None:
            return [None] * count
        cell = self._cell(row, self._label, place)
        if count == 1 and cell.value.__class__ is str and cell.value in self._labels_seen:
            return [cell.value]
        cells = cell.items()
        if len(cells) != count:
            raise cell.refuse(f"holds {_count(len(cells), 'label')} where the row has {_count(count, 'document')}.")
        labels: list[str | float | None] = [item.label() for item in cells]
        if len(self._labels_seen) < _LABELS_KEPT:
            self._labels_seen.update(label for label in labels if label.__class__ is str)
        return labels

    def _teacher(self, row: Any, place: int, count: int) -> list[float | None]:
        if self._scores is None:
            return [None] * count
        cell = self._cell(row, self._scores, place)
        if type(cell.value) is list and len(cell.value) == count and _all_finite(cell.value):
            return cell.value
        if cell.value is None:  # the teacher did not see this row
            return [None] * count
        cells = cell.items()
        if len(cells) != count:
            raise cell.refuse(f"holds {_count(len(cells), 'score')} where the row has {_count(count, 'document')}.")
        return [item.score() for item in cells]

    def _identities(self, row: Any, place: int, count: int) -> list[str | None]:
        if self._document_id is None:
            return [None] * count
        cell = self._cell(row, self._document_id, place)
        if cell.value is None:
            return [None] * count
        cells = cell.items()
        if len(cells) != count:
            raise cell.refuse(f"holds {_count(len(cells), 'id')} where the row has {_count(count, 'document')}.")
        return [item.identity() for item in cells]

    def _roles(
        self, labels: Sequence[str | float | None], scores: Sequence[float | None], count: int, place: int
    ) -> list[Role]:
        if self._label is not None:
            return ["labelled"] * count
        if not self._many:
            return ["positive"] * count
        given = [score for score in scores if score is not None]
        if not given:
            name = self._primary[0][0]
            raise DataError(
                f"column {name} comes without scores or labels: say which of its texts are relevant, "
                f'or that all are with columns={{"positive": "{name}"}} (--columns positive={name}).',
                self._path,
                place,
            )
        best = given.index(max(given[:count], default=given[0]))
        return ["positive" if at == best else "negative" for at in range(count)]


def _all_finite(values: list[Any]) -> bool:
    return all(type(value) is float for value in values) and all(map(math.isfinite, values))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
