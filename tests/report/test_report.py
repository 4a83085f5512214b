"""The front: folders in, one file out; what is missing or damaged is said."""

import json
import shutil
import subprocess
import sys

import pytest
from markupsafe import Markup

import report_samples
from tardif.errors import FolderError, SettingError
from tardif.report import report
from tardif.report.charts import bars, curves, histograms, query_values
from tardif.report.charts.query_values import MOST_DOTS, Sides, scatter
from tardif.report.intervals import intervals
from tardif.report.page import render
from tardif.report.sources import read_source


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return report_samples.training(tmp_path_factory.mktemp("report") / "support", queries=30, steps=30)


@pytest.fixture
def undrawn(monkeypatch):
    """Without matplotlib: for tests that look at no chart."""
    for module in (bars, curves, histograms, query_values):
        monkeypatch.setattr(module, "draw", lambda *about: Markup('<svg role="img"></svg>'))


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "support")


@pytest.fixture(scope="module")
def drawn(folder, tmp_path_factory):
    """The bytes of its page."""
    return report(folder, tmp_path_factory.mktemp("page") / "a.html", title="One").read_bytes()


def test_the_same_folders_give_the_same_bytes_in_another_process(folder, drawn, tmp_path):
    code = "import sys; from tardif.report import report; report([sys.argv[1]], sys.argv[2], title='One')"
    subprocess.run([sys.executable, "-c", code, str(folder), str(tmp_path / "b.html")], check=True)
    assert drawn == (tmp_path / "b.html").read_bytes()


def test_the_users_matplotlib_settings_change_nothing(folder, drawn, tmp_path):
    import matplotlib

    used = {"font.size": 40, "axes.facecolor": "red", "svg.fonttype": "path", "text.parse_math": True}
    with matplotlib.rc_context(used):
        assert report(folder, tmp_path / "b.html", title="One").read_bytes() == drawn
        assert matplotlib.rcParams["font.size"] == 40


def test_by_default_the_page_lies_in_the_first_folder(copied, undrawn):
    assert report(copied) == copied / "report.html"
    assert report([str(copied)]) == copied / "report.html"


def test_the_verdict_is_one_sentence_with_its_interval(folder, undrawn):
    page = render([read_source(folder)])
    found = json.loads((folder / "results.json").read_text())["comparison"]["measures"]["nDCG@10"]
    moved = "rose" if found["difference"] > 0 else "fell"
    assert f"nDCG@10 {moved} by {abs(found['difference']):.3f} (95 % interval" in page
    assert f"{found['won']} queries won" in page


def test_a_difference_that_is_rounded_away_has_no_direction(copied, undrawn):
    results = json.loads((copied / "results.json").read_text())
    results["comparison"]["measures"]["nDCG@10"]["difference"] = 0.00001
    results["before"]["nDCG@10"] = 0.5
    (copied / "results.json").write_text(json.dumps(results))
    page = render([read_source(copied)])
    assert "nDCG@10 stayed at 0.500 (95 % interval" in page and "rose by" not in page


def test_the_verdict_says_what_training_cost_elsewhere(copied, undrawn):
    results = json.loads((copied / "results.json").read_text())
    elsewhere = {"data": "far", "checksum": "c", "documents": 9, "comparison": results["comparison"]}
    results["guard"] = [{**elsewhere, "before": results["before"], "after": results["after"]}]
    (copied / "results.json").write_text(json.dumps(results))
    page = render([read_source(copied)])
    assert "Elsewhere, on 30 foreign queries of far: " in page
    assert "Elsewhere: foreign queries" in page
    assert "elsewhere (95 % interval)" in render([read_source(copied), read_source(copied)])


def test_a_large_report_is_small_and_counts_every_query():
    values = {f"q{n}": (n % 101 / 100, (n * 7) % 101 / 100) for n in range(15_000)}
    chart = scatter("k", Sides("before", "after", "nDCG@10", values))
    assert len(values) > MOST_DOTS and len(chart.svg) < 150_000
    assert sum(int(cell.replace(",", "")) for row in chart.rows for cell in row[1:]) == 15_000


@pytest.mark.parametrize("missing", ["report", "log.jsonl", "mining.json", "results.json"])
def test_without_a_part_the_others_are_shown(copied, missing, undrawn):
    path = copied / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = render([read_source(copied)])
    assert "support" in page and "is damaged" not in page


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("log.jsonl", '{"step": 1, "loss": 2.0}\n{"step": 2, "lo', "log.jsonl has 1 damaged line"),
        ("mining.json", "{", "mining.json cannot be read"),
        ("mining.json", '{"scores": []}', "The part on hard negatives is not shown"),
        ("report/values.parquet", "PAR1", "report is damaged"),
        ("report/examples.json", "[]", "report is damaged"),
        ("report/run.json", '{"format": "tardif-report", "version": 99}', "newer Tardif"),
    ],
)
def test_a_damaged_part_is_named_in_the_report(copied, file, text, says, undrawn):
    (copied / file).write_text(text)
    assert says in render([read_source(copied)])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: (folder / "results.json").write_text("{"), "results.json cannot be read"),
        (lambda folder: (folder / "results.json").write_text("[]"), "no JSON object"),
        (shutil.rmtree, "is not there"),
        (lambda folder: [shutil.rmtree(folder), folder.write_text("")], "is a file"),
        (lambda folder: [shutil.rmtree(folder), folder.mkdir()], "holds nothing that a report shows"),
    ],
)
def test_a_folder_that_cannot_be_shown_is_refused_and_nothing_is_written(copied, tmp_path, change, says):
    change(copied)
    with pytest.raises(FolderError, match=says):
        report(copied, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_folders_are_given_once(copied):
    with pytest.raises(SettingError, match="twice"):
        report([copied, copied])
    with pytest.raises(SettingError, match="nothing to report on"):
        report([])


def test_runs_of_one_name_are_told_apart(folder, tmp_path, undrawn):
    one, two = (shutil.copytree(folder, tmp_path / name / "model") for name in ("first", "second"))
    for copy in (one, two):
        shutil.rmtree(copy / "report")
    page = render([read_source(one), read_source(two)])
    assert page.count("All settings are the same.") == 1
    page = report([one, two], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "first/model" in page and "second/model" in page


def test_an_interval_holds_its_mean_and_narrows_with_more_queries():
    draws = {n: {"m": {f"q{q}": q * 37 % 100 / 100 for q in range(n)}} for n in (25, 2500)}
    widths = []
    for values in draws.values():
        low, high = intervals({"a": values})["a", "m"]
        assert low < report_samples.mean(values["m"]) < high
        widths.append(high - low)
    assert 8 < widths[0] / widths[1] < 12.5  # by the root of the number
    assert intervals({"a": {"m": {"q": 0.5}}}) == {}


def test_importing_the_front_costs_no_heavy_library():
    code = "import tardif.report, sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"torch", "transformers", "matplotlib", "sentence_transformers"} & set(found)
