from __future__ import annotations

import math

import pytest

from tardif.training.sampling import BatchOrder, Shares
from tardif.training.world import World


def flat(batches):
    return [number for batch in batches for number in batch]


@pytest.mark.parametrize(("count", "size"), [(1, 1), (1, 8), (7, 8), (8, 8), (36, 8), (100, 1)])
def test_every_epoch_holds_every_example_once(count, size):
    order = BatchOrder(count, size)
    for epoch in range(3):
        batches = list(order.batches(epoch))
        assert sorted(flat(batches)) == list(range(count))
        assert len(batches) == len(order)
        assert all(len(batch) == size for batch in batches[:-1])


def test_the_order_depends_on_seed_and_epoch_alone():
    again, order = BatchOrder(50, 8, seed=3), BatchOrder(50, 8, seed=3)
    later = list(again.batches(4))
    for epoch in range(4):
        assert list(order.batches(epoch)) != later
    assert list(order.batches(4)) == later
    assert flat(BatchOrder(50, 5, seed=3).batches(4)) == flat(later)  # the batch size only cuts it
    assert list(BatchOrder(50, 8, seed=4).batches(4)) != later


def test_the_order_stays_that_of_earlier_versions():
    """Else a resumed run would end elsewhere after an upgrade, and a repeated one too."""
    assert list(BatchOrder(10, 4, seed=0).batches(0)) == [[4, 8, 5, 1], [6, 2, 9, 3], [7, 0]]


def test_an_epoch_can_be_entered_anywhere():
    order = BatchOrder(36, 8)
    whole = list(order.batches(2))
    for start in range(len(order) + 1):
        assert list(order.batches(2, start)) == whole[start:]


def test_it_iterates_over_the_epoch_that_is_set():
    order = BatchOrder(36, 8)
    order.set_epoch(1)
    assert list(order) == list(order.batches(1))


@pytest.mark.parametrize("accumulation", [1, 2, 3, 7])
def test_the_examples_of_a_step(accumulation):
    order = BatchOrder(36, 8)
    steps = math.ceil(len(order) / accumulation)
    for epoch in range(2):
        found = [order.step(epoch * steps + number, accumulation) for number in range(steps)]
        assert flat(found) == flat(order.batches(epoch))
        assert len(found[0]) == min(8 * accumulation, 36)


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
@pytest.mark.parametrize(("count", "size"), [(1, 8), (7, 8), (36, 8), (33, 4)])
def test_processes_share_every_batch_and_make_the_same_steps(count, size, processes):
    order = BatchOrder(count, size)
    shares = [Shares(BatchOrder(count, size), World(rank, processes).share) for rank in range(processes)]
    for epoch in range(2):
        for share in (order, *shares):
            share.set_epoch(epoch)
        assert {len(share) for share in shares} == {len(order)}
        for batch, *parts in zip(order, *shares, strict=True):
            assert flat(parts) == batch  # in its order: disjoint, nothing dropped
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
