"""Training: Tardif's trainer against sentence-transformers' own, on the same examples, in the same run.

    .venv/bin/python benchmarks/train.py --data FOLDER_WITH_MEDQUAD [--batch-size 16] [--negatives 1] [--rounds 2]

all-MiniLM-L6-v2 as a ColBERT with 128 dimensions, medquad's questions and answers with hard negatives by BM25,
documents to 256 tokens, queries filled to 32. Each system trains in a process of its own on the same
examples in as many steps, with its own trainer, optimizer and defaults; the systems take turns, so that a slow
minute of the machine hits them alike, and the median step counts. ``real tokens`` are those of all
texts of a batch, as often as they stand in it, without padding: the same for all systems.
The share of the peak: operations of the model's matrix products, forward and backward, per second of the step, against
what the machine reaches at the linear maps' shapes in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from archives import unpacked
from peak import Work
from peak import work as products
from steps import timed

SYSTEMS: dict[str, dict[str, Any]] = {
    "tardif": {},
    "sentence-transformers, defaults": {},
    "sentence-transformers, mini_batch_size 4": {"mini_batch_size": 4},
    "sentence-transformers, mini_batch_size 8": {"mini_batch_size": 8},
    "sentence-transformers, cached, mini_batch_size 8": {"mini_batch_size": 8, "cached": True},
    "tardif, bfloat16": {"precision": "bf16"},
    "sentence-transformers, bfloat16": {"bf16": True},
    "sentence-transformers, bfloat16, mini_batch_size 8": {"bf16": True, "mini_batch_size": 8},
}
LENGTHS = {"query_length": 32, "document_length": 256, "expansion": 32}
# Of our defaults, what would make the work another than theirs.
ALIKE = {"training_length": None, "base_share": 0.0, "precision": "fp32"}


def subset(folder: Path, examples: int, negatives: int) -> Any:
    """Examples drawn by a fixed seed, with as many negatives each."""
    from tardif.data.training_set import TrainingSet

    data = TrainingSet.load(folder)
    chosen = random.Random(0).sample([e for e in data.examples if len(e.negative_ids) >= negatives], examples)
    cut = [replace(example, negative_ids=example.negative_ids[:negatives]) for example in chosen]
    return replace(data, examples=cut, split=dict.fromkeys(data.queries, "train"))


def train_ours(data: Any, options: argparse.Namespace, extra: dict[str, Any]) -> None:
    import tardif

    with tempfile.TemporaryDirectory() as out:
        trainer = tardif.Trainer("bench", out=out, devices=options.device, quiet=True, **LENGTHS)
        trainer.prepare(data)
        trainer.train(
            max_steps=options.steps,
            batch_size=options.batch_size,
            negatives_per_example=options.negatives,
            **{**ALIKE, **extra},
        )


def train_theirs(
    data: Any,
    options: argparse.Namespace,
    extra: dict[str, Any],
    *,
    mini_batch_size: int | None = None,
    cached: bool = False,
    bf16: bool = False,
) -> None:
    from datasets import Dataset
    from sentence_transformers import MultiVectorEncoderTrainer, MultiVectorEncoderTrainingArguments
    from sentence_transformers.multi_vector_encoder import losses

    from tardif.encoder import MINILM
    from tardif.encoder.base import resolve_base
    from tardif.encoder.model import build_model
    from tardif.encoder.recipe import Recipe

    model = build_model(resolve_base(MINILM), Recipe(**LENGTHS), device=options.device)
    rows = {
        "query": [data.queries[e.query_id] for e in data.examples],
        "positive": [data.documents[e.positive_id].content for e in data.examples],
    }
    for n in range(options.negatives):
        rows[f"negative_{n + 1}"] = [data.documents[e.negative_ids[n]].content for e in data.examples]
    kind = "CachedMultiVectorMultipleNegativesRankingLoss" if cached else "MultiVectorMultipleNegativesRankingLoss"
    loss = getattr(losses, kind)(model, mini_batch_size=mini_batch_size)
    with tempfile.TemporaryDirectory() as out:
        arguments = MultiVectorEncoderTrainingArguments(
            output_dir=out,
            max_steps=options.steps,
            per_device_train_batch_size=options.batch_size,
            learning_rate=3e-5,
            use_cpu=options.device == "cpu",
            prompts={name: model.prompts["query" if name == "query" else "document"] for name in rows},
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            bf16=bf16,
            logging_strategy="no",
            **extra,
        )
        dataset = Dataset.from_dict(rows)
        MultiVectorEncoderTrainer(model=model, args=arguments, train_dataset=dataset, loss=loss).train()


def work(name: str, options: argparse.Namespace) -> None:
    """Train one system; print what it took as JSON."""
    seconds = timed(loading=True)
    data = subset(options.set, options.steps * options.batch_size, options.negatives)
    extra = json.loads(options.extra)
    if name.startswith("tardif"):
        train_ours(data, options, {**extra, **SYSTEMS[name], **json.loads(options.ours)})
    else:
        train_theirs(data, options, extra, **SYSTEMS[name])
    found: dict[str, Any] = {"seconds": seconds, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}
    if options.device == "cuda":
        import torch

        found["memory"] = torch.cuda.max_memory_allocated() / 1e9
    print("\nRESULT " + json.dumps(found))


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One system in a process of its own."""
    command = [sys.executable, __file__, "--worker", name, "--set", str(options.set)]
    for key in ("batch_size", "negatives", "steps", "device", "extra", "ours"):
        command += [f"--{key.replace('_', '-')}", str(getattr(options, key))]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        sys.stderr.write(done.stderr[-3000:])
        return {"failed": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][:120]}
    found: dict[str, Any] = json.loads(lines[-1].removeprefix("RESULT "))
    return found


class Tokens(NamedTuple):
    """Tokens a step: real ones of all texts; those that Tardif encodes, each text once; and these with padding."""

    real: float
    encoded: float
    padded: float
    work: Work


def tokens_per_step(options: argparse.Namespace) -> Tokens:
    from tardif.encoder import MINILM
    from tardif.encoder.base import resolve_base
    from tardif.encoder.model import build_model
    from tardif.encoder.recipe import Recipe
    from tardif.encoder.tokens import tokens_for
    from tardif.training.batches import Collator
    from tardif.training.settings import TrainingSettings

    data = subset(options.set, options.steps * options.batch_size, options.negatives)
    tokens = tokens_for(build_model(resolve_base(MINILM), Recipe(**LENGTHS)), 4096)
    columns = [d for e in data.examples for d in (e.positive_id, *e.negative_ids)]
    real = sum(len(ids) for ids in tokens.ids([data.documents[d].content for d in columns], "document"))
    collate, padded = Collator(data, tokens, TrainingSettings(negatives_per_example=options.negatives)), 0
    # Every query is filled up: to these models the filling is as real as the rest.
    queries = LENGTHS["query_length"] * options.batch_size
    lengths = [LENGTHS["query_length"]] * (options.batch_size * options.steps)
    for step in range(options.steps):
        batch = collate([{"example": step * options.batch_size + n} for n in range(options.batch_size)])
        for block in batch["documents"]:
            lengths += block["packed_lengths"]
            padded += block["input_ids"].numel()
    linear, attention = products(lengths)
    steps = options.steps
    return Tokens(
        real / steps + queries, sum(lengths) / steps, padded / steps + queries, Work(linear / steps, attention / steps)
    )


def compare(options: argparse.Namespace) -> None:
    tokens = tokens_per_step(options)
    taken: dict[str, list[float]] = {name: [] for name in options.systems}
    memory: dict[str, float] = {}
    failed: dict[str, str] = {}
    peaks: list[float] = []
    for _ in range(options.rounds):
        for name in options.systems:
            if name in failed:
                continue
            found = measure(name, options)
            if "failed" in found:
                failed[name] = found["failed"]
                continue
            taken[name] += found["seconds"][1:]
            memory[name] = max(memory.get(name, 0.0), found["memory"])
        if options.device == "cpu":
            peaks.append(measure_peak())
    ours = statistics.median(taken[options.systems[0]])
    print(f"Batches of {options.batch_size}, {options.negatives} hard negatives: {tokens.real:.0f} real tokens a step.")
    print(f"Tardif encodes {tokens.encoded:.0f} of them; padding: {tokens.padded / tokens.encoded - 1:.1%}.")
    print("| system | s/step | real tokens/s | as long as the first | peak memory |\n|---|---|---|---|---|")
    for name in options.systems:
        if name in failed:
            print(f"| {name} | {failed[name]} | | | |")
            continue
        median = statistics.median(taken[name])
        print(
            f"| {name} | {median:.3f} | {tokens.real / median:,.0f} | {median / ours:.2f} x | {memory[name]:.2f} GB |"
        )
    if peaks and options.systems[0] == "tardif":
        peak = statistics.median(peaks)
        print(f"Peak at the model's shapes: {peak / 1e9:.0f} GFLOP/s. Of it our step reaches: ", end="")
        print(tokens.work.shares(ours, peak))


def measure_peak() -> float:
    command = [sys.executable, str(Path(__file__).parent / "peak.py"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["flops"])


def prepared(source: Path, folder: Path) -> Path:
    from tardif.preparation import prepare_folder

    return prepare_folder([unpacked(source, folder)], None, folder / "set", near=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="medquad's BEIR folder, or its .tar.gz")
    parser.add_argument("--set", type=Path, help="a prepared folder instead")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--negatives", type=int, default=1)
    parser.add_argument("--steps", type=int, default=6, help="per process; the first is not counted")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--extra", default="{}", help="further training arguments of all trainers, as JSON")
    parser.add_argument("--ours", default="{}", help="further training arguments of Tardif's, as JSON")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS)[:4], help="among: " + "; ".join(SYSTEMS))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.set is None:
            options.set = prepared(options.data, Path(folder))
        compare(options)


if __name__ == "__main__":
    main()
