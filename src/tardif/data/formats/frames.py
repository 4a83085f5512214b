"""Rows of Parquet, Arrow IPC, Hugging Face datasets, pandas and polars, and dicts and tuples of any iterable.

Columnar data is read in batches of rows; Python rows one by one, and only once. A library is imported only if the
caller's value comes from it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tardif.checks import is_missing, shown
from tardif.data.formats.column_names import label_word
from tardif.data.formats.columns import THIRD, ColumnChoices
from tardif.data.formats.files import check_file
from tardif.data.formats.tables import LooseSource, TableSource
from tardif.data.formats.values import as_list
from tardif.data.records import Source
from tardif.errors import DataError
from tardif.extras import need

# Enough to hide the cost of a call, few enough for rows of whole articles (20 MB at 10 kB each).
BATCH = 2000  # rows converted to Python values at a time

# The end mark of an Arrow stream: a continuation marker, then a length of 0.
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"

Rows = Iterator[tuple[int, Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows with named columns.

    Attributes:
        what: the format, for the report.
        names: the columns.
        rows: takes names of columns and streams the rows, each with its number from 1 and these values.
        where: the file or folder, for messages.
    """

    what: str
    names: list[str]
    rows: Callable[[list[str]], Rows]
    where: Path | str = "data"

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows by column name, each with its number.

        Raises:
            DataError: two columns have one name, or as for :attr:`rows`.
        """
        if len(set(self.names)) != len(self.names):
            raise DataError(f"names a column twice; it has {', '.join(self.names)}.", self.where)
        return ((number, dict(zip(self.names, row, strict=True))) for number, row in self.rows(self.names))


def is_a(value: Any, module: str, *names: str) -> bool:
    """Whether a value is an instance of one of these classes, without an import of their module."""
    found = sys.modules.get(module)
    return found is not None and isinstance(value, tuple(getattr(found, name) for name in names))


def open_parquet(paths: Sequence[Path], where: Path) -> Frame:
    """Read Parquet files of one schema as one table; rows are numbered through them.

    Raises:
        DataError: a file is missing or damaged, or has other columns than the first.
    """
    need("parquet", f"Reading {where}")
    names: list[str] = []
    for path in paths:
        check_file(path)
        with _arrow(path, lambda: None), _parquet(path) as file:
            found = list(file.schema_arrow.names)
        if path is not paths[0] and sorted(found) != sorted(names):
            raise DataError(f"has the columns {', '.join(found)}, and {paths[0].name} has {', '.join(names)}.", path)
        names = names or found

    def batches(columns: list[str]) -> Iterator[Any]:
        for path in paths:
            with _parquet(path) as file:
                yield from file.iter_batches(batch_size=BATCH, columns=columns)

    return Frame("Parquet", names, lambda columns: _arrow_rows(batches(columns), columns, where), where)


def open_ipc(path: Path) -> Frame:
    """Read an Arrow IPC file (Feather 2) or stream, as ``datasets`` writes it.

    Raises:
        DataError: the file is missing, damaged or cut short.
    """
    need("parquet", f"Reading {path}")
    check_file(path)
    with _arrow(path, lambda: None), _ipc(path) as (schema, _):
        names = list(schema.names)

    def batches(_: list[str]) -> Iterator[Any]:
        with _ipc(path) as (_schema, found):
            yield from found

    return Frame("Arrow", names, lambda columns: _arrow_rows(batches(columns), columns, path), path)


def open_dataset(dataset: Any, name: str = "data") -> Frame:
    """Read a ``datasets.Dataset``; only the needed columns are decoded."""

    def rows(columns: list[str]) -> Rows:
        # Without the selection datasets would decode images and audio of unused columns.
        chosen = dataset.select_columns(list(dict.fromkeys(columns))).with_format("arrow")
        return _arrow_rows(chosen.iter(batch_size=BATCH), columns, name)

    return Frame("Hugging Face dataset", list(dataset.column_names), rows)


def open_pandas(frame: Any) -> Frame:
    """Read a ``pandas.DataFrame``; None, NaN and NA are missing values."""
    names = [str(name) for name in frame.columns]

    def rows(columns: list[str]) -> Rows:
        # By position: a frame may have columns with one name; the first counts.
        at = {name: place for place, name in reversed(list(enumerate(names)))}
        for begin in range(0, len(frame), BATCH):
            part = frame.iloc[begin : begin + BATCH]
            found = [part.iloc[:, at[name]] for name in columns]
            values = [series.astype(object).where(series.notna(), None).tolist() for series in found]
            yield from enumerate(zip(*values, strict=True), start=begin + 1)

    return Frame("pandas frame", names, rows)


def open_polars(frame: Any) -> Frame:
    """Read a ``polars.DataFrame``, or a ``LazyFrame``, collected in batches if the version of polars can."""
    lazy = is_a(frame, "polars", "LazyFrame")
    names = list(frame.collect_schema().names())

    def parts(columns: list[str]) -> Iterable[Any]:
        chosen = frame.select(list(dict.fromkeys(columns)))
        if lazy and hasattr(chosen, "collect_batches"):
            return chosen.collect_batches(maintain_order=True)  # type: ignore[no-any-return]
        return [chosen.collect() if lazy else chosen]

    def rows(columns: list[str]) -> Rows:
        number = 1
        try:
            for part in parts(columns):
                for piece in part.iter_slices(BATCH):
                    values = [piece.get_column(name).to_list() for name in columns]
                    yield from enumerate(zip(*values, strict=True), start=number)
                    number += piece.height
        except sys.modules["polars"].exceptions.PolarsError as error:
            raise DataError(f"polars cannot compute the frame ({error}).", "data", number) from None

    return Frame("polars frame", names, rows)


def frame_of(value: Any) -> Frame | None:
    """Open a data frame, table, dataset or dict of columns, with None for missing values; return None for other values.

    >>> frame = frame_of({"id": [1, 2], "text": ["sea", "moon"]})
    >>> list(frame.records())[0]
    (1, {'id': 1, 'text': 'sea'})
    """
    if is_a(value, "datasets", "Dataset"):
        return open_dataset(value)
    if is_a(value, "pandas", "DataFrame"):
        return open_pandas(value)
    if is_a(value, "polars", "DataFrame", "LazyFrame"):
        return open_polars(value)
    if is_a(value, "pyarrow", "Table"):
        return Frame("Arrow table", list(value.column_names), lambda columns: _arrow_rows([value], columns, "data"))
    is_columns = isinstance(value, Mapping) and value and all(as_list(values) is not None for values in value.values())
    return open_columns(value) if is_columns else None


def open_columns(columns: Mapping[str, Any]) -> Frame:
    """Read a dict of columns: lists of one length by name.

    Raises:
        DataError: a column is no list, or differs in length from the first.
    """
    way_out = "a dict of columns has lists of one length; give rows as a list of dicts."
    lists: dict[str, Sequence[Any]] = {}
    for name, values in columns.items():
        if (found := as_list(values)) is None:
            raise DataError(f"column {name} is no list: {way_out}")
        lists[name] = found
        first, length = next((other, len(known)) for other, known in lists.items())
        if len(found) != length:
            raise DataError(f"column {name} has {len(found)} values where {first} has {length}: {way_out}")

    def rows(names: list[str]) -> Rows:
        return enumerate(zip(*(lists[name] for name in names), strict=True), start=1)

    return Frame("dict of columns", list(lists), rows)


def _parquet(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path)


@contextmanager
def _ipc(path: Path) -> Iterator[tuple[Any, Iterator[Any]]]:
    """The schema and the record batches of an IPC file or stream."""
    import pyarrow as pa

    with pa.OSFile(str(path), "rb") as file:
        # ``datasets`` writes streams, Feather is the file format: only an attempt shows which it is.
        try:
            reader = pa.ipc.open_file(file)
        except pa.ArrowInvalid:
            _check_stream(path)
            file.seek(0)
            stream = pa.ipc.open_stream(file)
            with closing(stream):
                yield stream.schema, iter(stream)
        else:
            yield reader.schema, (reader.get_batch(at) for at in range(reader.num_record_batches))


def _check_stream(path: Path) -> None:
    """Refuse a stream without its end mark: one cut between two batches would seem whole."""
    with path.open("rb") as file:
        file.seek(-min(len(_END_OF_STREAM), path.stat().st_size), 2)
        if file.read() != _END_OF_STREAM:
            raise DataError("is damaged or cut short: write it again.", path)


@contextmanager
def _arrow(path: Path | str, row: Callable[[], int | None]) -> Iterator[None]:
    """Turn Arrow's errors into ones that name the file and row."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split("\n")[0][:200]
        raise DataError(f"is damaged or cut short ({reason}): write it again.", path, row()) from None


def _arrow_rows(batches: Iterable[Any], columns: list[str], where: Path | str) -> Rows:
    """The rows of record batches or tables."""
    number = 1
    with _arrow(where, lambda: number):
        for whole in batches:
            # A table in memory, and some record batches, are one block of all rows: these are cut too.
            for begin in range(0, whole.num_rows, BATCH):
                part = whole.slice(begin, BATCH)
                values = [_values(part.column(name), name, where, number) for name in columns]
                yield from enumerate(zip(*values, strict=True), start=number)
                number += part.num_rows


def _values(column: Any, name: str, where: Path | str, number: int) -> list[Any]:
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except (ValueError, OverflowError):  # a text is not UTF-8, or a date is beyond Python's: find it
        for at in range(len(column)):
            try:
                column[at].as_py()
            except (ValueError, OverflowError) as error:
                raise DataError(f"column {name} cannot be read ({error}).", where, number + at) from None
        raise


Placed = Iterator[tuple[int, Any]]

_HEAD = 100  # Python rows looked at before any is read
_LABEL = "document, label"


def open_rows(items: Iterable[Any], choices: ColumnChoices, name: str = "data") -> Source:
    """Read Python rows from any iterable, each only once.

    Raises:
        DataError: there is no row, or the first is neither a dict nor a tuple.
    """
    stream = enumerate(iter(items), start=1)
    head = list(islice(stream, _HEAD))
    if not head:
        raise DataError("The training data is empty: it holds no row.")
    first = head[0][1]
    if _fields(first) is None:
        return open_tuples(chain(head, stream), first, choices, name)
    rows = _named(chain(head, stream), name)
    known = [next(rows) for _ in head]
    # An iterator can be read once, and the source reads its head twice.
    again = [iter(known), chain(known, rows)]  # the first for the look at the head, the second to read
    return LooseSource(name, lambda: again.pop(0), choices, what="dicts", peek=len(head) + (len(head) < _HEAD))


def open_tuples(rows: Placed, first: Any, choices: ColumnChoices, name: str) -> Source:
    """Read tuples: (query, positive), (query, document, label) or (query, positive, negative, ...).

    A text in the third place is a label if it is a word for one (:mod:`~tardif.data.formats.column_names`). All rows
    must agree, so that the order of the rows has no effect.

    Args:
        rows: the rows with their places.
        first: the first of them.
        choices: the user's choice, which cannot name columns here.
        name: the source, for messages.

    Raises:
        DataError: the first is no such row, or columns are chosen by name.
    """
    expected = _tuple_kind(first, name, 1, choices)
    if choices.chosen or choices.group_by:
        raise DataError("rows that are tuples have no named columns: give dicts, or leave columns and group out.")

    def checked(_: list[str]) -> Rows:
        for place, row in rows:
            kind = _tuple_kind(row, name, place, choices)
            if kind != expected:
                third = f", by its third item {shown(row[2])}," if len(row) == 3 else ""
                what = f"this row is (query, {kind}){third} and the first was (query, {expected})"
                raise DataError(f"{what}: give one shape, or dicts with named columns.", name, place)
            yield place, row

    negatives = [f"negative_{number}" for number in range(1, len(first) - 1)]
    names = ("query", "document", "label") if expected == _LABEL else ("query", "positive", *negatives)
    source = TableSource(name, names, checked, ColumnChoices.of(None, None), what="tuples")
    # Tuples have no names by which a user could choose columns.
    source.columns = {"label": (THIRD,)} if expected == _LABEL else {"positive": ()}
    return source


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


def _tuple_kind(row: Any, name: str, place: int, choices: ColumnChoices) -> str:
    """The kind of a tuple: the roles of the items after the query."""
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
    if len(further) == 1 and _is_label(further[0], choices):
        return _LABEL
    if not all(isinstance(item, str | list | tuple) for item in further):
        raise DataError("after a tuple's positive must come one label, or texts of negatives.", name, place)
    return ", ".join(["positive", *["negative"] * len(further)])


def _is_label(third: Any, choices: ColumnChoices) -> bool:
    """Whether the third item is a label of the document, and not the text of a negative."""
    if isinstance(third, str):
        return choices.positive_label is not None or label_word(third) is not None
    items = as_list(third)
    return items is None or (len(items) > 0 and all(not isinstance(i, str) or _is_label(i, choices) for i in items))
