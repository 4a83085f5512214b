"""The order of the batches: a pure function of seed and epoch, so that a run can begin at any step.

The batches are those of the whole run, whoever computes them: several processes share each out among them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence

from tardif.data.training_set import TrainingSet
from tardif.training.settings import TrainingSettings


class BatchOrder:
    """All examples once per epoch, in a new order each time, in batches; the short last batch is kept.

    Iterated over, it gives the epoch set last; :class:`Shares` of it are the ``batch_sampler`` of a data loader.

    Of a mixed set, an epoch holds ``weight x size`` examples of each part, at least one: the part is gone
    through in passes, each in a new order, and an epoch begins where the one before has ended.

    Args:
        count: how many examples there are.
        batch_size: examples per batch, over all processes.
        seed: of the order.
        parts: how many of the examples in turn belong together, and their weight; all alike by default.

    Attributes:
        count: how many examples an epoch holds.
    """

    def __init__(self, count: int, batch_size: int, seed: int = 0, parts: Sequence[tuple[int, float]] = ()) -> None:
        self.parts = [(size, max(round(size * weight), 1)) for size, weight in parts]
        self.count = sum(drawn for _, drawn in self.parts) if parts else count
        self.batch_size, self.seed = batch_size, seed
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
            numbers = self._drawn(epoch) if self.parts else list(range(self.count))
            random.Random(f"order\x00{self.seed}\x00{epoch}").shuffle(numbers)
            self._shuffled = (epoch, numbers)
        return self._shuffled[1]

    def _drawn(self, epoch: int) -> list[int]:
        """The examples of an epoch, part by part."""
        numbers: list[int] = []
        first = 0
        for part, (size, drawn) in enumerate(self.parts):
            places = range(epoch * drawn, (epoch + 1) * drawn)
            for turn in range(places.start // size, (places.stop - 1) // size + 1):
                passed = list(range(first, first + size))
                random.Random(f"part\x00{self.seed}\x00{part}\x00{turn}").shuffle(passed)
                numbers += passed[max(places.start - turn * size, 0) : places.stop - turn * size]
            first += size
        return numbers


def order_of(data: TrainingSet, settings: TrainingSettings) -> BatchOrder:
    """The order of a training set's batches."""
    return BatchOrder(len(data.examples), settings.batch_size, settings.seed, data.parts)


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
