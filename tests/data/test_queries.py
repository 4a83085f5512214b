import pytest

from samples import CORPUS, QUERIES, write_beir, write_jsonl
from tardif.data.formats.trec import is_beir, splits
from tardif.data.judged import read_judged
from tardif.data.queries import read_queries
from tardif.data.reading import Reading
from tardif.data.training_set import TrainingSet
from tardif.errors import DataError
from tardif.preparation import prepare_folder


def test_a_split_is_read_with_its_queries_only(tmp_path):
    found = read_judged(write_beir(tmp_path / "animals", qrels={"test": "q1\td1\t2\nq1\td2\t0\n"}), "test")
    assert found.name == "animals"
    assert [d.id for d in found.documents] == ["d1", "d2", "d3"]
    assert found.queries == {"q1": QUERIES[0]["text"]}
    assert found.qrels == {"q1": {"d1": 2, "d2": 0}}


@pytest.mark.parametrize("header", ["", "query-id\tcorpus-id\tscore\n", "q\td\trel\r\n"])
def test_the_header_of_the_judgements_is_optional(tmp_path, header):
    beir = write_beir(tmp_path / "animals", qrels={"test": f"{header}q1\td1\t-1\nq1\td2\t1\n\n"})
    assert read_judged(beir, "test").qrels == {"q1": {"d1": -1, "d2": 1}}


def test_the_folder_one_stands_in_has_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(write_beir(tmp_path / "animals"))
    assert read_judged(".", "test").name == "animals"


def test_splits_are_listed(tmp_path):
    beir = write_beir(tmp_path / "animals", qrels={"test": "", "dev": ""})
    assert splits(beir) == ["dev", "test"]
    assert is_beir(beir)
    assert not is_beir(tmp_path)


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        ("", "is empty"),
        ("query-id\tcorpus-id\tscore\n", "is empty"),
        ("q1\td1\t1\nq1 d1 1\n", "line 2: malformed line"),
        ("q1\td1\t1\nq1\td1\thigh\n", "line 2: malformed line"),
        ("q1\td1\t1\nq1\td1\t²\n", "line 2: malformed line"),
        ("q1\td1\t1\nq9\td1\t1\n", "line 2: the query id 'q9' is not in the list of queries"),
        ("q1\td1\t1\nq1\td9\t1\n", "line 2: the document id 'd9' is not in the corpus"),
    ],
)
def test_judgements_that_make_no_sense_say_where(tmp_path, qrels, message):
    with pytest.raises(DataError, match=f"test.tsv.*{message}"):
        read_judged(write_beir(tmp_path / "animals", qrels={"test": qrels}), "test")


def test_a_missing_split_names_those_there_are(tmp_path):
    with pytest.raises(DataError, match=r"has no qrels/train.tsv \(it has: test\)"):
        read_judged(write_beir(tmp_path / "animals"), "train")


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_a_missing_file_is_named(tmp_path, name):
    beir = write_beir(tmp_path / "animals")
    (beir / name).unlink()
    with pytest.raises(DataError, match=f"no known layout.*{name}"):
        read_judged(beir, "test")


def test_a_missing_folder(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        read_judged(tmp_path / "animals", "test")


def test_ids_must_be_unique(tmp_path):
    with pytest.raises(DataError, match=r"corpus\.jsonl, line 4: two documents have the id 'd1'"):
        read_judged(write_beir(tmp_path / "one", corpus=[*CORPUS, CORPUS[0]]), "test")
    with pytest.raises(DataError, match=r"queries\.jsonl, line 3: the query id 'q1' has two texts"):
        read_judged(write_beir(tmp_path / "two", queries=[*QUERIES, {"_id": "q1", "text": "other"}]), "test")


def test_queries_of_any_file(tmp_path):
    (tmp_path / "queries.tsv").write_text("id\ttext\n1\thello\n")
    assert read_queries(tmp_path / "queries.tsv") == {"1": "hello"}


@pytest.mark.parametrize(
    ("row", "message"),
    [({"text": "a"}, "has no id"), ({"_id": "a"}, "missing column"), ({"_id": "a", "text": " "}, "is empty")],
)
def test_queries_that_make_no_sense_say_where(tmp_path, row, message):
    path = write_jsonl(tmp_path / "queries.jsonl", [QUERIES[0], row])
    with pytest.raises(DataError, match=f"line 2: .*{message}"):
        read_queries(path)


def test_queries_of_what_was_trained_on_have_the_ids_of_the_prepared_set(tmp_path):
    asked = (("who", "we"), ("what", "it"), ("who", "I"))
    rows = [{"question": question, "answer": answer} for question, answer in asked]
    path = write_jsonl(tmp_path / "faq.jsonl", rows)
    prepare_folder([path], None, tmp_path / "set", miner="none")
    assert read_queries(path) == TrainingSet.load(tmp_path / "set").queries
    numbered = write_jsonl(tmp_path / "n.jsonl", [{"ask": "who", "number": 3}])
    named = Reading(columns={"query": "ask", "query_id": "number"})
    assert read_queries(numbered, named) == {"3": "who"}
    with pytest.raises(DataError, match=r"line 1: missing column query.*--columns query="):
        read_queries(numbered)
