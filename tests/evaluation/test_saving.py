import json

import pytest

from samples import CORPUS, write_beir
from tardif.errors import DataError, FolderError
from tardif.evaluation.comparison import compare
from tardif.evaluation.runs import write_run
from tardif.evaluation.saving import check_folder, file_names, write_results
from tardif.progress import Console

HOSTILE = [
    "../../etc/passwd",
    "..",
    ".",
    "/",
    "a\x1b[31m",
    "CON:",
    "x" * 300,
    "é" * 200,
    "-rf",
    "a b\n",
    "",
    "\u202eabc",
    "%2e%2e",
]


def files(folder):
    """All files but those of the report."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(path) for path in found if path.parts[0] != "report")


def written(path, **hits):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_run(path, {q: {d: float(len(found) - n) for n, d in enumerate(found)} for q, found in hits.items()})
    return str(path)


def test_every_system_leaves_its_run_and_its_values_on_every_data_set(tmp_path):
    one, two = write_beir(tmp_path / "one"), write_beir(tmp_path / "two")
    mine, out = written(tmp_path / "mine.run", q1=["d2", "d1"], q2=["d3"]), tmp_path / "out"
    names = ["nDCG@10", "AP"]
    found = compare(["bm25", mine], [one, two], measures=names, out=out)
    assert files(out) == [
        f"{folder}/{system}.{data}.{kind}"
        for folder, kind in (("per_query", "tsv"), ("runs", "run"))
        for system in ("bm25", "mine")
        for data in ("one", "two")
    ]
    for figures in found:
        name = f"{'bm25' if figures.name == 'bm25' else 'mine'}.{figures.data}"
        (again,) = compare([str(out / "runs" / f"{name}.run")], [tmp_path / figures.data], measures=names)
        assert again.values == figures.values
        rows = [line.split("\t") for line in (out / "per_query" / f"{name}.tsv").read_text().splitlines()]
        assert {(m, q): float(v) for m, q, v in rows if q != "all"} == {
            (m, q): v for m, of in figures.values.items() for q, v in of.items()
        }
        assert {m: float(v) for m, q, v in rows if q == "all"} == figures.measures
        assert [q for _, q, _ in rows] == ["q1", "q1", "q2", "q2", "all", "all"]


def test_ids_with_white_space_are_saved_and_measured_again(tmp_path):
    corpus = [{**row, "_id": f"my {row['_id']}.txt"} for row in CORPUS]
    beir = write_beir(tmp_path / "set", corpus=corpus, qrels={"test": "q1\tmy d1.txt\t1\nq2\tmy d1.txt\t1\n"})
    (found,) = compare(["bm25"], [beir], out=tmp_path / "out")
    (again,) = compare([str(tmp_path / "out" / "runs" / "bm25.set.run")], [beir])
    assert again.values == found.values
    assert found.values["RR@10"]["q1"] == 1.0


def test_the_base_compared_against_is_saved_too(tmp_path, multi_vector_folder):
    compare(["bm25"], [write_beir(tmp_path / "set")], against=str(multi_vector_folder), out=tmp_path / "out")
    assert files(tmp_path / "out")[2:] == ["runs/bm25.set.run", f"runs/{multi_vector_folder.name}.set.run"]


def test_names_of_files_are_safe_and_all_different(tmp_path):
    found = file_names([*HOSTILE, "A", "a", "bm25", "old/bm25.run"], [*HOSTILE, "set"], with_data=True)
    assert len({name.casefold() for name in found.values()}) == len(found)
    for name in found.values():
        path = (tmp_path / f"{name}.run").resolve()
        assert path.parent == tmp_path
        assert not name.startswith((".", "-")) and name.isprintable() and " " not in name
        path.write_text("it can be written")
    assert file_names(["models/new"], ["set"], with_data=True) == file_names(["models/new"], ["set"], with_data=True)


@pytest.mark.parametrize("text", ['{"verdict": "better", "before": {}}', "[]", '{"systems": "many"}'])
def test_results_of_something_else_are_never_lost(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    for act in (check_folder, lambda folder: write_results(folder, {"systems": []})):
        with pytest.raises(FolderError, match="not an evaluation's"):
            act(tmp_path)
    assert (tmp_path / "results.json").read_text() == text


def test_an_earlier_evaluation_is_replaced(tmp_path):
    write_results(tmp_path / "out", {"systems": [], "settings": {"n": 1}})
    write_results(check_folder(tmp_path / "out"), {"systems": [], "settings": {"n": 2}})
    assert json.loads((tmp_path / "out" / "results.json").read_text())["settings"] == {"n": 2}


def test_a_saved_run_is_not_written_over_while_it_is_measured(tmp_path):
    beir, out = write_beir(tmp_path / "set"), tmp_path / "out"
    run = written(out / "runs" / "bm25.set.run", q1=["d2"])
    before = (out / "runs" / "bm25.set.run").read_bytes()
    with pytest.raises(FolderError, match="would be written over"):
        compare(["bm25", run], [beir], out=out)
    assert (out / "runs" / "bm25.set.run").read_bytes() == before


def test_a_run_that_a_measure_refuses_is_saved_and_not_found_again(tmp_path, monkeypatch, capsys):
    def refuse(*args):
        raise DataError("odd")

    beir, out = write_beir(tmp_path / "faq"), tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("tardif.evaluation.comparison.per_query", refuse)
        with pytest.raises(DataError, match="odd"):
            compare(["bm25"], [beir], measures=["RR"], out=out)
    assert files(out) == ["runs/bm25.faq.run"]
    (again,) = compare([str(out / "runs" / "bm25.faq.run")], [beir], measures=["RR"])
    (found,) = compare(["bm25"], [beir], measures=["RR"], out=out, console=Console())
    assert found.values == again.values
    assert "bm25 on faq: taken from the evaluation that was interrupted" in capsys.readouterr().err


def test_runs_of_an_earlier_evaluation_are_kept_and_named(tmp_path, capsys):
    beir, out = write_beir(tmp_path / "faq"), tmp_path / "out"
    mine = written(tmp_path / "mine.run", q1=["d2", "d1"], q2=["d3"])
    compare([mine, "bm25"], [beir], measures=["RR"], out=out)
    compare(["bm25"], [beir], measures=["RR"], out=out, console=Console())
    assert f"{out / 'runs'} also holds runs of an earlier evaluation" in capsys.readouterr().err
    assert (out / "runs" / "mine.faq.run").is_file()
    compare([mine, "bm25"], [beir], measures=["RR"], out=out, console=Console())
    assert "also holds" not in capsys.readouterr().err
