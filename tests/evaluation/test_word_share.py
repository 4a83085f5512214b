from __future__ import annotations

from tardif.evaluation.word_share import LEAST_QUERIES, SHARES, best_word_share

QUERIES = [f"q{number}" for number in range(60)]
QRELS = {query: {"a": 1} for query in QUERIES}
# Plain search has the answer second, a little behind.
FOUND = {query: {"b": 9.0, "a": 8.5, "c": 2.0} for query in QUERIES}


def test_words_that_help_every_query_get_a_share():
    share = best_word_share(QRELS, FOUND, {query: {"a": 5.0} for query in QUERIES})
    assert share in SHARES


def test_words_that_help_few_queries_more_than_they_harm_get_none_by_chance():
    # A gain of one query in sixty, smaller than its standard error.
    right = {query: {"a": 9.0, "b": 8.9, "c": 2.0} for query in QUERIES} | {"q0": FOUND["q0"]}
    words = {query: {"a": 5.0} if query == "q0" else {} for query in QUERIES}
    assert best_word_share(QRELS, right, words) == 0.0


def test_words_that_mislead_get_no_share():
    assert best_word_share(QRELS, FOUND, {query: {"c": 5.0} for query in QUERIES}) == 0.0


def test_few_queries_tell_nothing():
    few = {query: QRELS[query] for query in QUERIES[: LEAST_QUERIES - 1]}
    assert best_word_share(few, FOUND, {query: {"a": 5.0} for query in few}) is None
