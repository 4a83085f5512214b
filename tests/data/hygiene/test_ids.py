"""Values that are ids of the documents or queries stand for them; what is neither id nor text is refused."""

import re

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from samples import cleaned, refusal, reported, write_jsonl
from tardif.errors import DataError
from tardif.preparation import prepare
from tardif.types import Document, Query

DOCUMENTS = [Document(f"kb-{n}", f"a text about the thing {n}") for n in range(8)]
NUMBERED = [Document(str(n), f"a text about the thing {n}") for n in range(8)]
ROWS = [{"query": f"what is thing {n}", "doc": f"kb-{n}"} for n in range(6)]


def judged(staging):
    return staging.all("SELECT document_id, relevance FROM judged ORDER BY document_id")


@pytest.mark.parametrize("role", ["positive", "document_id", "documents"])
def test_ids_of_the_documents_are_joined_whatever_their_column_is_said_to_be(role):
    rows = [{**row, "label": 1} for row in ROWS]
    with cleaned(rows, columns={role: "doc"}, documents=DOCUMENTS) as (staging, findings):
        assert judged(staging) == [(f"kb-{n}", 1) for n in range(6)]
        assert staging.one("SELECT count(*) FROM texts") == len(DOCUMENTS)
        joined = "the 6 values of column doc are ids of the documents: joined"
        assert findings.lines == ([] if role == "document_id" else [joined])


def test_negatives_and_queries_that_are_ids_are_joined():
    rows = [{"query": "q7", "positive": "kb-1", "negatives": ["kb-2", "kb-3"]}]
    queries = [Query("q7", "what is thing 1"), Query("q8", "what is thing 2")]
    with cleaned(rows, documents=DOCUMENTS, queries=queries) as (staging, findings):
        assert judged(staging) == [("kb-1", 1), ("kb-2", 0), ("kb-3", 0)]
        assert staging.all("SELECT id, text FROM asked") == [("q7", "what is thing 1")]
        assert [line.split(" are ids of the ")[1] for line in findings.lines] == ["documents: joined"] * 2 + [
            "queries: joined"
        ]


def test_a_text_of_the_corpus_is_that_document_whatever_it_looks_like():
    documents = [Document("kb-1", "E-404"), Document("E-404", "what the number means")]
    with cleaned([("an error", "E-404")], documents=documents) as (staging, findings):
        assert judged(staging) == [("kb-1", 1)]
        assert findings.lines == ["1 of 1 positives found in the documents"]


MIXED = [*ROWS[:2], {"query": "what is thing 7", "doc": "a text of its own, with words"}]


def test_a_column_of_ids_and_texts_is_refused_with_ways_out_that_work(tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl", MIXED)
    with pytest.raises(DataError) as refused, cleaned(path, columns={"positive": "doc"}, documents=DOCUMENTS):
        pass
    for said in (
        "line 1: column doc holds 2 ids of the documents, such as 'kb-0', and 1 other values, such as 'a text of its",
        "in line 3",
        "(--columns document_id=doc)",
        "--on id-as-text=join",
        "id-as-text=keep",
    ):
        assert said in str(refused.value)
    for action, texts, used in (("join", 9, 3), ("keep", 11, 3), ("drop", 11, 1)):
        rule = {"id-as-text": action}
        with cleaned(path, columns={"positive": "doc"}, documents=DOCUMENTS, on=rule) as (staging, findings):
            assert (staging.one("SELECT count(*) FROM texts"), len(judged(staging))) == (texts, used)
            assert findings.counts.get("id-as-text") == (2 if action == "drop" else None)
            assert sum(row["rule"] == "id-as-text" for row in reported(staging)) == 3 - used
    both = {"documents": DOCUMENTS, "columns": {"document_id": "doc"}, "on": {"unknown-id": "drop"}}
    with cleaned(path, **both) as (staging, _):
        assert len(judged(staging)) == 2


def test_a_column_of_ids_of_which_some_are_not_known_is_refused_or_left_out():
    rows = [*ROWS, {"query": "what is thing 9", "doc": "kb-9"}]
    for role in ("positive", "document_id"):
        reading = {"columns": {role: "doc"}, "documents": DOCUMENTS}
        said = refusal(rows, **reading)
        assert re.search(r"line 7: the document id 'kb-9' .*1 row, 1 id: .*unknown-id=drop", said)
        with cleaned(rows, on={"unknown-id": "drop"}, **reading) as (staging, findings):
            assert len(judged(staging)) == 6 and findings.counts == {"unknown-id": 1}
            assert [(row["rule"], row["place"], row["document_id"]) for row in reported(staging)] == [
                ("unknown-id", 7, "kb-9")
            ]


def test_what_looks_like_ids_and_is_none_is_refused():
    rows = [(f"what is thing {n}", f"article/{n}") for n in range(4)]
    assert re.search(
        r"look like ids, such as 'article/0'.*ids like 'kb-0'.*id-as-text=keep", refusal(rows, documents=DOCUMENTS)
    )
    with cleaned(rows, documents=DOCUMENTS, on={"id-as-text": "keep"}) as (staging, findings):
        assert len(judged(staging)) == 4 and not any(" ids " in line for line in findings.lines)
    with cleaned(rows) as (_, findings):
        assert findings.lines[0].startswith("the documents look like ids, such as 'article/0', and are read as texts")
    words = [("what is the capital", "Paris"), ("and of Italy", "Rome")]  # words are answers
    with cleaned(words, documents=DOCUMENTS) as (staging, findings):
        assert len(judged(staging)) == 2 and not any(" ids " in line for line in findings.lines)


def test_ids_without_documents_ask_for_them():
    for name in ("doc_id", "articleId", "docid", "page_ids"):
        rows = [{"query": row["query"], name: row["doc"]} for row in ROWS]
        said = refusal(rows, columns={"positive": name})
        assert re.search(rf"line 1: column {name} holds ids, such as 'kb-0', .*--documents.*id-as-text=keep", said)
        with cleaned(rows, columns={"positive": name}, on={"id-as-text": "keep"}) as (staging, _):
            assert len(judged(staging)) == 6
    with cleaned([{"query": "what is it", "said": "B-52"}], columns={"positive": "said"}) as (staging, findings):
        assert len(judged(staging)) == 1 and "look like ids" in findings.lines[0]
    assert "(--columns query_id=query)" in refusal([{"query": 7, "positive": "a text"}])
    assert re.search(
        r"'kb-0' is not in the corpus, and no documents were given: .*--documents",
        refusal(ROWS, columns={"document_id": "doc"}),
    )
    assert re.search(
        r"'7' is not in the list of queries, and no queries were given: .*--queries",
        refusal([{"query_id": 7, "positive": "a text"}]),
    )


QUESTIONS = [f"what is thing {n}" for n in range(3)]
NUMBERS = {
    "whole numbers": pa.table({"query": QUESTIONS, "doc_id": [0, 1, 2]}),
    "a frame with gaps": pd.DataFrame({"query": QUESTIONS, "doc_id": [0.0, 1.0, 2.0]}),
    "a frame with gaps, written": [{"query": q, "doc_id": f"{n}.0"} for n, q in enumerate(QUESTIONS)],
    "texts": [{"query": q, "doc_id": str(n)} for n, q in enumerate(QUESTIONS)],
    "spaces": [{"query": q, "doc_id": f"{n} "} for n, q in enumerate(QUESTIONS)],
    "numbers as positives": [(q, n) for n, q in enumerate(QUESTIONS)],
}


@pytest.mark.parametrize("rows", NUMBERS.values(), ids=NUMBERS)
def test_numbers_are_ids_however_they_are_written(rows):
    with cleaned(rows, documents=NUMBERED) as (staging, _):
        assert judged(staging) == [("0", 1), ("1", 1), ("2", 1)]


def test_the_name_of_a_file_is_an_id_with_its_suffix_or_without(tmp_path):
    for name in ("kb-1.md", "kb-2.html", "kb-3.md", "kb-3.txt"):
        (tmp_path / name).write_text(f"a text about {name}, long enough to be read", encoding="utf-8")
    rows = [{"query": f"what is thing {n}", "doc_id": f"kb-{n}"} for n in (1, 2)]
    made = prepare([rows], tmp_path, miner="none", validation=0.0)
    assert {positive for judged in made.qrels.values() for positive in judged} == {"kb-1.md", "kb-2.html"}
    assert "2 ids are written differently from those of the documents ('kb-1' for 'kb-1.md'): joined" in made.report
    with pytest.raises(DataError, match=r"'kb-3' is not in the corpus .*known ids look like 'kb-1.md'"):  # which one?
        prepare([[*rows, {"query": "what is thing 3", "doc_id": "kb-3"}]], tmp_path, miner="none")


def test_ids_that_only_look_alike_stay_apart():
    documents = [Document("1.0", "a release"), Document("1", "a number"), Document("2.0", "another release")]
    with cleaned([{"query": "what is it", "doc_id": i} for i in ("1.0", "1", "2")], documents=documents) as found:
        assert judged(found[0]) == [("1", 1), ("1.0", 1), ("2.0", 1)]


TRAIN = [
    {"query_id": 3, "document_ids": [10, 11, 12], "scores": [0.5, 0.75, 0.25]},
    {"query_id": 4, "document_ids": [12, 10, 11], "scores": [0.5, 0.25, 0.125]},
]
LISTED = [{"query_id": n, "text": f"what is thing {n}"} for n in (3, 4, 5)]
CORPUS = [{"document_id": n, "text": f"a text about the thing {n}"} for n in (10, 11, 12)]


def write_parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def three(kind, folder):
    """PyLate's three tables, as the sources, documents and queries that are given."""
    if kind == "dict":
        return [{"train": TRAIN, "queries": LISTED, "documents": CORPUS}], None, None
    if kind == "arguments":
        return [pd.DataFrame(TRAIN)], pd.DataFrame(CORPUS), {n: f"what is thing {n}" for n in (3, 4, 5)}
    if kind == "files":
        for name, rows in (("train", TRAIN), ("queries", LISTED), ("documents", CORPUS)):
            write_jsonl(folder / f"{name}.jsonl", rows)
    else:
        for name, rows in (("train", TRAIN), ("queries", LISTED), ("documents", CORPUS)):
            write_parquet(folder / name / "train-00000-of-00001.parquet", rows)
    return [folder], None, None


@pytest.mark.parametrize("kind", ["dict", "arguments", "files", "folders of Parquet files"])
def test_three_tables_of_rows_queries_and_documents(kind, tmp_path):
    sources, documents, queries = three(kind, tmp_path)
    made = prepare(sources, documents, queries=queries, miner="none", validation=0.0)
    assert [(e.query_id, e.positive_id, e.negative_ids, e.scores) for e in made.examples] == [
        ("3", "11", ("10", "12"), (0.75, 0.5, 0.25)),
        ("4", "12", ("10", "11"), (0.5, 0.25, 0.125)),
    ]
    assert made.queries["4"] == "what is thing 4" and len(made.documents) == 3


def test_triplets_of_ids_and_lists_of_ids_with_labels():
    rows = [{"query": "what is it", "positive_id": "kb-1", "negative_ids": ["kb-2", "kb-3"]}]
    labelled = [{"query": "what is it", "doc_ids": ["kb-1", "kb-2", "kb-3"], "labels": [1, 0, 0]}]
    for given in (rows, labelled):
        with cleaned(given, documents=DOCUMENTS) as (staging, _):
            assert judged(staging) == [("kb-1", 1), ("kb-2", 0), ("kb-3", 0)]
    beside = [{"query": "what is it", "positive": "one", "negatives": ["two"], "negative_ids": ["a", "b"]}]
    with (
        pytest.raises(
            DataError, match=r"negative_ids holds 2 ids where the row has 1 negative: .*--columns negative_id="
        ),
        cleaned(beside),
    ):
        pass
    assert re.search(
        r"which of its ids are relevant, .*\(--columns document_id=doc_ids\)",
        refusal([{"query": "what is it", "doc_ids": ["kb-1"]}], documents=DOCUMENTS),
    )


def test_a_list_of_queries_says_what_is_wrong_with_it():
    for queries, what in (
        ([(1, "a"), (None, "b")], "line 2: has no id"),
        ([("x", True)], "column text must be text"),
        ([{"id": "x"}], r"missing column query\|text"),
        (["a question"], r"must be \(id, text\)"),
    ):
        with pytest.raises(DataError, match=what), cleaned([("q", "d")], queries=queries):
            pass


def test_a_text_beside_an_id_of_the_corpus_is_that_document_if_it_is_its_text_or_a_part():
    documents = [Document("kb-1", "cats chase mice at night", "Cats"), Document("kb-2", "dogs bark")]
    for text in ("cats chase mice at night", "Cats cats chase mice at night", "chase mice"):
        rows = [{"query": "what do cats do", "positive": text, "positive_id": "kb-1"}]
        with cleaned(rows, documents=documents) as (staging, _):
            assert judged(staging) == [("kb-1", 1)] and staging.one("SELECT count(*) FROM texts") == 2
    rows = [{"query": "what do cats do", "positive": "sleep", "positive_id": "kb-1"}]
    assert "line 1: the document id 'kb-1' has two texts" in refusal(rows, documents=documents)


def test_ids_that_the_documents_have_in_another_column_lead_there():
    documents = [{"kb_id": f"kb-{n}", "text": f"a text about the thing {n}"} for n in range(6)]
    for columns in ({"document_id": "doc"}, {"positive": "doc"}):
        with pytest.raises(DataError, match=r"the documents have it in kb_id: .*--columns id=kb_id"):
            prepare([ROWS], documents, columns=columns, miner="none")
    made = prepare([ROWS], documents, columns={"document_id": "doc", "id": "kb_id"}, miner="none")
    assert made.documents.keys() == {f"kb-{n}" for n in range(6)}
