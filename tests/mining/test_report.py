"""What mining says of itself."""

import json
from dataclasses import replace

import numpy as np

from falling import Falling, collection
from tardif.mining.mine import mine
from tardif.mining.selection import RULES, Selection


def report(**options):
    options = {"first": 1, "last": 50, "near_copy": None, **options}
    return mine(collection(), Falling(), Selection(**options), settings={"miner": "falling"}).report


def test_the_counts_add_up():
    found = report(floor=60.0)
    assert found.queries == 40
    assert found.considered == 40 * 50
    assert found.dropped == {
        **dict.fromkeys(RULES, 0),
        "positive": 40,
        "ratio": 40 * 14,  # 90 * 0.95 = 85.5: d0 to d14, less the positive
        "floor": 40 * 9,
    }
    assert found.counts == {"own": 0, "mined": 320, "random": 0}
    assert (found.filled, found.short, found.unjudged) == (0, 0, 0)


def test_the_scores_of_all_that_is_kept_are_there():
    scores = report().scores["searcher"]
    assert scores["positives"]["count"] == 40
    assert scores["mined"]["count"] == sum(scores["mined"]["histogram"]) == 320
    assert scores["positives"]["quantiles"]["0.5"] == 90.0
    assert np.all(np.diff(scores["edges"]) > 0)
    assert scores["mined"]["quantiles"]["1.0"] < 85.5


def test_the_most_suspicious_and_a_sample_are_shown_with_short_texts():
    found = report()
    ratios = [row["ratio"] for row in found.suspicious]
    assert ratios == sorted(ratios, reverse=True)
    assert len(ratios) == len(found.examples) == 20
    assert max(ratios) < 0.95
    for row in (*found.suspicious, *found.examples):
        assert all(len(shown["text"]) <= 160 and "\n" not in shown["text"] for shown in row["negatives"])


def test_equal_questions_do_not_show_the_same_suspect_twice():
    data = replace(collection(), queries={f"q{n}": f"Text {n % 2}" if n % 4 else f"text  {n % 2}" for n in range(40)})
    found = mine(data, Falling(), Selection(first=1, last=16, negatives=1, near_copy=None, sampling="top")).report
    assert [(row["query"].lower(), row["negatives"][0]["id"]) for row in found.suspicious] == [
        ("text 0", "d15"),
        ("text 1", "d15"),
    ]


def test_lines_are_a_short_table():
    lines = report(floor=60.0).lines()
    assert "40 queries: 320 mined from ranks 1-50" in lines[0]
    assert any("ratio" in line and "28.0%" in line for line in lines)
    assert len(lines) < 12


def test_the_json_is_plain():
    found = report().as_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert {row["rule"] for row in found["rules"]} == set(RULES)
    assert found["settings"]["miner"] == "falling"
