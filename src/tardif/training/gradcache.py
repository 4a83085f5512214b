"""Sub-batches encoded to token vectors, with the encoder's graphs kept or, by GradCache, made again.

The loss is a function of token vectors, and its gradients by them are known before any encoder runs backward. So plain
training and GradCache (Gao et al., 2021, *Scaling deep contrastive learning batch size under memory limited setup*)
differ in one thing: the encoder's graphs are kept since the vectors were made, or made again one sub-batch at a time.

The law: GradCache and sub-batches change memory and speed, not gradients.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from tardif.encoder.encoding import Block, Encoded, encode


def encode_all(model: Any, blocks: Sequence[Block]) -> list[Encoded]:
    """Encode all sub-batches.

    Only the last one goes through the DistributedDataParallel wrapper. That prepares the wrapper for one averaging of
    gradients, however many sub-batches there are here and on the other processes.
    """
    inner = unwrapped(model)
    return [*(encode(inner, block) for block in blocks[:-1]), encode(model, blocks[-1])]


def unwrapped(model: Any) -> Any:
    """Return the model itself, without the DistributedDataParallel wrapper."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def connect(loss: Tensor, vectors: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """Return ``loss`` as a function of ``vectors`` with the ``gradients`` given, for vectors with graphs."""
    connected: Tensor = _Known.apply(  # type: ignore[no-untyped-call]
        loss.detach(), len(vectors), *vectors, *gradients
    )
    return connected


class _Known(torch.autograd.Function):
    """A value with gradients that are known already: backward only scales them."""

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
    """GradCache: encodes sub-batches without graphs, and again with them, one at a time, when backward runs.

    The second pass repeats the first exactly. The random numbers of its dropout and its mixed precision are restored:
    otherwise the gradients would belong to other vectors.
    """

    def __init__(self, model: Any, blocks: Sequence[Block]) -> None:
        self.model, self.blocks = model, blocks
        self.states: list[_RandomState] = []
        self.autocast = _autocast_now(blocks)

    def encode_all(self) -> list[Encoded]:
        """Run the first pass, without graphs."""
        inner, found = unwrapped(self.model), []
        with torch.no_grad():
            for block in self.blocks:
                self.states.append(_RandomState(_device(block)))
                found.append(encode(inner, block))
        # Autocast caches its casts of the weights. Made without gradients, they would cut the second pass's graph.
        torch.clear_autocast_cache()
        return found

    def connect(self, loss: Tensor, gradients: Sequence[Tensor]) -> Tensor:
        """Return ``loss`` so that its backward pass runs the second pass, given its ``gradients`` by the vectors."""
        surrogate = loss.detach().clone().requires_grad_()

        def replay(upstream: Tensor) -> None:
            # ``upstream`` is what the loss was multiplied with later: accumulation, a gradient scaler.
            for number, gradient in enumerate(gradients):
                self._backward(number, gradient, upstream)

        surrogate.register_hook(replay)  # type: ignore[no-untyped-call]
        return surrogate

    def _backward(self, number: int, gradient: Tensor, upstream: Tensor) -> None:
        """Encode one sub-batch again and propagate its vectors' gradient to the weights.

        Gradients of all sub-batches but the last accumulate in this process; with the last one the
        DistributedDataParallel wrapper averages the sum over the processes.
        """
        last = number == len(self.blocks) - 1
        model, waiting = self.model, nullcontext()
        if not last and isinstance(model, DistributedDataParallel):
            model, waiting = model.module, model.no_sync()
        with waiting, torch.enable_grad():
            # The same dropout as in the first pass: the gradient belongs to the vectors of that pass.
            with self.states[number].restored(), self.autocast():
                vectors = encode(model, self.blocks[number]).vectors
            if vectors.requires_grad:
                torch.autograd.backward(vectors, (gradient * upstream).to(vectors.dtype))


class _RandomState:
    """The state of the random number generators that an encoder on ``device`` uses."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.module = device, getattr(torch, device.type)  # torch.cuda, torch.mps
        self.cpu = torch.get_rng_state()
        self.own: Tensor | None = None if device.type == "cpu" else self.module.get_rng_state(*_index(device))

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Set the saved state within the block; restore the present one after it."""
        now = _RandomState(self.device)
        self._set()
        try:
            yield
        finally:
            now._set()

    def _set(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.own is not None:
            self.module.set_rng_state(self.own, *_index(self.device))


def _index(device: torch.device) -> tuple[torch.device, ...]:
    """The argument of the generator's functions: torch.cuda takes a device, torch.mps none."""
    return (device,) if device.type == "cuda" else ()


def _device(block: Block) -> torch.device:
    tensors = (value for value in block.features.values() if isinstance(value, Tensor))
    return next(tensors).device


def _autocast_now(blocks: Sequence[Block]) -> Any:
    """Return a function that makes the present autocast context again: backward runs outside of it."""
    kind = _device(blocks[0]).type
    if not torch.amp.is_autocast_available(kind):
        return nullcontext
    return partial(torch.autocast, kind, dtype=torch.get_autocast_dtype(kind), enabled=torch.is_autocast_enabled(kind))
