"""From sub-batches of token ids to token vectors, with one graph alive or, by GradCache, none.

A loss is a function of token vectors; its gradients by them are known before any encoder runs
backward. So the plain way and GradCache (Gao et al., 2021, *Scaling deep contrastive learning batch
size under memory limited setup*) differ in one thing only: whether the encoder's graphs were kept
since the vectors were made, or are made again, one sub-batch at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from tardif.encoder.encoding import Block, Encoded, encode


def encode_all(model: Any, blocks: Sequence[Block]) -> list[Encoded]:
    """Encode all sub-batches.

    Only the last one goes through the wrapper of distributed training: it arms the wrapper once, for
    one averaging of gradients, whatever the number of sub-batches here and on the other processes.
    """
    inner = unwrapped(model)
    return [*(encode(inner, block) for block in blocks[:-1]), encode(model, blocks[-1])]


def unwrapped(model: Any) -> Any:
    """The model itself, without the wrapper of distributed training."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def connect(loss: Tensor, vectors: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """``loss`` as a function of ``vectors``, by whose ``gradients`` it is known; graphs were kept."""
    connected: Tensor = _Known.apply(  # type: ignore[no-untyped-call]
        loss.detach(), len(vectors), *vectors, *gradients
    )
    return connected


class _Known(torch.autograd.Function):
    """A value whose gradients are known already."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, count: int, *tensors: Tensor) -> Tensor:
        ctx.count = count
        ctx.dtypes = [vectors.dtype for vectors in tensors[:count]]
        ctx.save_for_backward(*tensors[count:])
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        by_vectors = [(grads[0] * known).to(dtype) for known, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)]
        return None, None, *by_vectors, *(None for _ in range(ctx.count))


class Replay:
    """Encodes sub-batches without graphs, and again with them, one at a time, when backward runs.

    The second pass is the first one again: the random numbers of its dropout and the mixed precision
    it ran in are restored, so that the gradients belong to its vectors.
    """

    def __init__(self, model: Any, blocks: Sequence[Block]) -> None:
        self.model, self.blocks = model, blocks
        self.states: list[_RandomState] = []
        self.autocast = _autocast_now(blocks)

    def encode_all(self) -> list[Encoded]:
        """The first pass, without graphs."""
        inner, found = unwrapped(self.model), []
        with torch.no_grad():
            for block in self.blocks:
                self.states.append(_RandomState(_device(block)))
                found.append(encode(inner, block))
        # Mixed precision keeps casts of weights while it lasts: these know of no gradient.
        torch.clear_autocast_cache()
        return found

    def connect(self, loss: Tensor, gradients: Sequence[Tensor]) -> Tensor:
        """``loss``, whose backward pass runs the second pass, given its ``gradients`` by the vectors."""
        surrogate = loss.detach().clone().requires_grad_()

        def replay(upstream: Tensor) -> None:
            # ``upstream`` brings what the loss was multiplied with: accumulation, a gradient scaler.
            for number, gradient in enumerate(gradients):
                self._backward(number, gradient, upstream)

        surrogate.register_hook(replay)  # type: ignore[no-untyped-call]
        return surrogate

    def _backward(self, number: int, gradient: Tensor, upstream: Tensor) -> None:
        """Encode one sub-batch again and send its vectors' gradient to the weights.

        Gradients of all sub-batches but the last stay with this process; with the last one the wrapper
        of distributed training averages what has come together.
        """
        last = number == len(self.blocks) - 1
        model, waiting = self.model, nullcontext()
        if not last and isinstance(model, DistributedDataParallel):
            model, waiting = model.module, model.no_sync()
        with waiting, torch.enable_grad():
            with self.states[number].restored(), self.autocast():
                vectors = encode(model, self.blocks[number]).vectors
            if vectors.requires_grad:
                torch.autograd.backward(vectors, (gradient * upstream).to(vectors.dtype))


class _RandomState:
    """The state of the random number generators that an encoder on ``device`` draws from."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.cpu = torch.get_rng_state()
        self.own: Tensor | None = None if device.type == "cpu" else _accelerator(device).get_rng_state(*_index(device))

    @contextmanager
    def restored(self) -> Iterator[None]:
        """The state as it was; the one that is now comes back after."""
        now = _RandomState(self.device)
        self._set()
        try:
            yield
        finally:
            now._set()

    def _set(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.own is not None:
            _accelerator(self.device).set_rng_state(self.own, *_index(self.device))


def _accelerator(device: torch.device) -> Any:
    return getattr(torch, device.type)  # torch.cuda, torch.mps


def _index(device: torch.device) -> tuple[torch.device, ...]:
    return (device,) if device.type == "cuda" else ()


def _device(block: Block) -> torch.device:
    tensors = (value for value in block.features.values() if isinstance(value, Tensor))
    return next(tensors).device


def _autocast_now(blocks: Sequence[Block]) -> Any:
    """A maker of contexts of the mixed precision that holds now."""
    kind = _device(blocks[0]).type
    if not torch.amp.is_autocast_available(kind):
        return nullcontext
    enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)

    def make() -> AbstractContextManager[None]:
        return torch.autocast(kind, dtype=dtype, enabled=enabled)

    return make
