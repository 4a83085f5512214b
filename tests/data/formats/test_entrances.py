"""The same rows give the same judgements, whichever way they come in."""

import csv
import json

import datasets
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samples import cleaned, staged, write_jsonl
from tardif.data.hygiene.cleaning import clean
from tardif.data.hygiene.rules import choose
from tardif.data.reading import LabelledReading
from tardif.data.staging import _COLUMNS

SHAPES = {
    "pairs": [("q one", "p one"), ("q two", "p two")],
    "words": [("q one", "p one", "yes"), ("q one", "p two", "No")],
    "numbers": [("q one", "p one", 2), ("q one", "p two", 0), ("q two", "p two", 1)],
    "triplets": [("q one", "p one", "n one"), ("q two", "p two", "n two")],
    "many negatives": [("q one", "p one", "n one", "n three"), ("q two", "p two", "n two", "n four")],
    "n-way": [("q one", ["p one", "n one"], [0.5, 0.25]), ("q two", ["n two", "p two"], [-1.5, 2.5])],
}
NAMES = {
    "pairs": ("query", "positive"),
    "words": ("query", "document", "label"),
    "numbers": ("query", "document", "label"),
    "triplets": ("query", "positive", "negative"),
    "many negatives": ("query", "positive", "negative_1", "negative_2"),
    "n-way": ("query", "documents", "scores"),
}


def dicts(rows, names):
    return [dict(zip(names, row, strict=True)) for row in rows]


def columns(rows, names):
    return {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


def csv_file(path, rows, names):
    with path.open("w", encoding="utf-8", newline="") as file:
        cells = ([json.dumps(value) if isinstance(value, list) else value for value in row] for row in rows)
        csv.writer(file).writerows([names, *cells])
    return path


def parquet_file(path, rows, names):
    pq.write_table(pa.table(columns(rows, names)), path)
    return path


ENTRANCES = {
    "tuples": lambda rows, names, folder: rows,
    "lists": lambda rows, names, folder: [list(row) for row in rows],
    "generator": lambda rows, names, folder: iter(rows),
    "dicts": lambda rows, names, folder: dicts(rows, names),
    "dict of lists": lambda rows, names, folder: columns(rows, names),
    "pandas": lambda rows, names, folder: pd.DataFrame(columns(rows, names)),
    "polars": lambda rows, names, folder: pl.DataFrame(columns(rows, names), strict=False),
    "arrow": lambda rows, names, folder: pa.table(columns(rows, names)),
    "datasets": lambda rows, names, folder: datasets.Dataset.from_dict(columns(rows, names)),
    "jsonl": lambda rows, names, folder: write_jsonl(folder / "r.jsonl", dicts(rows, names)),
    "jsonl of lists": lambda rows, names, folder: write_jsonl(folder / "r.jsonl", rows),
    "csv": lambda rows, names, folder: csv_file(folder / "r.csv", rows, names),
    "parquet": lambda rows, names, folder: parquet_file(folder / "r.parquet", rows, names),
}


def read(staging):
    """The rows of every table, but for where they stand: a file of CSV has a line more than it has rows."""
    return [staging.all(f"SELECT * EXCLUDE (source, place) FROM {name} ORDER BY ALL") for name in _COLUMNS]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_rows_mean_the_same_through_every_entrance(shape, tmp_path):
    found, judged = {}, {}
    for entrance, made in ENTRANCES.items():
        folder = tmp_path / entrance
        folder.mkdir()
        rows, names = SHAPES[shape], NAMES[shape]
        # Lists of numbers without a name may be labels: whoever has no name for them says what they are.
        is_nameless = shape == "n-way" and entrance in ("tuples", "lists", "generator", "jsonl of lists")
        scores = "teacher" if is_nameless else None
        with staged(made(rows, names, folder)) as staging:
            # The rules see no more than this, and they take their time: they are applied once to what is the same.
            seen = repr((scores, list(staging.columns.values()), *read(staging)))
            if seen not in judged:
                clean(staging, choose({}), LabelledReading(scores=scores))
                judged[seen] = staging.all(
                    "SELECT query_id, document_id, relevance, score FROM judged ORDER BY query_id, document_id"
                )
            found[entrance] = judged[seen]
            assert len(found[entrance]) == staging.rows
    assert all(judged == found["tuples"] for judged in found.values()), found
    assert {relevance > 0 for _, _, relevance, _ in found["tuples"]} == ({True} if shape == "pairs" else {True, False})


@pytest.mark.parametrize("order", [1, -1])
def test_the_third_of_a_tuple_is_what_all_rows_say(order):
    words = [("q", "a", "yes"), ("q", "b", "no")]
    with cleaned(words[::order]) as (staging, _):
        assert staging.all("SELECT relevance FROM judged ORDER BY relevance") == [(0,), (1,)]
    mixed = [("q", "a", "yes"), ("q", "b", "a text about something else")]
    with pytest.raises(Exception, match=r"line 2: this row is .*give one shape"), cleaned(mixed[::order]):
        pass


def test_the_third_of_a_tuple_is_a_label_where_one_is_said_to_be_positive():
    rows = [("q", "a", "good"), ("q", "b", "bad"), ("q", "c", "so-so")]
    with cleaned(rows, positive_label="good") as (staging, findings):
        assert staging.all("SELECT relevance FROM judged ORDER BY document_id, relevance").count((1,)) == 1
        assert findings.labels == "label 'good' is relevant, all others are not"
