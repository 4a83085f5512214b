from __future__ import annotations

import pytest

from tardif.fusion import K, fuse


def test_a_score_is_the_sum_of_reciprocal_ranks():
    fused = fuse([[("a", 9.0), ("b", 8.0)], [("b", 0.3), ("c", 0.2)]], 10)
    assert [identity for identity, _ in fused] == ["b", "a", "c"]
    assert dict(fused) == pytest.approx({"a": 1 / (K + 1), "b": 1 / (K + 2) + 1 / (K + 1), "c": 1 / (K + 2)})


def test_ties_go_by_id_and_k_holds():
    assert [i for i, _ in fuse([[("b", 1.0)], [("a", 1.0)]], 5)] == ["a", "b"]
    assert [i for i, _ in fuse([[("b", 1.0)], [("a", 1.0)]], 1)] == ["a"]
    assert fuse([[], []], 3) == []
