"""The order of the batches: a pure function of seed and epoch, so that a run can begin at any step.

The batches are those of the whole run, whoever computes them: several processes share each out among them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence


class BatchOrder:
    """All examples once per epoch, in a new order each time, in batches; the short last batch is kept.

    Iterated over, it gives the epoch set last; :class:`Shares` of it are the ``batch_sampler`` of a data loader.

    Args:
        count: how many examples there are.
        batch_size: examples per batch, over all processes.
        seed: of the order.
    """

    def __init__(self, count: int, batch_size: int, seed: int = 0) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.epoch = 0
        self._shuffled: tuple[int, list[int]] = (-1, [])

    def __len__(self) -> int:
        """Batches per epoch."""
        return math.ceil(self.count / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        return self.batches(self.epoch)

    def set_epoch(self, epoch: int) -> None:
        """Iterate over this epoch from now on, counted from 0."""
        self.epoch = epoch

    def batches(self, epoch: int, start: int = 0) -> Iterator[list[int]]:
        """The example numbers of an epoch's batches, from its batch ``start`` on."""
        numbers = self._order(epoch)
        for begin in range(start * self.batch_size, self.count, self.batch_size):
            yield numbers[begin : begin + self.batch_size]

    def step(self, number: int, accumulation: int = 1) -> list[int]:
        """The example numbers of one optimizer step, counted from 0 over all epochs.

        ``accumulation`` batches make a step; the last step of an epoch may have fewer.
        """
        epoch, within = divmod(number, math.ceil(len(self) / accumulation))
        size = self.batch_size * accumulation
        return self._order(epoch)[within * size : (within + 1) * size]

    def _order(self, epoch: int) -> list[int]:
        if self._shuffled[0] != epoch:
            numbers = list(range(self.count))
            random.Random(f"order\x00{self.seed}\x00{epoch}").shuffle(numbers)
            self._shuffled = (epoch, numbers)
        return self._shuffled[1]


class Shares:
    """One process's part of every batch, also where it is empty: all processes make the same steps.

    Args:
        order: of the batches of all processes together.
        share: gives this process's part of one.
    """

    def __init__(self, order: BatchOrder, share: Callable[[Sequence[int]], list[int]]) -> None:
        self.order, self.share = order, share

    def __len__(self) -> int:
        """Batches per epoch, the same on every process."""
        return len(self.order)

    def __iter__(self) -> Iterator[list[int]]:
        return map(self.share, self.order)

    def set_epoch(self, epoch: int) -> None:
        """Iterate over this epoch from now on, counted from 0."""
        self.order.set_epoch(epoch)
