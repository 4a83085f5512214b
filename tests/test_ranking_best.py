import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tardif import ranking
from tardif.ranking import Ids, TopK, best_first

scores = st.lists(
    st.one_of(
        st.sampled_from([-1.0, -0.0, 0.0, 0.5, float("inf"), float("-inf")]), st.floats(width=32, allow_nan=False)
    ),
    max_size=12,
)


@given(scores=scores, k=st.integers(0, 5), width=st.integers(1, 5), parts=st.integers(1, 3), seed=st.randoms())
def test_blocks_in_any_order_and_of_any_process_give_the_best_of_all(scores, k, width, parts, seed):
    hits = [(f"d{seed.random()}-{n}", score) for n, score in enumerate(scores)]
    ids = Ids(identity for identity, _ in hits)
    rows = list(range(len(hits)))
    seed.shuffle(rows)
    found = [TopK(2, k) for _ in range(parts)]
    for number, begin in enumerate(range(0, len(rows), width)):
        block = rows[begin : begin + width]
        row = np.array([scores[place] for place in block], dtype=np.float32)
        found[number % parts].add(np.stack([row, row]), ids.places[block])
    for other in found[1:]:
        found[0].merge(other.keys)
    expected = [(identity, score + 0.0) for identity, score in best_first(hits, k)]
    assert found[0].hits(ids.ascending) == [expected, expected]
    assert not any(np.signbit(score) for _, score in found[0].hits(ids.ascending)[0] if score == 0)


def test_what_is_no_number_is_no_hit_and_many_rows_are_compared_in_parts(monkeypatch):
    monkeypatch.setattr(ranking, "_KEYS", 10)
    best = TopK(5, 2)
    scores = np.arange(15, dtype=np.float32).reshape(5, 3)
    scores[2] = np.nan
    best.add(scores[:4], np.array([2, 0, 1]))
    best.add(scores[4:], np.array([2, 0, 1]), first=4)
    assert best.hits(["a", "b", "c"]) == [
        [("b", 2.0), ("a", 1.0)],
        [("b", 5.0), ("a", 4.0)],
        [],
        [("b", 11.0), ("a", 10.0)],
        [("b", 14.0), ("a", 13.0)],
    ]


def test_other_precision_is_refused_rather_than_cut():
    with pytest.raises(TypeError, match="float32"):
        TopK(1, 1).add(np.ones((1, 1)), np.array([0]))
