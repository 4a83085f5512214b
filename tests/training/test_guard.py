from __future__ import annotations

import json

import pytest

from tardif.data.judged import JudgedSet
from tardif.errors import DataError
from tardif.evaluation.measures import per_query, rank
from tardif.progress import Console
from tardif.text.languages import language
from tardif.training import guard
from tardif.training.guard import GuardSet, guard_sets
from tardif.training.settings import settings_from
from tardif.types import Document

QUERIES = {"q2": "number two and more", "q1": "the dog slept by the door", "q3": "rivers and stones"}
DOCUMENTS = [Document(f"d{n}", text) for n, text in enumerate(["the dog slept", "two is a number", "rivers", "door"])]
QRELS = {"q1": {"d0": 1, "d3": 1}, "q2": {"d1": 1}, "q3": {"d2": 1}}


def made(documents=DOCUMENTS, queries=QUERIES):
    return GuardSet.of(JudgedSet("far", documents, queries, QRELS), language("en"))


def test_it_measures_each_query_as_an_evaluation_does(encoder):
    values = per_query(QRELS, rank(encoder, QUERIES, DOCUMENTS), ["nDCG@10"])["nDCG@10"]
    assert list(made().measure(encoder)) == [values[query] for query in QUERIES]


def test_equal_texts_have_equal_checksums_and_others_have_not():
    assert made().checksum == made(DOCUMENTS[::-1], dict(reversed(QUERIES.items()))).checksum
    changed = [*DOCUMENTS[:-1], Document("d3", "doors")]
    assert len({made().checksum, made(changed).checksum, made(queries={**QUERIES, "q1": "dog"}).checksum}) == 3


def test_a_large_collection_is_cut_to_its_hardest_documents(monkeypatch):
    monkeypatch.setattr(guard, "MOST_DOCUMENTS", 6)
    easy = [Document(f"e{n}", f"nothing at all {n}") for n in range(20)]
    task = made([*easy, *DOCUMENTS, Document("d4", "the rivers of stones")]).task
    assert {"d0", "d1", "d2", "d3", "d4"} < {document.id for document in task.documents}
    assert len(task.documents) == 6
    assert task.queries == QUERIES


@pytest.fixture
def folder(tmp_path):
    """A user's judged set."""
    (tmp_path / "qrels").mkdir()
    lines = [json.dumps({"_id": d.id, "title": "", "text": d.text}) for d in DOCUMENTS]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    (tmp_path / "queries.jsonl").write_text("\n".join(json.dumps({"_id": q, "text": t}) for q, t in QUERIES.items()))
    rows = [f"{query}\t{document}\t1" for query, judged in QRELS.items() for document in judged]
    (tmp_path / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    return tmp_path


def test_a_users_folder_is_read(folder):
    found = GuardSet.read(folder, language("en"))
    assert found.name == folder.name
    assert found.checksum == made().checksum


def test_judgements_without_documents_are_refused(tmp_path):
    path = tmp_path / "some.qrels"
    path.write_text("q1 0 d1 1\n")
    with pytest.raises(DataError, match="no documents"):
        GuardSet.read(path, language("en"))


def test_without_docstrings_there_is_no_built_in_set(monkeypatch):
    monkeypatch.setattr(guard, "python_texts", lambda: None)
    with pytest.raises(DataError, match="no docstrings"):
        GuardSet.python()


LONG = "how do I reset the password of my account on the support site, and who sees it"


def guards(asked, trained):
    return guard_sets(settings_from({"guard": asked}), language("en"), Console(), trained)


@pytest.mark.parametrize("trained", ["Rivers and  stones", LONG])
def test_a_query_that_is_trained_on_or_nearly_so_is_no_foreign_one(folder, capsys, trained):
    lines = [json.dumps({"_id": q, "text": t}) for q, t in {**QUERIES, "q2": LONG + "?"}.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines))
    (found,) = guards(str(folder), [trained, "what else is asked"])
    assert set(found.task.queries) == set(found.task.qrels) == {"q1", "q2", "q3"} - {"q2" if trained == LONG else "q3"}
    assert len(found.task.documents) == len(DOCUMENTS)
    assert f"Guard: 1 of 3 queries of {folder.name} are left out" in capsys.readouterr().err
    assert found.checksum != guards(str(folder), [])[0].checksum


def test_nothing_is_said_of_a_set_that_is_foreign(folder, capsys):
    (found,) = guards(str(folder), ["what else is asked", "number two"])
    assert found.checksum == GuardSet.read(folder, language("en")).checksum
    assert "left out" not in capsys.readouterr().err


def test_a_set_of_training_queries_is_refused(folder):
    with pytest.raises(DataError, match="All 3 queries of .* are training queries"):
        guards(str(folder), [text.upper() for text in QUERIES.values()])


def test_the_built_in_set_has_no_training_queries_either(monkeypatch, capsys):
    monkeypatch.setattr(guard, "python_texts", lambda: JudgedSet("far", DOCUMENTS, QUERIES, QRELS))
    (found,) = guards("auto", ["rivers and stones"])
    assert set(found.task.queries) == {"q1", "q2"}
    assert guards("auto", list(QUERIES.values())) == []
    assert "What training costs elsewhere is not measured: All 3 queries" in capsys.readouterr().err


def test_over_the_limit_it_is_said_that_near_copies_were_not_looked_for(folder, monkeypatch, capsys):
    for module in ("tardif.training.guard", "tardif.data.split"):
        monkeypatch.setattr(f"{module}.LIMIT", 3)
    (found,) = guards(str(folder), ["rivers and stones"])
    assert set(found.task.queries) == {"q1", "q2"}
    assert "were not looked for: there are over 3 queries" in capsys.readouterr().err
