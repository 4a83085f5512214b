"""What mining says of itself."""

import json

import numpy as np

from tardif.data.training_set import TRAIN, TrainingSet
from tardif.mining.mine import mine
from tardif.mining.selection import RULES, Selection
from tardif.types import Document


class Falling:
    """d0 scores 100, d1 99, ... for every query."""

    def search(self, queries, k):
        return [[(f"d{n}", 100.0 - n) for n in range(100)][:k] for _ in queries]

    def score(self, queries, documents):
        return [[100.0 - int(d[1:]) for d in ids] for ids in documents]


def collection(queries=40):
    documents = {f"d{n}": Document(f"d{n}", f"word{n} " + "long " * 100) for n in range(100)}
    texts = {f"q{n}": f"text {n}" for n in range(queries)}
    return TrainingSet(documents, texts, {q: {"d10": 1} for q in texts}, dict.fromkeys(texts, TRAIN))


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
