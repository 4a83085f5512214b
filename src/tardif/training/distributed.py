"""Distributed training: the process group, and token vectors gathered across it.

All processes make the same steps and share each evaluation. Rank 0 alone decides, saves and publishes, and broadcasts
the outcome to the other ranks, so that all act alike and none waits for one that has taken another path.

A query's negatives are the documents of the global batch. Token vectors are gathered with their gradients: each
process scores its own queries with the columns of all, and the gradients by another's vectors are sent back there and
summed. The law: two processes have the gradients of one process on the same global batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import Tensor, distributed

from tardif.devices import own_rank, world_size
from tardif.errors import SettingError, TardifError, TrainingError, first_line
from tardif.processes.parent import error_named
from tardif.processes.peers import Host, Peers, connect
from tardif.scoring import TokenVectors

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")

# Rank 0 may mine or publish for hours. A dead process is noticed otherwise: by its parent, which ends the others, or
# under a launcher by its peers.
_PATIENCE = timedelta(days=7)
# When an operation fails, its peer's end may be noticed a moment later.
_MOMENT_SECONDS = 2.0


class ProcessGroup:
    """This process among those that train together; by default it is alone.

    >>> ProcessGroup(rank=1, size=2).shard([5, 6, 7])
    [7]

    Args:
        rank: its number, from 0; 0 is the main process.
        size: the number of processes, torch's world size.
        gloo: the group over which rank 0 broadcasts objects, apart from the one for gradients.
        peers: notices where one is lost; None where the process that started them does.
    """

    def __init__(self, rank: int = 0, size: int = 1, gloo: Any = None, peers: Peers | None = None) -> None:
        self.rank, self.size, self._gloo, self.peers = rank, size, gloo, peers
        self.failed_together = False

    @property
    def is_main(self) -> bool:
        """Whether this is the main process (rank 0), which decides."""
        return self.rank == 0

    def on_main(self, make: Callable[[], T]) -> T:
        """Call ``make`` on rank 0; return its value, or raise its :class:`TardifError`, on every process."""
        if self.size == 1:
            return make()
        outcome: list[Any] = [None, None]  # the value, or the name and message of an error
        failure: TardifError | None = None
        if self.is_main:
            try:
                outcome[0] = make()
            # Only our own errors cross: another exception ends this rank, and the parent ends the others.
            except TardifError as error:
                failure, outcome[1] = error, (type(error).__name__, str(error))
        distributed.broadcast_object_list(outcome, src=0, group=self._gloo)
        if outcome[1] is not None:
            self.failed_together = True
            raise failure or error_named(*outcome[1])
        value: T = outcome[0]
        return value

    def gather(self, value: T) -> list[T]:
        """Collect the values of all processes, by rank, on rank 0; the others get an empty list."""
        if self.size == 1:
            return [value]
        found: list[Any] | None = [None] * self.size if self.is_main else None
        distributed.gather_object(value, found, dst=0, group=self._gloo)
        return found or []

    def gather_made(self, make: Callable[[], T]) -> list[T]:
        """Call ``make`` on every process; return the values by rank on rank 0, and an empty list on the others.

        Raises:
            TardifError: one of them raised it. Every process raises the first.
        """
        if self.size == 1:
            return [make()]
        outcome: Any = None
        try:
            outcome = ("made", make())
        # As in on_main: a rank that failed otherwise ends, and the parent ends the others, who wait here.
        except TardifError as error:
            outcome = ("failed", (type(error).__name__, str(error)))
        found: list[tuple[str, Any]] = self.gather(outcome)

        def check() -> None:
            for kind, value in found:
                if kind == "failed":
                    raise error_named(*value)

        self.on_main(check)
        return [value for _, value in found]

    def gather_everywhere(self, value: T) -> list[T]:
        """Collect the values of all processes, by rank, on every process."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value, group=self._gloo)
        return found

    def send(self, value: Any, rank: int) -> None:
        """Send a value to one process, which receives it: an object, or the bytes of a part of a file."""
        distributed.send_object_list([value], dst=rank, group=self._gloo)

    def receive(self, rank: int) -> Any:
        """Receive what a process sends to this one."""
        found: list[Any] = [None]
        distributed.recv_object_list(found, src=rank, group=self._gloo)
        return found[0]

    def cause(self, error: BaseException) -> BaseException:
        """Return why an operation failed: the loss of another process, if one is lost, else the error itself."""
        if self.peers is None or isinstance(error, TardifError | KeyboardInterrupt):
            return error
        loss = self.peers.loss(_MOMENT_SECONDS)
        return TrainingError(loss) if loss else error

    def shard(self, numbers: Sequence[int]) -> list[int]:
        """Return this process's part of a batch. The parts are disjoint and in order, and may be empty."""
        size, more = divmod(len(numbers), self.size)
        # The first `more` ranks get one example more, so parts differ by one at most.
        begin = self.rank * size + min(self.rank, more)
        return list(numbers[begin : begin + size + (self.rank < more)])

    def broadcast_weights(self, model: nn.Module) -> None:
        """Copy the weights and buffers of rank 0 to every process."""
        if self.size > 1:
            for tensor in model.state_dict().values():
                distributed.broadcast(tensor, src=0)

    def average_gradients(self, model: nn.Module) -> None:
        """Average the gradients over the processes, as DistributedDataParallel does in every step."""
        for weight in model.parameters() if self.size > 1 else ():
            if weight.grad is not None:
                distributed.all_reduce(weight.grad)
                weight.grad /= self.size

    def wait(self, *, failed: bool) -> None:
        """Wait for the others, unless this process has failed alone and they may never come."""
        if self.size > 1 and (self.failed_together or not failed):
            distributed.barrier(group=self._gloo)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Wait for the others at the end of the block, unless this process fails alone: it tells them why.

        Raises:
            TrainingError: another process is lost.
        """
        try:
            yield
        except BaseException as error:
            if self.failed_together:
                self.wait(failed=True)
            cause = self.cause(error)
            if self.peers is not None:
                self.peers.leave() if self.failed_together else self.peers.fail(told(cause))
            if cause is error:
                raise
            raise cause from error
        self.wait(failed=False)
        if self.peers is not None:
            self.peers.leave()

    def close(self) -> None:
        """Close the connections; every process does when all have ended."""
        if self.size > 1:
            distributed.destroy_process_group()


def join(kind: str, meeting: str = "env://") -> ProcessGroup:
    """Join the processes that this one was started with, as the environment says (torchrun, accelerate).

    Args:
        kind: ``cpu`` or ``cuda``; on CUDA each process has a GPU of its own.
        meeting: the ``init_method`` of ``torch.distributed.init_process_group``.

    Raises:
        SettingError: the launcher asks for sharded weights (FSDP, DeepSpeed), or this process has no GPU of its own.
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
    if kind == "cuda":
        local = int(os.environ.get("LOCAL_RANK", own_rank()))
        gpus = torch.cuda.device_count()
        if local >= gpus:
            raise SettingError(f"Process {local} of this machine has no GPU: start {gpus} processes, one for each GPU.")
        torch.cuda.set_device(local)
    # Accelerate or the user's script may have done it: a second call raises.
    if not distributed.is_initialized():
        distributed.init_process_group(
            "nccl" if kind == "cuda" else "gloo", init_method=meeting, rank=own_rank(), world_size=size
        )
    # Objects go through gloo: NCCL would move them over the GPUs.
    gloo = distributed.new_group(backend="gloo", timeout=_PATIENCE)
    group = ProcessGroup(distributed.get_rank(), distributed.get_world_size(), gloo)
    # Without a launcher's address, the process that started them watches over them.
    if meeting == "env://" and os.environ.get("MASTER_ADDR"):
        group.peers = _meet(group)
    return group


def _meet(group: ProcessGroup) -> Peers:
    """Connect the processes, so that each notices where one is lost.

    Raises:
        TrainingError: one cannot be reached.
    """
    host = Host() if group.is_main else None
    meeting = group.on_main(lambda: None if host is None else host.meeting)
    assert meeting is not None
    return connect(meeting, group.rank, group.size) if host is None else host.meet(group.size)


def told(error: BaseException) -> str:
    """Return an error in one line: the message of one of ours, else its class and first line."""
    return str(error) if isinstance(error, TardifError) else f"{type(error).__name__}: {first_line(error)}"


class LossColumns(NamedTuple):
    """The documents in the columns of the loss, those of all processes.

    Attributes:
        rows: ``[C]``, the encoded document of each column.
        keys: ``[C]``, a hash of its normalised text.
        owners: ``[C]``, the query that brought it, counted over all processes.
        positive: ``[C]``, true if it is that query's positive.
        first_column: the first of this process's columns.
        first_query: the first of this process's queries.
        queries: the number of queries of all processes.
    """

    rows: Tensor
    keys: Tensor
    owners: Tensor
    positive: Tensor
    first_column: int
    first_query: int
    queries: int


def processes() -> int:
    """Return how many processes train together; 1 when training is not distributed."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size()
    return 1


def rank() -> int:
    """Return the number of this process among those that train together, from 0."""
    return distributed.get_rank() if processes() > 1 else 0


def gather_columns(batch: Mapping[str, Any], documents: int, *, own: bool = False) -> LossColumns:
    """Gather the columns of all processes, in the order of their ranks.

    Args:
        batch: the local batch, as :class:`~tardif.training.batches.Collator` makes it.
        documents: the number of documents that this process has encoded.
        own: leave out the other processes' columns; only their queries are counted.
    """
    positives, rows = batch["positives"], batch["columns"]
    positive = torch.zeros_like(rows).index_fill_(0, positives, 1)  # [C]
    # One collective for all four numbers of a column: each costs a round trip.
    columns = torch.stack([rows, batch["column_keys"], batch["owners"], positive], dim=1)  # [C, 4]
    first_column, first_query, queries = 0, 0, len(positives)
    if processes() > 1:
        sizes = gather_numbers([len(rows), len(positives), documents], rows.device)
        queries = sum(size[1] for size in sizes)
        if not own:
            counts = [size[0] for size in sizes]
            parts = torch.split(gather(columns, counts), counts)
            for number, part in enumerate(parts):  # numbers of rows and owners continue those of the rank before
                part[:, 0] += sum(size[2] for size in sizes[:number])
                part[:, 2] += sum(size[1] for size in sizes[:number])
            columns, earlier = torch.cat(parts), sizes[: distributed.get_rank()]  # [C of all, 4]
            first_column, first_query = (sum(size[kind] for size in earlier) for kind in (0, 1))
    rows, keys, owners, positive = columns.unbind(dim=1)
    return LossColumns(rows, keys, owners, positive.bool(), first_column, first_query, queries)


def gather_vectors(texts: TokenVectors) -> TokenVectors:
    """Gather the packed token vectors of all processes' texts, in the order of their ranks; differentiable.

    Every process must take part in the backward pass, even if its own loss does not depend on them.
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
    """Gather every process's ``numbers``, by rank."""
    mine = torch.tensor(numbers, dtype=torch.long, device=device)
    found = [torch.empty_like(mine) for _ in range(processes())]
    distributed.all_gather(found, mine)
    result: list[list[int]] = torch.stack(found).tolist()
    return result


def gather(rows: Tensor, counts: Sequence[int]) -> Tensor:
    """Gather the rows of all ranks, ``counts[rank]`` each: ``[n, ...]`` -> ``[sum of counts, ...]``."""
    # The collective needs equal shapes: rows are padded to the longest part.
    padded = rows.new_zeros((max(counts), *rows.shape[1:]))
    padded[: len(rows)] = rows
    found = [torch.empty_like(padded) for _ in counts]
    distributed.all_gather(found, padded)
    return torch.cat([part[:count] for part, count in zip(found, counts, strict=True)])


class _Gather(torch.autograd.Function):
    """:func:`gather`; the gradient by a process's rows is the sum of all processes' gradients by them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        return gather(rows, counts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        # Every rank's loss depends on every rank's vectors, so the gradients by one's own are spread over all ranks.
        total = grads[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return torch.split(total, ctx.counts)[distributed.get_rank()], None
