"""What was trained on is read as documents: each text once, under the id that it has in the prepared set."""

import json

import pytest

from samples import write_jsonl
from tardif.data.document_report import DocumentReport
from tardif.data.documents import read_documents
from tardif.data.reading import Reading, reading_from
from tardif.data.training_set import TrainingSet
from tardif.errors import DataError, SettingError
from tardif.preparation import prepare_folder

FAQ = [
    {"question": "how do I log in", "answer": "press the button", "area": "web"},
    {"question": "where is the door", "answer": "on the left", "area": "shop"},
    {"question": "how to sign in", "answer": "press the button", "area": "app"},
]


def texts(documents):
    return [document.text for document in documents]


def as_csv(path, rows, separator=","):
    names = list(rows[0])
    path.write_text("".join(separator.join(map(str, line)) + "\n" for line in (names, *(row.values() for row in rows))))
    return path


@pytest.mark.parametrize("given", ["jsonl", "csv", "dicts", "tuples", "pandas", "arrow"])
def test_an_answer_is_one_document(tmp_path, given):
    import pandas as pd
    import pyarrow as pa

    makers = {
        "jsonl": lambda: write_jsonl(tmp_path / "faq.jsonl", FAQ),
        "csv": lambda: as_csv(tmp_path / "faq.csv", FAQ),
        "dicts": lambda: iter(FAQ),
        "tuples": lambda: [(row["question"], row["answer"]) for row in FAQ],
        "pandas": lambda: pd.DataFrame(FAQ),
        "arrow": lambda: pa.Table.from_pylist(FAQ),
    }
    report = DocumentReport()
    found = read_documents(makers[given](), report=report)
    assert texts(found) == ["press the button", "on the left"]
    first, second = report.lines()
    assert first == "documents read: 2 (2 from queries with documents)"
    assert "positive from" in second
    assert "1 of the 3 repeat one" in second


def test_documents_have_the_ids_of_the_prepared_set(tmp_path):
    rows = [*FAQ, {"question": "who", "answer": "we do", "area": ""}]
    source = write_jsonl(tmp_path / "faq.jsonl", rows)
    prepare_folder([source], None, tmp_path / "set", miner="none")
    assert {d.id: d.text for d in read_documents(source)} == {
        d.id: d.text for d in TrainingSet.load(tmp_path / "set").documents.values()
    }


def test_an_empty_cell_is_no_document_of_the_set_nor_of_the_index(tmp_path):
    rows = [*FAQ, {"question": "Sum", "answer": " \u00a0", "area": ""}, {"question": "Total", "answer": "", "area": ""}]
    source = write_jsonl(tmp_path / "faq.jsonl", rows)
    prepare_folder([source], None, tmp_path / "set", miner="none", on={"empty": "drop"})
    report = DocumentReport()
    found = list(read_documents(source, report=report))
    prepared = TrainingSet.load(tmp_path / "set").documents.values()
    assert {d.id: d.text for d in found} == {d.id: d.text for d in prepared}
    assert texts(found) == ["press the button", "on the left"]
    assert "2 skipped, without text: faq.jsonl, line 4, faq.jsonl, line 5" in report.lines()


def test_columns_are_named_as_for_training(tmp_path):
    rows = [{"ask": "a", "reply": "one", "id": 7}, {"ask": "b", "reply": "two", "id": 8}]
    source = write_jsonl(tmp_path / "rows.jsonl", rows)
    with pytest.raises(DataError, match=r"missing column text.*--columns text="):
        read_documents(source)
    named = reading_from({"columns": {"query": "ask", "positive": "reply"}})
    assert texts(read_documents(source, reading=named)) == ["one", "two"]
    numbered = reading_from({"columns": {"query": "ask", "positive": "reply", "document_id": "id"}})
    assert [document.id for document in read_documents(source, reading=numbered)] == ["7", "8"]


def test_labelled_pairs_and_lists_give_each_document_once(tmp_path):
    labelled = [{"query": q, "document": d, "label": n} for q, d, n in (("a", "x", 1), ("b", "x", 0), ("b", "y", 1))]
    assert texts(read_documents(labelled)) == ["x", "y"]
    scored = [{"query": "a", "documents": ["x", "y"], "scores": [1.0, 0.5]}]
    assert texts(read_documents(scored)) == ["x", "y"]
    triplets = [{"query": "a", "positive": "x", "negative_1": "y", "negative_2": "z"}]
    assert texts(read_documents(triplets)) == ["x", "y", "z"]
    without = reading_from({"columns": {"negative": None}})
    assert texts(read_documents(triplets, reading=without)) == ["x"]


def test_rows_are_documents_where_that_is_said(tmp_path):
    report = DocumentReport()
    named = Reading(columns={"text": "answer", "metadata": ["area"]})
    found = read_documents(FAQ, reading=named, report=report)
    assert [(document.text, document.metadata) for document in found] == [
        ("press the button", {}),
        ("on the left", {"area": "shop"}),
    ]
    assert "the same text as a row before with other metadata: what both have is kept: row 3" in report.lines()[-1]


def test_a_table_of_documents_with_ids_stays_one(tmp_path):
    rows = [{"id": "a", "passage": "one", "question": "who"}, {"id": "b", "passage": "one", "question": "what"}]
    assert [(document.id, document.metadata) for document in read_documents(rows)] == [
        ("a", {"question": "who"}),
        ("b", {"question": "what"}),
    ]


def test_a_collection_gives_its_corpus(tmp_path):
    folder = tmp_path / "colbert"
    folder.mkdir()
    (folder / "collection.tsv").write_text("0\tfirst passage\n1\tsecond passage\n")
    (folder / "queries.tsv").write_text("0\ta query\n")
    (folder / "triples.jsonl").write_text(json.dumps([0, 0, 1]) + "\n")
    report = DocumentReport()
    assert texts(read_documents(folder, report=report)) == ["first passage", "second passage"]
    assert report.lines()[0] == "documents read: 2 (2 from a collection)"


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"topic": "a"}, DataError, "unknown role 'topic'"),
        ("query", SettingError, "give a dict"),
        ({"text": ["", "a"]}, SettingError, "no column's name"),
        ({"query": "a", "positive": "a"}, DataError, "given for two roles"),
    ],
)
def test_columns_that_cannot_be_used_are_refused(columns, error, message):
    with pytest.raises(error, match=message):
        reading_from({"columns": columns})


def test_an_option_that_is_not_known_is_refused():
    with pytest.raises(SettingError, match=r"'colums' is not known.*columns"):
        reading_from({"colums": {}})


def test_columns_of_pairs_do_nothing_in_a_table_of_documents(tmp_path):
    source = write_jsonl(tmp_path / "corpus.jsonl", [{"id": "a", "text": "one"}])
    with pytest.raises(DataError, match="table of documents, which has no query"):
        read_documents(source, reading=reading_from({"columns": {"query": "ask"}}))
    with pytest.raises(DataError, match="no row has the column body"):
        read_documents(source, reading=reading_from({"columns": {"text": "text", "title": "body"}}))
    with pytest.raises(SettingError, match="text are columns of documents"):
        prepare_folder([FAQ], None, tmp_path / "set", columns={"text": "body"})
