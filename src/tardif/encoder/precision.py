"""The precision of an encoder: float32, or bfloat16 on machines that multiply it faster.

Mixed precision keeps the weights, the optimizer, the sums of MaxSim and the loss in float32. The encoder's products are
computed in bfloat16, which has float32's range, so the loss needs no scaling (Kalamkar et al., 2019).
"""

from __future__ import annotations

import platform
import timeit
from contextlib import AbstractContextManager
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

# Instructions for bfloat16. With AMX products are about ten times as fast as in float32; with AVX-512 (AMD Zen 4 and 5,
# Intel Cooper Lake) 2.2 times, and a training step 1.4 to 1.9 times (benchmarks/RESULTS.md, "Training in bfloat16").
_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")
# Other processors are measured; less than this is lost to the conversions between the products.
_FASTER, _HOPELESS = 1.5, 0.3
# In a narrower encoder the products are too small to matter.
_LEAST_WIDTH = 256
# The width of all-MiniLM-L6-v2, and its feed-forward layer of four times that. The fastest of seven rounds counts:
# other work on the machine only adds time.
_FEW, _TOKENS, _WIDTH, _ROUNDS = 32, 2048, 384, 7


def resolve(precision: str, device: str, width: int) -> str:
    """Return what a precision means on this machine: ``fp32``, ``bf16`` or ``fp16``.

    ``auto`` is bf16 on a CPU that multiplies it faster than float32, for an encoder at least 256 wide. On other devices
    ``auto`` is fp32.

    >>> resolve("bf16", "cpu", 384), resolve("auto", "cuda", 384), resolve("auto", "cpu", 128)
    ('bf16', 'fp32', 'fp32')

    Args:
        precision: ``auto``, or what is returned as it is.
        device: torch's name of the device.
        width: the encoder's hidden size.
    """
    if precision != "auto":
        return precision
    return "bf16" if device == "cpu" and width >= _LEAST_WIDTH and _is_faster() else "fp32"


def computing(precision: str, device: str) -> AbstractContextManager[object]:
    """Return the context that computes a model's forward pass in this precision."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device, dtype=dtype, enabled=precision != "fp32")


@cache
def _is_faster() -> bool:
    """Whether this CPU multiplies bfloat16 faster than float32.

    Its instructions decide where PyTorch names them: a measurement depends on what else the machine does, and a run
    that is repeated is to compute the same. Elsewhere it is measured, in milliseconds.
    """
    if platform.machine().lower() in ("x86_64", "amd64") and hasattr(torch.cpu, "get_capabilities"):
        there = torch.cpu.get_capabilities()
        return any(there.get(name) for name in _INSTRUCTIONS)
    return _gain() >= _FASTER


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
