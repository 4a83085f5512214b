"""A dirty Excel FAQ in German goes through every verb as it stands, and is read alike by all of them."""

import json
import re
from pathlib import Path

import pytest

import faq
from tardif.data.training_set import TrainingSet
from workbooks import write_workbook


@pytest.fixture
def table(tmp_path):
    (tmp_path / "faq.csv").write_bytes(faq.dirty_csv())
    return tmp_path / "faq.csv"


CLEAN = ("--on", "markup=clean")


def test_from_the_table_to_a_search(tardif, table, tmp_path, base_folder):
    code, _, said = tardif("prepare", table, "--out", tmp_path / "set", "--language", "de", *CLEAN)
    assert code == 0, said
    assert (
        "faq.csv: CSV (separated by ';', not UTF-8 but cp1252, a guess; --encoding names another): pairs: query from "
        "Frage, positive from Antwort; not used: Kategorie; 4 blank rows left out (100 rows)"
    ) in said
    assert "100 judgements read: 97 used, 3 not" in said
    assert "duplicate: 3 " in said and "markup: " in said
    trained = TrainingSet.load(tmp_path / "set")
    assert "Öffnen Sie »Mein Konto« und wählen Sie die Größentabelle; dort steht »Ändern«." in {
        document.text for document in trained.documents.values()
    }
    assert not any("&amp;" in document.text or "<br>" in document.text for document in trained.documents.values())

    out = tmp_path / "models"
    options = ("--base", base_folder("bert"), "--epochs", "1", "--batch-size", "32", "--dim", "16", "--quiet")
    code, _, said = tardif("train", table, "--name", "shop", "--out", out, "--language", "de", *CLEAN, *options)
    assert code == 0, said
    index = tmp_path / "shop.index"
    code, _, said = tardif("index", out / "shop", table, "--out", index, *CLEAN)
    assert code == 0 and "documents read: 96" in said and "4 of the 100 repeat one" in said, said
    code, found, _ = tardif("search", index, "die Größentabelle ändern", "-k", "96", "--json")
    assert code == 0
    assert {hit["document_id"]: hit["text"] for hit in json.loads(found)["hits"]} == {
        document.id: document.text for document in trained.documents.values()
    }


def test_the_same_rows_in_a_workbook_make_the_same_set(tardif, table, tmp_path):
    book = write_workbook(tmp_path / "faq.xlsx", {"FAQ": [("Frage", "Antwort", "Kategorie"), *faq.rows()], "Leer": []})
    for source in (table, book):
        code, _, said = tardif("prepare", source, "--out", tmp_path / source.suffix[1:], "--language", "de", *CLEAN)
        assert code == 0, said
    same = [(tmp_path / kind / "examples.parquet").read_bytes() for kind in ("csv", "xlsx")]
    assert same[0] == same[1]


def test_other_names_cost_one_refusal_that_says_what_to_type(tardif, fails, table, tmp_path):
    table.write_bytes(table.read_bytes().replace(b"Frage;Antwort", b"Anliegen;Text der Hilfe", 1))
    said = fails("prepare", table, "--out", tmp_path / "set", "--language", "de")
    assert "it has Anliegen, Text der Hilfe, Kategorie" in said and "--columns query=" in said
    columns = ("--columns", "query=Anliegen", "--columns", "positive=Text der Hilfe")
    code, _, said = tardif("prepare", table, "--out", tmp_path / "set", "--language", "de", *columns)
    assert code == 0, said


def shown_runs():
    """The runs of prepare that the page shows: command, and what it wrote."""
    page = (Path(__file__).parents[1] / "docs" / "from-your-table.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        for run in re.split(r"^\$ tardif ", block, flags=re.MULTILINE)[1:]:
            command, *lines = run.splitlines()
            if command.startswith("prepare faq.csv") and lines:
                # A long line is broken on the page.
                yield command.split(), "\n".join(lines).replace("\n    ", " ").splitlines()


@pytest.mark.parametrize(("command", "lines"), list(shown_runs()))
def test_the_page_shows_what_the_command_says(tardif, table, tmp_path, monkeypatch, command, lines):
    monkeypatch.chdir(tmp_path)
    code, _, said = tardif(*command)
    assert code == 0
    assert [line for line in lines if line not in said.splitlines()] == []
