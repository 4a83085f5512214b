"""The verdict: what is called better must be so as often as is said, and what cannot be told is called so."""

import random
from dataclasses import replace

import pytest

from tardif import DataError
from tardif.evaluation.figures import Figures, pairs
from tardif.evaluation.measures import means
from tardif.evaluation.paired import paired
from tardif.evaluation.verdict import BETTER, DECIDES, FEW, SAME, WORSE, Comparison, compare_values


def drawn(count, gain, spread=0.2, seed=0):
    """Values of two systems on so many queries, their difference ``gain`` on average."""
    random_ = random.Random(seed)
    theirs = {f"q{n}": random_.random() for n in range(count)}
    return {query: value + random_.gauss(gain, spread) for query, value in theirs.items()}, theirs


def verdict(ours, theirs):
    return compare_values({DECIDES: ours}, {DECIDES: theirs}, "raw")


def mostly_tied(count, seed):
    """Values of two systems of which one query in twelve differs, as trainings on little data make them differ."""
    random_ = random.Random(seed)
    theirs = {f"q{n}": 0.5 for n in range(count)}
    return {q: 0.5 + (random_.choice((0.5, 0.37, -0.37)) if random_.random() < 1 / 12 else 0) for q in theirs}, theirs


@pytest.mark.parametrize("count", [8, 30])
def test_the_interval_covers_the_true_difference_where_most_queries_are_tied(count):
    covered = 0
    for seed in range(100):
        found = paired(*mostly_tied(count, seed))
        covered += found.low <= 0.5 / 36 <= found.high
    assert covered >= 93


@pytest.mark.parametrize("count", [8, 30])
def test_the_interval_covers_the_true_difference_as_often_as_it_says(count):
    runs = 150
    covered = 0
    for seed in range(runs):
        found = paired(*drawn(count, 0.05, seed=seed))
        covered += found.low <= 0.05 <= found.high
    assert covered / runs >= 0.93


def test_of_equal_systems_few_are_called_different():
    called = [verdict(*drawn(28, 0.0, seed=seed)).verdict for seed in range(150)]
    assert sum(name in (BETTER, WORSE) for name in called) <= 0.08 * 150


@pytest.mark.parametrize(
    ("count", "gain", "spread", "expected"),
    [
        (300, 0.1, 0.2, BETTER),
        (300, -0.1, 0.2, WORSE),
        (28, 0.02, 0.2, FEW),
        (8, 0.0, 0.0, FEW),
        (5, 0.3, 0.1, FEW),  # not even five of five
        (500, 0.0, 0.1, SAME),
        (500, 0.0, 0.0, SAME),
        (1, 0.5, 0.0, FEW),
    ],
)
def test_what_is_said(count, gain, spread, expected):
    found = verdict(*drawn(count, gain, spread))
    assert found.verdict == expected
    assert found.queries == count == found.deciding.won + found.deciding.lost + found.deciding.tied
    assert found.deciding.low <= found.deciding.difference <= found.deciding.high
    assert str(count) in found.words()
    if expected == FEW:
        assert found.needed > count
        assert str(found.needed) in found.words()


def test_the_number_that_would_be_needed_is_about_enough():
    needed = verdict(*drawn(28, 0.05, seed=3)).needed
    told = [verdict(*drawn(needed, 0.05, seed=seed)).verdict for seed in range(40)]
    assert told.count(BETTER) >= 26


def test_neither_the_order_of_the_queries_nor_the_run_changes_a_bit():
    ours, theirs = drawn(40, 0.03)
    turned = dict(reversed(ours.items())), dict(reversed(theirs.items()))
    assert verdict(ours, theirs) == verdict(*turned)
    assert means({DECIDES: ours}) == means({DECIDES: turned[0]})


def test_a_comparison_is_read_back_as_it_was():
    found = verdict(*drawn(10, 0.1))
    assert Comparison.from_json(found.as_json()) == found


@pytest.mark.parametrize(("ours", "theirs"), [({}, {}), ({"a": 1.0}, {"b": 1.0})])
def test_systems_are_compared_on_the_same_queries(ours, theirs):
    with pytest.raises(DataError, match="same queries"):
        paired(ours, theirs)


@pytest.mark.parametrize("gain", [0.0, 0.004, 0.02])
def test_many_queries_are_computed_as_a_few_thousand_are_drawn(gain, monkeypatch):
    ours, theirs = drawn(2_100, gain)
    normal = paired(ours, theirs)
    monkeypatch.setattr("tardif.evaluation.paired._DRAWN", 3_000)
    by_draws = paired(ours, theirs)
    assert (normal.p, normal.low, normal.high) == pytest.approx((by_draws.p, by_draws.low, by_draws.high), abs=0.01)
    assert (normal.difference, normal.won, normal.tied) == (by_draws.difference, by_draws.won, by_draws.tied)


def test_rounding_wins_no_query():
    values = {f"q{n}": n / 10 for n in range(10)}
    found = paired({query: value + 1e-15 for query, value in values.items()}, values)
    assert (found.won, found.lost, found.tied, found.p) == (0, 0, 10, 1.0)


def test_values_that_are_all_0_are_no_difference():
    zero = Figures("a", "faq", {"ERR@20": 0.0}, {"ERR@20": dict.fromkeys("abc", 0.0)})
    (pair,) = pairs([zero, replace(zero, name="b")])
    assert (pair.verdict, pair.low, pair.high, pair.p_holm) == (SAME, 0, 0, 1)
