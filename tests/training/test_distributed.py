"""What processes receive from rank 0, in two real ones."""

from __future__ import annotations

import json

import pytest

import forked
import one_of_two


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    with forked.children(one_of_two.take_part, range(2), folder, WORLD_SIZE="2"):
        pass
    return [json.loads((folder / f"found{rank}.json").read_text()) for rank in range(2)]


def test_each_has_its_place(found):
    assert [(one["rank"], one["size"]) for one in found] == [(0, 2), (1, 2)]
    assert [one["share"] for one in found] == [[5, 6], [7]]


def test_all_receive_from_rank_0_and_rank_0_gathers_from_all(found):
    assert [one["heard"] for one in found] == [["from", 0]] * 2
    assert [one["gathered"] for one in found] == [[0, 1], []]


def test_all_have_the_weights_of_rank_0_and_the_mean_of_the_gradients(found):
    assert [(one["weight"], one["gradient"]) for one in found] == [(3.0, 1.5)] * 2


def test_all_fail_as_rank_0_does_and_wait_until_it_has_published(found):
    assert [one["error"] for one in found] == ["The disk of 0 is full."] * 2
    assert found[1]["ended"] >= found[0]["ended"]


def test_all_make_and_what_one_fails_with_ends_all(found):
    assert [one["made"] for one in found] == [[10, 11], []]
    assert [one["shared error"] for one in found] == ["The disk of 1 is full."] * 2
