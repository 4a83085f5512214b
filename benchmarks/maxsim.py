"""MaxSim forward and backward: Tardif's packed form against the einsum over padded token vectors.

    .venv/bin/python benchmarks/maxsim.py [--batch-size 16 64 128] [--device cpu]

Queries of 32 tokens, two documents to a query with lengths as medquad's (a third cut at 256 tokens), 128
dimensions, float32. The einsum is the textbook's: all similarities, padding masked, maximum, sum; its backward is
autograd's. The two take turns, the median counts, and their scores and gradients are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tardif.scoring import TokenVectors, maxsim

QUERY, LONGEST, DIM = 32, 256, 128


def einsum(queries: TokenVectors, documents: TokenVectors) -> Tensor:
    """The textbook's form, from packed vectors."""
    q, d = (
        torch.nn.utils.rnn.pad_sequence(torch.split(part.vectors, list(part.lengths)), batch_first=True)
        for part in (queries, documents)
    )
    mask = torch.arange(d.shape[1], device=d.device) < torch.tensor(documents.lengths, device=d.device).unsqueeze(1)
    similarities = torch.einsum("qid,njd->qnij", q, d)  # [Q, N, query tokens, document tokens]
    best = similarities.masked_fill(~mask[None, :, None], float("-inf")).amax(dim=3)
    return best.sum(dim=2)  # [Q, N]


def texts(lengths: list[int], seed: int, device: str) -> TokenVectors:
    """Random unit vectors for texts of so many tokens."""
    made = torch.randn(sum(lengths), DIM, generator=torch.Generator().manual_seed(seed))
    return TokenVectors(functional.normalize(made, dim=1).to(device).requires_grad_(), lengths)


def batch(size: int, device: str) -> tuple[TokenVectors, TokenVectors]:
    random = torch.Generator().manual_seed(size)
    drawn = torch.randint(40, LONGEST + 100, (2 * size,), generator=random).clamp(max=LONGEST)
    return texts([QUERY] * size, 1, device), texts(drawn.tolist(), 2, device)


def once(score: Callable[..., Tensor], size: int, device: str) -> tuple[float, tuple[Tensor, ...]]:
    """Seconds of forward and backward, with scores and gradients."""
    queries, documents = batch(size, device)
    began = time.perf_counter()
    scores = score(queries, documents)
    functional.cross_entropy(scores, torch.arange(size, device=device)).backward()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    gradients: Any = (queries.vectors.grad, documents.vectors.grad)
    return seconds, (scores.detach(), *gradients)


def compare(size: int, turns: int, device: str) -> None:
    taken: dict[str, list[float]] = {"tardif": [], "einsum": []}
    found: dict[str, tuple[Tensor, ...]] = {}
    for _ in range(turns + 1):
        for name, score in (("tardif", maxsim), ("einsum", einsum)):
            seconds, found[name] = once(score, size, device)
            taken[name].append(seconds)
    for ours, theirs in zip(found["tardif"], found["einsum"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    ours, theirs = (statistics.median(seconds[1:]) for seconds in (taken["tardif"], taken["einsum"]))
    print(f"| {size} | {ours * 1e3:.1f} | {theirs * 1e3:.1f} | {theirs / ours:.1f} x |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[16, 64, 128])
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    print("| queries | Tardif, ms | einsum, ms | as long as Tardif |\n|---|---|---|---|")
    for size in options.batch_size:
        compare(size, options.turns, options.device)


if __name__ == "__main__":
    main()
