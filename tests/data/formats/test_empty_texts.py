"""Empty texts and numbers in tables of documents and lists of queries: one rule, whatever the format."""

import csv
from decimal import Decimal

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samples import write_beir, write_jsonl
from tardif.data.document_report import DocumentReport
from tardif.data.documents import read_documents
from tardif.data.queries import read_queries, stream_queries
from tardif.data.reading import Reading
from tardif.errors import DataError
from tardif.preparation import prepare
from tardif.types import Document
from workbooks import sheet, write_workbook

TITLED = {"id": "a", "title": "the sea", "text": None}
NUMBERS = {"id": "b", "title": 1984, "text": "a year"}
NAMED = {"id": "c", "title": None, "text": None}
NAMELESS = {"id": None, "title": None, "text": None}


def texts(rows):
    """The rows with their numbers as texts, for formats with one type in each column."""
    return [{name: None if value is None else str(value) for name, value in row.items()} for row in rows]


def csv_file(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def parquet_file(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def workbook(path, rows):
    cells = [list(row.values()) for row in rows]
    write_workbook(path, {"rows": sheet([list(rows[0]), *cells])})
    return path


ENTRANCES = {
    "dicts": lambda rows, folder: rows,
    "jsonl": lambda rows, folder: write_jsonl(folder / "rows.jsonl", rows),
    "csv": lambda rows, folder: csv_file(folder / "rows.csv", rows),
    "xlsx": lambda rows, folder: workbook(folder / "rows.xlsx", rows),
    "parquet": lambda rows, folder: parquet_file(folder / "rows.parquet", texts(rows)),
    "pandas": lambda rows, folder: pd.DataFrame(rows),
    "polars": lambda rows, folder: pl.DataFrame(texts(rows)),
}
through = pytest.mark.parametrize("entrance", ENTRANCES)


@through
def test_with_an_id_or_a_title_the_text_may_be_missing(entrance, tmp_path):
    report = DocumentReport()
    found = read_documents(ENTRANCES[entrance]([TITLED, NUMBERS, NAMED], tmp_path), report=report)
    assert found == [Document("a", "", "the sea"), Document("b", "a year", "1984"), Document("c", "")]
    assert "1 without text or title, so never found: c" in report.lines()


@pytest.mark.parametrize("blank", [None, "", " \t"])
@through
def test_without_any_of_them_it_is_refused_and_can_be_left_out(entrance, blank, tmp_path):
    # The year keeps the row from being blank, which tables of text leave out anyway.
    rows = [{"text": "one", "year": "1"}, {"text": blank, "year": "2"}, {"text": "three", "year": "3"}]
    given = ENTRANCES[entrance](rows, tmp_path)
    with pytest.raises(DataError, match=r"line [23]: the document is empty.*\(--on empty=drop\)"):
        read_documents(given)
    report = DocumentReport()
    found = read_documents(given, reading=Reading(on={"empty": "drop"}), report=report)
    assert [document.text for document in found] == ["one", "three"]
    assert [note.reason for note in report.notes] == ["without text, title and id"]


@pytest.mark.parametrize(
    ("value", "text"), [(7, "7"), (7.0, "7"), (0.5, "0.5"), (Decimal("19.50"), "19.5"), (float("nan"), ""), (-3, "-3")]
)
def test_a_number_is_the_text_that_a_table_of_text_would_hold(value, text):
    assert read_documents([{"id": "a", "title": value, "text": value}]) == [Document("a", text, text)]


@pytest.mark.parametrize("value", [True, b"a", ["a"], {"a": 1}, 10**5000], ids=lambda value: type(value).__name__)
def test_what_is_neither_text_nor_number_is_refused(value):
    for row in ({"id": "a", "text": value}, {"id": "a", "text": "a", "title": value}):
        with pytest.raises(DataError, match="must be text"):
            read_documents([row])


PAIRS = [{"query": f"what is thing{n}?", "positive": f"thing{n} is of kind {n % 7}"} for n in range(20)]


@pytest.mark.parametrize("empty", [{"text": None, "year": 1}, {"text": " ", "year": 1}])
def test_prepare_drops_and_counts_them(empty, tardif, fails, tmp_path):
    pairs = write_jsonl(tmp_path / "pairs.jsonl", PAIRS)
    documents = write_jsonl(tmp_path / "documents.jsonl", [*({"text": row["positive"]} for row in PAIRS), empty])
    given = ("prepare", pairs, "--documents", documents, "--miner", "none", "--out", tmp_path / "set")
    assert "documents.jsonl, line 21: the document is empty" in fails(*given, "--quiet")
    code, _, err = tardif(*given, "--on", "empty=drop")
    assert code == 0
    assert "1 skipped, without text, title and id: documents.jsonl, line 21" in err
    assert '"place": 21' in (tmp_path / "set" / "report.jsonl").read_text("utf-8")


@pytest.mark.parametrize("text", [None, ""])
def test_a_collection_may_hold_them_and_they_are_counted(text, tmp_path):
    corpus = [
        {"_id": "d1", "text": "cats chase mice"},
        {"_id": "d2", "text": text},
        {"_id": "d3", "title": 1, "text": "b"},
    ]
    folder = write_beir(tmp_path / "beir", corpus=corpus, qrels={"train": "q1\td1\t1\nq2\td3\t1\n"})
    data = prepare([folder], miner="none", validation=0)
    assert data.documents["d2"].content == ""
    assert data.documents["d3"].title == "1"
    assert "1 documents have neither text nor title, so they are never found" in data.report


@pytest.mark.parametrize("text", [None, "", " "])
def test_a_listed_query_without_text_concerns_the_rule_empty(text, tmp_path):
    rows = [{"query_id": str(n), "document_id": str(n)} for n in range(20)]
    documents = [{"id": n, "text": row["positive"]} for n, row in enumerate(PAIRS)]
    queries = write_jsonl(
        tmp_path / "queries.jsonl", [{"id": n, "text": text if n == 3 else f"{n}?"} for n in range(20)]
    )
    with pytest.raises(DataError, match=r"a query or document without text \(1 in all\).*empty=drop"):
        prepare([rows], documents, queries=queries, miner="none")
    kept = prepare([rows], documents, queries=queries, miner="none", on={"empty": "drop"})
    assert len(kept.queries) == 19
    with pytest.raises(DataError, match=r"line 4: the query's text is empty"):
        read_queries(queries)


def test_a_number_is_a_query_as_in_csv():
    assert [query.text for _, query in stream_queries([{"id": 1, "query": 1984}, ("2", 7)])] == ["1984", "7"]
