from __future__ import annotations

import math

import pytest

from tardif.training.batches import BatchOrder
from tardif.training.distributed import ProcessGroup


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
    shares = [BatchOrder(count, size) for _ in range(processes)]
    for rank, share in enumerate(shares):
        share.share = ProcessGroup(rank, processes).shard
    for epoch in range(2):
        for share in (order, *shares):
            share.set_epoch(epoch)
        assert {len(share) for share in shares} == {len(order)}
        for batch, *parts in zip(order, *shares, strict=True):
            assert flat(parts) == batch  # in its order: disjoint, nothing dropped
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("parts", [[(10, 2), (30, 0.5)], [(7, 1), (3, 1.5), (5, 0.01)], [(4, 2.6)]])
def test_a_part_is_used_as_often_as_it_weighs(parts):
    order = BatchOrder(sum(size for size, _ in parts), 4, parts=parts)
    drawn = [max(round(size * weight), 1) for size, weight in parts]
    assert order.count == sum(drawn)
    epochs = [flat(order.batches(epoch)) for epoch in range(60)]
    first = 0
    for (size, _), count in zip(parts, drawn, strict=True):
        used = [[n for n in epoch if first <= n < first + size] for epoch in epochs]
        assert {len(epoch) for epoch in used} == {count}
        # Evenly: over any number of epochs, no example is ahead of another by more than one.
        for upto in (1, 7, 60):
            times = [sum(epoch.count(n) for epoch in used[:upto]) for n in range(first, first + size)]
            assert max(times) - min(times) <= 1
        first += size


def test_the_parts_of_an_epoch_are_shuffled_together():
    order = BatchOrder(40, 4, parts=[(20, 1), (20, 1)])
    numbers = flat(order.batches(0))
    assert any(n >= 20 for n in numbers[:10])
    assert any(n < 20 for n in numbers[:10])
    assert flat(BatchOrder(40, 8, parts=[(20, 1), (20, 1)]).batches(3)) == flat(order.batches(3))
