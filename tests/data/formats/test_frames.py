"""Frames and datasets in memory read as the same rows on disk do."""

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tardif.data.formats import held_out_sources, open_source
from tardif.data.records import Judgement
from tardif.errors import DataError

ROWS = {"query": ["a", "b"], "positive": ["c", "d"], "negatives": [["e", "f"], ["g"]], "id": [1, 2]}
JUDGED = [
    Judgement("a", "c", "positive", 1),
    Judgement("a", "e", "negative", 1),
    Judgement("a", "f", "negative", 1),
    Judgement("b", "d", "positive", 2),
    Judgement("b", "g", "negative", 2),
]


def read(source, **options):
    return list(open_source(source, **options).judgements())


@pytest.mark.parametrize(
    "source",
    [
        datasets.Dataset.from_dict(ROWS),
        datasets.DatasetDict(train=datasets.Dataset.from_dict(ROWS)),
        datasets.Dataset.from_dict(ROWS).to_iterable_dataset(),
        datasets.IterableDatasetDict(train=datasets.Dataset.from_dict(ROWS).to_iterable_dataset()),
        pd.DataFrame(ROWS, index=[7, 7]),
        pd.DataFrame({**ROWS, "negatives": [np.array(["e", "f"]), ("g",)]}).astype({"query": "category"}),
        pl.DataFrame(ROWS),
        pl.DataFrame(ROWS).lazy(),
        pa.table(ROWS),
    ],
    ids=lambda source: f"{type(source).__module__}.{type(source).__name__}",
)
def test_every_frame(source):
    opened = open_source(source)
    assert "query from query, positive from positive, negative from negatives; not used: id" in opened.shape
    assert list(opened.judgements()) == JUDGED
    assert opened.shape.endswith("(2 rows)")


def test_rows_are_numbered_through_batches():
    numbers = [str(number) for number in range(5001)]
    table = {"query": numbers, "answer": numbers}
    for source in (datasets.Dataset.from_dict(table), pd.DataFrame(table), pl.DataFrame(table).lazy(), pa.table(table)):
        found = read(source)
        assert [item.place for item in found] == list(range(1, 5002))
        assert [item.query for item in found] == numbers


def test_pandas_missing_values_are_missing():
    frame = pd.DataFrame({"query": ["a", "b"], "answer": ["c", "d"], "negative": [None, "e"]})
    assert [item.document for item in read(frame)] == ["c", "d", "e"]
    for column in ("query", "answer"):  # as an empty cell of a CSV file
        assert read(frame.assign(**{column: ["x", np.nan]})) == read(frame.assign(**{column: ["x", ""]}))
    with pytest.raises(DataError, match="column label is missing"):
        read(pd.DataFrame({"query": ["a"], "answer": ["b"], "label": [np.nan]}))
    with pytest.raises(DataError, match="must be text, and is a number"):
        read(pd.DataFrame({"query": ["a", 3], "answer": ["b", "c"]}))


def test_labels_keep_their_numbers():
    frame = pd.DataFrame({"query": ["a", "b"], "answer": ["c", "d"], "label": np.array([1, 0], dtype=np.int8)})
    labels = [item.label for item in read(frame)]
    assert labels == [1, 0]
    assert {type(label) for label in labels} == {int}


def test_a_null_in_a_column_is_an_empty_text():
    found = read(pl.DataFrame({"query": ["a", None], "answer": ["b", "c"]}))
    assert [(item.query, item.place) for item in found] == [("a", 1), ("", 2)]


def test_a_dataset_dict_needs_its_split():
    found = datasets.DatasetDict({name: datasets.Dataset.from_dict(ROWS) for name in ("train", "test", "validation")})
    with pytest.raises(DataError, match=r"no split dev \(it has: train, test, validation\)"):
        open_source(found, split="dev")
    assert [source.name for source in held_out_sources(found)] == ["data (validation)"]
    assert list(held_out_sources(found)[0].judgements()) == JUDGED
    assert held_out_sources(found, split="validation") == []


def test_saved_datasets_and_parquet_shards(tmp_path):
    found = datasets.DatasetDict({name: datasets.Dataset.from_dict(ROWS) for name in ("train", "validation")})
    datasets.disable_progress_bars()
    found.save_to_disk(tmp_path / "dict")
    found["train"].save_to_disk(tmp_path / "one")
    datasets.enable_progress_bars()
    (tmp_path / "hub" / "data").mkdir(parents=True)
    found["train"].select([0]).to_parquet(tmp_path / "hub" / "data" / "train-00000-of-00002.parquet")
    found["train"].select([1]).to_parquet(tmp_path / "hub" / "data" / "train-00001-of-00002.parquet")
    found["validation"].to_parquet(tmp_path / "hub" / "data" / "validation-00000-of-00001.parquet")
    for name in ("dict", "one", "hub"):
        assert read(tmp_path / name) == JUDGED
        held = held_out_sources(tmp_path / name)
        assert [source.name for source in held] == ([f"{tmp_path / name} (validation)"] if name != "one" else [])
        assert all(list(source.judgements()) == JUDGED for source in held)
    with pytest.raises(DataError, match="no split test"):
        read(tmp_path / "dict", split="test")
    (tmp_path / "one" / "state.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match="no whole Hugging Face dataset"):
        read(tmp_path / "one")


def test_shards_must_agree(tmp_path):
    datasets.Dataset.from_dict(ROWS).to_parquet(tmp_path / "train-0.parquet")
    datasets.Dataset.from_dict({"query": ["a"]}).to_parquet(tmp_path / "train-1.parquet")
    with pytest.raises(DataError, match=r"train-1.parquet: has the columns query"):
        read(tmp_path)


def test_a_lazy_frame_that_cannot_be_computed(tmp_path):
    pl.DataFrame({"query": ["a"], "answer": ["b"]}).write_parquet(tmp_path / "r.parquet")
    frame = pl.scan_parquet(tmp_path / "r.parquet").with_columns(pl.col("query").str.to_integer().alias("answer"))
    with pytest.raises(DataError, match="polars cannot compute"):
        read(frame)
