"""In which numbers a run computes: float32, or bfloat16 where the machine multiplies those many times faster.

Mixed precision keeps the weights, the optimizer, the sums of MaxSim and the loss in float32; the encoder's products are
computed in bfloat16, which has float32's range, so that nothing need be scaled (Kalamkar et al., 2019).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from tardif.training.settings import TrainingSettings

# Processors with tiles for bfloat16 multiply it some ten times as fast as float32, those without not even as fast: in
# between, what surrounds the products costs what they gain.
_FASTER, _HOPELESS = 3.0, 0.3
# In a narrower encoder the products are too small to matter.
_LEAST_WIDTH = 256
_FEW, _TOKENS, _WIDTH, _ROUNDS = 32, 2048, 384, 7


def resolve(settings: TrainingSettings, device: str, width: int) -> str:
    """``fp32``, ``bf16`` or ``fp16``: what ``settings.precision`` means on this machine.

    ``auto`` is bfloat16 on a CPU that multiplies it at least three times as fast as float32, for an encoder at least
    256 wide (``width``): measured, in some milliseconds, always at the same shapes. On other devices it is float32.
    """
    if settings.precision != "auto":
        return settings.precision
    if device != "cpu":
        return "fp32"
    return "bf16" if width >= _LEAST_WIDTH and _gain() >= _FASTER else "fp32"


def computing(precision: str, device: str) -> AbstractContextManager[object]:
    """The context in which a model's forward pass is computed in this precision."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device, dtype=dtype, enabled=precision != "fp32")


def _gain() -> float:
    """How many times as fast as float32 this CPU multiplies bfloat16.

    A few rows first: a CPU without instructions for it may need hundreds of times as long, which they already show.
    """
    few = _gain_with(_FEW)
    return few if few < _HOPELESS else _gain_with(_TOKENS)


def _gain_with(tokens: int) -> float:
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        rows, weights = torch.ones(tokens, _WIDTH, dtype=dtype), torch.ones(4 * _WIDTH, _WIDTH, dtype=dtype)

        def product(rows: Tensor = rows, weights: Tensor = weights) -> None:
            functional.linear(rows, weights)  # [tokens, width] -> [tokens, 4 * width]

        seconds.append(_least_seconds(product))
    return seconds[0] / seconds[1]


def _least_seconds(work: Callable[[], None]) -> float:
    work()
    found = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return min(found)
