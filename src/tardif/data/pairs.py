"""Judged pairs out of the shapes people have: pairs, labelled pairs, triplets; Python values or files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tardif.data.rows import Row, read_rows
from tardif.errors import DataError

QUERY_COLUMNS = ("query", "question", "anchor")
POSITIVE_COLUMNS = ("positive", "answer", "passage", "document", "context", "positives")
NEGATIVE_COLUMNS = ("negative", "negatives")
LABEL_COLUMNS = ("label", "score", "relevance")


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and a document judged for it: relevance 1 and above is relevant, 0 and below is not."""

    query: str
    document: str
    relevance: int
    where: str


def read_pairs(source: str | Path | Iterable[Any]) -> tuple[list[Pair], str]:
    """Read judged pairs from a file or from Python values.

    Args:
        source: a ``.jsonl``, ``.csv`` or ``.tsv`` file with named columns, or an iterable of
            ``(query, positive)``, ``(query, document, label)``, ``(query, positive, negative)`` or
            dicts with the same names as columns.

    Returns:
        The pairs, and one line that says what was read as what.

    Raises:
        DataError: a column is missing, a text is empty, a label is no number; says where.
    """
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        rows = read_rows(path)
        return _from_rows(rows, str(path))
    items = list(source)
    if not items:
        raise DataError("The training data is empty: it holds no row.")
    if all(isinstance(item, dict) for item in items):
        return _from_rows([Row(item, Path("data"), n) for n, item in enumerate(items, start=1)], "data")
    return _from_tuples(items)


def _from_tuples(items: Sequence[Any]) -> tuple[list[Pair], str]:
    widths = set()
    for number, item in enumerate(items, start=1):
        if isinstance(item, str) or not isinstance(item, Sequence) or len(item) not in (2, 3):
            raise DataError(
                "each row must be (query, positive), (query, document, label), (query, positive, negative) "
                "or a dict with named columns.",
                "data",
                number,
            )
        widths.add(len(item))
    if len(widths) != 1:
        raise DataError("The training data mixes rows of two and of three items: give one shape.")
    if widths == {2}:
        names = ["query", "positive"]
    elif all(_is_number(item[2]) for item in items):
        names = ["query", "document", "label"]
    else:
        names = ["query", "positive", "negative"]
    rows = [Row(dict(zip(names, item, strict=True)), Path("data"), n) for n, item in enumerate(items, start=1)]
    return _from_rows(rows, "data")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _from_rows(rows: Sequence[Row], what: str) -> tuple[list[Pair], str]:
    """Find the columns in the union of all rows' names, then read every row by them."""
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row.fields))
    query = _column(names, QUERY_COLUMNS, what)
    positive = _column(names, POSITIVE_COLUMNS, what)
    label = next((name for name in names if name.lower() in LABEL_COLUMNS), None)
    negatives = [name for name in names if _is_negative(name)]
    pairs: list[Pair] = []
    for row in rows:
        text = _text(row, query)
        relevance = 1 if label is None else _relevance(row, label)
        pairs += [Pair(text, d, relevance, f"{row.path}, line {row.line}") for d in _texts(row, positive)]
        for name in negatives:
            if row.fields.get(name) in (None, "", []):
                continue  # fewer negatives than the widest row: allowed
            pairs += [Pair(text, d, 0, f"{row.path}, line {row.line}") for d in _texts(row, name)]
    shape = f"{query} -> {positive}"
    shape += f", judged by {label}" if label else ""
    shape += f", negatives from {', '.join(negatives)}" if negatives else ""
    return pairs, f"{what}: {len(rows)} rows read as {shape}"


def _is_negative(name: str) -> bool:
    stem = name.lower().rstrip("0123456789").rstrip("_")
    return stem in NEGATIVE_COLUMNS


def _column(names: Iterable[str], known: Sequence[str], what: str) -> str:
    lowered = {name.lower(): name for name in names}
    for name in known:
        if name in lowered:
            return lowered[name]
    raise DataError(f"{what}: missing column {'|'.join(known)}; it has {', '.join(names) or 'none'}.")


def _text(row: Row, name: str) -> str:
    value = row.fields.get(name)
    if value is None:
        raise row.error(f"missing column {name}.")
    if not isinstance(value, str):
        raise row.error(f"column {name} must be text, and is {type(value).__name__}.")
    if not value.strip():
        raise row.error(f"column {name} is empty: give a text, or take the row out.")
    return value


def _texts(row: Row, name: str) -> list[str]:
    value = row.fields.get(name)
    if isinstance(value, list):
        if not value:
            raise row.error(f"column {name} is empty: a query without positive cannot be learned from.")
        return [_text(Row({name: item}, row.path, row.line), name) for item in value]
    return [_text(row, name)]


def _relevance(row: Row, name: str) -> int:
    """A label as whole relevance: what lies between 0 and 1 rounds down, as qrels are whole numbers."""
    value = row.fields.get(name)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise row.error(f"label {value!r} is no number: 1 and above is relevant, 0 is not.") from None
    if not math.isfinite(number):
        raise row.error(f"label {value!r} is no finite number.")
    return int(number // 1)
