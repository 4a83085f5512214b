"""Columnar data in batches of rows: Parquet, Arrow IPC, Hugging Face datasets, pandas, polars.

Nothing here imports a library that the caller's value does not come from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tardif.data.formats.files import check_file
from tardif.data.formats.values import as_list
from tardif.errors import DataError

BATCH = 2000
"""Rows turned into Python values at a time."""

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"

Rows = Iterator[tuple[int, Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class Frame:
    """Columns by name, and the rows of some of them, each with its number."""

    what: str
    names: list[str]
    rows: Callable[[list[str]], Rows]


def is_a(value: Any, module: str, *names: str) -> bool:
    """Whether a value is of one of these classes, without importing their module."""
    found = sys.modules.get(module)
    return found is not None and isinstance(value, tuple(getattr(found, name) for name in names))


def open_parquet(paths: Sequence[Path], where: Path) -> Frame:
    """Read Parquet files of one schema as one table; rows are numbered through them.

    Raises:
        DataError: a file is missing, damaged, or names other columns than the first.
    """
    names: list[str] | None = None
    for path in paths:
        check_file(path)
        with _arrow(path, lambda: None), _parquet(path) as file:
            found = list(file.schema_arrow.names)
        if names is not None and sorted(found) != sorted(names):
            raise DataError(f"has the columns {', '.join(found)}, and {paths[0].name} has {', '.join(names)}.", path)
        names = names or found

    def batches(columns: list[str]) -> Iterator[Any]:
        for path in paths:
            with _parquet(path) as file:
                yield from file.iter_batches(batch_size=BATCH, columns=columns)

    return Frame("Parquet", names or [], lambda columns: _arrow_rows(batches(columns), columns, where))


def open_ipc(path: Path) -> Frame:
    """Read an Arrow IPC file (Feather 2) or stream, as ``datasets`` writes it.

    Raises:
        DataError: the file is missing, damaged or cut short.
    """
    check_file(path)
    with _arrow(path, lambda: None), _ipc(path) as (schema, _):
        names = list(schema.names)

    def batches(_: list[str]) -> Iterator[Any]:
        with _ipc(path) as (_schema, found):
            yield from found

    return Frame("Arrow", names, lambda columns: _arrow_rows(batches(columns), columns, path))


def open_arrow(table: Any) -> Frame:
    """Read a ``pyarrow.Table``."""
    return Frame("Arrow table", list(table.column_names), lambda columns: _arrow_rows([table], columns, "data"))


def open_dataset(dataset: Any, name: str = "data") -> Frame:
    """Read a ``datasets.Dataset``; other columns than those asked for are not decoded."""

    def rows(columns: list[str]) -> Rows:
        chosen = dataset.select_columns(list(dict.fromkeys(columns))).with_format("arrow")
        return _arrow_rows(chosen.iter(batch_size=BATCH), columns, name)

    return Frame("Hugging Face dataset", list(dataset.column_names), rows)


def open_pandas(frame: Any) -> Frame:
    """Read a ``pandas.DataFrame``; its missing values (None, NaN, NA) are missing."""
    names = [str(name) for name in frame.columns]

    def rows(columns: list[str]) -> Rows:
        begin = 0
        at = {name: place for place, name in reversed(list(enumerate(names)))}
        positions = [at[name] for name in columns]
        while begin < len(frame):
            part = frame.iloc[begin : begin + BATCH]
            values = []
            for position in positions:
                series = part.iloc[:, position]
                there = series.notna().tolist()
                pairs = zip(series.astype(object).tolist(), there, strict=True)
                values.append([value if is_there else None for value, is_there in pairs])
            yield from enumerate(zip(*values, strict=True), start=begin + 1)
            begin += len(part)

    return Frame("pandas frame", names, rows)


def open_polars(frame: Any) -> Frame:
    """Read a ``polars.DataFrame``, or a ``LazyFrame``, which is collected in batches where polars can."""
    lazy = is_a(frame, "polars", "LazyFrame")
    names = list(frame.collect_schema().names())

    def parts(columns: list[str]) -> Iterable[Any]:
        chosen = frame.select(list(dict.fromkeys(columns)))
        if not lazy:
            return [chosen]
        if hasattr(chosen, "collect_batches"):
            return chosen.collect_batches(maintain_order=True)  # type: ignore[no-any-return]
        return [chosen.collect()]

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
    """A data frame, table, dataset or dict of columns as rows whose missing values are None; None for anything else."""
    if is_a(value, "datasets", "Dataset"):
        return open_dataset(value)
    if is_a(value, "pandas", "DataFrame"):
        return open_pandas(value)
    if is_a(value, "polars", "DataFrame", "LazyFrame"):
        return open_polars(value)
    if is_a(value, "pyarrow", "Table"):
        return open_arrow(value)
    is_columns = isinstance(value, Mapping) and value and all(as_list(values) is not None for values in value.values())
    return open_columns(value) if is_columns else None


def open_columns(columns: Mapping[str, Any]) -> Frame:
    """Read a dict of columns: lists of one length by name.

    Raises:
        DataError: a column is no list, or has another length than the first.
    """
    lists = {name: as_list(values) for name, values in columns.items()}
    first = next(iter(lists), "")
    for name, values in lists.items():
        if values is None or len(values) != len(lists[first] or ()):
            what = (
                "is no list"
                if values is None
                else f"has {len(values)} values where {first} has {len(lists[first] or ())}"
            )
            raise DataError(
                f"column {name} {what}: a dict of columns has lists of one length; give rows as a list of dicts."
            )

    def rows(names: list[str]) -> Rows:
        return enumerate(zip(*(lists[name] or () for name in names), strict=True), start=1)

    return Frame("dict of columns", list(lists), rows)


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield file


@contextmanager
def _ipc(path: Path) -> Iterator[tuple[Any, Iterator[Any]]]:
    """The schema and the record batches of an IPC file or stream."""
    import pyarrow as pa

    with pa.OSFile(str(path), "rb") as file:
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
    """Refuse a stream without its end mark: cut between two batches it would read as whole."""
    with path.open("rb") as file:
        file.seek(-min(len(_END_OF_STREAM), path.stat().st_size), 2)
        if file.read() != _END_OF_STREAM:
            raise DataError("is no whole Arrow file: it is damaged or cut short; write it again.", path)


@contextmanager
def _arrow(path: Path | str, row: Callable[[], int | None]) -> Iterator[None]:
    """Say what Arrow has against a file, and where."""
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
            for begin in range(0, whole.num_rows, BATCH):
                part = whole.slice(begin, BATCH)
                values = [_values(part.column(name), name, where, number) for name in columns]
                yield from enumerate(zip(*values, strict=True), start=number)
                number += part.num_rows


def _values(column: Any, name: str, where: Path | str, number: int) -> list[Any]:
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except (ValueError, OverflowError):  # a text that is not UTF-8, a date that Python has not: find it
        for at in range(len(column)):
            try:
                column[at].as_py()
            except (ValueError, OverflowError) as error:
                raise DataError(f"column {name} cannot be read ({error}).", where, number + at) from None
        raise
