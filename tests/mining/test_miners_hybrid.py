import pytest
from hypothesis import given
from hypothesis import strategies as st

from tardif.errors import SettingError
from tardif.mining.miners import HybridSearcher
from tardif.text.bm25 import LexicalSearcher
from tardif.text.languages import language
from tardif.types import Document


class Ranking:
    """Ranks in one known order, and scores a document by ``scale`` times the length of its id."""

    def __init__(self, *ids, scale=1.0):
        self.ids = ids
        self.scale = scale
        self.notes = [f"scale {scale}"]

    def search(self, queries, k):
        return [[(identity, -float(n)) for n, identity in enumerate(self.ids[:k])] for _ in queries]

    def score(self, queries, documents):
        return [[self.scale * len(identity) for identity in ids] for ids in documents]


def test_ranks_are_fused():
    hits = HybridSearcher([Ranking("a", "b", "c"), Ranking("c", "a", "d")]).search(["q"], 10)[0]
    assert [identity for identity, _ in hits] == ["a", "c", "b", "d"]
    assert dict(hits) == pytest.approx({"a": 1 / 61 + 1 / 62, "c": 1 / 63 + 1 / 61, "b": 1 / 62, "d": 1 / 63})


rankings = st.lists(st.permutations(["a", "b", "c", "d"]), min_size=1, max_size=4)


@given(rankings=rankings, k=st.integers(0, 5))
def test_the_order_of_the_searchers_changes_nothing(rankings, k):
    searchers = [Ranking(*ids) for ids in rankings]
    hits = HybridSearcher(searchers).search(["q"], k)
    assert hits == HybridSearcher(searchers[::-1]).search(["q"], k)
    assert hits[0] == sorted(hits[0], key=lambda hit: (hit[1], hit[0]), reverse=True)
    assert len(hits[0]) == min(k, 4)


@given(ranking=st.permutations(["a", "b", "c", "d"]))
def test_one_searcher_keeps_its_order(ranking):
    assert [i for i, _ in HybridSearcher([Ranking(*ranking)]).search(["q"], 4)[0]] == list(ranking)


def test_ranks_below_the_depth_count_only_where_more_are_asked_for():
    hybrid = HybridSearcher([Ranking("a", "b", "c"), Ranking("d", "e", "c")], depth=2)
    assert {i for i, _ in hybrid.search(["q"], 2)[0]} == {"a", "d"}
    assert hybrid.search(["q"], 3)[0][0][0] == "c"


def test_the_first_that_is_not_lexical_judges():
    words = LexicalSearcher([Document("ab", "red"), Document("c", "blue")], language("en"))
    assert HybridSearcher([words, Ranking("ab", scale=2.0)]).score(["red"], [["ab"]]) == [[4.0]]
    assert HybridSearcher([words]).score(["red"], [["ab", "c"]]) == words.score(["red"], [["ab", "c"]])
    judge = Ranking("ab", scale=3.0)
    assert HybridSearcher([words, Ranking("ab")], judge).score(["red"], [["ab"]]) == [[6.0]]


def test_the_notes_of_all_are_kept():
    assert HybridSearcher([Ranking(scale=1.0), Ranking(scale=2.0)]).notes == ["scale 1.0", "scale 2.0"]


def test_searchers_that_cannot_be_used_are_refused():
    class Silent:
        def search(self, queries, k):
            return [[] for _ in queries]

    with pytest.raises(SettingError, match="at least one"):
        HybridSearcher([])
    with pytest.raises(SettingError, match="Silent cannot judge"):
        HybridSearcher([Silent()])
