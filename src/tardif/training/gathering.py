"""The loss's columns: of the local batch, or of the batches of all processes together.

With several processes a query's negatives are the documents of the global batch. Token vectors are
gathered with their gradients: each process scores its own queries with all columns, and what its
loss says of another's vectors is sent back there and added up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed

from tardif.scoring import TokenVectors


class Columns(NamedTuple):
    """What stands in the loss's columns.

    Attributes:
        rows: ``[C]``, the encoded document in each column.
        keys: ``[C]``, a hash of its normalised text.
        owners: ``[C]``, the query that brought it, counted over all processes.
        positive: ``[C]``, true where it is that query's positive.
        first_column: where this process's columns begin.
        first_query: where this process's queries begin.
        queries: of all processes.
    """

    rows: Tensor
    keys: Tensor
    owners: Tensor
    positive: Tensor
    first_column: int
    first_query: int
    queries: int


def processes() -> int:
    """How many processes train together; 1 when training is not distributed."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def gather_columns(batch: Mapping[str, Any], documents: int, *, own: bool = False) -> Columns:
    """The columns of all processes, one process's after the other's.

    Args:
        batch: the local batch, as :class:`~tardif.training.batches.Collator` makes it.
        documents: how many documents this process has encoded.
        own: leave out the others' columns; only their queries are counted.
    """
    positives, rows = batch["positives"], batch["columns"]
    positive = torch.zeros_like(rows).index_fill_(0, positives, 1)  # [C]
    local = torch.stack([rows, batch["column_keys"], batch["owners"], positive])  # [4, C]
    if processes() == 1:
        return Columns(local[0], local[1], local[2], local[3].bool(), 0, 0, len(positives))
    sizes = gather_numbers([len(rows), len(positives), documents], rows.device)
    if own:
        queries = sum(size[1] for size in sizes)
        return Columns(local[0], local[1], local[2], local[3].bool(), 0, 0, queries)
    rank = distributed.get_rank()
    counts = [size[0] for size in sizes]
    parts = torch.split(gather(local.T.contiguous(), counts), counts)
    for number, part in enumerate(parts):  # rows and owners count on from the process before
        part[:, 0] += sum(size[2] for size in sizes[:number])
        part[:, 2] += sum(size[1] for size in sizes[:number])
    everything = torch.cat(parts)  # [C, 4]
    return Columns(
        everything[:, 0],
        everything[:, 1],
        everything[:, 2],
        everything[:, 3].bool(),
        first_column=sum(size[0] for size in sizes[:rank]),
        first_query=sum(size[1] for size in sizes[:rank]),
        queries=sum(size[1] for size in sizes),
    )


def gather_vectors(texts: TokenVectors) -> TokenVectors:
    """The packed token vectors of all processes' texts, one process's after the other's; differentiable.

    Every process must take part in the backward pass, also one whose own loss does not depend on them.
    """
    if processes() == 1:
        return texts
    device = texts.vectors.device
    sizes = gather_numbers([len(texts.lengths), len(texts.vectors)], device)
    lengths = torch.tensor(texts.lengths, dtype=torch.long, device=device)
    all_lengths: list[int] = gather(lengths, [size[0] for size in sizes]).tolist()
    vectors: Tensor = _Gather.apply(texts.vectors, [size[1] for size in sizes])  # type: ignore[no-untyped-call]
    return TokenVectors(vectors, all_lengths)


def gather_numbers(numbers: Sequence[int], device: torch.device) -> list[list[int]]:
    """Every process's ``numbers``, by process."""
    mine = torch.tensor(numbers, dtype=torch.long, device=device)
    found = [torch.empty_like(mine) for _ in range(processes())]
    distributed.all_gather(found, mine)
    result: list[list[int]] = torch.stack(found).tolist()
    return result


def gather(rows: Tensor, counts: Sequence[int]) -> Tensor:
    """All processes' rows, of which process ``p`` has ``counts[p]``: ``[n, ...]`` -> ``[sum of counts, ...]``."""
    # The collective wants equal shapes: rows are padded to the most that a process has.
    padded = rows.new_zeros((max(counts), *rows.shape[1:]))
    padded[: len(rows)] = rows
    found = [torch.empty_like(padded) for _ in counts]
    distributed.all_gather(found, padded)
    return torch.cat([part[:count] for part, count in zip(found, counts, strict=True)])


class _Gather(torch.autograd.Function):
    """:func:`gather`, whose gradient is the sum of what all processes say of one's own rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        return gather(rows, counts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return torch.split(total, ctx.counts)[distributed.get_rank()], None
