import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tardif.ranking import TopK

scores = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), max_size=12)


@given(scores=scores, k=st.integers(0, 5), width=st.integers(1, 5), seed=st.randoms())
def test_blocks_in_any_order_give_the_best_of_all(scores, k, width, seed):
    hits = [(f"d{n:02}", score) for n, score in enumerate(scores)]
    shuffled = list(hits)
    seed.shuffle(shuffled)
    best = TopK(2, k)
    for begin in range(0, len(hits), width):
        block = shuffled[begin : begin + width]
        row = np.array([score for _, score in block], dtype=np.float32)
        best.add(np.stack([row, row]), np.array([identity for identity, _ in block], dtype=object))
    expected = sorted(hits, key=lambda hit: (hit[1], hit[0]), reverse=True)[:k]
    assert best.hits == [expected, expected]
