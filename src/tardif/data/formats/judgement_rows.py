"""A row of a table of queries with documents becomes judgements: at least one, or an error that names the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from tardif.checks import storable
from tardif.data.formats.column_names import plain
from tardif.data.formats.columns import Roles
from tardif.data.formats.values import Cell
from tardif.data.records import Judgement, Role
from tardif.errors import DataError

# A column's name and its key in a row.
Column = tuple[str, Any]
# A document in a row: its text, its id, or both.
Item = tuple[str | None, str | None]

_LABELS_KEPT = 1000  # checked labels, which need no second check: most data has few different ones


class JudgementReader:
    """Reads rows that have the same columns.

    Args:
        roles: the columns by role.
        keys: the key of each column in a row: a name or a position.
        path: the source, for messages.
        group_by: the column by which judgements are grouped.
        cells: the rows are cells of a text table: an empty negative is missing, and a column with a plural name may
            hold a JSON list.
    """

    def __init__(
        self,
        roles: Roles,
        keys: Mapping[str, Any],
        path: str | Path,
        group_by: str | None = None,
        *,
        cells: bool = False,
    ) -> None:
        def columns(*wanted: str) -> list[Column]:
            found = next((roles[role] for role in wanted if role in roles), ())
            return [(name, keys[name]) for name in found]

        def column(*wanted: str) -> Column | None:
            return next(iter(columns(*wanted)), None)

        self.rows = 0
        self._labels_seen: set[Any] = set()
        self._path = path
        self._cells = cells
        self._query, self._query_id = column("query"), column("query_id")
        texts, ids = columns("positive", "documents"), columns("document_id", "document_ids")
        self._primary = texts or ids
        self._are_ids = not texts
        self._ids_beside = ids[0] if ids and texts else None
        # Several documents in one row, of which scores or labels tell the relevant ones.
        self._many = "positive" not in roles and ("documents" in roles or (not texts and "document_ids" in roles))
        self._further = set(self._primary[1:])
        self._negative, negative_ids = columns("negative"), columns("negative_id")
        self._negative_ids, self._negatives_are_ids = negative_ids, not self._negative
        self._label, self._scores = column("label"), column("scores")
        self._clicks, self._shown = column("clicks"), column("impressions")
        self._group = None if group_by is None else (group_by, keys[group_by])
        # The columns of a text table in which a text may be a JSON list.
        lists = [self._scores, *((self._label, self._clicks, self._shown, *self._primary) if self._many else ())]
        plural = (*self._primary, *ids, *self._negative, *negative_ids)
        lists += [column for column in plural if plain(column[0]).endswith("s")]
        self._json = {found[0] for found in lists if found and cells}
        self._simple = set(roles) == {"query", "positive"} and len(self._primary) == 1 and group_by is None
        self._simple = self._simple and not self._json
        self._query_key, self._document_key = self._query and self._query[1], self._primary[0][1]

    def read(self, place: int, row: Any) -> Sequence[Judgement]:
        """The judgements of one row: at least one.

        Raises:
            DataError: a value is missing or cannot be read exactly.
        """
        self.rows += 1
        # The fast path for pairs of plain texts, which are most of the data.
        if self._simple:
            query, document = row[self._query_key], row[self._document_key]
            if type(query) is str and type(document) is str and storable(query) and storable(document):
                return (Judgement(query, document, "positive", place),)
        return self._read(place, row)

    def _read(self, place: int, row: Any) -> list[Judgement]:
        query, query_id = self._asked(row, place)
        items = self._items(row, self._primary, place, ids=self._are_ids)
        count = len(items)
        items += self._negatives(row, place)
        if not items:
            raise DataError(f"holds no document: {self._primary[0][0]} is empty.", self._path, place)
        labels = self._labels(row, place, count)
        scores = self._teacher(row, place, len(items))
        clicks = self._numbers(row, self._clicks, place, count, Cell.clicks)
        shown = self._numbers(row, self._shown, place, count, Cell.count)
        self._add_ids(row, place, items, count)
        group = None if self._group is None else self._cell(row, self._group, place).group()
        roles = self._roles(labels, scores, count, place)
        roles += ["negative"] * (len(items) - count)
        found = []
        for at, (text, identity) in enumerate(items):
            label = labels[at] if at < count else None
            events: tuple[float | None, ...] = ()
            if self._clicks is not None:
                events = (clicks[at], self._impressions(row, clicks[at], shown[at], place))
            found.append(
                Judgement(query, text, roles[at], place, query_id, identity, label, scores[at], group, *events)
            )
        return found

    def _asked(self, row: Any, place: int) -> tuple[str | None, str | None]:
        """The text and the id of the query, at least one of them."""
        query, query_id = None, None
        if self._query is not None:
            query = row[self._query[1]]
            if type(query) is not str or not storable(query):
                cell = self._cell(row, self._query, place)
                if cell.is_number:
                    raise cell.refuse(
                        "must be text, and is a number: if it is the query's id, say so with "
                        f'columns={{"query_id": "{cell.column}"}} (--columns query_id={cell.column}).'
                    )
                # A missing text is treated like an empty cell of a CSV file, by the rule "empty".
                if cell.value is not None:
                    query = cell.text()
                elif self._query_id is None:
                    query = ""
        if self._query_id is not None:
            cell = self._cell(row, self._query_id, place)
            query_id = cell.identity()
            if query is None and query_id is None:
                raise cell.refuse("is missing: give an id, or take the row out.")
        return query, query_id

    def _items(self, row: Any, columns: Sequence[Column], place: int, *, ids: bool, spare: bool = False) -> list[Item]:
        """The documents in some columns: texts, or ids alone."""
        if not ids:
            return [item for column in columns for item in self._texts(row, column, place, spare=spare)]
        found: list[Item] = []
        for column in columns:
            cell = self._cell(row, column, place)
            if spare and (cell.value is None or (self._cells and cell.value == "")):
                continue
            for item in cell.items():
                if (identity := item.identity()) is None:
                    raise item.refuse("is missing: give an id, or take the row out.")
                found.append((None, identity))
        return found

    def _negatives(self, row: Any, place: int) -> list[Item]:
        """The negatives of a row, with their ids if the row has these too."""
        if self._negatives_are_ids:
            return self._items(row, self._negative_ids, place, ids=True, spare=True)
        items = self._items(row, self._negative, place, ids=False, spare=True)
        if not self._negative_ids:
            return items
        ids = self._items(row, self._negative_ids, place, ids=True, spare=True)
        if len(ids) != len(items):
            column = self._negative_ids[0]
            raise self._cell(row, column, place).refuse(
                f"holds {_count(len(ids), 'id')} where the row has {_count(len(items), 'negative')}: correct it, or "
                'leave the ids out with columns={"negative_id": None} (--columns negative_id=).'
            )
        return [(text, known or identity) for (text, known), (_, identity) in zip(items, ids, strict=True)]

    def _cell(self, row: Any, column: Column, place: int) -> Cell:
        name, key = column
        cell = Cell(row[key], name, self._path, place)
        return cell.parsed() if name in self._json else cell

    def _texts(self, row: Any, column: Column, place: int, *, spare: bool = False) -> list[Item]:
        """The texts of a column. ``spare`` ones, and those of a numbered family, may be missing; a whole number is the
        id of a document."""
        value = row[column[1]]
        if type(value) is str and value and column[0] not in self._json and storable(value):
            return [(value, None)]
        if type(value) is list and all(type(item) is str and storable(item) for item in value):
            return [(item, None) for item in value]
        cell = self._cell(row, column, place)
        is_missing = cell.value is None or (self._cells and cell.value == "")
        if is_missing and (spare or column in self._further):
            return []
        if is_missing and self._ids_beside is None:
            return [("", None)]
        return [(None, item.identity()) if item.is_number else (item.text(), None) for item in cell.items()]

    def _labels(self, row: Any, place: int, count: int) -> list[str | float | None]:
        if self._label is None:
            return [None] * count
        cell = self._cell(row, self._label, place)
        if count == 1 and cell.value.__class__ is str and cell.value in self._labels_seen:
            return [cell.value]
        cells = _one_each(cell, count, "label")
        labels: list[str | float | None] = [item.label() for item in cells]
        if len(self._labels_seen) < _LABELS_KEPT:
            self._labels_seen.update(label for label in labels if label.__class__ is str)
        return labels

    def _teacher(self, row: Any, place: int, count: int) -> list[float | None]:
        if self._scores is None:
            return [None] * count
        cell = self._cell(row, self._scores, place)
        scores = cell.value
        # The fast path: a teacher's floats need no check of each.
        if (
            type(scores) is list
            and len(scores) == count
            and {*map(type, scores)} == {float}
            and all(map(isfinite, scores))
        ):
            return scores
        if cell.value is None:  # the teacher did not score this row
            return [None] * count
        return [item.score() for item in _one_each(cell, count, "score")]

    def _numbers(
        self, row: Any, column: Column | None, place: int, count: int, read: Callable[[Cell], float]
    ) -> list[float | None]:
        """A number for each document: its clicks, or its impressions."""
        if column is None:
            return [None] * count
        return [read(cell) for cell in _one_each(self._cell(row, column, place), count, "number")]

    def _impressions(self, row: Any, clicks: float | None, shown: float | None, place: int) -> float | None:
        """The impressions of a document, which cannot be fewer than its clicks."""
        if self._shown is not None and clicks is not None and shown is not None and shown < clicks:
            raise self._cell(row, self._shown, place).refuse(
                f"has {shown:g} impressions where the document has {clicks:g} clicks: correct it, or "
                'leave the column out with columns={"impressions": None} (--columns impressions=).'
            )
        return shown

    def _add_ids(self, row: Any, place: int, items: list[Item], count: int) -> None:
        """Add to the texts the ids of the column beside them."""
        if self._ids_beside is None:
            return
        cell = self._cell(row, self._ids_beside, place)
        if cell.value is None:
            return
        cells = _one_each(cell, count, "id")
        items[:count] = [(items[at][0], cells[at].identity() or items[at][1]) for at in range(count)]

    def _roles(
        self, labels: Sequence[str | float | None], scores: Sequence[float | None], count: int, place: int
    ) -> list[Role]:
        if self._clicks is not None:
            return ["clicked"] * count
        if self._label is not None:
            return ["labelled"] * count
        if not self._many:
            return ["positive"] * count
        given = [score for score in scores if score is not None]
        if not given:
            name, role = self._primary[0][0], "document_id" if self._are_ids else "positive"
            raise DataError(
                f"column {name} comes without scores or labels: add which of its {'ids' if self._are_ids else 'texts'} "
                f'are relevant, or read all as relevant with columns={{"{role}": "{name}"}} (--columns {role}={name}).',
                self._path,
                place,
            )
        # Without labels the teacher's best document is the positive (ties: the first).
        best = given.index(max(given[:count], default=given[0]))
        return ["positive" if at == best else "negative" for at in range(count)]


def _one_each(cell: Cell, count: int, what: str) -> list[Cell]:
    """The cells of a list that has one for each document of the row."""
    cells = cell.items()
    if len(cells) != count:
        raise cell.refuse(f"holds {_count(len(cells), what)} where the row has {_count(count, 'document')}.")
    return cells


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
