from __future__ import annotations

import pytest

from tardif.errors import SettingError
from tardif.ranking import DEPTH, RRF_K, blend, check_share, fuse


def test_a_score_is_the_sum_of_reciprocal_ranks():
    fused = fuse([[("a", 9.0), ("b", 8.0)], [("b", 0.3), ("c", 0.2)]], 10)
    assert [identity for identity, _ in fused] == ["b", "a", "c"]
    assert dict(fused) == pytest.approx(
        {"a": 1 / (RRF_K + 1), "b": 1 / (RRF_K + 2) + 1 / (RRF_K + 1), "c": 1 / (RRF_K + 2)}
    )


def test_ties_go_by_id_and_k_holds():
    assert [i for i, _ in fuse([[("b", 1.0)], [("a", 1.0)]], 5)] == ["b", "a"]
    assert [i for i, _ in fuse([[("b", 1.0)], [("a", 1.0)]], 1)] == ["b"]
    assert fuse([[], []], 3) == []


LATE = [("a", 20.0), ("b", 19.0), ("c", 15.0), ("d", 10.0)]
WORDS = [("d", 8.0), ("e", 6.0), ("b", 2.0)]


def test_a_blend_is_the_weighted_sum_of_scores_between_0_and_1():
    assert dict(blend(LATE, WORDS, 9, 0.25)) == pytest.approx(
        {"a": 0.75, "b": 0.75 * 0.9 + 0.25 * 0.25, "c": 0.75 * 0.5, "d": 0.25, "e": 0.25 * 0.75}
    )


def test_a_share_of_0_or_1_is_one_ranking_alone():
    assert [i for i, _ in blend(LATE, WORDS, 3, 0.0)] == ["a", "b", "c"]
    assert [i for i, _ in blend(LATE, WORDS, 3, 1.0)] == ["d", "e", "b"]


def test_scales_do_not_matter():
    blended = blend(LATE, WORDS, 9)
    other = blend([(i, 3 * s - 70) for i, s in LATE], [(i, s / 7) for i, s in WORDS], 9)
    assert [i for i, _ in other] == [i for i, _ in blended]
    assert [s for _, s in other] == pytest.approx([s for _, s in blended])


def test_more_hits_asked_for_do_not_change_the_best():
    late = [(f"d{n:03}", 300.0 - n) for n in range(300)]
    words = [(f"d{n:03}", 9.0 - n / 50) for n in range(0, 100, 7)]
    few, many = blend(late[:DEPTH], words, 50), blend(late, words, 300)
    assert many[:50] == few
    assert [i for i, _ in many[DEPTH:]] == [f"d{n:03}" for n in range(DEPTH, 300)]
    assert blend(late, [("other", 9.0)], 301, 0.0)[-1][1] == many[-1][1] / (1 - 0.15)


def test_what_is_missing_or_equal_is_no_trouble():
    assert blend([], [], 3) == []
    assert [i for i, _ in blend(LATE, [], 2)] == ["a", "b"]
    assert [i for i, _ in blend([], WORDS, 2)] == ["d", "e"]
    assert blend([("b", 5.0), ("a", 5.0)], [], 2, 0.5) == [("b", 0.5), ("a", 0.5)]
    assert blend(LATE, WORDS, 0) == []


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), "half", True, None])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(SettingError, match="word_share"):
        check_share(share)
