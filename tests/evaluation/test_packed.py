from __future__ import annotations

import numpy as np
import pytest

from tardif.data.judged import without_own
from tardif.evaluation.measures import per_query
from tardif.evaluation.packed import PackedRun, RunBuilder
from tardif.evaluation.runs import read_run, write_run
from tardif.ranking import TopK

PLAIN = {"q1": {"b": 2.5, "a": 1.0, "é": 1.0}, "q2": {}, "q3": {"a": -3.0}}


@pytest.fixture
def packed():
    builder = RunBuilder()
    builder.add([list(hits.items()) for hits in list(PLAIN.values())[:2]])
    builder.add([list(PLAIN["q3"].items())])
    return builder.run(list(PLAIN))


def test_it_is_read_as_any_run(packed, tmp_path):
    assert packed == PLAIN
    assert [list(hits.items()) for hits in packed.values()] == [list(hits.items()) for hits in PLAIN.values()]
    assert repr(packed) == "PackedRun(3 queries, 4 hits)"
    assert "q4" not in packed
    qrels = {"q1": {"a": 1}, "q2": {"a": 1}, "q3": {"a": 2}}
    assert per_query(qrels, packed, ["nDCG@10", "RR"]) == per_query(qrels, PLAIN, ["nDCG@10", "RR"])
    write_run(tmp_path / "packed.run", packed)
    write_run(tmp_path / "plain.run", PLAIN)
    assert (tmp_path / "packed.run").read_bytes() == (tmp_path / "plain.run").read_bytes()
    assert read_run(tmp_path / "packed.run").keys() == {"q1", "q3"}


@pytest.mark.parametrize("depth", [0, 1, 2, 9])
def test_left_out_documents_and_depth_are_those_of_any_run(packed, depth):
    left_out = {"q1": frozenset({"b"}), "q9": frozenset({"a"})}
    assert packed.without(left_out, depth) == without_own(PLAIN, left_out, depth)


def test_the_best_hits_as_a_run():
    best = TopK(2, 3)
    best.add(np.array([[1, 3], [np.nan, -2]], dtype=np.float32), np.array([1, 0]))
    assert PackedRun.of(["x", "y"], best, ["a", "b"]) == {"x": {"a": 3.0, "b": 1.0}, "y": {"a": -2.0}}
