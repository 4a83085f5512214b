import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tardif import languages
from tardif.languages import language
from tardif.lexical import LexicalSearcher
from tardif.types import Document

CODES = sorted({found.code for found in languages._BY_CODE.values()})


def searcher(*texts, code="en"):
    return LexicalSearcher([Document(f"d{n}", text) for n, text in enumerate(texts)], language(code))


def found(hits):
    return [[identity for identity, _ in ranking] for ranking in hits]


def test_documents_that_share_no_word_are_not_listed():
    hits = searcher("cats chase mice", "dogs bark", "birds sing").search(["cats", "mice or birds", "fish"], 10)
    assert [set(ranking) for ranking in found(hits)] == [{"d0"}, {"d0", "d2"}, set()]


def test_the_best_come_first_and_ties_go_by_id():
    hits = searcher("red apple", "red green", "red apple", "blue sky").search(["red apple"], 2)
    assert found(hits) == [["d0", "d2"]]
    assert hits[0][0][1] == hits[0][1][1] > 0


def test_words_are_stemmed_in_their_language():
    assert found(searcher("she was running", "he sat down").search(["runs"], 5)) == [["d0"]]
    assert found(searcher("viele Häuser", "ein Baum", code="de").search(["Haus häuser"], 5)) == [["d0"]]


def test_the_title_is_searched():
    corpus = [Document("a", "body", title="Zebra"), Document("b", "body")]
    assert found(LexicalSearcher(corpus, language("en")).search(["zebra"], 5)) == [["a"]]


@pytest.mark.parametrize("texts", [(), ("",), ("the of and",)])
def test_a_corpus_without_words_finds_nothing(texts):
    assert searcher(*texts).search(["the", "cat", ""], 5) == [[], [], []]


def test_no_query_no_hits():
    assert searcher("cats").search([], 5) == []


@pytest.mark.parametrize("code", CODES)
def test_every_language_can_be_searched(code):
    assert found(searcher("alpha beta", "gamma delta", code=code).search(["gamma"], 5)) == [["d1"]]


words = st.lists(st.sampled_from(["red", "green", "blue", "the", "sky", "x"]), max_size=5).map(" ".join)


@settings(deadline=None, max_examples=50)
@given(texts=st.lists(words, max_size=6), queries=st.lists(words, max_size=3), k=st.integers(0, 8))
def test_every_ranking_is_ordered_and_cut(texts, queries, k):
    rankings = searcher(*texts).search(queries, k)
    assert len(rankings) == len(queries)
    for ranking in rankings:
        assert len(ranking) <= k
        assert ranking == sorted(ranking, key=lambda hit: (-hit[1], hit[0]))
        assert all(score > 0 for _, score in ranking)


@settings(deadline=None, max_examples=25)
@given(texts=st.lists(words, min_size=1, max_size=6), query=words, others=st.lists(words, max_size=3))
def test_a_query_is_answered_the_same_in_any_company(texts, query, others):
    index = searcher(*texts)
    assert index.search([*others, query], 5)[-1] == index.search([query], 5)[0]
