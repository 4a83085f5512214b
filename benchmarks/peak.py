"""What the machine reaches in fp32 matrix products at the shapes of all-MiniLM-L6-v2's layers.

    .venv/bin/python benchmarks/peak.py [--tokens 4096] [--json] [--int8]

The six products of a layer (three for attention's inputs, one for its output, two of the feed-forward part), each
forward and with its two backward products, on operands made anew each time, as in training. With --int8, the forward
products alone, against torch's dynamic quantisation of the same linear maps.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from typing import NamedTuple

HIDDEN, INNER, LAYERS, DIM = 384, 1536, 6, 128
SHAPES = [(HIDDEN, HIDDEN)] * 4 + [(HIDDEN, INNER), (INNER, HIDDEN)]


class Work(NamedTuple):
    """Operations of matrix products: of the linear maps, and of attention (queries by keys, weights by values)."""

    linear: float
    attention: float

    def shares(self, seconds: float, peak: float) -> str:
        """Of the peak, what so many seconds for this work come to."""
        linear, both = (flops / seconds / peak for flops in (self.linear, self.linear + self.attention))
        return f"linear maps {linear:.0%}, with attention's own products {both:.0%}"


def work(lengths: Iterable[int], *, backward: bool = True) -> Work:
    """What the model multiplies for texts of so many tokens, without padding and nothing computed twice."""
    lengths = list(lengths)
    times = 3 if backward else 1
    linear = 2 * (LAYERS * sum(a * b for a, b in SHAPES) + HIDDEN * DIM) * sum(lengths)
    return Work(times * linear, times * 4 * LAYERS * HIDDEN * sum(length**2 for length in lengths))


def layer(tokens: int) -> float:
    """Seconds of one layer's products, forward and backward."""
    import torch

    total = 0.0
    for a, b in SHAPES:
        x, w, g = torch.randn(tokens, a), torch.randn(b, a), torch.randn(tokens, b)
        began = time.perf_counter()
        x @ w.T  # forward: [tokens, a] @ [a, b]
        g @ w  # by the input: [tokens, b] @ [b, a]
        g.T @ x  # by the weight: [b, tokens] @ [tokens, a]
        total += time.perf_counter() - began
    return total


def int8(tokens: int, turns: int) -> None:
    """Print how long the layer's linear maps take in fp32 and quantised dynamically."""
    import statistics
    import warnings

    import torch

    warnings.filterwarnings("ignore")
    plain = [torch.nn.Linear(a, b) for a, b in SHAPES]
    quantised = torch.ao.quantization.quantize_dynamic(torch.nn.ModuleList(plain), {torch.nn.Linear})
    taken: dict[str, list[float]] = {"fp32": [], "int8": []}
    with torch.inference_mode():
        for _ in range(turns):
            inputs = [torch.randn(tokens, a) for a, _ in SHAPES]
            for name, maps in (("fp32", plain), ("int8", quantised)):
                began = time.perf_counter()
                for linear, x in zip(maps, inputs, strict=True):
                    linear(x)  # [tokens, a] -> [tokens, b]
                taken[name].append(time.perf_counter() - began)
    fp32, quick = (statistics.median(seconds) for seconds in taken.values())
    print(f"fp32 {fp32 * 1e3:.1f} ms, int8 {quick * 1e3:.1f} ms a layer: {fp32 / quick:.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--turns", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--int8", action="store_true")
    options = parser.parse_args()
    if options.int8:
        int8(options.tokens, options.turns)
        return
    for _ in range(3):
        layer(options.tokens)
    seconds = sorted(layer(options.tokens) for _ in range(options.turns))
    best = seconds[: max(options.turns // 4, 1)]  # what the machine can, not what else it does
    flops = 3 * options.tokens * sum(2 * a * b for a, b in SHAPES) * len(best) / sum(best)
    if options.json:
        print(json.dumps({"flops": flops}))
    else:
        print(f"{flops / 1e9:.1f} GFLOP/s, {options.tokens} tokens")


if __name__ == "__main__":
    main()
