"""Python rows: dicts and tuples out of any iterable, read one by one and only once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from tardif.checks import is_missing, shown
from tardif.data.formats.columns import THIRD, Wishes, describe
from tardif.data.formats.judging import RowReader
from tardif.data.formats.tables import LooseSource, TextlessSource
from tardif.data.formats.values import as_list
from tardif.data.label_words import label_word
from tardif.data.records import Judgement, Source
from tardif.errors import DataError

Placed = Iterator[tuple[int, Any]]

_HEAD = 100  # rows looked at before any is read
_LABEL = "document, label"


class TupleSource(TextlessSource):
    """Tuples: (query, positive), (query, document, label) or (query, positive, negative, ...).

    Which of them, all rows say together: a text in the third place is a label where it is a label's word, and one row
    that says otherwise is refused. So the order of the rows decides nothing.
    """

    def __init__(self, name: str, rows: Placed, first: Sequence[Any], wishes: Wishes) -> None:
        self.name = name
        self._rows, self._wishes = rows, wishes
        self._kind = _tuple_kind(first, name, 1, wishes)
        negatives = [f"negative_{number}" for number in range(1, len(first) - 1)]
        names = ("query", "document", "label") if self._kind == _LABEL else ("query", "positive", *negatives)
        roles = Wishes.of(None, None).find(names)
        self._reader = RowReader(roles, {column: at for at, column in enumerate(names)}, name)
        # Tuples have no names that a user could choose a column by.
        self.columns: dict[str, Sequence[str]] = {"label": (THIRD,)} if self._kind == _LABEL else {"positive": ()}
        self.shape = f"tuples: {describe(roles, (), None)}"

    def judgements(self) -> Iterator[Judgement]:
        """The judgements of every row, in order."""
        for place, row in self._rows:
            kind = _tuple_kind(row, self.name, place, self._wishes)
            if kind != self._kind:
                raise DataError(
                    f"this row is (query, {kind}){_third(row)} and the first was (query, {self._kind}): give one "
                    "shape, or dicts with named columns.",
                    self.name,
                    place,
                )
            yield from self._reader.read(place, row)
        self.shape += f" ({self._reader.rows} rows)"


def open_rows(items: Iterable[Any], wishes: Wishes, name: str = "data") -> Source:
    """Read Python rows, which may come one by one and only once.

    Raises:
        DataError: there is none, or the first is neither a dict nor a tuple.
    """
    stream = enumerate(iter(items), start=1)
    head = list(islice(stream, _HEAD))
    if not head:
        raise DataError("The training data is empty: it holds no row.")
    first = head[0][1]
    if _fields(first) is None:
        return open_tuples(chain(head, stream), first, wishes, name)
    rows = _named(chain(head, stream), name)
    known = [next(rows) for _ in head]
    again = [iter(known), chain(known, rows)]  # once for the glance, once to read
    return LooseSource(name, lambda: again.pop(0), wishes, what="dicts", peek=len(head) + (len(head) < _HEAD))


def open_tuples(rows: Placed, first: Any, wishes: Wishes, name: str) -> TupleSource:
    """Read rows without names for their columns, the first of which has been looked at.

    Raises:
        DataError: the first is no such row, or columns are chosen by name.
    """
    _tuple_kind(first, name, 1, wishes)
    if wishes.chosen or wishes.group_by:
        raise DataError("rows that are tuples have no named columns: give dicts, or leave columns and group out.")
    return TupleSource(name, rows, first, wishes)


def _named(rows: Iterable[tuple[int, Any]], name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for place, row in rows:
        if type(row) is dict:
            yield place, row
        elif (fields := _fields(row)) is not None:
            yield place, fields
        else:
            raise DataError(
                f"this row is no dict ({type(row).__name__}) and the first was: give one kind.", name, place
            )


def _fields(row: Any) -> Mapping[str, Any] | None:
    if isinstance(row, Mapping):
        return row
    return row._asdict() if isinstance(row, tuple) and hasattr(row, "_asdict") else None


def _tuple_kind(row: Any, name: str, place: int, wishes: Wishes) -> str:
    """What follows the query in a tuple."""
    if isinstance(row, str | bytes | Mapping) or not isinstance(row, Sequence) or len(row) < 2:
        raise DataError(
            "each row must be (query, positive), (query, document, label), (query, positive, negative, ...) "
            "or a dict with named columns.",
            name,
            place,
        )
    further = row[2:]
    if any(is_missing(item) for item in further):
        raise DataError("the third item is missing: it must be a label (a number) or a negative (a text).", name, place)
    if len(further) == 1 and _is_label(further[0], wishes):
        return _LABEL
    if not all(isinstance(item, str | list | tuple) for item in further):
        raise DataError("what follows a tuple's positive must be one label, or texts: negatives.", name, place)
    return ", ".join(["positive", *["negative"] * len(further)])


def _is_label(third: Any, wishes: Wishes) -> bool:
    """Whether the third item labels the document, and is no negative's text."""
    if isinstance(third, str):
        return wishes.positive_label is not None or label_word(third) is not None
    items = as_list(third)
    if items is None:
        return True
    return bool(items) and all(not isinstance(item, str) or _is_label(item, wishes) for item in items)


def _third(row: Sequence[Any]) -> str:
    return f", by its third item {shown(row[2])}," if len(row) == 3 else ""
