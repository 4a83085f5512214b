"""The order in which candidates are scored."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tardif.index.pruned import _best_first

# Estimates are whole numbers times a scale: never so small that the lowest bits are all that a float has.
FLOATS = st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), max_size=300)


@given(FLOATS)
def test_every_candidate_stands_once_and_the_best_first(values):
    estimates = np.array(values, dtype=np.float64)
    order = _best_first(estimates)
    assert sorted(order.tolist()) == list(range(len(values)))
    ordered = estimates[order]
    # 300 places take 9 of a double's 52 bits.
    assert np.all(np.diff(ordered) <= np.abs(ordered[1:]) * 2.0**-42)


@given(st.lists(st.sampled_from([-2.5, -0.0, 0.0, 3.0]), max_size=50))
def test_equal_estimates_are_in_their_own_order(values):
    found = _best_first(np.array(values, dtype=np.float64)).tolist()
    assert [n for n in found if values[n] == 3.0] == [n for n, value in enumerate(values) if value == 3.0]
    assert [n for n in found if values[n] < 0] == [n for n, value in enumerate(values) if value < 0]


def test_there_may_be_none_or_one():
    assert _best_first(np.zeros(0)).tolist() == []
    assert _best_first(np.array([7.0])).tolist() == [0]
