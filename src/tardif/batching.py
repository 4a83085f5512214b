"""Splitting of a stream into batches of limited weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def batched(items: Iterable[Item], most: int, weight: Callable[[Item], int] = lambda _: 1) -> Iterator[list[Item]]:
    """Yield the items in lists, in their order. An item that alone weighs more than ``most`` has a list of its own.

    Args:
        items: any number of items; only one list is in memory at a time.
        most: the most weight of a list.
        weight: the weight of an item. By default ``most`` is the number of items.

    >>> list(batched(["a", "bb", "cccc", "d"], 3, len))
    [['a', 'bb'], ['cccc'], ['d']]
    """
    batch: list[Item] = []
    filled = 0
    for item in items:
        if batch and filled + weight(item) > most:
            yield batch
            batch, filled = [], 0
        batch.append(item)
        filled += weight(item)
    if batch:
        yield batch
