"""What becomes of the documents that are indexed, added, encoded and reranked, and what is said of the rest."""

import json

import pytest

from samples import write_jsonl
from tardif.encoder.truncation import document_reach
from tardif.errors import DataError, FolderError, SettingError
from tardif.search.rerank import rerank
from tardif.search.retriever import Retriever

FACT = "The violin has four strings."
LONG = " ".join(f"Sentence number {n} says something about the {n}th thing." for n in range(30)) + " " + FACT
ROWS = [{"id": "long", "text": LONG}, {"id": "short", "text": "A short text."}, {"id": "none", "text": ""}]
LOST = "1 of 3 documents is longer than the model reads (48 tokens): "
WAY_OUT = "Cut them into pieces: --chunk 48 (in Python chunk=48)."


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def check(records):
    cut, empty = sorted(records, key=lambda record: record["action"])
    assert (cut["action"], cut["document"]) == ("cut", "long")
    assert cut["detail"].endswith("tokens are not read")
    assert (empty["action"], empty["file"], empty["line"], empty["document"]) == ("read", "rows.jsonl", 3, "none")


def test_every_verb_says_what_it_does_not_read(multi_vector_folder, tmp_path, tardif):
    rows = write_jsonl(tmp_path / "rows.jsonl", ROWS)
    index, report = tmp_path / "index", tmp_path / "report.jsonl"
    for verb in (
        ("index", multi_vector_folder, rows, "--out", index),
        ("add", index, rows),
        ("rerank", multi_vector_folder, "violin", "--documents", rows),
    ):
        code, _, err = tardif(*verb, "--report", report, "--device", "cpu")
        assert code == 0
        assert "documents read: 3 (3 rows)" in err
        assert "1 without text or title, so never found: none" in err
        assert LOST in err and (WAY_OUT if verb[0] != "rerank" else "Cut them first") in err
        check(lines(report))
        report.unlink()
    code, _, err = tardif("add", index, rows, "--quiet", "--device", "cpu")
    assert (code, err) == (0, "")


def test_calls_from_python_keep_the_report_and_write_it(encoder, multi_vector_folder, tmp_path, capsys):
    rows = write_jsonl(tmp_path / "rows.jsonl", ROWS)
    for model in (encoder, multi_vector_folder):
        found = Retriever.encode(model, rows, chunk=None, report=tmp_path / "report.jsonl")
        assert found.report.read.total() == len(found) == 3
        assert [*found.report.records()] == lines(tmp_path / "report.jsonl")
        check(found.report.records())
        assert LOST in capsys.readouterr().err
    rerank(encoder, "violin", [LONG, "short"])
    assert "1 of 2 documents is longer" in capsys.readouterr().err
    rerank(encoder, "violin", ["one", "two"])
    assert capsys.readouterr().err == ""


def test_a_report_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    with pytest.raises(FolderError, match="is a folder"):
        Retriever.encode("no model", ["a"], report=tmp_path)
    with pytest.raises(SettingError, match="report=7: give the path"):
        Retriever.encode("no model", ["a"], report=7)


def test_a_folder_of_which_nothing_can_be_read_leaves_its_report(encoder, tmp_path):
    (tmp_path / "a.xyz").write_text("a")
    (tmp_path / "b.txt").write_text(" ")
    with pytest.raises(DataError, match="holds no text"):
        Retriever.encode(encoder, tmp_path, chunk=None, report=tmp_path / "report.jsonl")
    assert {line["file"]: line["reason"] for line in lines(tmp_path / "report.jsonl")} == {
        "a.xyz": ".xyz files",
        "b.txt": "empty",
    }


def test_pieces_are_cut_to_what_the_model_reads(encoder, multi_vector_folder, tmp_path, capsys):
    (tmp_path / "long.txt").write_text(LONG)
    for documents, chunk in ((tmp_path, "auto"), ([{"id": "long.txt", "text": LONG}], document_reach(encoder))):
        found = Retriever.encode(multi_vector_folder, documents, chunk=chunk)
        pieces = found.index.get(["long.txt"])
        assert len(pieces) > 1 and pieces[f"long.txt#{len(pieces)}"].text.endswith(FACT)
        assert not found.report.lost
        assert "longer than" not in capsys.readouterr().err


def test_rows_keep_their_ids(multi_vector_folder):
    found = Retriever.encode(multi_vector_folder, ROWS, quiet=True)
    ids = [row["id"] for row in ROWS]
    assert set(found.index.get(ids)) == set(ids)
