import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tardif.data import spooled
from tardif.data.training_set import TRAIN, VALIDATION, TrainingSet
from tardif.errors import SettingError
from tardif.mining.choosing import Chooser
from tardif.mining.mine import mine as mine_all
from tardif.mining.random_pool import RandomPool
from tardif.mining.selection import Selection
from tardif.text.bm25 import LexicalSearcher
from tardif.text.languages import language
from tardif.text.normal import normalise
from tardif.types import Document, Example


def mine(data, searcher, *, batch=256, seed=0, advance=None, **options):
    """The set with its examples; ``options`` are the selection's."""
    options = {"near_copy": None, **options}
    return mine_all(data, searcher, Selection(**options), batch=batch, seed=seed, advance=advance).data


class Ranking:
    """A searcher that ranks the corpus in one known order, whatever is asked."""

    def __init__(self, ids):
        self.ids = list(ids)

    def search(self, queries, k):
        return [[(identity, -float(rank)) for rank, identity in enumerate(self.ids[:k])] for _ in queries]


def collection(texts, qrels, held_out=()):
    """Documents d0, d1, ...; ``qrels`` by query id."""
    return TrainingSet(
        documents={f"d{n}": Document(f"d{n}", text) for n, text in enumerate(texts)},
        queries={query: f"text of {query}" for query in qrels},
        qrels=qrels,
        split={query: VALIDATION if query in held_out else TRAIN for query in qrels},
    )


def big(queries=3):
    """200 different documents; query n is answered by document n alone."""
    return collection([f"text {n}" for n in range(200)], {f"q{n}": {f"d{n}": 1} for n in range(queries)})


def negatives(data):
    return {example.query_id: example.negative_ids for example in data.examples}


TEXTS = st.sampled_from(["a", "A", " a ", "b", "B b", "b  b", "c", "C", "d", "e", "f", "g", ""])


@st.composite
def small_sets(draw):
    texts = draw(st.lists(TEXTS, min_size=2, max_size=14))
    ids = st.integers(0, len(texts) - 1).map("d{}".format)
    judged = st.dictionaries(ids, st.integers(-1, 2), min_size=1, max_size=5)
    qrels = draw(st.dictionaries(st.sampled_from(["q1", "q2", "q3"]), judged, min_size=1))
    return collection(texts, qrels)


@settings(deadline=None, max_examples=40)
@given(data=small_sets(), options=st.sampled_from([{}, {"max_uses": 1}, {"near_copy": 0.4}, {"random_share": 0.5}]))
def test_a_corpus_on_disk_gives_the_negatives_of_one_in_memory(data, options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spooled, "MEMORY", 0)
        on_disk = replace(data, documents=spooled.by_id(spooled.spooled(data.documents.values())))
    found = [
        mine(of, LexicalSearcher(of.documents.values(), language("en")), negatives=3, **options)
        for of in (data, on_disk)
    ]
    assert found[0].examples == found[1].examples
    assert found[0].report == found[1].report


windows = st.tuples(st.integers(1, 6), st.integers(0, 12)).map(lambda pair: {"first": pair[0], "last": sum(pair)})


@settings(deadline=None, max_examples=60)
@given(data=small_sets(), count=st.integers(0, 6), window=windows, seed=st.integers(), draw=st.data())
def test_no_positive_no_copy_of_one_and_no_empty_text_is_mined(data, count, window, seed, draw):
    ranking = Ranking(draw.draw(st.permutations(list(data.documents))))
    mined = mine(data, ranking, negatives=count, **window, seed=seed)
    pairs = [(query, positive) for query in data.queries for positive in data.positives(query)]
    assert [(example.query_id, example.positive_id) for example in mined.examples] == pairs
    for example in mined.examples:
        positives = {normalise(data.documents[positive].content) for positive in data.positives(example.query_id)}
        assert not positives & {normalise(data.documents[negative].content) for negative in example.negative_ids}
        found = set(example.negative_ids) - set(data.qrels[example.query_id])
        assert all(data.documents[negative].content for negative in found)
        assert len(set(example.negative_ids)) == len(example.negative_ids) <= count


@settings(deadline=None, max_examples=30)
@given(window=windows.filter(lambda window: window["last"] - window["first"] > 5), seed=st.integers(), draw=st.data())
def test_the_rank_window_holds(window, seed, draw):
    data = big()
    order = draw.draw(st.permutations(list(data.documents)))
    mined = mine(data, Ranking(order), negatives=5, **window, seed=seed)
    inside = set(order[window["first"] - 1 : window["last"]])
    for chosen in negatives(mined).values():
        assert len(chosen) == 5
        assert inside.issuperset(chosen)


@pytest.mark.parametrize("batch", [1, 2, 256])
def test_the_same_seed_gives_the_same_negatives(batch):
    data = big(5)
    ranking = Ranking(data.documents)
    assert mine(data, ranking, batch=batch).examples == mine(data, ranking).examples
    assert mine(data, ranking, seed=1).examples != mine(data, ranking).examples


def test_another_process_gives_the_same_negatives():
    code = """
from tardif.mining.mine import mine
from tardif.types import Document
from tardif.data.training_set import TrainingSet
documents = {f"d{n}": Document(f"d{n}", f"text {n}") for n in range(200)}
class Nothing:
    def search(self, queries, k):
        return [[] for _ in queries]
data = TrainingSet(documents, {"q0": "text of q0"}, {"q0": {"d0": 1}}, {"q0": "train"})
print(*mine(data, Nothing()).data.examples[0].negative_ids)
"""
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert tuple(printed.split()) == negatives(mine(big(1), Ranking([])))["q0"]


def test_queries_draw_for_themselves():
    data = big(5)
    ranking = Ranking(data.documents)
    alone = TrainingSet(data.documents, {"q3": data.queries["q3"]}, {"q3": data.qrels["q3"]}, {"q3": TRAIN})
    assert negatives(mine(alone, ranking))["q3"] == negatives(mine(data, ranking))["q3"]
    assert len(set(negatives(mine(data, ranking)).values())) == 5


def test_the_own_negatives_come_first():
    data = collection([f"text {n}" for n in range(50)], {"q": {"d40": 1, "d41": 0, "d42": -1}})
    mined = mine(data, Ranking(data.documents), negatives=4, first=1, last=10)
    chosen = negatives(mined)["q"]
    assert chosen[:2] == ("d41", "d42")
    assert {f"d{n}" for n in range(10)}.issuperset(chosen[2:])
    assert any("2 mined" in line and "2 of the data's own, 0 random" in line for line in mined.report)


@pytest.mark.parametrize("searcher", [Ranking(["d0", "d1", "d2"]), None])
def test_an_own_negative_that_is_empty_or_a_copy_of_a_positive_is_not_taken(searcher):
    data = collection(["text", "", "TEXT", "other"], {"q": {"d0": 1, "d1": 0, "d2": 0, "d3": 0}})
    assert negatives(mine(data, searcher)) == {"q": ("d3",)}


def test_all_positives_of_a_query_share_its_negatives():
    data = collection([f"text {n}" for n in range(50)], {"q": {"d1": 1, "d2": 2, "d3": 0}})
    first, second = mine(data, Ranking(data.documents)).examples
    assert (first.positive_id, second.positive_id) == ("d1", "d2")
    assert first.negative_ids == second.negative_ids


def test_random_documents_fill_up_and_are_counted():
    data = big(2)
    mined = mine(data, Ranking(list(data.documents)[100:103]), negatives=8, first=1, last=100)
    assert all(len(chosen) == 8 for chosen in negatives(mined).values())
    assert any("6 mined" in line and "10 random to fill up" in line for line in mined.report)


def test_a_corpus_too_small_is_said():
    data = collection(["a", "A", "b"], {"q": {"d0": 1}})
    mined = mine(data, Ranking(["d0", "d1", "d2"]), negatives=8, first=1, last=10)
    assert mined.examples == [Example("q", "d0", ("d2",))]
    assert "1 queries got fewer negatives than asked for: the corpus is too small" in mined.report


def test_without_a_searcher_only_the_own_negatives_stay():
    data = collection(["a", "b", "c"], {"q": {"d0": 1, "d2": 0}, "r": {"d1": 1}})
    assert negatives(mine(data, None)) == {"q": ("d2",), "r": ()}


def test_held_out_queries_are_not_mined_for():
    data = collection(["a", "b", "c"], {"q": {"d0": 1}, "r": {"d1": 1}}, held_out={"r"})
    done = []
    mined = mine(data, Ranking(data.documents), first=1, last=3, advance=done.append)
    assert set(negatives(mined)) == {"q"}
    assert sum(done) == 1


@pytest.mark.parametrize("window", [(0, 5), (-1, 5), (6, 5)])
def test_an_empty_window_is_refused(window):
    with pytest.raises(SettingError, match="rank window"):
        mine(big(1), Ranking([]), first=window[0], last=window[1])


def test_fewer_than_no_negatives_are_refused():
    with pytest.raises(SettingError, match="negatives=-1"):
        mine(big(1), Ranking([]), negatives=-1)


def test_neither_what_contains_a_positive_nor_a_part_of_it_nor_the_query_itself_is_mined():
    answer = "press the red button on the back for ten seconds, then let go and wait for the green light"
    kin = [f"Read this first. {answer.upper()}! Then go on.", "let go and wait for the green light", "Text of q?"]
    data = collection([answer, *kin, *(f"another text, number {n}" for n in range(30))], {"q": {"d0": 1}})
    for near_copy in (None, 0.4):
        done = mine_all(data, Ranking(data.documents), Selection(negatives=30, ratio=None, near_copy=near_copy))
        assert set(negatives(done.data)["q"]) == {f"d{n}" for n in range(4, 34)}
        assert {rule: done.report.dropped[rule] for rule in ("contains", "part", "query")} == {
            "contains": 1,
            "part": 1,
            "query": 1,
        }
    # Drawn at random where nothing is ranked, they are not taken either.
    assert set(negatives(mine(data, Ranking([]), negatives=30))["q"]) == {f"d{n}" for n in range(4, 34)}


def test_an_answer_of_one_word_does_not_empty_the_corpus():
    data = collection(["Yes", *(f"yes, number {n}" for n in range(30))], {"q": {"d0": 1}})
    assert len(negatives(mine(data, Ranking(data.documents), negatives=30, ratio=None))["q"]) == 30


def test_what_the_user_says_is_no_answer_stays_a_negative_though_it_contains_one():
    answer = "press the red button on the back for ten seconds, then let go and wait for the green light"
    data = collection([answer, f"Never {answer}", "something else"], {"q": {"d0": 1, "d1": 0}})
    assert "d1" in negatives(mine(data, Ranking(data.documents), negatives=1))["q"]


def test_where_most_texts_are_the_same_no_query_looks_at_all_of_them():
    class Counting(dict):
        looks = 0

        def get(self, *key):
            Counting.looks += 1
            return super().get(*key)

    copies = 500
    texts = ["the same"] * copies + [f"another {n}" for n in range(3)]
    data = collection(texts, {f"q{n}": {f"d{n}": 1} for n in range(40)})
    chooser = Chooser(data, Ranking([]), Selection(ratio=None), None, 0)
    chooser._pool = RandomPool(data.documents, None, chooser._same)
    chooser._same = Counting(chooser._same)
    choices = chooser.choose(data.query_ids(TRAIN))
    assert all({n.id for n in choice.negatives} == {"d500", "d501", "d502"} for choice in choices)
    assert Counting.looks < 40 * copies / 10


def test_pieces_of_a_querys_own_document_are_never_its_negatives():
    part = ("the sea is deep and blue", "so nobody can walk over it")
    documents = {
        f"q#{n}": Document(f"q#{n}", text, metadata={"tardif_piece": {"document": "q", "number": n, "of": 2}})
        for n, text in enumerate(part, 1)
    }
    documents |= {f"d{n}": Document(f"d{n}", f"text {n}") for n in range(4)}
    data = TrainingSet(documents, {"q": " ".join(part)}, {"q": {"d0": 1}}, {"q": TRAIN})
    mined = mine_all(data, Ranking(documents), Selection(negatives=8, ratio=None))
    assert set(negatives(mined.data)["q"]) == {"d1", "d2", "d3"}
