"""The precision of a run: float32, or bfloat16 on machines that multiply it several times as fast.

Mixed precision keeps the weights, the optimizer, the sums of MaxSim and the loss in float32. The encoder's products are
computed in bfloat16, which has float32's range, so the loss needs no scaling (Kalamkar et al., 2019).
"""

from __future__ import annotations

import timeit
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from tardif.training.settings import TrainingSettings

# Processors with tiles for bfloat16 multiply it about ten times as fast as float32; those without are slower with it.
# In between, the work around the products costs what they gain.
_FASTER, _HOPELESS = 3.0, 0.3
# In a narrower encoder the products are too small to matter.
_LEAST_WIDTH = 256
# The width of all-MiniLM-L6-v2, and its feed-forward layer of four times that. The fastest of seven rounds counts:
# other work on the machine only adds time.
_FEW, _TOKENS, _WIDTH, _ROUNDS = 32, 2048, 384, 7


def resolve(settings: TrainingSettings, device: str, width: int) -> str:
    """Return what ``settings.precision`` means on this machine: ``fp32``, ``bf16`` or ``fp16``.

    ``auto`` is bf16 on a CPU that multiplies it at least three times as fast as float32, for an encoder at least 256
    wide. That is measured in milliseconds, always at the same shapes. On other devices ``auto`` is fp32.

    >>> from tardif.training.settings import settings_from
    >>> resolve(settings_from({"precision": "bf16"}), "cpu", 384), resolve(settings_from({}), "cuda", 384)
    ('bf16', 'fp32')

    Args:
        settings: of the run.
        device: torch's name of the device.
        width: the encoder's hidden size.
    """
    if settings.precision != "auto":
        return settings.precision
    if device != "cpu":
        return "fp32"
    return "bf16" if width >= _LEAST_WIDTH and _gain() >= _FASTER else "fp32"


def computing(precision: str, device: str) -> AbstractContextManager[object]:
    """Return the context that computes a model's forward pass in this precision."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device, dtype=dtype, enabled=precision != "fp32")


def _gain() -> float:
    """How many times as fast as float32 this CPU multiplies bfloat16.

    A few rows come first: a CPU without bfloat16 instructions may take hundreds of times as long, and they show it.
    """
    few = _gain_with(_FEW)
    return few if few < _HOPELESS else _gain_with(_TOKENS)


def _gain_with(tokens: int) -> float:
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        rows, weights = torch.ones(tokens, _WIDTH, dtype=dtype), torch.ones(4 * _WIDTH, _WIDTH, dtype=dtype)

        def product(rows: Tensor = rows, weights: Tensor = weights) -> None:
            functional.linear(rows, weights)  # [tokens, width] -> [tokens, 4 * width]

        # The first call pays for memory and for the choice of a kernel: the fastest one is another.
        seconds.append(min(timeit.repeat(product, number=1, repeat=_ROUNDS)))
    return seconds[0] / seconds[1]
