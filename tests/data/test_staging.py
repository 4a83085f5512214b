import json

import pytest

from samples import cleaned, write_beir, write_jsonl
from tardif.data import staging as module
from tardif.data.formats import open_source
from tardif.data.hygiene import cleaning
from tardif.data.staging import Staging
from tardif.errors import DataError
from tardif.preparation import prepare_folder
from tardif.text.normal import text_id
from tardif.types import Document

ROWS = [
    {"query": f"q {n % 30}", "document": f"text {n % 17}", "label": int(n % 3 > 0), "family": n % 5} for n in range(90)
]


@pytest.fixture
def staging(tmp_path):
    (tmp_path / "aside").mkdir()
    with Staging(tmp_path / "aside") as staging:
        yield staging


def everything(staging):
    """Every row of every table."""
    tables = ("documents", "queries", "judgements", "report")
    return {table: sorted(staging.all(f"SELECT * FROM {table}"), key=repr) for table in tables}


def parquet(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


@pytest.mark.parametrize("batch", [1, 7, 89, 90])
def test_the_size_of_batches_changes_nothing(tmp_path, monkeypatch, batch):
    beir = write_beir(tmp_path / "animals", qrels={"train": "q1\td1\t1\nq1\td2\t0\nq2\td3\t1\n"})
    sources = [ROWS, beir]
    on = {"contradiction": "relevant", "no-positive": "drop"}
    prepare_folder(sources, None, tmp_path / "one", miner="none", near=False, on=on)
    monkeypatch.setattr(module, "_BATCH", batch)
    prepare_folder(sources, None, tmp_path / "two", miner="none", near=False, on=on)
    assert [path.name for path in sorted((tmp_path / "one").iterdir())] == [
        "documents.parquet",
        "examples.parquet",
        "hygiene.json",
        "manifest.json",
        "qrels.parquet",
        "queries.parquet",
        "report.jsonl",
    ]
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_no_more_than_a_batch_is_held(staging, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 4)
    most = 0

    def watched():
        nonlocal most
        for n in range(50):
            yield f"q {n}", f"a {n}"
            most = max(most, *(len(pending) for pending in staging._pending.values()))

    staging.add(open_source(watched()))
    assert staging.rows == 50
    assert most < 4
    assert staging.rows == staging.one("SELECT count(*) FROM judgements") == 50
    assert staging.one("SELECT count(DISTINCT row) FROM judgements") == 50


LONG = "x" * 1_000


@pytest.mark.parametrize(
    "rows",
    [
        [(f"q {n}", f"{n} {LONG}") for n in range(50)],
        [(f"{n} {LONG}", f"a {n}") for n in range(50)],
        [{"query": f"q {n}", "answer": f"a {n}", "negatives": [f"{n} {m} {LONG}" for m in range(9)]} for n in range(9)],
        [{"query": f"q {n}", "answer": f"a {n}", "label": "1", "topic": f"{n} {LONG}"} for n in range(50)],
    ],
    ids=["documents", "queries", "negatives", "groups"],
)
def test_long_texts_do_not_wait_for_a_batch_of_rows(staging, monkeypatch, rows):
    """Memory is bounded by what rows hold: a batch of rows may have texts of any length."""
    monkeypatch.setattr(module, "_CHARACTERS", 5 * len(LONG))
    put, most = staging._put, 0

    def watched(table, row):
        nonlocal most
        put(table, row)
        held = staging._pending[table]
        most = max(most, sum(len(value) for row in held for value in row if isinstance(value, str)))

    monkeypatch.setattr(staging, "_put", watched)
    staging.add(open_source(rows, group_by="topic" if "topic" in rows[0] else None))
    assert len(LONG) < most < module._CHARACTERS
    assert staging.rows == staging.one("SELECT count(*) FROM judgements")


@pytest.mark.parametrize("where", ["text", "title", "metadata"])
def test_long_documents_do_not_wait_for_a_batch_of_rows(staging, monkeypatch, where):
    monkeypatch.setattr(module, "_CHARACTERS", 5 * len(LONG))
    most = 0

    def watched():
        nonlocal most
        for n in range(50):
            given = {"text": f"a text {n}"} | {where: {"note": LONG} if where == "metadata" else f"{n} {LONG}"}
            yield n, Document(str(n), **given)
            most = max(most, len(staging._pending["documents"]))

    staging.add_documents(staging.source("corpus"), watched())
    assert 0 < most < 5 and staging.one("SELECT count(*) FROM documents") == 50


def test_odd_texts_come_back_as_they_were(staging):
    odd = ["\x00", "a\x00b", "\r", "\t", "\u2028", "é", "e\u0301", "\U0001f600", "'; DROP TABLE queries; --", "\ufeff"]
    staging.add(open_source([(f"q{text}", f"d{text}") for text in odd]))
    assert {row[0] for row in staging.all("SELECT text FROM queries")} == {f"q{text}" for text in odd}
    assert {row[0] for row in staging.all("SELECT text FROM documents")} == {f"d{text}" for text in odd}


def test_metadata_is_kept_as_json(staging):
    metadata = {"z": [1, None], "a": {"é": 0.5}}
    staging.add_documents(staging.source("corpus"), [(1, Document("d", "text", "title", metadata))])
    assert json.loads(staging.one("SELECT metadata FROM documents")) == metadata


def test_progress_is_told_by_batches(staging, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 10)
    done = []
    staging.add(open_source([(f"q {n}", "a") for n in range(35)]), advance=done.append)
    assert done == [10, 10, 10]


def test_an_error_names_source_and_place(staging):
    staging.source("first.jsonl")
    error = staging.error(staging.source("second.jsonl"), 7, "is odd.")
    assert isinstance(error, DataError)
    assert str(error) == "second.jsonl, line 7: is odd."


def test_nothing_is_left_of_the_database(tmp_path):
    with Staging(tmp_path) as staging:
        staging.add(open_source(ROWS))
        assert any(tmp_path.iterdir())
    assert not any(tmp_path.iterdir())


def test_nothing_is_left_of_the_database_after_an_error(tmp_path):
    with pytest.raises(DataError), Staging(tmp_path) as staging:
        staging.add(open_source([("q", "a"), ("q", "a", "b", "c")]))
    assert not any(tmp_path.iterdir())


def test_a_folder_with_a_quote_in_its_name(tmp_path):
    (tmp_path / "it's").mkdir()
    with Staging(tmp_path / "it's", memory="64MB") as staging:
        staging.add(open_source(ROWS))
        assert staging.rows == 90


# Texts and ids


TEXTS = "SELECT id, title, text, metadata FROM texts"
CORPUS = [Document("c1", "cats chase mice", "Cats"), Document("c2", "dogs bark"), Document("c3", "birds sing")]


@pytest.mark.parametrize(
    ("text", "identity"),
    [("dogs bark", "c2"), ("Cats cats chase mice", "c1"), ("cats chase mice", "c1"), ("fish swim", None)],
)
def test_the_text_of_a_document_of_the_corpus_takes_its_id(text, identity):
    with cleaned([("query", text)], documents=CORPUS) as (staging, _):
        expected = identity or text_id("d-", text)
        assert staging.all("SELECT document_id FROM judged") == [(expected,)]
        assert staging.one("SELECT count(*) FROM texts") == len({"c1", "c2", "c3", expected})


def test_a_corpus_after_the_pairs_gives_its_ids_too(tmp_path):
    beir = write_beir(tmp_path / "animals", qrels={"train": "q1\td1\t1\n"})
    with cleaned([("another query", "dogs bark at strangers")], beir) as (staging, _):
        assert sorted(staging.all("SELECT document_id FROM judged")) == [("d1",), ("d2",)]


def test_an_id_of_the_users_may_begin_as_ours_do():
    with cleaned([("query", "dogs bark")], documents=[Document("d-2", "dogs bark")]) as (staging, _):
        assert staging.all("SELECT document_id FROM judged") == [("d-2",)]
        assert staging.all("SELECT id FROM texts") == [("d-2",)]


def test_of_documents_with_the_text_the_smallest_id_is_taken_and_all_are_relevant():
    corpus = [Document("z", "dogs bark"), Document("b", "dogs bark"), Document("m", "dogs bark")]
    with cleaned([("query", "dogs bark")], documents=corpus) as (staging, _):
        assert staging.all("SELECT document_id FROM judged WHERE row IS NOT NULL") == [("b",)]
        assert staging.all("SELECT document_id FROM judged ORDER BY document_id") == [("b",), ("m",), ("z",)]


def test_rows_with_ids_keep_them(tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl", [{"query": "q", "qid": "q7", "passage": "p", "pid": 9}])
    with cleaned(path) as (staging, _):
        assert staging.all("SELECT query_id, document_id FROM judged") == [("q7", "9")]


@pytest.mark.parametrize("metadata", [{"lang": "en"}, {"Zeit": 1}, {"~": None}])
def test_a_copy_without_metadata_hides_none(metadata):
    """Two corpora may share documents: of such a document the metadata that one of them has stays."""
    with cleaned([("query", "dogs bark")], documents=CORPUS) as (staging, _):
        one, other = (Document("c2", "dogs bark", metadata=found) for found in ({}, metadata))
        for pair in ((one, other), (other, one)):
            staging.run("DROP TABLE texts")
            staging.run("DROP TABLE same")
            staging.run("DELETE FROM documents")
            for document in pair:
                staging.add_documents(staging.source("corpus"), [(1, document)])
            cleaning._resolve_documents(staging)
            assert [document.metadata for document in staging.documents(TEXTS)] == [metadata]
