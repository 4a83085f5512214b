"""What processes receive from rank 0, in two real ones."""

from __future__ import annotations

import json
import time

import pytest

import forked


def take_part(rank, folder):
    """One of two processes: writes what it found to ``folder``."""
    import torch
    from torch import nn

    from tardif.errors import FolderError
    from tardif.training.distributed import join

    group = join("cpu", (folder / "meeting").as_uri())
    found = {"rank": group.rank, "size": group.size, "share": group.shard([5, 6, 7])}
    found["heard"] = group.on_main(lambda: ["from", group.rank])
    found["gathered"] = group.gather(group.rank)
    model = nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(3.0 + group.rank)
    model.weight.grad = torch.full((1, 1), 1.0 + group.rank)
    group.average_gradients(model)
    group.broadcast_weights(model)
    found["weight"], found["gradient"] = model.weight.item(), model.weight.grad.item()

    def fail():
        raise FolderError(f"The disk of {group.rank} is full.")

    try:
        group.on_main(fail)
    except FolderError as error:
        found["error"] = str(error)
    found["made"] = group.gather_made(lambda: 10 + group.rank)

    def fail_on_1():
        if group.rank == 1:
            fail()

    try:
        group.gather_made(fail_on_1)
    except FolderError as error:
        found["shared error"] = str(error)
    if group.is_main:
        time.sleep(0.5)  # it publishes
        told = time.time()
    group.wait(failed=True)
    found["ended"] = time.time() if group.rank else told
    (folder / f"found{rank}.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    with forked.children(take_part, range(2), folder, WORLD_SIZE="2"):
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
