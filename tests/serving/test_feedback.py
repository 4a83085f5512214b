"""Feedback: lines that are whole, that `prepare` reads as labels, and that several writers do not lose."""

import json
import threading

import pytest

from tardif.errors import FolderError, SettingError
from tardif.preparation import prepare
from tardif.serving import feedback as module
from tardif.serving.feedback import Feedback
from tardif.types import Document, Piece

SEA, BREAD = Document("sea", "The sea is blue.", title="Water"), Document("bread", "Bread rises in the oven.")


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_judgement_is_a_line(tmp_path):
    file = Feedback(tmp_path / "feedback.jsonl")
    file.add("what is blue", SEA, 1)
    file.add("what is blü\ud800", BREAD, 0)
    first, second = lines(file.path)
    assert first == {"query": "what is blue", "document_id": "sea", "label": 1}
    assert (second["query"], second["label"]) == ("what is blü?", 0)


def test_several_writers_lose_no_line(tmp_path):
    files = [Feedback(tmp_path / "feedback.jsonl") for _ in range(4)]

    def write(number):
        for count in range(10):
            files[number].add(f"query {number} {count} " + "long " * 1000, SEA, count % 2)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {" ".join(row["query"].split()[:3]) for row in lines(files[0].path)}
    assert found == {f"query {number} {count}" for number in range(4) for count in range(10)}


def test_a_file_without_a_last_line_break_gets_one(tmp_path):
    path = tmp_path / "feedback.jsonl"
    path.write_text('{"query": "a user wrote this"}')
    Feedback(path).add("what is blue", SEA, 1)
    assert [row["query"] for row in lines(path)] == ["a user wrote this", "what is blue"]


@pytest.mark.parametrize("label", [2, -1, True, "1", None])
def test_a_label_is_0_or_1(tmp_path, label):
    file = Feedback(tmp_path / "feedback.jsonl")
    with pytest.raises(SettingError, match="give 1"):
        file.add("what is blue", SEA, label)
    assert not file.path.exists()


def test_query_and_file_are_bounded(tmp_path, monkeypatch):
    file = Feedback(tmp_path / "feedback.jsonl")
    with pytest.raises(SettingError, match="at most"):
        file.add("x" * (module.MOST_QUERY + 1), SEA, 1)
    file.add("what is blue", SEA, 1)
    monkeypatch.setattr(module, "MOST_BYTES", file.path.stat().st_size)
    with pytest.raises(FolderError, match="is full"):
        file.add("what is blue", SEA, 1)
    assert len(lines(file.path)) == 1


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path):
    with pytest.raises(FolderError, match="is a folder"):
        Feedback(tmp_path)


def test_prepare_reads_the_file_as_labels_of_the_corpus(tmp_path):
    corpus = [SEA, BREAD, Document("moon", "The moon makes the tides."), Document("sun", "The sun is warm.")]
    file = Feedback(tmp_path / "feedback.jsonl")
    for query, document, label in (
        ("what is blue", SEA, 1),
        ("what is blue", BREAD, 0),
        ("what rises", BREAD, 1),
        ("what rises", corpus[2], 0),
        ("what is warm", Document("sun#1", "The sun", piece=Piece("sun", 1, 1, 0, 7)), 1),
    ):
        file.add(query, document, label)
    data = prepare([file.path], documents=corpus, miner="none", validation=0)
    found = {(data.queries[e.query_id], e.positive_id, e.negative_ids) for e in data.examples}
    assert found >= {("what is blue", "sea", ("bread",)), ("what rises", "bread", ("moon",))}
    assert data.qrels[next(q for q, text in data.queries.items() if text == "what is warm")] == {"sun": 1}
