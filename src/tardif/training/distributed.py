"""Distributed training: the process group, and token vectors gathered across it.

All processes make the same steps. Rank 0 alone evaluates, decides, saves and publishes, and broadcasts the outcome to
the other ranks, so that all act alike and none waits for one that has taken another path.

With several processes a query's negatives are the documents of the global batch. Token vectors are
gathered with their gradients: each process scores its own queries with all columns, and what its
loss says of another's vectors is sent back there and added up.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import Tensor, distributed

import tardif.errors
from tardif.devices import own_number, world_size
from tardif.errors import SettingError, TardifError
from tardif.scoring import TokenVectors

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")

# Rank 0 may evaluate or publish for hours. A dead process is noticed otherwise: its parent ends the others.
_PATIENCE = timedelta(days=7)


class ProcessGroup:
    """This process among those that train together; by default it is alone.

    Args:
        rank: its number, from 0; 0 is the main process.
        size: how many there are.
        gloo: the group over which rank 0 broadcasts objects, apart from the one for gradients.
    """

    def __init__(self, rank: int = 0, size: int = 1, gloo: Any = None) -> None:
        self.rank, self.size, self._gloo = rank, size, gloo
        self.failed_together = False

    @property
    def is_main(self) -> bool:
        """Whether this is the main process (rank 0), which decides."""
        return self.rank == 0

    def on_main(self, make: Callable[[], T]) -> T:
        """Call ``make`` on rank 0; return its value, or raise its :class:`TardifError`, on every process."""
        if self.size == 1:
            return make()
        from torch import distributed

        said: list[Any] = [None, None]
        failure: TardifError | None = None
        if self.is_main:
            try:
                said[0] = make()
            except TardifError as error:
                failure, said[1] = error, (type(error).__name__, str(error))
        distributed.broadcast_object_list(said, src=0, group=self._gloo)
        if said[1] is not None:
            self.failed_together = True
            raise failure or error_named(*said[1])
        result: T = said[0]
        return result

    def gather(self, value: T) -> list[T]:
        """Collect the values of all processes, by rank, on rank 0; the others get an empty list."""
        if self.size == 1:
            return [value]
        from torch import distributed

        found: list[Any] | None = [None] * self.size if self.is_main else None
        distributed.gather_object(value, found, dst=0, group=self._gloo)
        return found or []

    def shard(self, numbers: Sequence[int]) -> list[int]:
        """This process's part of a batch: the parts are disjoint, follow each other, and may be empty."""
        size, more = divmod(len(numbers), self.size)
        begin = self.rank * size + min(self.rank, more)
        return list(numbers[begin : begin + size + (self.rank < more)])

    def broadcast_weights(self, model: nn.Module) -> None:
        """Copy the weights and buffers of rank 0 to every process."""
        if self.size == 1:
            return
        from torch import distributed

        for tensor in model.state_dict().values():
            distributed.broadcast(tensor, src=0)

    def average_gradients(self, model: nn.Module) -> None:
        """Average the gradients over the processes, as every step of training does."""
        if self.size == 1:
            return
        from torch import distributed

        for weight in model.parameters():
            if weight.grad is not None:
                distributed.all_reduce(weight.grad)
                weight.grad /= self.size

    def wait(self, *, failed: bool) -> None:
        """Wait for the others; unless this process has failed alone, and they cannot come."""
        if self.size > 1 and (self.failed_together or not failed):
            from torch import distributed

            distributed.barrier(group=self._gloo)

    def close(self) -> None:
        """Take the connections down; every process does when all have ended."""
        if self.size > 1:
            from torch import distributed

            distributed.destroy_process_group()


def error_named(name: str, message: str) -> TardifError:
    """One of our errors, as another process had it."""
    kind = getattr(tardif.errors, name, TardifError)
    error: TardifError = kind(message)
    return error


def join(kind: str, meeting: str = "env://") -> ProcessGroup:
    """Meet the processes that this one was started with, as the environment says (torchrun, accelerate).

    Args:
        kind: ``cpu`` or ``cuda``; on CUDA each process has a GPU of its own.
        meeting: where, as ``torch.distributed.init_process_group`` takes it.

    Raises:
        SettingError: they are to share out weights, or this process has no GPU of its own.
    """
    size = world_size()
    if size == 1:
        return ProcessGroup()
    if kind == "mps":
        raise SettingError("Several processes cannot share one Apple GPU: start one, or give devices='cpu'.")
    for name in ("FSDP", "DEEPSPEED"):
        if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
            raise SettingError(
                f"{name} splits the weights over processes, and Tardif trains whole ones: launch with --multi_gpu."
            )
    import torch
    from torch import distributed

    if kind == "cuda":
        local = int(os.environ.get("LOCAL_RANK", own_number()))
        gpus = torch.cuda.device_count()
        if local >= gpus:
            raise SettingError(f"Process {local} of this machine has no GPU of its own: start {gpus}, one for each.")
        torch.cuda.set_device(local)
    if not distributed.is_initialized():
        distributed.init_process_group(
            "nccl" if kind == "cuda" else "gloo", init_method=meeting, rank=own_number(), world_size=size
        )
    gloo = distributed.new_group(backend="gloo", timeout=_PATIENCE)
    return ProcessGroup(distributed.get_rank(), distributed.get_world_size(), gloo)


class LossColumns(NamedTuple):
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


def gather_columns(batch: Mapping[str, Any], documents: int, *, own: bool = False) -> LossColumns:
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
        return LossColumns(local[0], local[1], local[2], local[3].bool(), 0, 0, len(positives))
    sizes = gather_numbers([len(rows), len(positives), documents], rows.device)
    if own:
        queries = sum(size[1] for size in sizes)
        return LossColumns(local[0], local[1], local[2], local[3].bool(), 0, 0, queries)
    rank = distributed.get_rank()
    counts = [size[0] for size in sizes]
    parts = torch.split(gather(local.T.contiguous(), counts), counts)
    for number, part in enumerate(parts):  # rows and owners count on from the process before
        part[:, 0] += sum(size[2] for size in sizes[:number])
        part[:, 2] += sum(size[1] for size in sizes[:number])
    everything = torch.cat(parts)  # [C, 4]
    return LossColumns(
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
