"""Decimals, as databases write numbers, mean what the same numbers mean in any other column."""

from decimal import Decimal

import datasets
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samples import write_jsonl
from tardif.data.formats import open_source
from tardif.data.formats.values import Cell
from tardif.errors import DataError
from tardif.preparation import prepare

DOCUMENTS = [{"id": n, "text": f"the story of ship {n}"} for n in range(20)]
QUERIES = [{"id": n, "text": f"what of ship {n}?"} for n in range(20)]
SHAPES = {
    "grades": [{"query_id": n, "document_id": (n + k) % 20, "label": 1 - k} for n in range(20) for k in (0, 1)],
    "scores": [{"query": f"q{n}", "positive": f"p{n}{k}", "score": 0.75 - k / 2} for n in range(20) for k in (0, 1)],
    "clicks": [{"query": f"q{n}", "positive": f"p{n}", "clicks": 3, "impressions": 4 + n} for n in range(20)],
    "n-way": [{"query": f"q{n}", "documents": [f"a{n}", f"b{n}"], "scores": [0.5, 0.25]} for n in range(20)],
    "groups": [{"query": f"q{n}", "positive": f"p{n}", "group": n // 2} for n in range(20)],
}
OPTIONS = {"scores": {"scores": 0.5}, "groups": {"group_by": "group"}, "grades": {"queries": QUERIES}}


def decimal(value):
    if isinstance(value, list):
        return [decimal(item) for item in value]
    return value if isinstance(value, str) else Decimal(str(value)).quantize(Decimal("0.01"))


def decimals(rows):
    return [{name: decimal(value) for name, value in row.items()} for row in rows]


def parquet_file(rows, folder):
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    return folder / "rows.parquet"


ENTRANCES = {
    "dicts": lambda rows, folder: rows,
    "parquet": parquet_file,
    "pandas": lambda rows, folder: pd.DataFrame(rows),
    "polars": lambda rows, folder: pl.DataFrame(rows),
    "datasets": lambda rows, folder: datasets.Dataset(pa.Table.from_pylist(rows)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_decimals_make_the_set_of_the_same_numbers(shape, tmp_path):
    def made(source, documents):
        given = None if shape != "grades" else documents
        return prepare([source], given, miner="none", near=False, **OPTIONS.get(shape, {}))

    expected = made(SHAPES[shape], DOCUMENTS)
    for entrance, source in ENTRANCES.items():
        found = made(source(decimals(SHAPES[shape]), tmp_path), decimals(DOCUMENTS))
        assert found.examples == expected.examples, entrance
        assert found.qrels == expected.qrels, entrance
        assert found.split == expected.split, entrance


def test_of_tuples_the_third_may_be_a_decimal():
    found = open_source([("q", "d", Decimal("1")), ("q", "e", Decimal("0"))]).judgements()
    assert [(judgement.role, judgement.label) for judgement in found] == [("labelled", 1), ("labelled", 0)]


@pytest.mark.parametrize("value", [Decimal("Infinity"), Decimal("1e999999999")])
def test_what_no_number_holds_is_refused_at_once(value):
    cell = Cell(value, "score", "rows.csv", 1)
    for read in (cell.score, cell.label, cell.identity, cell.count):
        with pytest.raises(DataError, match="rows.csv, line 1: column score"):
            read()


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("sNaN")])
def test_no_number_is_a_missing_value(value):
    assert Cell(value, "id", "rows.csv", 1).identity() is None


def test_json_numbers_stay_what_they_are(tmp_path):
    rows = write_jsonl(tmp_path / "rows.jsonl", SHAPES["scores"])
    assert {j.label for j in open_source(rows).judgements()} == {0.25, 0.75}
