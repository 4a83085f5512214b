"""Python rows: dicts and tuples out of any iterable, read one by one and only once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from tardif.checks import is_missing
from tardif.data.formats.columns import Wishes, describe
from tardif.data.formats.judging import RowReader
from tardif.data.formats.tables import LooseSource, TextlessSource
from tardif.data.records import Judgement, Source
from tardif.errors import DataError

_HEAD = 100  # rows looked at before any is read


class TupleSource(TextlessSource):
    """Python tuples: (query, positive), (query, document, label) or (query, positive, negative)."""

    _NAMES = ("query", "positive", "negative")

    def __init__(self, name: str, rows: Iterator[tuple[int, Sequence[Any]]], first: Sequence[Any]) -> None:
        self.name = name
        self._rows = rows
        self._kind = _tuple_kind(first, name, 1)
        names = ("query", "document", "label") if self._kind == "label" else self._NAMES[: len(first)]
        roles = Wishes.of(None, None).find(names)
        self._reader = RowReader(roles, {column: at for at, column in enumerate(names)}, name)
        self.shape = f"tuples: {describe(roles, (), None)}"

    def judgements(self) -> Iterator[Judgement]:
        """The judgements of every row, in order."""
        for place, row in self._rows:
            kind = _tuple_kind(row, self.name, place)
            if kind != self._kind:
                raise DataError(
                    f"this row is (query, {kind}) and the first was (query, {self._kind}): give one shape.",
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
        _tuple_kind(first, name, 1)
        if wishes.chosen or wishes.group_by:
            raise DataError("rows that are tuples have no named columns: give dicts, or leave columns and group out.")
        return TupleSource(name, chain(head, stream), first)
    rows = _named(chain(head, stream), name)
    known = [next(rows) for _ in head]
    again = [iter(known), chain(known, rows)]  # once for the glance, once to read
    return LooseSource(name, lambda: again.pop(0), wishes, what="dicts", peek=len(head) + (len(head) < _HEAD))


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


def _tuple_kind(row: Any, name: str, place: int) -> str:
    """What follows the query in a tuple."""
    if isinstance(row, str | bytes | Mapping) or not isinstance(row, Sequence) or len(row) not in (2, 3):
        raise DataError(
            "each row must be (query, positive), (query, document, label), (query, positive, negative) "
            "or a dict with named columns.",
            name,
            place,
        )
    if len(row) == 2:
        return "positive"
    third = row[2]
    if is_missing(third):
        raise DataError("the third item is missing: it must be a label (a number) or a negative (a text).", name, place)
    return "positive, negative" if isinstance(third, str | list | tuple) else "label"
