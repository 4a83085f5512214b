"""The rules of choosing, as laws over fake searchers."""

import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tardif.data.training_set import TRAIN, TrainingSet
from tardif.errors import SettingError
from tardif.mining.copies import NearCopies
from tardif.mining.mine import mine
from tardif.mining.selection import Reference, Selection, judge, order
from tardif.text.normal import normalise
from tardif.types import Document


class Table:
    """A searcher by a table of scores: query text to document to score."""

    def __init__(self, scores):
        self.scores = scores

    def search(self, queries, k):
        return [sorted(self.scores[q].items(), key=lambda hit: (hit[1], hit[0]), reverse=True)[:k] for q in queries]


class ScoringTable(Table):
    def score(self, queries, documents):
        return [[self.scores[q].get(d, 0.0) for d in ids] for q, ids in zip(queries, documents, strict=True)]


WORDS = [f"w{n}" for n in range(60)]
SCORE = st.floats(-2, 10).map(lambda score: round(score, 2))


def some_text(draw, texts):
    """A text of some words; every fourth is one of the others, or differs from it by a word."""
    if not texts or draw.random() < 0.75:
        return " ".join(draw.choices(WORDS, k=draw.randint(1, 12)))
    words = draw.choice(texts).split()
    if draw.random() < 0.5:
        words[draw.randrange(len(words))] = draw.choice(WORDS)
    return " ".join(words)


@st.composite
def worlds(draw):
    """A collection and a table of scores of every document for every query.

    Of the hundreds of words and scores Hypothesis draws the seed, and some scores: to draw each takes it longer than
    all of mining.
    """
    by_seed = random.Random(draw(st.integers(0, 2**32)))
    texts = []
    for _ in range(draw(st.integers(4, 30))):
        texts.append(some_text(by_seed, texts))
    ids = [f"d{n}" for n in range(len(texts))]
    queries = [f"q{n}" for n in range(draw(st.integers(1, 5)))]
    qrels = {q: draw(st.dictionaries(st.sampled_from(ids), st.sampled_from([1, 1, 0]), min_size=1)) for q in queries}
    data = TrainingSet(
        documents={d: Document(d, text) for d, text in zip(ids, texts, strict=True)},
        queries={q: f"text of {q}" for q in queries},
        qrels=qrels,
        split=dict.fromkeys(queries, TRAIN),
    )
    few = draw(st.lists(SCORE, max_size=10))  # which several documents have
    scores = {
        f"text of {q}": {
            d: by_seed.choice(few) if few and by_seed.random() < 0.5 else round(by_seed.uniform(-2, 10), 2) for d in ids
        }
        for q in queries
    }
    return data, scores


SELECTIONS = st.builds(
    Selection,
    negatives=st.integers(0, 6),
    first=st.integers(1, 4),
    last=st.integers(4, 25),
    sampling=st.sampled_from(["uniform", "top", "weighted"]),
    ratio=st.sampled_from([None, 0.5, 0.95, 1.0]),
    margin=st.sampled_from([None, 0.0, 1.0]),
    floor=st.sampled_from([None, 0.0, 2.0]),
    ceiling=st.sampled_from([None, 5.0, 8.0]),
    near_copy=st.sampled_from([None, 0.5, 0.8]),
    random_share=st.sampled_from([0.0, 0.4, 1.0]),
    max_uses=st.sampled_from([None, 1, 2]),
)


@settings(deadline=None, max_examples=150)
@given(world=worlds(), selection=SELECTIONS, scorer=st.booleans(), seed=st.integers(0, 3))
def test_every_rule_holds(world, selection, scorer, seed):
    data, table = world
    done = mine(data, (ScoringTable if scorer else Table)(table), selection, seed=seed, batch=2)
    near = NearCopies(data.documents, selection.near_copy) if selection.near_copy else None
    shown = done.report.examples  # all of them: they are few
    origins = {(choice["query_id"], n["id"]): n["origin"] for choice in shown for n in choice["negatives"]}
    for row in done.data.examples:
        positives, scores = data.positives(row.query_id), table[f"text of {row.query_id}"]
        own = {d for d, relevance in data.qrels[row.query_id].items() if relevance <= 0}
        found = [d for d in row.negative_ids if d not in own]
        texts = {normalise(data.documents[d].content) for d in positives}
        assert not texts & {normalise(data.documents[d].content) for d in row.negative_ids}
        assert len(set(row.negative_ids)) == len(row.negative_ids) <= selection.negatives
        if near is not None:
            assert not near.compare(positives, found).near.any()
        ranking = [d for d, _ in Table(table).search([f"text of {row.query_id}"], selection.last)[0]]
        assert not set(found) & set(ranking[: selection.first - 1])
        for d in found if scorer else [d for d in found if d in ranking]:
            for p in positives:
                if scores[p] > 0 and selection.ratio is not None:
                    assert scores[d] < selection.ratio * scores[p]
                # Below a last hit that scores 0, a positive without a score of its own is taken to match nothing.
                judges = scorer or p in ranking or scores[ranking[-1]] != 0
                if scores[p] != 0 and judges and selection.margin is not None:
                    assert scores[d] < scores[p] - selection.margin
            assert selection.ceiling is None or scores[d] <= selection.ceiling
            if selection.floor is not None and origins[row.query_id, d] == "mined":
                assert scores[d] >= selection.floor
        mined = {d for d in found if origins[row.query_id, d] == "mined"}
        assert mined <= set(ranking[selection.first - 1 :])


@settings(deadline=None, max_examples=100)
@given(world=worlds(), selection=SELECTIONS, seed=st.integers(0, 3), batch=st.integers(1, 4))
def test_no_document_is_used_more_often_than_allowed(world, selection, seed, batch):
    data, table = world
    limited = Selection(**{**selection.as_json(), "max_uses": 2})
    done = mine(data, ScoringTable(table), limited, seed=seed, batch=batch)
    chosen = {example.query_id: example.negative_ids for example in done.data.examples}
    uses = Counter(d for negatives in chosen.values() for d in negatives)
    own = {d for judged in data.qrels.values() for d, relevance in judged.items() if relevance <= 0}
    assert all(count <= 2 for d, count in uses.items() if d not in own)


@settings(deadline=None, max_examples=60)
@given(world=worlds(), selection=SELECTIONS, seed=st.integers(0, 3))
def test_the_same_seed_gives_the_same_choice_and_report(world, selection, seed):
    data, table = world
    one, two = (mine(data, ScoringTable(table), selection, seed=seed, batch=2) for _ in range(2))
    assert one.data.examples == two.data.examples
    assert one.report.as_json() == two.report.as_json()


@settings(deadline=None, max_examples=60)
@given(world=worlds(), selection=SELECTIONS, seed=st.integers(0, 3))
def test_the_batch_changes_nothing_unless_uses_are_limited(world, selection, seed):
    data, table = world
    free = Selection(**{**selection.as_json(), "max_uses": None})
    one, two = (mine(data, ScoringTable(table), free, seed=seed, batch=batch) for batch in (1, 3))
    assert one.data.examples == two.data.examples


def ranked(count=40):
    """One query; d0 is its positive and scores 20, d1 scores 39, d2 38, ..."""
    documents = {f"d{n}": Document(f"d{n}", f"word{n}") for n in range(count)}
    data = TrainingSet(documents, {"q": "text"}, {"q": {"d0": 1}}, {"q": TRAIN})
    return data, {"text": {"d0": 20.0, **{f"d{n}": float(count - n) for n in range(1, count)}}}


def chosen(selection, table=None, kind=ScoringTable, **options):
    data, scores = ranked()
    done = mine(data, kind(table or scores), selection, **options)
    return [int(d[1:]) for d in done.data.examples[0].negative_ids], done.report


def test_top_takes_the_best_that_the_rules_leave():
    assert chosen(Selection(negatives=3, first=1, last=40, sampling="top"))[0] == [22, 23, 24]  # below 19


def test_a_margin_and_a_ceiling_and_a_floor_bound_the_scores():
    window = {"first": 1, "last": 40, "sampling": "top", "ratio": None, "negatives": 3}
    assert chosen(Selection(**window, margin=5))[0] == [26, 27, 28]
    assert chosen(Selection(**window, ceiling=10))[0] == [30, 31, 32]
    numbers, report = chosen(Selection(**window, ceiling=10, floor=9))
    assert numbers[:2] == [30, 31]
    assert report.dropped["floor"] == 8
    assert report.short == 1  # the window is the whole corpus


def test_a_positive_that_matches_nothing_cannot_judge_and_is_counted():
    _, table = ranked()
    table["text"]["d0"] = 0.0
    numbers, report = chosen(Selection(negatives=3, first=1, last=30, sampling="top"), table)
    assert numbers == [1, 2, 3]
    assert report.unjudged == 1
    assert any("1 queries could not be filtered" in line for line in report.lines())


def test_without_scores_of_its_own_a_positive_below_the_ranking_is_below_every_hit():
    _, table = ranked()
    table["text"]["d0"] = 0.5
    numbers, report = chosen(Selection(negatives=3, first=1, last=10), table, kind=Table)
    assert report.dropped["ratio"] == 10
    assert not set(numbers) & set(range(1, 11))


def test_a_positive_missing_from_a_ranking_that_is_not_full_cannot_judge():
    _, table = ranked()
    table["text"] = {f"d{n}": 40.0 - n for n in range(1, 6)}
    numbers, report = chosen(Selection(negatives=3, first=1, last=10, sampling="top"), table, kind=Table)
    assert (numbers, report.unjudged) == ([1, 2, 3], 1)


def test_the_lowest_positive_that_matches_judges():
    assert Reference.of([8.0, 2.0, 0.0, None, -1.0]) == Reference(2.0, -1.0)
    assert Reference.of([0.0, None]) == Reference(None, None)


def test_the_random_share_holds():
    documents = {f"d{n}": Document(f"d{n}", f"word{n}") for n in range(500)}
    queries = {f"q{n}": f"text {n}" for n in range(100)}
    data = TrainingSet(documents, queries, {q: {"d0": 1} for q in queries}, dict.fromkeys(queries, TRAIN))
    table = {text: {f"d{n}": 1 - n / 100 for n in range(50)} for text in queries.values()}
    report = mine(data, Table(table), Selection(negatives=4, first=2, last=50, random_share=0.3, ratio=None)).report
    assert report.counts["random"] + report.counts["mined"] == 400
    assert 90 <= report.counts["random"] <= 150
    assert report.filled == 0


def test_weighted_sampling_prefers_high_scores_whatever_their_scale():
    scores = [10.0, 9.0, 1.0, 0.0]
    for change in (lambda s: s, lambda s: 1000 * s + 7, lambda s: s / 50 - 3):
        firsts = [order("weighted", [change(s) for s in scores], random.Random(n))[0] for n in range(400)]
        assert 2.5 < (firsts.count(0) + firsts.count(1)) / (firsts.count(2) + firsts.count(3)) < 15
    assert sorted(order("weighted", [math.nan, 1.0, 1.0], random.Random(0))) == [0, 1, 2]


def test_a_hit_counts_for_the_first_rule_that_drops_it():
    selection = Selection(ratio=0.5, margin=1.0, ceiling=9.0, floor=2.0)
    scores = np.array([1.0, 10.0, 6.0, 4.0, math.nan])
    assert judge(selection, scores, Reference(10.0, 4.5)) == ["floor", "ceiling", "ratio", "margin", None]
    assert judge(selection, scores[:1], Reference(10.0, 4.5), hard=False) == [None]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"negatives": 1.5}, "negatives=1.5"),
        ({"max_uses": 0}, "max_uses=0"),
        ({"ratio": 0}, "ratio=0"),
        ({"ratio": 1.2}, "ratio=1.2"),
        ({"margin": -1}, "margin=-1"),
        ({"floor": "x"}, "floor='x'"),
        ({"ceiling": math.nan}, "ceiling=nan"),
        ({"floor": 3, "ceiling": 2}, "floor=3 is above"),
        ({"near_copy": 0}, "near_copy=0"),
        ({"random_share": 1.1}, "random_share=1.1"),
        ({"sampling": "best"}, "sampling='best'"),
        ({"first": True}, "rank window"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, what):
    with pytest.raises(SettingError, match=what):
        Selection(**options).check()
