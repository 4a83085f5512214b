import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samples import cleaned
from tardif.data.split import MAX_HELD_OUT, Split, enough, split
from tardif.data.training_set import TEST, TRAIN, VALIDATION
from tardif.errors import DataError, SettingError
from tardif.preparation import prepare
from tardif.text.normal import normalise

LAWS = settings(deadline=None, max_examples=8, database=None)  # each example is a database or two

queries = st.sampled_from(["a", "A ", "ａ", "b", " b", "c d", "C  D", "e", "f", "g"])
documents = st.sampled_from([f"document {n}" for n in range(6)] + ["Document  1", "DOCUMENT 2"])
families = st.sampled_from(["one", "two", "three", "four"])
rows = st.lists(
    st.fixed_dictionaries({"query": queries, "positive": documents, "negative": st.just("wrong"), "family": families}),
    min_size=1,
    max_size=12,
)
hows = st.builds(Split, st.floats(0, 0.5), st.floats(0, 0.49), st.integers(-9, 9), documents_apart=st.booleans())


def sides(*sources, how=None, alike=(), held_out=(), **reading):
    """The side of every query, by its text."""
    with cleaned(*sources, **reading) as (staging, _):
        ids = {text: identity for identity, text in staging.all("SELECT id, text FROM asked")}
        split(staging, how or Split(), held_out=held_out, alike=[(ids[one], ids[other]) for one, other in alike])
        return dict(staging.all("SELECT a.text, s.side FROM asked a JOIN sides s USING (id)"))


def together(found, groups):
    """Whether each group of query texts is on one side."""
    return all(len({found[text] for text in group}) == 1 for group in groups)


def sharing(rows, field):
    """The query texts of the rows that share the value of a field, but for case and white space."""
    groups = {}
    for row in rows:
        groups.setdefault(normalise(row[field]), set()).add(row["query"])
    return groups.values()


@LAWS
@given(rows=rows, how=hows, data=st.data())
def test_what_belongs_together_is_on_one_side_in_any_order(rows, how, data):
    grouped = data.draw(st.booleans())
    reading = {"group_by": "family"} if grouped else {}
    found = sides(rows, how=how, **reading)
    assert set(found) == {row["query"] for row in rows}
    assert set(found.values()) <= {TRAIN, VALIDATION, TEST}
    assert TRAIN in found.values()
    assert together(found, sharing(rows, "query"))
    if grouped:
        assert together(found, sharing(rows, "family"))
    if how.documents_apart:
        assert together(found, sharing(rows, "positive"))
    assert sides(data.draw(st.permutations(rows)), how=how, **reading) == found


@LAWS
@given(rows=rows, data=st.data())
def test_what_is_held_out_takes_its_texts_along_and_nothing_else(rows, data):
    held = data.draw(st.lists(st.sampled_from(rows), min_size=1, max_size=3))
    texts = {normalise(row["query"]) for row in held}
    if texts == {normalise(row["query"]) for row in rows}:
        with pytest.raises(DataError, match="No query is left to train on"):
            sides(rows, held, held_out=[1])
        return
    found = sides(rows, held, held_out=[1], how=Split(validation=0.5))
    assert {normalise(text) for text, side in found.items() if side == VALIDATION} == texts


def pairs(count, copies=1):
    return [{"query": f"query {n // copies}{' ' * (n % copies)}", "positive": f"answer {n}"} for n in range(count)]


def test_the_shares_are_of_distinct_texts():
    found = sides(pairs(100, copies=2), how=Split(validation=0.2, test=0.1))
    texts = {side: {normalise(text) for text in found if found[text] == side} for side in set(found.values())}
    assert {side: len(text) for side, text in texts.items()} == {TRAIN: 35, VALIDATION: 10, TEST: 5}
    assert set(sides(pairs(20), how=Split(validation=0)).values()) == {TRAIN}


def test_no_more_are_held_out_than_evaluation_needs():
    found = list(sides(pairs(4 * MAX_HELD_OUT), how=Split(validation=0.5, test=0.4)).values())
    assert MAX_HELD_OUT == 500
    assert (found.count(VALIDATION), found.count(TEST)) == (MAX_HELD_OUT, MAX_HELD_OUT)


def test_of_few_queries_more_are_held_out():
    held = {count: enough(count) for count in (0, 3, 17, 18, 86, 149, 200, 500, 800, 9000)}
    expected = {0: 0, 3: 0, 17: 0, 18: 6, 86: 28, 149: 49, 200: 50, 500: 50, 800: 80, 9000: MAX_HELD_OUT}
    assert held == expected
    found = list(sides(pairs(86), how=Split(test=0.3)).values())
    assert (found.count(TEST), found.count(VALIDATION)) == (26, 20)  # a third of what the test leaves


def test_another_seed_is_another_split():
    assert sides(pairs(60), how=Split(seed=1)) == sides(pairs(60), how=Split(seed=1))
    assert sides(pairs(60), how=Split(seed=1)) != sides(pairs(60), how=Split(seed=2))


@LAWS
@given(chain=st.lists(st.integers(0, 19), min_size=2, max_size=6, unique=True), seed=st.integers(0, 99))
def test_texts_that_are_nearly_the_same_stay_together(chain, seed):
    alike = [(f"query {one}", f"query {other}") for one, other in pairwise(chain)]
    found = sides(pairs(20), how=Split(validation=0.5, seed=seed), alike=alike)
    assert together(found, [{f"query {n}" for n in chain}])


def test_a_query_of_two_families_joins_them():
    rows = [{"query": q, "positive": "a", "family": f} for q, f in [("x", "1"), ("x", "2"), ("y", "2"), ("z", "3")]]
    for seed in range(5):
        found = sides(rows, how=Split(validation=0.5, seed=seed), group_by="family")
        assert found["x"] == found["y"]
        assert set(found.values()) == {TRAIN, VALIDATION}


def test_only_relevant_documents_are_kept_apart():
    rows = [{"query": f"query {n}", "positive": f"answer {n}", "negative": "the same wrong one"} for n in range(20)]
    found = list(sides(rows, how=Split(validation=0.2, documents_apart=True)).values())
    assert found.count(VALIDATION) == 4


def test_prepare_keeps_near_duplicates_on_one_side():
    stem = "how do I reset the password of my account on the second machine in the office"
    rows = [(f"{stem}{end}", f"answer {end}") for end in ("", "?", " ?", " !")] + [
        (f"something else entirely, number {n * 7919}", f"answer {n}") for n in range(8)
    ]
    for seed in range(4):
        data = prepare([rows], miner="none", validation=0.4, seed=seed)
        assert len({data.split[q] for q, text in data.queries.items() if text.startswith(stem)}) == 1
    assert any("4 queries are nearly the same as another, in 1 groups" in line for line in data.report)


@pytest.mark.parametrize(
    "shares",
    [{"validation": -0.1}, {"validation": 1}, {"validation": True}, {"test": "some"}, {"validation": 0.5, "test": 0.5}],
)
def test_shares_out_of_range_are_refused(shares):
    with pytest.raises(SettingError, match=r"validation|test"):
        Split(**shares).check()


def test_where_no_row_can_be_used_nothing_is_said_of_held_out_data():
    with pytest.raises(DataError, match="No query is left to train on: no row that was read can be used"):
        sides([("same", "same")])


def test_families_count_by_their_queries():
    rows = [{**row, "family": n // 300} for n, row in enumerate(pairs(3000))]
    for seed in range(3):
        found = list(sides(rows, how=Split(validation=0.5, seed=seed), group_by="family").values())
        assert found.count(VALIDATION) <= MAX_HELD_OUT


def test_a_template_whose_questions_are_nearly_the_same_is_not_torn_and_the_report_names_the_way_out():
    asked = "What is the current retail price, taxes included, of the item with the number {}?"
    rows = [(asked.format(n), f"answer {n}") for n in range(30)]
    data = prepare([rows], miner="none")
    assert set(data.split.values()) == {TRAIN}
    said = next(line for line in data.report if line.startswith("no query is held out"))
    assert "queries that belong together has 30, and the share has room for 10" in said
    assert "--no-near (near=False)" in said
    assert set(prepare([rows], miner="none", near=False).split.values()) == {TRAIN, VALIDATION}


_DRAW = random.Random(1)
_NAMES = ["".join(_DRAW.choices("abdeiklmnorstu", k=7)) for _ in range(96)]
SHIPS = [
    f"The ship {_NAMES[n]} sailed from port {_NAMES[32 + n]}. Its captain {_NAMES[64 + n]} counted {n * 3} whales each "
    "night in the bay of storms."
    for n in range(32)
]


def ships(field="fleet", texts=SHIPS):
    return [
        {"id": f"s{n}", "title": f"A journey of the {_NAMES[n]}", "text": text, field: n // 4}
        for n, text in enumerate(texts)
    ]


def fleets(data):
    """Whether all queries whose documents have one value of the field are on one side."""
    sides = {}
    for query, judged in data.qrels.items():
        for document, relevance in judged.items():
            if relevance > 0:
                sides.setdefault(data.documents[document].metadata["fleet"], set()).add(data.split[query])
    return all(len(found) == 1 for found in sides.values())


def qrels_of(folder):
    (folder / "qrels.txt").write_text("".join(f"q{n} 0 s{n} 1\n" for n in range(len(SHIPS))), "utf-8")
    return folder / "qrels.txt"


def test_a_file_of_qrels_is_grouped_by_a_field_of_the_documents(tmp_path):
    queries = {f"q{n}": f"how many men had ship {n}?" for n in range(len(SHIPS))}
    how = {"queries": queries, "miner": "none", "near": False}
    data = prepare([qrels_of(tmp_path)], ships(), group_by="fleet", **how)
    assert fleets(data)
    assert "group from fleet of the documents: 32 judgements" in data.report
    assert not fleets(prepare([qrels_of(tmp_path)], ships(), **how))  # by chance they are not


def test_made_queries_are_grouped_by_a_field_of_the_documents():
    data = prepare([], ships(), synthesize=True, group_by="fleet", miner="none", near=False, chunk=None)
    assert data.query_ids(VALIDATION)
    assert fleets(data)


@pytest.mark.parametrize("documents", [ships("other"), [*ships()[:-1], {**ships()[-1], "fleet": None}]])
def test_a_field_that_no_document_or_not_every_one_has_is_refused(documents, tmp_path):
    queries = {f"q{n}": f"how many men had ship {n}?" for n in range(len(SHIPS))}
    told = r"has no fleet to group by, and neither has its document 's\d+'.*--documents-apart"
    with pytest.raises(DataError, match=told):
        prepare([qrels_of(tmp_path)], documents, queries=queries, group_by="fleet", miner="none")
    assert prepare([qrels_of(tmp_path)], documents, queries=queries, documents_apart=True, miner="none").queries
    with pytest.raises(DataError, match=told):
        prepare([], documents, synthesize=True, group_by="fleet", miner="none")


def test_rows_with_the_column_and_made_queries_share_groups():
    rows = [{"query": f"men of ship {n}?", "document_id": f"s{n}", "fleet": n // 4} for n in range(len(SHIPS))]
    assert fleets(prepare([rows], ships(), synthesize=True, group_by="fleet", miner="none", near=False))


def test_a_list_is_no_group(tmp_path):
    documents = [{**row, "fleet": [1, 2]} for row in ships()]
    with pytest.raises(DataError, match="qrels.txt, line 1: column fleet is to group by, so it must be text or a"):
        prepare([qrels_of(tmp_path)], documents, queries={f"q{n}": "q" for n in range(32)}, group_by="fleet")
