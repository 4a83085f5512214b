"""Texts beside ids: those that differ in case and spacing are one, others are refused with a way out that works."""

import itertools
import re

import pytest

from samples import cleaned, refusal, write_jsonl
from tardif.data.judged import read_judged
from tardif.errors import DataError
from tardif.preparation import prepare, prepare_folder
from tardif.types import Document

TEXT = "Cats chase mice at night, and sleep by day"
CORPUS = [Document("kb-1", TEXT, "On cats"), Document("kb-2", "dogs bark")]
ONLY_SPACING = "with texts that differ in case and spacing only"
SPELLINGS = {
    "other spaces": "Cats chase mice\nat night,  and sleep by\u00a0day",
    "the title on a line of its own": f"On cats\n{TEXT}",
    "case": TEXT.upper(),
    "invisible characters": TEXT.replace("mice", "mi\u00adce"),
    "a part with other spaces": "mice  at\nnight",
    "white space alone": " \n",
}


def texts(staging):
    return staging.all("SELECT id, title, text FROM texts ORDER BY id")


def judged(staging):
    return staging.all("SELECT document_id, relevance FROM judged ORDER BY document_id")


def told(findings):
    return [line for line in findings.lines if ONLY_SPACING in line]


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize(("names", "relevance"), [(("positive", "positive_id"), 1), (("negative", "negative_id"), 0)])
def test_a_text_beside_an_id_that_differs_in_spacing_is_the_document(text, names, relevance):
    row = {"query": "what do cats do", **dict(zip(names, (text, "kb-1"), strict=True))}
    if not relevance:
        row |= {"positive": "dogs bark", "positive_id": "kb-2"}
    with cleaned([row, row], documents=CORPUS) as (staging, findings):
        assert ("kb-1", relevance) in judged(staging)
        assert texts(staging) == [(found.id, found.title, found.text) for found in CORPUS]
        (line,) = told(findings)
        assert line.startswith("1 id of documents, such as 'kb-1'")


def test_an_exact_text_or_part_is_not_told():
    exact = (TEXT, f"{TEXT}\n", "mice at night")
    rows = [{"query": "what do cats do", "positive": text, "positive_id": "kb-1"} for text in exact]
    with cleaned(rows, documents=CORPUS) as (staging, findings):
        assert judged(staging) == [("kb-1", 1)] and not told(findings)


SPELLED = [
    {"qid": "1", "query": "What do cats do?", "passage": "cats  sleep", "pid": "x"},
    {"qid": "2", "query": "what do dogs do", "passage": "dogs bark", "pid": "y"},
    {"qid": "1", "query": "what do  cats do?", "passage": "Cats sleep", "pid": "x"},
    {"qid": "3", "query": "and at night", "passage": "cats sleep\n", "pid": "x"},
]


def test_rows_that_spell_one_text_differently_have_one_in_any_order(tmp_path):
    made = set()
    for number, rows in enumerate(itertools.permutations(SPELLED)):
        if number % 5 == 0:
            prepare_folder([list(rows)], None, tmp_path / str(number), near=False, miner="none", validation=0.0)
            made.add(
                tuple((tmp_path / str(number) / f"{table}.parquet").read_bytes() for table in ("documents", "queries"))
            )
    assert len(made) == 1
    with cleaned(SPELLED) as (staging, findings):
        assert texts(staging) == [("x", "", "Cats sleep"), ("y", "", "dogs bark")]
        assert staging.one("SELECT text FROM asked WHERE id = '1'") == "What do cats do?"
        assert [line.split(",")[0] for line in told(findings)] == ["1 id of documents", "1 id of queries"]


def test_the_text_of_the_list_of_queries_is_taken(tmp_path):
    rows = [{"query": "WHAT do  cats do", "qid": "1", "positive": "sleep"}]
    with cleaned(rows, queries={"1": "what do cats do", "2": "another"}) as (staging, findings):
        assert staging.all("SELECT id, text FROM asked") == [("1", "what do cats do")]
        assert len(told(findings)) == 1
    given = read_judged([{**rows[0], "label": 1}], queries={"1": "what do cats do"})
    assert given.queries == {"1": "what do cats do"} and any(ONLY_SPACING in line for line in given.report)


def test_two_corpora_may_spell_a_document_differently(base_folder):
    long = " ".join(f"Sentence number {n} says something about the {n}th thing." for n in range(60))
    one, two = (
        [{"id": "long", "text": text}, {"id": "short", "text": "short"}] for text in (long, long.replace(" ", "  "))
    )
    row = {"query": "what does sentence number 57 say", "document_id": "long"}
    how = {"chunk": 40, "base": str(base_folder("bert")), "miner": "none", "validation": 0}
    alone = prepare([[row]], one, **how)
    for corpora in ((one, two), (two, one)):
        data = prepare([{"train": [row], "documents": corpora[0]}], corpora[1], **how)
        assert any(ONLY_SPACING in line for line in data.report)
        whole = " ".join(found.text for found in data.documents.values() if found.id.startswith("long#"))
        assert "  " in whole  # the first in alphabetical order, and nothing of the other
        assert len(data.documents) >= len(alone.documents) and len(data.qrels) == 1


DIVIDED = [{"title": "Cats", "text": "chase mice"}, {"title": "", "text": "dogs bark"}]


@pytest.mark.parametrize("text", ["Cats chase mice", "dogs bark"])
@pytest.mark.parametrize("role", ["positive", "negative"])
def test_a_text_that_holds_title_and_text_is_the_document_without_an_id(text, role):
    row = {"query": "what is it", "positive": "something else", role: text}
    with cleaned([row, row], documents=list(documents_of(DIVIDED))) as (staging, findings):
        found = {(title, body) for _, title, body in texts(staging)}
        assert {("Cats", "chase mice"), ("", "dogs bark")} <= found and len(found) == 2 + (role == "negative")
        assert not told(findings)
    data = prepare([[row]], DIVIDED, miner="none", validation=0.0)
    assert len(data.documents) == 2 + (role == "negative")


def documents_of(rows):
    from tardif.data.documents import read_documents

    return read_documents(rows)


# Each with the option that the message names.
ROW = {"query": "what do cats do", "query_id": "1", "positive": "sleep all day", "positive_id": "kb-1"}
TRIPLET = {"query": "what do cats do", "positive": "dogs bark", "positive_id": "kb-2", "negative": "they swim"}
CONFLICTS = {
    "positive": ([ROW], {"documents": CORPUS}, "positive"),
    "negative": ([{**TRIPLET, "negative_id": "kb-1"}], {"documents": CORPUS}, "negative"),
    "query": ([ROW], {"queries": {"1": "another question"}}, "query"),
    "an id that the corpus has not": (
        [ROW, {**ROW, "query_id": "2", "query": "and then", "positive_id": "kb-9"}],
        {"documents": CORPUS},
        "document_id",
    ),
    "two rows": ([ROW, {**ROW, "query_id": "2", "query": "and then", "positive": "eat"}], {}, "document_id"),
    "two negatives": (
        [{**TRIPLET, "negative_id": "n"}, {**TRIPLET, "query": "and then", "negative_id": "n", "negative": "they fly"}],
        {},
        "negative_id",
    ),
    "two queries": ([ROW, {**ROW, "query": "and then"}], {}, "query_id"),
}


@pytest.mark.parametrize(("rows", "given", "role"), CONFLICTS.values(), ids=CONFLICTS)
def test_two_texts_of_an_id_are_refused_with_a_way_out_that_works(rows, given, role, tmp_path):
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    how = {"miner": "none", "validation": 0.0, **given}
    with pytest.raises(DataError, match="has two texts") as refused:
        prepare([path], **how)
    assert f'columns={{"{role}": None}} (--columns {role}=)' in str(refused.value)
    assert len(prepare([path], **how, columns={role: None}).qrels) >= 1


def test_the_message_shows_where_the_texts_differ():
    long = "word " * 100
    rows = [{"query": "q", "passage": f"{long}{end}", "pid": "x"} for end in ("one", "two")]
    said = refusal(rows)
    assert re.search(r"here '.{0,60}two' and in line 1 '.{0,60}one'", said)


def test_two_corpora_with_different_texts_are_refused_with_both_places():
    source = {"train": [{"query": "what do cats do", "document_id": "x"}], "documents": [{"id": "x", "text": "one"}]}
    with pytest.raises(DataError, match=r"'x' has two texts, here 'two' and in .*line 1 'one': .*Mend one of them\.$"):
        prepare([source], [{"id": "x", "text": "two"}], miner="none")
