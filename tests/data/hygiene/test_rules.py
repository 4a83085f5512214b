import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samples import ROW_RULES, cleaned, read_lines, reported, used_and_not, write_beir, write_jsonl
from tardif.data.hygiene.rules import LONG_CHARACTERS, RULES, choose
from tardif.errors import DataError, SettingError
from tardif.preparation import prepare, prepare_folder
from tardif.text.normal import normalise, text_id
from tardif.types import Document

ANSWER = "press the red button on the back for ten seconds, then let go"
GOOD = {"query": "a question", "positive": "an answer", "negative": "a wrong one"}


def labelled(*rows):
    return [{"query": query, "document": document, "label": label} for query, document, label in rows]


# For each rule: rows of which one (the line) is concerned, and what is left of the judgements with each action.
CASES = {
    "empty": ([GOOD, {"query": " \t", "positive": "x"}], 2, {"drop": 2}),
    "no-positive": (labelled(("q", "a", 1), ("r", "b", 0)), 2, {"drop": 1}),
    "duplicate": ([GOOD, {"query": "a question", "positive": "an answer"}], 2, {"drop": 2}),
    "contradiction": (
        labelled(("q", "a", 1), ("q", "b", 1), ("q", "c", 0), ("q", "a", 0)),
        4,
        {"relevant": 3, "drop": 2},
    ),
    "positive-as-negative": (labelled(("q", "an answer", 1), ("q", "An  ANSWER", 0)), 2, {"drop": 1, "keep": 2}),
    "negative-with-answer": (
        labelled(("q", ANSWER, 1), ("q", f"As we said: {ANSWER.upper()}!", 0)),
        2,
        {"drop": 1, "keep": 2},
    ),
    "query-is-document": ([GOOD, {"query": "the same", "positive": "The same "}], 2, {"drop": 2, "keep": 3}),
}


def report_lines(out):
    return json.loads((out / "manifest.json").read_text())["report"]


def write(tmp_path, rule):
    rows, line, left = CASES[rule]
    return write_jsonl(tmp_path / "rows.jsonl", rows), line, left


def test_every_rule_has_a_default_and_can_refuse():
    assert choose({}) == {name: rule.default for name, rule in RULES.items()}
    assert all("refuse" in rule.actions and rule.name == name for name, rule in RULES.items())
    assert {name: rule.default for name, rule in RULES.items()} == {
        "id-as-text": "refuse",
        "unknown-id": "refuse",
        "repeated-click": "drop",
        "few-clicks": "drop",
        "contained-positive": "link",
        "contained-negative": "link",
        "positive-not-found": "keep",
        "empty": "refuse",
        "no-positive": "refuse",
        "duplicate": "drop",
        "contradiction": "relevant",
        "positive-as-negative": "drop",
        "negative-with-answer": "drop",
        "query-is-document": "drop",
        "duplicate-document": "keep",
        "duplicate-query": "keep",
        "near-duplicate": "keep",
        "long": "keep",
        "markup": "keep",
        "language": "keep",
    }


@pytest.mark.parametrize("asked", [{"spelling": "drop"}, {"empty": "keep"}, {"long": "drop"}, {"duplicate": ""}])
def test_a_rule_or_action_that_is_not_known_is_refused(asked):
    with pytest.raises(SettingError, match=r"spelling|empty|long|duplicate"):
        prepare([[("q", "a")]], on=asked)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_can_refuse_and_says_where_and_what_else(tmp_path, rule):
    path, line, left = write(tmp_path, rule)
    with pytest.raises(DataError) as refused:
        prepare_folder([path], None, tmp_path / "out", miner="none", near=False, on={rule: "refuse"})
    message = str(refused.value)
    assert message.startswith(f"{path}, line {line}: ")
    assert all(f"{rule}={action}" in message for action in left)
    assert [left.name for left in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_reports_each_row_with_file_and_line(tmp_path, rule):
    path, line, left = write(tmp_path, rule)
    for action, count in left.items():
        with cleaned(path, on={rule: action}) as (staging, findings):
            assert staging.one("SELECT count(*) FROM judged") == count
            rows = reported(staging)
            rows = [row for row in rows if row["rule"] != "duplicate-document"]  # a copy of the positive
            assert {row["rule"] for row in rows} == {rule}
            assert {(row["action"], row["source"]) for row in rows} == {(action, "rows.jsonl")}
            assert line in {row["place"] for row in rows}
            assert all(row["query_id"] and row["document_id"] for row in rows)
            assert findings.counts[rule] == len(rows)
            if action != "keep":
                assert count + len(rows) == staging.rows


@pytest.mark.parametrize("rule", [rule for rule in CASES if RULES[rule].default != "refuse"])
def test_the_default_needs_no_option(tmp_path, rule):
    path, _, left = write(tmp_path, rule)
    with cleaned(path) as (staging, _):
        assert staging.one("SELECT count(*) FROM judged") == left[RULES[rule].default]


def test_a_prepared_folder_lists_what_is_not_used(tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl", [GOOD, GOOD, {"query": "same", "positive": "same"}])
    out = prepare_folder([path], None, tmp_path / "out", miner="none", validation=0)
    rows = read_lines(out / "report.jsonl")
    assert [(row["rule"], row["action"], row["source"], row["place"]) for row in rows] == [
        ("duplicate", "drop", "rows.jsonl", 2),
        ("duplicate", "drop", "rows.jsonl", 2),
        ("query-is-document", "drop", "rows.jsonl", 3),
    ]
    assert used_and_not(out) == (5, 2, 3)


def test_a_triplet_whose_positive_is_its_query_does_not_stop_the_rest():
    rows = [GOOD, {"query": "the same", "positive": "the same", "negative": "another"}]
    with cleaned(rows) as (staging, _):
        assert staging.one("SELECT count(*) FROM judged") == 2
        assert {row["rule"] for row in reported(staging)} == {"query-is-document", "no-positive"}


def test_empty_texts_are_found_on_both_sides():
    for row in [("", "a"), ("q", ""), ("q", " \n"), ("q", "a", ""), ("\u3000", "a")]:
        with (
            pytest.raises(DataError, match=r"data, line 2: a query or document without text \(1 in all\)"),
            cleaned([("x", "y", "z")[: len(row)], row]),
        ):
            pass


def test_an_empty_document_with_an_id_of_its_own_is_found_where_it_is_judged(tmp_path):
    corpus = [{"_id": "1", "text": " "}, {"_id": "2", "text": "a text"}]
    judged = {"train": "query-id\tcorpus-id\tscore\nq\t2\t1\nq\t1\t1\n"}
    folder = tmp_path / "beir"
    folder.mkdir()
    write_beir(folder, corpus=corpus, queries=[{"_id": "q", "text": "a query"}], qrels=judged)
    with (
        pytest.raises(DataError, match=r"train.tsv, line 3: a query or document without text \(1 in all\)"),
        cleaned(folder),
    ):
        pass
    with cleaned(folder, on={"empty": "drop"}) as (staging, _):
        assert staging.all("SELECT document_id FROM judged") == [("2",)]


def test_queries_that_differ_in_case_and_spacing_are_reported_and_stay_on_one_side(tmp_path):
    rows = [("What is this?", "a thing"), ("what  is THIS?", "another thing"), ("why", "because")]
    path = write_jsonl(tmp_path / "rows.jsonl", [{"query": q, "positive": p} for q, p in rows])
    out = prepare_folder([path], None, tmp_path / "out", miner="none", validation=0.4, near=False)
    found = [(row["rule"], row["action"], row["place"]) for row in read_lines(out / "report.jsonl")]
    assert found == [("duplicate-query", "keep", 1), ("duplicate-query", "keep", 2)]
    assert used_and_not(out) == (3, 3, 0)
    with pytest.raises(DataError, match=r"rows.jsonl, line 1: .*duplicate-query=keep"):
        prepare_folder([path], None, tmp_path / "other", miner="none", on={"duplicate-query": "refuse"})


def test_a_rule_is_reported_with_what_was_done_and_not_with_its_default(tmp_path):
    rows = [GOOD, {"query": "the same", "positive": "the same", "negative": "another"}]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    out = prepare_folder([path], None, tmp_path / "out", miner="none", validation=0)
    assert any(line.startswith("no-positive: 1 (") and line.endswith("; drop)") for line in report_lines(out))


def test_an_empty_document_of_the_corpus_is_no_error_while_nothing_judges_it(tmp_path):
    with cleaned([("q", "a")], documents=[Document("1", ""), Document("2", "a")]) as (staging, _):
        assert staging.all("SELECT query_id IS NOT NULL, document_id FROM judged") == [(True, "2")]


# Documents


def documents_report(on=None, **options):
    long = "word " * (LONG_CHARACTERS // 5 + 1)
    corpus = [{"id": "a", "text": "one text here"}, {"id": "b", "text": "One  TEXT here"}, {"id": "c", "text": long}]
    return {"documents": corpus, "sources": [[("q", "one text here"), ("r", "something")]], "on": on, **options}


def test_documents_with_the_same_text_and_long_ones_are_reported_and_kept(tmp_path):
    given = documents_report()
    corpus = write_jsonl(tmp_path / "corpus.jsonl", given["documents"])
    out = prepare_folder(given["sources"], corpus, tmp_path / "out", miner="none", validation=0)
    rows = read_lines(out / "report.jsonl")
    assert [(row["rule"], row["action"], row["source"], row["place"], row["document_id"]) for row in rows] == [
        ("duplicate-document", "keep", "corpus.jsonl", 1, "a"),
        ("duplicate-document", "keep", "corpus.jsonl", 2, "b"),
        ("long", "keep", "corpus.jsonl", 3, "c"),
        ("positive-not-found", "keep", "data", 2, text_id("d-", "something")),
    ]
    assert used_and_not(out) == (2, 2, 0)


@pytest.mark.parametrize(("rule", "line"), [("duplicate-document", 1), ("long", 3)])
def test_documents_in_doubt_can_be_refused(tmp_path, rule, line):
    given = documents_report()
    corpus = write_jsonl(tmp_path / "corpus.jsonl", given["documents"])
    with pytest.raises(DataError, match=rf"corpus.jsonl, line {line}: .*{rule}=keep"):
        prepare_folder(given["sources"], corpus, tmp_path / "out", on={rule: "refuse"}, miner="none")
    assert not (tmp_path / "out").exists()


SENTENCE = "the committee will meet on thursday morning to discuss the budget of the coming year in the town hall"
GERMAN = "Der Ausschuss trifft sich am Donnerstagmorgen, um über den Haushalt des kommenden Jahres zu beraten."


def test_near_duplicates_and_other_languages_are_reported_with_the_reason(tmp_path):
    rows = [("first", SENTENCE), ("second", SENTENCE + "!"), ("third", GERMAN)]
    path = write_jsonl(tmp_path / "rows.jsonl", [{"query": query, "answer": answer} for query, answer in rows])
    out = prepare_folder([path], None, tmp_path / "out", miner="none", validation=0)
    rows = read_lines(out / "report.jsonl")
    found = {row["rule"]: row for row in rows}
    assert [row["rule"] for row in rows] == ["language", "near-duplicate", "near-duplicate"]  # each document once
    assert {row["document_id"] for row in rows[1:]} == {row["detail"] for row in rows[1:]}
    assert (found["language"]["place"], found["language"]["detail"]) == (3, "de")
    assert {found["near-duplicate"]["source"], found["near-duplicate"]["action"]} == {"rows.jsonl", "keep"}
    assert found["near-duplicate"]["detail"] != found["near-duplicate"]["document_id"]
    for rule in found:
        with pytest.raises(DataError, match=rf"rows.jsonl, line \d: .*{rule}=keep"):
            prepare_folder([path], None, tmp_path / "other", miner="none", on={rule: "refuse"})


@pytest.mark.parametrize(
    ("negative", "dropped"),
    [
        (f"First read this: {ANSWER.replace(',', ' -')}; then go on.", True),
        ("Press the RED button on the back for ten seconds.", True),  # part of the answer
        ("How do I reset it", True),  # the query
        ("Press the red button", False),  # too short a part to tell
        (ANSWER.replace("ten", "twelve"), False),
        ("something else", False),
    ],
)
def test_a_negative_that_says_what_the_answer_says_is_dropped_and_listed(negative, dropped):
    with cleaned([("how do I reset it?", ANSWER, negative), ("another?", "yes", "yes, but no")]) as (staging, findings):
        assert findings.counts.get("negative-with-answer", 0) == dropped
        assert staging.one("SELECT count(*) FROM judged WHERE relevance <= 0") == 2 - dropped
        assert [row["place"] for row in reported(staging) if row["rule"] == "negative-with-answer"] == [1] * dropped


# Labels


@pytest.mark.parametrize(
    ("labels", "relevance", "said"),
    [
        ([1, 0], [1, 0], "graded"),
        (["1", "0"], [1, 0], "graded"),
        ([1.0, -1], [1, -1], "graded"),
        ([True, False], [1, 0], "'True'"),
        (["Yes", "no"], [1, 0], "'Yes'"),
        (["relevant", "Not Relevant"], [1, 0], "'relevant'"),
        (["entailment", "neutral"], [1, 0], "'entailment'"),
        ([0.9, 0.2], [1, 0], "label 0.9 is relevant, 0.2 is not"),
        ([3, 0], [3, 0], "graded"),
        ([2.7, 0.4], [1, 0], "label 2.7 is relevant, 0.4 is not"),
        ([10**12, -(10**30)], [1, 0], "label 1e+12 is relevant"),
    ],
)
def test_what_labels_mean(labels, relevance, said):
    rows = labelled(("q", "good", labels[0]), ("q", "bad", labels[1]))
    with cleaned(rows) as (staging, findings):
        assert said in findings.labels
        found = staging.all("SELECT t.text, j.relevance FROM judged j JOIN texts t ON t.id = j.document_id")
        assert dict(found) == {"good": relevance[0], "bad": relevance[1]}


def test_grades_are_kept():
    with cleaned(labelled(*(("q", f"text {grade}", grade) for grade in range(4)))) as (staging, _):
        assert sorted(staging.all("SELECT relevance FROM judged")) == [(0,), (1,), (2,), (3,)]


def test_the_same_number_written_twice_is_one_label():
    rows = labelled(("q", "a", "0.9"), ("q", "b", "0.90"), ("q", "c", "0.1"))
    with cleaned(rows) as (staging, _):
        assert sorted(staging.all("SELECT relevance FROM judged")) == [(0,), (1,), (1,)]


@pytest.mark.parametrize("odd", ["maybe", "1/2", "0x1", "one"])
def test_a_label_without_a_known_meaning_is_refused_with_the_way_out(tmp_path, odd):
    path = write_jsonl(tmp_path / "rows.jsonl", labelled(("q", "a", "yes"), ("q", "b", "no"), ("q", "c", odd)))
    with pytest.raises(DataError) as refused, cleaned(path):
        pass
    assert str(refused.value).startswith(f"{path}, line 3: the label {odd!r}")
    assert "positive_label" in str(refused.value)


@pytest.mark.parametrize("odd", ["maybe", "1_0", "１"])
def test_a_label_among_very_many_is_not_lost(odd):
    rows = labelled(*(("q", f"text {n}", n) for n in range(1500)), ("q", "odd", odd))
    try:
        with cleaned(rows, scores=1) as (staging, _):
            assert staging.one("SELECT count(*) FROM judged WHERE relevance IS NOT NULL") == 1501
    except DataError as error:
        assert str(error).startswith(f"data, line 1501: the label {odd!r}")


def test_the_positive_label_can_be_said():
    rows = labelled(("q", "a", "good"), ("q", "b", "bad"), ("q", "c", "so-so"), ("r", "a", "good"))
    with cleaned(rows, positive_label="good") as (staging, findings):
        assert "'good' is relevant" in findings.labels
        assert sorted(staging.all("SELECT relevance FROM judged")) == [(0,), (0,), (1,), (1,)]
    with pytest.raises(SettingError, match="positive_label='best'"), cleaned(rows, positive_label="best"):
        pass


def test_rows_without_labels_need_no_meaning():
    with cleaned([("q", "a"), ("r", "b")]) as (_, findings):
        assert findings.labels == ""


# Ids


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        ("q1\td1\t1\nq1\td9\t1\n", r"line 2: the document id 'd9' is not in the corpus"),
        ("q1\td1\t1\nq9\td1\t1\n", r"line 2: the query id 'q9' is not in the list of queries"),
    ],
)
def test_an_id_that_is_not_known_is_refused(tmp_path, qrels, message):
    with pytest.raises(DataError, match=message), cleaned(write_beir(tmp_path / "animals", qrels={"train": qrels})):
        pass


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([("q1", "one", "d1", "a"), ("q1", "two", "d2", "b")], "query id 'q1'"),
        ([("q1", "one", "d1", "a"), ("q2", "two", "d1", "b")], "document id 'd1'"),
    ],
)
def test_an_id_that_stands_for_two_texts_is_refused(tmp_path, rows, kind):
    names = ("qid", "query", "pid", "passage")
    path = write_jsonl(tmp_path / "rows.jsonl", [dict(zip(names, row, strict=True)) for row in rows])
    with pytest.raises(DataError, match=rf"rows.jsonl, line 2: the {kind} has two texts"), cleaned(path):
        pass
    many = [[{"query": f"q {n}", "answer": "x"}] for n in range(12)]
    with pytest.raises(DataError, match=rf"rows.jsonl, line 2: the {kind}"), cleaned(*many, path):
        pass


def test_an_id_that_stands_twice_for_one_text_is_one(tmp_path):
    rows = [
        {"query": "q", "qid": "1", "passage": "a", "pid": "x"},
        {"query": "q", "qid": "1", "passage": "b", "pid": "y"},
    ]
    with cleaned(rows) as (staging, _):
        assert staging.all("SELECT id FROM asked") == [("1",)]
        assert sorted(staging.all("SELECT id FROM texts")) == [("x",), ("y",)]


@pytest.mark.parametrize("text", ["the same", "another"])
def test_ids_of_a_corpus_are_unique(text):
    corpus = [Document("1", "the same"), Document("2", "other"), Document("1", text)]
    with pytest.raises(DataError, match=r"corpus, line 3: .*id '1'"), cleaned([("q", "other")], documents=corpus):
        pass


# Whatever is judged


texts = st.sampled_from(["a", "A ", "b", "B", "c", " c", "d", "", " "])
judgements = st.lists(st.tuples(texts, texts, st.sampled_from([-1, 0, 0, 1, 1, 2])), min_size=1, max_size=10)
actions = st.fixed_dictionaries(
    {rule: st.sampled_from([action for action in RULES[rule].actions if action != "refuse"]) for rule in ROW_RULES}
)


@settings(deadline=None, max_examples=20, database=None)
@given(rows=judgements, on=actions)
def test_the_rows_in_are_the_rows_used_and_the_rows_reported(rows, on):
    with cleaned(labelled(*rows), on=on) as (staging, findings):
        found = reported(staging)
        not_used = [row for row in found if row["rule"] in ROW_RULES and row["action"] != "keep"]
        used = staging.all(
            "SELECT q.text, t.text, j.relevance, s.place FROM judged j JOIN asked q ON q.id = j.query_id "
            "JOIN texts t ON t.id = j.document_id JOIN stated s USING (row)"
        )
        assert len(rows) == staging.rows == len(used) + len(not_used)
        assert {row["place"] for row in not_used} | {row[3] for row in used} == set(range(1, len(rows) + 1))
        counted = {rule: sum(row["rule"] == rule for row in found) for rule in {row["rule"] for row in found}}
        assert findings.counts == counted
        for query, document, relevance, place in used:
            assert (query, document, relevance) == rows[place - 1]
            assert query.strip()
            assert document.strip()
        assert len({(query, document) for query, document, *_ in used}) == len(used)
        positives = {(query, normalise(document)) for query, document, relevance, _ in used if relevance > 0}
        assert {query for query, *_ in used} == {query for query, _ in positives}
        if on["positive-as-negative"] == "drop":
            negatives = {(query, normalise(document)) for query, document, relevance, _ in used if relevance <= 0}
            assert not positives & negatives
        if on["query-is-document"] == "drop":
            assert not any(normalise(query) == document for query, document in positives)
