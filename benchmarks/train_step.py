"""One training step: Tardif's against sentence-transformers' own loss, same model, batch and run.

    .venv/bin/python benchmarks/train_step.py --data FOLDER_WITH_MEDQUAD

Batches of medquad pairs with one random hard negative each, documents to 256 tokens, queries to 32
with expansion, no dropout on either side unless --dropout. The systems take turns, so that a slow
minute of the machine hits them alike; the median of the turns counts. Before that, equal losses and
gradients on one batch are checked.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tardif.data.training_set import TrainingSet
from tardif.modeling.base import MINILM, resolve_base
from tardif.modeling.build import build_model, set_dropout
from tardif.modeling.recipe import Recipe
from tardif.preparation import prepare
from tardif.training.batches import Collator
from tardif.training.objective import ContrastiveObjective

Step = Callable[[list[int]], torch.Tensor]


def ours(model: Any, data: TrainingSet) -> Step:
    collator = Collator(data, model.preprocess, dict(model.prompts), mask_known_positives=False, tokens=1024)
    objective = ContrastiveObjective(model)
    return lambda numbers: objective(collator([{"example": number} for number in numbers]))


def theirs(model: Any, data: TrainingSet, mini_batch_size: int | None) -> Step:
    """The library's loss on columns tokenised with the same prompts."""
    from sentence_transformers.multi_vector_encoder.losses import MultiVectorMultipleNegativesRankingLoss

    loss = MultiVectorMultipleNegativesRankingLoss(model, mini_batch_size=mini_batch_size)
    draw = Collator(data, model.preprocess, dict(model.prompts))

    def column(texts: list[str], task: str) -> dict[str, Any]:
        return {**model.preprocess(texts, prompt=model.prompts[task], task=task), "task": task}

    def step(numbers: list[int]) -> torch.Tensor:
        examples = [data.examples[number] for number in numbers]
        documents = [[e.positive_id for e in examples], [draw.negatives(number)[0] for number in numbers]]
        return loss(
            [
                column([data.queries[e.query_id] for e in examples], "query"),
                *(column([data.documents[d].content for d in ids], "document") for ids in documents),
            ]
        )

    return step


def check_equal(model: Any, steps: dict[str, Step], numbers: list[int]) -> None:
    """The same loss and gradients, up to rounding, from every system."""
    found = {}
    for name, step in steps.items():
        model.zero_grad()
        loss = step(numbers)
        loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        found[name] = (loss.item(), gradient.clone())
    (name, (loss, gradient)), *others = found.items()
    for other, (their_loss, their_gradient) in others:
        relative = ((gradient - their_gradient).norm() / their_gradient.norm()).item()
        print(f"{name} against {other}: loss {loss:.6f} and {their_loss:.6f}, gradients differ by {relative:.1e}")
    model.zero_grad()


def seconds(model: Any, step: Step, numbers: list[int]) -> float:
    began = time.perf_counter()
    step(numbers).backward()
    model.zero_grad()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="medquad's BEIR folder, or its .tar.gz")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--dropout", action="store_true", help="keep the base's dropout (no equality check)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = options.data
        if source.suffix == ".gz":
            with tarfile.open(source) as archive:
                archive.extractall(folder, filter="data")
            source = Path(folder) / source.name.removesuffix(".tar.gz")
        data = prepare([source], miner="lexical", negatives=1)
    model = build_model(resolve_base(MINILM), dataclasses.replace(Recipe(), query_length=32))
    model.train()
    if not options.dropout:
        set_dropout(model, 0.0)
    steps = {
        "tardif": ours(model, data),
        "sentence-transformers": theirs(model, data, None),
        "sentence-transformers, mini_batch_size 8": theirs(model, data, 8),
    }
    order = torch.randperm(len(data.examples), generator=torch.Generator().manual_seed(0)).tolist()
    batches = [order[i * options.batch_size : (i + 1) * options.batch_size] for i in range(options.turns + 1)]
    if not options.dropout:
        check_equal(model, steps, batches[0])
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for turn, numbers in enumerate(batches):
        for name, step in steps.items():
            spent = seconds(model, step, numbers)
            if turn:  # the first turn pays for caches
                taken[name].append(spent)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    for name, median in medians.items():
        print(f"{name}: {median:.2f} s/step, tardif is {median / medians['tardif']:.2f} times as fast")
    print(json.dumps({"batch_size": options.batch_size, "dropout": options.dropout, "seconds": medians}))


if __name__ == "__main__":
    main()
