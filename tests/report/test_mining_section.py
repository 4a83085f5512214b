"""What a report shows of a mining."""

import pytest

from falling import Falling, collection
from tardif.mining.mine import mine
from tardif.mining.selection import RULES, Selection
from tardif.mining.teacher import Teacher
from tardif.report.sections.mining import mining
from tardif.report.sources import ReportSource


def section(teacher=None, data=None, searcher=None, **options):
    options = {"first": 1, "near_copy": None, **options}
    found = mine(
        data or collection(),
        searcher or Falling(),
        Selection(**options),
        teacher=teacher,
        settings={"miner": "falling"},
    )
    return found.report, mining(ReportSource("set", "preparation", mining=found.report.as_json()), "negatives").content


def test_it_shows_what_the_report_says():
    found, shown = section(floor=60.0)
    rules, settings = shown["tables"]
    assert [(row[0], row[1]) for row in rules.rows] == list(RULES.items())
    assert next(row for row in rules.rows if row[0] == "ratio")[3] == "28.0 %"
    assert ("miner", "falling") in settings.rows and ("floor", "60") in settings.rows
    assert "320 mined" in shown["about"][0]
    assert [row["query"] for row in shown["suspicious"]] == [row["query"] for row in found.suspicious]
    assert [len(row["negatives"]) for row in shown["examples"]] == [len(row["negatives"]) for row in found.examples]


def test_the_chart_counts_each_kind():
    found, shown = section(last=80)
    scores = found.as_json()["scores"]["searcher"]
    counts = {name: count for name, count, *_ in shown["charts"][0].rows}
    assert counts["positives"] == f"{scores['positives']['count']:,}"
    assert counts["mined negatives"] == f"{scores['mined']['count']:,}"


def test_the_teachers_scores_are_drawn_beside_the_miners():
    teacher = Teacher(lambda pairs: [float(len(document) % 7) for _, document in pairs], name="by length")
    _, shown = section(teacher=teacher, negatives=2)
    assert [chart.title for chart in shown["charts"]] == ["The miner's scores", "The teacher's scores"]


@pytest.mark.parametrize("settings", [{"miner": "none"}, {"miner": "falling"}])
def test_nothing_mined_is_shown_too(settings):
    found = mine(collection(1), None, Selection(), settings=settings).report.as_json()
    shown = mining(ReportSource("set", "preparation", mining=found), "negatives").content
    assert not shown["charts"] or shown["charts"][0].rows
    assert ("None were mined" in shown["about"][0]) == (settings["miner"] == "none")


def test_one_score_alone_is_drawn():
    _, shown = section(data=collection(1), first=11, last=11, ratio=None, negatives=1)
    assert shown["charts"][0].rows[0][:2] == ("positives", "1")
