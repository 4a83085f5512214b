"""Pairs joined to the documents that hold them: what is relevant, what is trained on, what is said."""

import re

import pytest

from samples import cleaned, read_lines, reported
from tardif.data.hygiene.joining import READ_BYTES
from tardif.data.synthetic import parent_of
from tardif.data.training_set import VALIDATION
from tardif.errors import DataError
from tardif.preparation import prepare, prepare_folder
from tardif.types import Document, Piece

HARBOUR = "The harbour was dredged in 1911, after the two floods, and is open to larger ships all year."
BREAD = "Bakers feed the sourdough starter with “fresh” flour and water at the same hour of every day."
CATS = "Cats sleep for most of the day and hunt the mice of the barn when the evening has come."
OTHER = "No document says this: glass blowers turn their pipes so that the bubble keeps its round shape."
PAGES = [
    Document("harbour", f"The old town.\n\n{HARBOUR.upper().replace(' ', '  ')} Boats come.", "On harbours"),
    Document("bread", f"First the dough. {BREAD.replace('“', '').replace('”', '')} Then the oven.", "On bread"),
    Document("cats", CATS.replace("evening", "night"), "On cats"),
]
PAIRS = [("when was it dredged", HARBOUR), ("how is the starter fed", BREAD), ("when do they hunt", CATS)]


def judged(staging, order="q.text, j.relevance DESC, j.document_id"):
    return staging.all(
        f"SELECT q.text, j.document_id, j.relevance, j.row IS NOT NULL FROM judged j JOIN asked q ON q.id = j.query_id "
        f"ORDER BY {order}"
    )


def relevant(data):
    return {data.queries[query]: sorted(data.positives(query)) for query in data.queries}


def test_positives_are_judgements_of_the_documents_that_hold_them():
    with cleaned([*PAIRS, ("why turn it", OTHER)], documents=PAGES) as (staging, findings):
        own = staging.one(
            "SELECT document_id FROM judged j JOIN asked q ON q.id = j.query_id WHERE q.text = 'why turn it'"
        )
        assert judged(staging) == [
            ("how is the starter fed", "bread", 1, True),
            ("when do they hunt", "cats", 1, True),
            ("when was it dredged", "harbour", 1, True),
            ("why turn it", own, 1, True),
        ]
        assert staging.one("SELECT count(*) FROM texts") == 4
        assert findings.lines == ["3 of 4 positives found in the documents, 1 added as separate documents"]
        said = [(row["rule"], row["place"], row["document_id"], row.get("detail")) for row in reported(staging)]
        assert said == [
            ("contained-positive", 1, "harbour", "word for word"),
            ("contained-positive", 2, "bread", "word for word"),
            ("contained-positive", 3, "cats", "nearly word for word"),
            ("positive-not-found", 4, own, None),
        ]


def test_the_rules_can_be_chosen():
    rows = [*PAIRS, ("why turn it", OTHER)]
    for on, texts, used in (
        ({"contained-positive": "exact"}, 5, 4),
        ({"contained-positive": "keep"}, 7, 4),
        ({"positive-not-found": "drop"}, 3, 3),
    ):
        with cleaned(rows, documents=PAGES, on=on) as (staging, _):
            assert (staging.one("SELECT count(*) FROM texts"), staging.one("SELECT count(row) FROM judged")) == (
                texts,
                used,
            )
    for rule, count in (("contained-positive", 3), ("positive-not-found", 1)):
        refused = pytest.raises(DataError, match=rf"data, line \d: a positive .*\({count} in all\).*{rule}=")
        with refused, cleaned(rows, documents=PAGES, on={rule: "refuse"}):
            pass


def test_nothing_is_looked_for_where_no_corpus_is_given():
    with cleaned([("q", HARBOUR), ("r", f"It is said: {HARBOUR}")]) as (staging, findings):
        assert staging.one("SELECT count(*) FROM texts") == 2
        assert not findings.lines and not findings.counts


def test_every_document_that_holds_a_positive_is_relevant_and_none_a_negative_but_one_is_taught():
    copies = [Document(name, f"{HARBOUR} This is {name}.") for name in ("one", "two")]
    data = prepare([[PAIRS[0]]], [*PAGES, *copies, Document("same", HARBOUR)], validation=0, negatives=8)
    assert relevant(data) == {"when was it dredged": ["harbour", "one", "same", "two"]}
    [example] = data.examples
    assert set(example.negative_ids) <= {"bread", "cats"}


def test_of_too_many_copies_of_a_text_one_is_judged(monkeypatch):
    text = "Deep."
    copies = [Document(f"copy {n}", text) for n in range(4)]
    for most, count in ((4, 4), (3, 1)):
        monkeypatch.setattr("tardif.data.hygiene.moves._COPIES", most)
        data = prepare([[("How deep is it?", text)]], copies, validation=0, miner="none")
        assert [len(found) for found in data.qrels.values()] == [count]


def test_held_out_rows_are_joined_too():
    data = prepare([PAIRS[1:]], PAGES, validation=[PAIRS[0]], miner="none")
    assert relevant(data)["when was it dredged"] == ["harbour"]
    assert [data.queries[query] for query in data.query_ids(VALIDATION)] == ["when was it dredged"]


def cut(number, of, text, whole):
    start = whole.index(text)
    return Document(f"page#{number}", text, "", {}, Piece("page", number, of, start, start + len(text)))


def in_pieces(*texts):
    """A page whose pieces are these texts, which may overlap."""
    whole = texts[0]
    for text in texts[1:]:
        shared = next(n for n in range(min(len(whole), len(text)), -1, -1) if whole.endswith(text[:n]))
        whole += text[shared:]
    return Document("page", whole), lambda page: [cut(n, len(texts), t, whole) for n, t in enumerate(texts, 1)]


def joined_to_pieces(rows, *texts):
    from tardif.data.formats import open_source
    from tardif.data.hygiene.cleaning import clean
    from tardif.data.hygiene.rules import choose

    page, chunk = in_pieces(*texts)
    with cleaned_raw() as staging:
        staging.add_documents(staging.source("corpus"), [(1, page)], chunk=chunk)
        staging.add(open_source(rows))
        clean(staging, choose({}))
        return [(document, taught) for _, document, _, taught in judged(staging)]


def cleaned_raw():
    import tempfile
    from pathlib import Path

    from tardif.data.staging import Staging

    return Staging(Path(tempfile.mkdtemp(prefix="tardif-test-")))


@pytest.mark.parametrize("alone", [False, True])
def test_other_pieces_of_a_document_judged_by_its_id_are_no_negatives_unless_there_is_nothing_else(alone):
    from tardif.data.formats import open_source
    from tardif.data.hygiene.cleaning import clean
    from tardif.data.hygiene.rules import choose

    page, chunk = in_pieces(f"{CATS} ", f"{HARBOUR} ", BREAD)
    others = [] if alone else [(n, Document(f"other{n}", f"something else {n}")) for n in range(2, 5)]
    with cleaned_raw() as staging:
        staging.add_documents(staging.source("corpus"), [(1, page)], chunk=chunk)
        staging.add_documents(staging.source("more"), others)
        staging.add(open_source([{"query": "when was the harbour dredged", "document_id": "page"}]))
        findings = clean(staging, choose({}))
        assert [document for _, document, _, _ in judged(staging)] == ["page#2"]
        unclear = staging.all("SELECT document_id FROM unclear ORDER BY document_id")
        assert unclear == ([] if alone else [("page#1",), ("page#3",)])
        told = "over half of the corpus" if alone else "no other piece of the document is mined"
        assert [line for line in findings.lines if "judged as a whole" in line and told in line]


def test_a_positive_goes_to_the_pieces_that_hold_it():
    one, two = HARBOUR[:50], HARBOUR[50:]
    # Overlapping pieces that both hold all of it: both are relevant, one is taught.
    found = joined_to_pieces([PAIRS[0]], f"{CATS} {HARBOUR}", f"{HARBOUR} {BREAD}")
    assert found == [("page#1", True), ("page#2", False)]
    # Cut across it: the pieces that hold half, at least the one that holds most.
    assert joined_to_pieces([PAIRS[0]], f"{CATS} {one}", f"{two} {BREAD}") == [("page#1", True)]
    assert joined_to_pieces([PAIRS[0]], f"{CATS} {HARBOUR[:20]}", f"{HARBOUR[20:]} {BREAD}") == [("page#2", True)]
    # It fills several pieces: all of them are parts of it, and the one that fits the query is taught.
    found = joined_to_pieces([("flour and water", f"{CATS} {HARBOUR} {BREAD}")], f"{CATS} ", f"{HARBOUR} ", BREAD)
    assert found == [("page#1", False), ("page#2", False), ("page#3", True)]


def test_a_document_that_is_part_of_a_positive_is_relevant():
    parts = [Document("h", HARBOUR, "Harbours"), Document("b", BREAD, "Bread"), Document("c", CATS)]
    with cleaned([("how is flour used", f"{HARBOUR}\n\n{BREAD}")], documents=parts) as (staging, findings):
        assert judged(staging) == [("how is flour used", "b", 1, True), ("how is flour used", "h", 1, False)]
        assert findings.lines == ["1 of 1 positives found in the documents"]
    with cleaned([("how", f"{OTHER} {HARBOUR} {OTHER[20:]}")], documents=parts) as (staging, findings):
        assert [(document[:2], taught) for _, document, _, taught in judged(staging)] == [("d-", True), ("h", False)]
        assert findings.lines == ["0 of 1 positives found in the documents, 1 added as separate documents"]


def test_what_ends_behind_what_a_model_reads_is_taught_by_its_own_text():
    long = Document("long", f"{'Much is said before. ' * (READ_BYTES // 20)}{HARBOUR} And so on.")
    data = prepare([[PAIRS[0], PAIRS[1]]], [*PAGES[1:], long], validation=0, negatives=8)
    assert relevant(data)["when was it dredged"] == ["long"]
    [positive] = [data.documents[e.positive_id] for e in data.examples if e.positive_id != "bread"]
    assert (positive.text, parent_of(positive)) == (HARBOUR, "long")
    for example in data.examples:
        assert positive.id not in example.negative_ids
        assert example.positive_id == "bread" or "long" not in example.negative_ids
    assert any(line.startswith("1 positives lie beyond the tokens that a model reads") for line in data.report)


def test_a_negative_stands_for_a_document_that_it_fills_and_else_for_itself():
    rows = [("when was it dredged", HARBOUR, CATS.replace("Cats", "The cats")), ("when do they hunt", CATS, BREAD)]
    filled = [*PAGES, Document("more", f"{OTHER} {OTHER[::-1]} {BREAD} {OTHER[5:]}")]
    with cleaned(rows, documents=[PAGES[0], PAGES[2], filled[-1]]) as (staging, _):
        found = {(query, relevance): document for query, document, relevance, _ in judged(staging)}
        assert found["when was it dredged", 0] == "cats"
        own = found["when do they hunt", 0]
        assert own.startswith("d-") and staging.one(f"SELECT metadata FROM texts WHERE id = '{own}'").count("more") == 1


def test_a_negative_that_is_another_passage_of_the_positives_document_does_not_judge_the_document():
    page = Document("page", f"{HARBOUR} {BREAD} {CATS}")
    with cleaned([("when was it dredged", HARBOUR, BREAD)], documents=[page]) as (staging, findings):
        assert judged(staging) == [("when was it dredged", "page", 1, True)]
        assert findings.counts["negative-with-answer"] == 1


@pytest.mark.parametrize(
    "positive", ["On harbours: " + HARBOUR, f"On harbours\n\n{HARBOUR}", f"**On Harbours** {HARBOUR}"]
)
def test_a_title_before_a_passage_does_not_hide_it(positive):
    with cleaned([("when was it dredged", positive)], documents=PAGES) as (staging, _):
        assert judged(staging) == [("when was it dredged", "harbour", 1, True)]


@pytest.mark.parametrize(("query", "positive", "found"), [
    ("who dredged the old harbour", "Boats come", True),
    ("what is the capital of France", "Boats come", False),
    ("when was the harbour dredged", "1911", False),
    ("is it open", "Yes", False),
])  # fmt: skip
def test_a_short_positive_is_joined_where_one_document_holds_it_and_fits_the_query(query, positive, found):
    with cleaned([(query, positive)], documents=PAGES, on={"id-as-text": "keep"}) as (staging, findings):
        assert (judged(staging)[0][1] == "harbour") == found
        assert bool(re.search(r"\(1 too short to search for\)", findings.lines[0])) != found


def test_the_order_of_the_input_does_not_matter(tmp_path):
    rows = [*PAIRS, ("why turn it", OTHER), ("where", HARBOUR)]
    sets = [
        prepare_folder([given], documents, tmp_path / name, miner="none", validation=0)
        for name, given, documents in (("a", rows, PAGES), ("b", rows[::-1], PAGES[::-1]))
    ]
    for table in ("documents", "qrels", "examples"):
        assert (sets[0] / f"{table}.parquet").read_bytes() == (sets[1] / f"{table}.parquet").read_bytes()
    assert len(read_lines(sets[0] / "report.jsonl")) == 5
