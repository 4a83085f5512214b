"""Numbers beside pairs: grades are read, anything else is asked for; no positive becomes a negative unasked."""

import re

import pytest

from samples import cleaned, refusal, write_jsonl
from tardif.data.hygiene.labels import check_scores
from tardif.errors import DataError, SettingError

QUERIES = ["one", "one", "two", "two", "two"]


def rows(values, name="score", document="positive", queries=QUERIES):
    return [
        {"query": f"what is {query}", document: f"text {n}", name: value}
        for n, (query, value) in enumerate(zip(queries, values, strict=True))
    ]


CONTINUOUS = [5.1, 0.4, 0.85, 0.8, 0.82]
UNCERTAIN = {
    "scores": (rows(CONTINUOUS), "column score holds numbers from 0.4 to 5.1 (5 values)"),
    "two scores": (rows([5.1, 0.4], queries=QUERIES[:2]), "column score holds numbers from 0.4 to 5.1 (2 values)"),
    "cosines": (rows([0.8, 0.85, 0.81, 0.82, 0.83], "similarity"), "column similarity holds numbers from 0.8 to 0.85"),
    "neutral name": (rows(CONTINUOUS, document="document"), "column score holds"),
    "labels": (rows(CONTINUOUS, "label"), "column label holds numbers from 0.4 to 5.1"),
    "halves": (rows([1, 0.5, 0, 1, 0.5], "label"), "column label holds numbers from 0 to 1"),
    "whole, of what is called positive": (rows([1, 0, 1, 0, 1]), "column score holds numbers from 0 to 1"),
    "percentages": (rows([95, 20, 60, 5, 100], document="document"), "column score holds numbers from 5 to 100"),
    "labels out of a hundred": (rows([95, 20, 60, 5, 100], "label", "document"), "column label holds numbers from 5"),
    "decimal commas": (rows(["5,1", "0,4", "0,85", ",8", "1"]), "column score holds numbers from 0.4 to 5.1"),
    "a tuple's third": (
        [(q, f"text {n}", v) for n, (q, v) in enumerate(zip(QUERIES, CONTINUOUS, strict=True))],
        "third item holds",
    ),
}


@pytest.mark.parametrize("case", UNCERTAIN)
def test_numbers_that_can_be_several_things_are_refused_with_readings_that_work(case):
    given, what = UNCERTAIN[case]
    with pytest.raises(DataError) as refused, cleaned(given):
        pass
    message = str(refused.value)
    assert what in message and "--scores teacher" in message and "threshold, such as scores=" in message
    threshold = float(message.split("such as scores=")[1].split(maxsplit=1)[0])
    for scores in ("teacher", threshold):
        with cleaned(given, scores=scores, on={"no-positive": "drop"}) as (staging, findings):
            assert staging.one("SELECT count(*) FROM judged WHERE relevance > 0") and findings.labels
    if "third" not in case:
        assert "(--columns label=)" in message
        with cleaned(given, columns={"label": None}) as (staging, _):
            assert staging.all("SELECT DISTINCT relevance FROM judged") == [(1,)]


def test_a_threshold_divides_and_a_teacher_ranks():
    given = rows(CONTINUOUS)
    with cleaned(given, scores=0.82) as (staging, findings):
        assert staging.all("SELECT relevance, score FROM judged ORDER BY row") == [
            (1, None), (0, None), (1, None), (0, None), (1, None)
        ]  # fmt: skip
        assert findings.labels.startswith("score: 3 of 5 rows are relevant (scores of 0.82 or more)")
    with cleaned(given, scores="teacher") as (staging, findings):
        assert staging.all("SELECT relevance, score FROM judged ORDER BY row") == [
            (1, 5.1), (0, 0.4), (1, 0.85), (0, 0.8), (0, 0.82)
        ]  # fmt: skip
        assert "teacher's scores" in findings.labels and "nothing is learned" not in findings.labels
    with cleaned(rows([0.5], queries=["one"]), scores="teacher") as (_, findings):
        assert "nothing is learned from the scores" in findings.labels


def test_the_teachers_best_does_not_depend_on_the_order_of_the_rows():
    given = rows([0.5, 0.5, 0.25], queries=["one"] * 3)
    found = []
    for order in (given, given[::-1]):
        with cleaned(order, scores="teacher") as (staging, _):
            found.append(staging.all("SELECT document_id, relevance FROM judged ORDER BY document_id"))
    assert found[0] == found[1]


def test_grades_are_read_as_they_stand():
    for name, document in (("label", "positive"), ("relevance", "document"), ("score", "document")):
        with cleaned(rows([2, 0, 1.0, "0", "3"], name, document)) as (staging, findings):
            assert staging.all("SELECT relevance FROM judged ORDER BY row") == [(2,), (0,), (1,), (0,), (3,)]
            assert "graded" in findings.labels
    with cleaned(rows([10**12, 93, 12, 40, 5])) as (staging, _):  # whatever it is, all are relevant
        assert staging.all("SELECT min(relevance), max(relevance) FROM judged") == [(5, 10**9)]


def test_grades_that_make_every_row_relevant_are_said_with_another_reading():
    given = rows([1, 5, 3, 1, 5], document="document")
    with cleaned(given) as (staging, findings):
        assert "every row is relevant (1 to 5)" in findings.labels and "--scores 5" in findings.labels
        assert staging.one("SELECT count(*) FROM judged WHERE relevance > 0") == 5
    with cleaned(given, scores=5) as (staging, _):
        assert staging.one("SELECT count(*) FROM judged WHERE relevance > 0") == 2


def test_what_may_be_over_a_thousand_is_no_number():
    assert "'1,234' has no known meaning" in refusal(rows(["1,234", "0,5", "1", "2", "3"]))


def test_each_source_has_labels_of_its_own(tmp_path):
    words = [{"query": "what is it", "document": f"w {word}", "label": word} for word in ("yes", "no")]
    path = write_jsonl(tmp_path / "grades.jsonl", rows([2, 0, 1, 0, 1], "label", "document"))
    with cleaned(words, path) as (staging, findings):
        assert findings.labels.startswith("labels 'yes' are relevant") and "graded" in findings.labels
        assert staging.one("SELECT count(*) FROM judged") == 7


def test_scores_are_asked_for_only_where_there_are_some():
    assert re.search(r"no column of scores was read.*--columns label=", refusal([("q", "d")], scores=0.5))
    assert (check_scores(None), check_scores("teacher"), check_scores("0.5"), check_scores(2)) == (
        None, "teacher", 0.5, 2.0
    )  # fmt: skip
    for wrong in ("weight", True, float("nan"), "inf", [], object()):
        with pytest.raises(SettingError, match="--scores"):
            check_scores(wrong)
