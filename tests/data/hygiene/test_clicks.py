"""Clicks are counted: one stray click makes nothing relevant, and what was not clicked is no negative unasked."""

import random
import re
from dataclasses import replace

import pandas as pd
import pytest

from samples import cleaned, refusal, reported
from tardif.data.hygiene.clicks import ClickRule
from tardif.data.mixing import mix
from tardif.data.training_set import TrainingSet
from tardif.errors import DataError, SettingError
from tardif.preparation import prepare_folder
from tardif.types import Document

DOCUMENTS = [Document(name, f"a text about {name}") for name in ("a", "b", "c", "d")]
# Clicks of each document, and how often it was shown.
SHOWN = {"a": (3, 4), "b": (1, 4), "c": (0, 4), "d": (2, 40)}
EVENTS = [
    {"query": "what is it", "doc_id": document, "clicked": int(n < clicks)}
    for document, (clicks, shown) in SHOWN.items()
    for n in range(shown)
]
COUNTED = [
    {"query": "what is it", "doc_id": document, "clicks": clicks, "impressions": shown}
    for document, (clicks, shown) in SHOWN.items()
]


def judged(staging):
    return staging.all("SELECT document_id, relevance FROM judged ORDER BY document_id")


FORMS = {
    "events": EVENTS,
    "true and false": [{**row, "clicked": bool(row["clicked"])} for row in EVENTS],
    "words": [{**row, "clicked": ["skip", "click"][row["clicked"]]} for row in EVENTS],
    "tuples": [(row["query"], row["doc_id"], ["skipped", "clicked"][row["clicked"]]) for row in EVENTS],
    "in another order": random.Random(1).sample(EVENTS, len(EVENTS)),
    "typed in two ways": [{**row, "query": [row["query"], "What is  it"][n % 2]} for n, row in enumerate(EVENTS)],
    "counted": COUNTED,
    "a frame": pd.DataFrame(COUNTED),
}


RULES = ((None, "a"), (2, "ad"), ("1", "abd"), (0.3, "a"), ("20%", "ab"), ("3,5%", "a"))


@pytest.mark.parametrize(("rule", "relevant"), RULES)
@pytest.mark.parametrize("form", ["events", "counted"])
def test_a_pair_is_relevant_from_so_many_clicks_and_such_a_share(form, rule, relevant):
    with cleaned(FORMS[form], documents=DOCUMENTS, clicks=rule) as (staging, findings):
        assert judged(staging) == [(name, 1) for name in relevant], findings.lines


@pytest.mark.parametrize("form", FORMS)
def test_clicks_are_counted_in_whatever_form_they_come(form):
    with cleaned(FORMS[form], documents=DOCUMENTS) as (staging, findings):
        assert judged(staging) == [("a", 1)]
        assert staging.rows == 1 + len(reported(staging))
        assert "contradiction" not in findings.counts


def test_without_impressions_the_clicks_alone_decide():
    rows = [{**row, "impressions": None} for row in COUNTED]
    rows = [{name: row[name] for name in ("query", "doc_id", "clicks")} for row in rows]
    with cleaned(rows, documents=DOCUMENTS) as (staging, _):
        assert judged(staging) == [("a", 1), ("d", 1)]


def test_one_stray_click_is_not_relevance_and_what_is_said_lists_all():
    rows = [
        *EVENTS,
        {"query": "another", "doc_id": "b", "clicked": 1},
        {"query": "another", "doc_id": "b", "clicked": 0},
    ]
    with cleaned(rows, documents=DOCUMENTS) as (staging, findings):
        assert judged(staging) == [("a", 1)]
        assert findings.lines == [
            "clicks: 54 rows on 5 pairs; a pair is relevant from 2 clicks and 0.1 of the times shown, where that is "
            "known (--clicks): 1 are; 3 with fewer clicks are not used, nor are 1 never clicked (--on few-clicks="
            "negative makes negatives of them)"
        ]
        assert findings.counts == {"repeated-click": 49, "few-clicks": 4}


def test_what_was_never_clicked_is_a_negative_only_where_that_is_asked_for():
    rows = [*EVENTS, {"query": "another", "doc_id": "c", "clicked": 0}]
    with cleaned(rows, documents=DOCUMENTS, on={"few-clicks": "negative"}) as (staging, findings):
        assert judged(staging) == [("a", 1), ("c", 0)]  # b and d were clicked: they are neither
        assert "of 2 never clicked 1 are negatives, and 1, of queries without a relevant document" in findings.lines[-1]
        assert findings.counts["few-clicks"] == 3 and "no-positive" not in findings.counts


def test_where_nothing_is_relevant_another_rule_is_offered():
    rows = [{"query": f"what is {n}", "doc_id": "a", "clicked": 1} for n in range(3)]
    assert re.search(r"no pair is; the most clicks of one are 1\. .*--clicks 1", refusal(rows, documents=DOCUMENTS))
    with cleaned(rows, documents=DOCUMENTS, clicks=1) as (staging, _):
        assert len(judged(staging)) == 3


def test_rows_are_clicks_where_a_rule_for_clicks_is_given():
    rows = [{"query": "what is it", "doc_id": name} for name in "aab"]
    with cleaned(rows, documents=DOCUMENTS, clicks=2) as (staging, _):
        assert judged(staging) == [("a", 1)]
    assert re.search("no row has clicks", refusal([{"query": "what is it", "document": "x", "label": 1}], clicks=2))


def test_a_column_of_clicks_is_counted_also_where_it_is_called_a_label():
    with cleaned(EVENTS, columns={"label": "clicked"}, documents=DOCUMENTS) as (staging, _):
        assert judged(staging) == [("a", 1)]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"clicks": 3, "impressions": 2}, "has 2 impressions where the document has 3 clicks"),
        ({"clicks": -1}, "must be a whole number, 0 or more, and is -1"),
        ({"clicks": 1.5}, "must be a whole number"),
        ({"clicks": None}, "column clicks is missing"),
        ({"clicks": 2, "label": 1}, "columns clicks and label both state what is relevant"),
    ],
)
def test_clicks_that_cannot_be_are_refused(row, what):
    with pytest.raises(DataError, match=what), cleaned([{"query": "q", "doc_id": "a", **row}], documents=DOCUMENTS):
        pass


def test_a_rule_is_clicks_a_share_or_both():
    assert ClickRule.of(None) == ClickRule(2, 0.1)
    assert ClickRule.of("3, 25%") == ClickRule.of((3, 0.25)) == ClickRule(3, 0.25, asked=True)
    assert ClickRule.of(1) == ClickRule(1, 0.0, asked=True) and ClickRule.of("0.5") == ClickRule(1, 0.5, asked=True)
    for wrong in (0, -1, 1.5, True, "many", "2,3", "10%,20%", "1,2,3", "120%", "", [], {}):
        with pytest.raises(SettingError, match="--clicks"):
            ClickRule.of(wrong)


def test_what_was_clicked_too_seldom_is_never_mined(tmp_path):
    documents = [Document(f"d{n}", f"the thing and what it is, number {n}, by {'abcdefgh'[n]}") for n in range(8)]
    clicks = {"d0": 3, "d1": 1, "d2": 1}
    rows = [{"query": f"what is the thing {n}", "doc_id": d, "clicks": c} for n in range(9) for d, c in clicks.items()]
    folder = prepare_folder([rows], documents, tmp_path / "set", near_copy=None, ratio=None, near=False)
    made = TrainingSet.load(folder)
    assert {tuple(found) for found in made.unclear.values()} == {("d1", "d2")}
    assert {d for example in made.examples for d in example.negative_ids} == {f"d{n}" for n in range(3, 8)}
    assert any("  unclear " in line for line in made.report)
    again = TrainingSet.load(made.save(tmp_path / "again"))
    assert again.unclear == made.unclear == mix([made], [1.0]).unclear
    other = replace(made, documents={**made.documents, "d1": Document("d1", "another text")})
    assert {d for found in mix([made, other], [1.0, 1.0]).unclear.values() for d in found} == {"d1", "2:d1", "d2"}
