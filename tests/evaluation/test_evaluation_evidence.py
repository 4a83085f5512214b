"""The evidence of an evaluation: every value, both rankings of the queries that differ, and the words that matched."""

import shlex

import pytest

import tardif
from samples import write_beir
from tardif.errors import ModelError
from tardif.evaluation.comparison import compare
from tardif.evaluation.evidence import read_evidence
from tardif.progress import Console


def test_an_evaluation_keeps_what_its_report_shows(tmp_path, multi_vector_folder):
    beir, out = write_beir(tmp_path / "faq"), tmp_path / "out"
    model = str(multi_vector_folder)
    figures = compare([model, "bm25"], [beir], measures=["nDCG@10", "RR@10"], out=out)
    evidence = read_evidence(out)
    (found,) = evidence.values
    assert found.systems == {one.name: one.values for one in figures}
    ours, theirs = (one.values["nDCG@10"] for one in figures)
    assert {shown.query_id: shown.difference for shown in evidence.queries} == {
        query: ours[query] - theirs[query] for query in ours if ours[query] != theirs[query]
    }
    assert evidence.queries
    for shown in evidence.queries:
        assert [ranking.system for ranking in shown.rankings] == [model, "bm25"]
        assert all(hit.text for ranking in shown.rankings for hit in ranking.hits)
        assert not any(hit.marks for hit in shown.rankings[1].hits)
    assert evidence.explanations
    assert (evidence.run.kind, evidence.run.name) == ("evaluation", "out")
    assert evidence.run.command.startswith("compare([")


def test_the_words_of_a_base_are_marked_too(tmp_path, multi_vector_folder, base_folder):
    beir, out = write_beir(tmp_path / "faq"), tmp_path / "out"
    compare([str(multi_vector_folder)], [beir], against=str(base_folder("bert")), measures=["RR"], out=out)
    shown = read_evidence(out).queries
    assert shown
    for one in shown:
        assert [ranking.system for ranking in one.rankings] == [str(multi_vector_folder), str(base_folder("bert"))]
        # Of three documents all are found, and some word of each query stands in one of them.
        assert all(any(hit.marks for hit in ranking.hits) for ranking in one.rankings)


def test_a_base_among_the_systems_is_known_by_each_of_its_names(tmp_path, multi_vector_folder):
    beir, out, other = write_beir(tmp_path / "faq"), tmp_path / "out", f"{multi_vector_folder}/."
    compare([str(multi_vector_folder), "bm25"], [beir], against=other, measures=["RR"], out=out)
    shown = read_evidence(out).queries
    assert shown
    for one in shown:
        assert [ranking.system for ranking in one.rankings] == ["bm25", other]
        assert all(ranking.hits for ranking in one.rankings)


def test_a_system_that_cannot_be_explained_costs_its_marks_and_a_warning(
    tmp_path, multi_vector_folder, monkeypatch, capsys
):
    def fail(*args):
        raise ModelError("odd")

    monkeypatch.setattr("tardif.search.explain.explain_texts", fail)
    beir, out, model = write_beir(tmp_path / "faq"), tmp_path / "out", str(multi_vector_folder)
    compare([model, "bm25"], [beir], measures=["RR"], out=out, console=Console())
    assert f"marks no words of {model}: odd" in capsys.readouterr().err
    assert read_evidence(out).queries


def test_evaluate_leaves_the_same_report_in_python(tmp_path, pages):
    beir, out = write_beir(tmp_path / "my faq"), tmp_path / "out"
    tardif.evaluate("bm25", beir, measures=["RR@10"], out=out)
    assert "my faq" in (out / "report.html").read_text(encoding="utf-8")
    assert read_evidence(out).run.command == (
        f"tardif.evaluate(['bm25'], [{str(beir)!r}], out={str(out)!r}, measures=['RR@10'])"
    )


def test_evaluate_leaves_a_report_with_its_command(tmp_path, tardif, pages):
    beir, out = write_beir(tmp_path / "my faq"), tmp_path / "out"
    code, _, _ = tardif("evaluate", "bm25", "--data", beir, "--out", out, "--quiet")
    assert code == 0
    assert "my faq" in (out / "report.html").read_text(encoding="utf-8")
    expected = ["tardif", "evaluate", "bm25", "--data", str(beir), "--out", str(out), "--quiet"]
    assert shlex.split(read_evidence(out).run.command) == expected


def test_an_evaluation_whose_evidence_fails_keeps_its_figures(tmp_path, monkeypatch):
    def fail(*args):
        raise ValueError("odd")

    monkeypatch.setattr("tardif.evaluation.evaluation_evidence.write_evidence", fail)
    (found,) = compare(["bm25"], [write_beir(tmp_path / "faq")], measures=["RR@10"], out=tmp_path / "out")
    assert found.measures["RR@10"] == pytest.approx(sum(found.values["RR@10"].values()) / len(found.values["RR@10"]))
    assert read_evidence(tmp_path / "out") is None
