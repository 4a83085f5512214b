"""Micro-batches: nothing waits for company, what waits is done together, and nothing is answered wrongly or lost."""

import asyncio
import threading

import pytest

from tardif.errors import BusyError, ServiceError
from tardif.serving.microbatches import MicroBatches


class Gate:
    """Work that doubles numbers, notes its batches, and waits until it may go on."""

    def __init__(self):
        self.batches, self.open, self.entered = [], threading.Event(), threading.Semaphore(0)

    def __call__(self, key, items):
        self.batches.append((key, list(items)))
        self.entered.release()
        assert self.open.wait(30)
        if "bad" in items:
            raise ValueError("a bad item")
        return [2 * item for item in items]


@pytest.fixture
def gate():
    return Gate()


async def entered(gate):
    await asyncio.to_thread(gate.entered.acquire)


async def settled():
    """Let every task begin."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_what_waits_together_is_done_together(gate):
    async def ask():
        batches = MicroBatches(gate, together=4, parallel=4)
        first = asyncio.ensure_future(batches.ask("a", [1]))
        await entered(gate)  # alone, at once
        others = [asyncio.ensure_future(batches.ask(key, items)) for key, items in (("a", [2]), ("b", [3]), ("a", [4]))]
        await settled()
        gate.open.set()
        found = await asyncio.gather(first, *others)
        await batches.close()
        return found

    assert asyncio.run(ask()) == [[2], [4], [6], [8]]
    assert gate.batches == [("a", [1]), ("a", [2, 4]), ("b", [3])]


def test_a_batch_has_its_most_items_and_a_larger_request_is_one_of_its_own(gate):
    async def ask():
        batches = MicroBatches(gate, together=3, parallel=3)
        tasks = [asyncio.ensure_future(batches.ask("", [0]))]
        await entered(gate)
        tasks += [asyncio.ensure_future(batches.ask("", items)) for items in ([1, 2], [3, 4], [5], [6, 7, 8, 9])]
        await settled()
        gate.open.set()
        await asyncio.gather(*tasks)
        await batches.close()

    asyncio.run(ask())
    assert [items for _, items in gate.batches] == [[0], [1, 2, 5], [3, 4], [6, 7, 8, 9]]


@pytest.mark.parametrize(
    ("pace", "parallel", "first"),
    [(0.1, 1, [1, 2]), (0.1, 3, [1, 2, 3]), (9.0, 1, [1]), (0.001, 1, [1, 2, 3, 4])],
)
def test_a_batch_of_slow_work_is_small(gate, monkeypatch, pace, parallel, first):
    async def ask():
        batches = MicroBatches(gate, together=4, parallel=parallel)
        # Only what is set here: the gate makes the first batch as slow as this machine is.
        monkeypatch.setattr(batches, "_measure", lambda count, seconds: None)
        monkeypatch.setattr(batches, "_pace", pace)
        tasks = [asyncio.ensure_future(batches.ask("", [0]))]
        await entered(gate)
        tasks += [asyncio.ensure_future(batches.ask("", [item])) for item in (1, 2, 3, 4)]
        await settled()
        gate.open.set()
        assert await asyncio.gather(*tasks) == [[0], [2], [4], [6], [8]]
        await batches.close()

    asyncio.run(ask())
    assert gate.batches[1] == ("", first)


def test_a_failing_request_fails_alone(gate):
    async def ask():
        batches = MicroBatches(gate, parallel=4)
        tasks = [asyncio.ensure_future(batches.ask("", [0]))]
        await entered(gate)
        tasks += [asyncio.ensure_future(batches.ask("", [item])) for item in (1, "bad", 2)]
        await settled()
        gate.open.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        await batches.close()
        return found

    first, one, bad, two = asyncio.run(ask())
    assert (first, one, two) == ([0], [2], [4])
    assert isinstance(bad, ValueError)


def test_a_full_queue_refuses_and_takes_again_when_it_is_empty(gate):
    async def ask():
        batches = MicroBatches(gate, together=1, waiting=2)
        tasks = [asyncio.ensure_future(batches.ask("", [0]))]
        await entered(gate)
        tasks += [asyncio.ensure_future(batches.ask("", [item])) for item in (1, 2)]
        await settled()
        assert batches.waiting == 2
        with pytest.raises(BusyError, match="2 queries wait") as refused:
            await batches.ask("", [3])
        assert 1 <= refused.value.retry_after <= 60
        gate.open.set()
        await asyncio.gather(*tasks)
        assert await batches.ask("", [4]) == [8]
        # More than the queue holds, when nothing waits.
        assert await batches.ask("", [1, 2, 3]) == [2, 4, 6]
        await batches.close()

    asyncio.run(ask())


def test_a_caller_that_has_gone_is_not_worked_for(gate):
    async def ask():
        batches = MicroBatches(gate)
        first = asyncio.ensure_future(batches.ask("", [0]))
        await entered(gate)
        gone, stays = (asyncio.ensure_future(batches.ask("", [item])) for item in (1, 2))
        await settled()
        gone.cancel()
        await settled()
        gate.open.set()
        assert await stays == [4]
        await first
        await batches.close()

    asyncio.run(ask())
    assert gate.batches == [("", [0]), ("", [2])]


def test_callers_that_have_gone_take_no_place_in_the_queue(gate):
    async def ask():
        batches = MicroBatches(gate, waiting=2)
        first = asyncio.ensure_future(batches.ask("", [0]))
        await entered(gate)
        gone = [asyncio.ensure_future(batches.ask("", [item])) for item in (1, 2)]
        await settled()
        for task in gone:
            task.cancel()
        await settled()
        stays = asyncio.ensure_future(batches.ask("", [3, 4]))
        await settled()
        assert batches.waiting == 2
        gate.open.set()
        assert await stays == [6, 8]
        await first
        await batches.close()

    asyncio.run(ask())
    assert gate.batches == [("", [0]), ("", [3, 4])]


def test_closing_does_what_was_accepted_and_takes_nothing_more(gate):
    async def ask():
        batches = MicroBatches(gate)
        tasks = [asyncio.ensure_future(batches.ask("", [0]))]
        await entered(gate)
        tasks.append(asyncio.ensure_future(batches.ask("", [1])))
        await settled()
        closing = asyncio.ensure_future(batches.close())
        await settled()
        with pytest.raises(ServiceError, match="stopping"):
            await batches.ask("", [2])
        gate.open.set()
        await closing
        return await asyncio.gather(*tasks)

    assert asyncio.run(ask()) == [[0], [2]]


def test_of_a_slow_work_less_may_wait(gate, monkeypatch):
    monkeypatch.setattr("tardif.serving.microbatches._ALWAYS", 2)

    async def ask():
        batches = MicroBatches(gate, together=1, waiting=100)
        # Ten seconds for an item: no more may wait than always may.
        monkeypatch.setattr(batches, "_pace", 10.0)
        tasks = [asyncio.ensure_future(batches.ask("", [0]))]
        await entered(gate)
        tasks += [asyncio.ensure_future(batches.ask("", [item])) for item in (1, 2)]
        await settled()
        with pytest.raises(BusyError) as refused:
            await batches.ask("", [3])
        assert refused.value.retry_after == 20
        monkeypatch.setattr(batches, "_pace", 0.001)
        tasks.append(asyncio.ensure_future(batches.ask("", [3])))
        await settled()
        gate.open.set()
        assert await asyncio.gather(*tasks) == [[0], [2], [4], [6]]
        await batches.close()

    asyncio.run(ask())
