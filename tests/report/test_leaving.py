"""A report at the end of a run: drawn beside it; a page that cannot be drawn never costs the run."""

import json
import shlex

import pytest

from tardif import Trainer
from tardif.evaluation.evidence import read_evidence
from tardif.report import report


@pytest.fixture
def trained(base_folder, tmp_path):
    def train(**options):
        rows = [(f"who wrote book {n}?", f"Book {n} was written by author {n}.") for n in range(20)]
        trainer = Trainer("new", base_folder("bert"), devices="cpu", out=tmp_path / "my models", dim=16, quiet=True)
        trainer.prepare(rows, validation=0.2, window=(1, 10), near=False)
        return trainer.train(max_steps=1, batch_size=4, **options)

    return train


def test_a_training_leaves_its_report(trained, pages, marks):
    result = trained()
    page = (result.path / "report.html").read_text(encoding="utf-8")
    assert "trainer.train(max_steps=1, batch_size=4)" in page
    assert "who wrote book" in page


def test_a_report_that_fails_costs_a_warning_with_the_command_that_draws_it(trained, monkeypatch, capsys, tardif):
    def fail(*args):
        raise ZeroDivisionError("odd")

    with monkeypatch.context() as patch:
        patch.setattr("tardif.report.leaving.report", fail)
        result = trained()
    assert json.loads((result.path / "results.json").read_text())["verdict"] == result.verdict
    assert not (result.path / "report.html").exists()
    warning = next(line for line in capsys.readouterr().err.splitlines() if "could not be drawn" in line)
    assert "(odd). All else is done." in warning
    program, *words = shlex.split(warning.partition("To draw it: ")[2])
    assert program == "tardif"
    assert tardif(*words)[0] == 0
    assert (result.path / "report.html").is_file()


def test_prepare_leaves_a_report_and_the_command(tmp_path, tardif, pages):
    source = tmp_path / "my pairs.jsonl"
    rows = [{"query": f"who wrote book {n}?", "positive": f"Book {n} was written by author {n}."} for n in range(20)]
    source.write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "set"
    assert tardif("prepare", source, "--out", out, "--quiet")[0] == 0
    assert "my pairs.jsonl" in (out / "report.html").read_text(encoding="utf-8")
    facts = read_evidence(out).run
    assert (facts.kind, facts.name, facts.seed) == ("preparation", "set", 0)
    assert shlex.split(facts.command) == ["tardif", "prepare", str(source), "--out", str(out), "--quiet"]
    # The set is one as before, and trains.
    from tardif import TrainingSet

    assert len(TrainingSet.load(out).documents) == 20


def test_python_leaves_the_same_files_as_the_command_line(tmp_path, tardif, pages):
    from tardif import prepare_folder

    source = tmp_path / "pairs.jsonl"
    rows = [{"query": f"who wrote book {n}?", "positive": f"Book {n} was written by author {n}."} for n in range(20)]
    source.write_text("\n".join(map(json.dumps, rows)))
    assert tardif("prepare", source, "--out", tmp_path / "one", "--miner", "none", "--quiet")[0] == 0
    assert prepare_folder([source], None, tmp_path / "two", miner="none") == tmp_path / "two"
    one, two = (
        {str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*")} for name in ("one", "two")
    )
    assert one == two >= {"report.html", "report/run.json"}
    command = f"tardif.prepare_folder([{str(source)!r}], None, out={str(tmp_path / 'two')!r}, miner='none')"
    assert read_evidence(tmp_path / "two").run.command == command


def test_the_verb_draws_several_folders_into_one_page(trained, tmp_path, tardif):
    result = trained()
    again = tmp_path / "again"
    result.path.rename(again)
    other = trained(lr=1e-3).path
    code, out, _ = tardif("report", again, other, "--out", tmp_path / "both.html", "--title", "Two of them")
    assert (code, out.strip()) == (0, str(tmp_path / "both.html"))
    page = (tmp_path / "both.html").read_text(encoding="utf-8")
    assert "Two of them" in page
    assert tardif("report", "--out", tmp_path / "none.html")[0] == 2
    assert tardif("report", tmp_path / "nothing", "--out", tmp_path / "none.html")[0] == 1
    assert not (tmp_path / "none.html").exists()
    assert report(other, tmp_path / "one.html").is_file()
