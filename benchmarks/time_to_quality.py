"""Minutes of training until held-out queries are found clearly better: Tardif against sentence-transformers' trainer.

    .venv/bin/python benchmarks/time_to_quality.py --data FOLDER_OF_ARCHIVES --work DIR [--seeds 0 1 2] [--table]

scifact's training queries, a fifth of them held out. Every system trains on the same examples from the same base, each
with its own defaults, and the same evaluator measures it every ``--every`` steps. What counts is the time in training
steps (evaluations apart) until nDCG@10 stays above ``before`` + .03 for three evaluations in a row: the first of
the three. ``before`` is the stronger of the two untrained systems, as everywhere. A run of theirs may be broken off
after ``--limit`` seconds of steps: then all that is known is that it takes longer. Every curve is kept in
``DIR/curves.jsonl``; one that is there is not made again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recipes import CONSOLE, ENGLISH, Bench, Task, as_trained
from steps import timed
from tardif import Trainer
from tardif.data.training_set import TrainingSet
from tardif.encoder import MINILM
from tardif.encoder.base import resolve_base
from tardif.encoder.model import build_model, raw_view
from tardif.encoder.recipe import Recipe
from tardif.evaluation.verdict import DECIDES
from tardif.training.validation import ValidationTask, validation_task

SYSTEMS = ("tardif", "tardif, fp32", "sentence-transformers, defaults", "sentence-transformers, raw projection")
GAIN, TIMES = 0.03, 3
TASK = Task("scifact", folds=5, held_out=(0,))


def ours(data: TrainingSet, seed: int, options: argparse.Namespace, **settings: Any) -> list[dict[str, float]]:
    """The evaluations of a run of ours, with its defaults."""
    trainer = Trainer("quality", out=options.work / "models", seed=seed, overwrite=True, quiet=True)
    trainer.prepare(data)
    result = trainer.train(
        evaluations=options.steps // options.every,
        max_steps=options.steps,
        validation_documents=options.documents,
        evaluation_share=None,
        **settings,
    )
    return list(result.settings["evaluated"])


def theirs(
    data: TrainingSet,
    held: ValidationTask,
    seed: int,
    options: argparse.Namespace,
    *,
    is_raw: bool,
    step_seconds: Sequence[float],
) -> list[dict[str, float]]:
    """The evaluations of a run of theirs: pairs, with a random projection of 128 dimensions or with none. It is broken
    off once ``step_seconds``, which grows meanwhile, comes to ``--limit``."""
    import torch
    import transformers
    from datasets import Dataset
    from sentence_transformers import (
        MultiVectorEncoder,
        MultiVectorEncoderTrainer,
        MultiVectorEncoderTrainingArguments,
    )
    from sentence_transformers.base.modules import Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.losses import MultiVectorMultipleNegativesRankingLoss
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    torch.manual_seed(seed)
    folder = str(resolve_base(MINILM).folder)
    model = MultiVectorEncoder(folder, device="cpu")
    if is_raw:
        modules = [Transformer(folder), MultiVectorMask(), Normalize(module_input_name="token_embeddings")]
        model = MultiVectorEncoder(modules=modules, device="cpu", similarity_fn_name="maxsim")
    found: list[dict[str, float]] = []

    class Evaluating(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step % options.every == 0:
                found.append({"step": state.global_step, **measured(model, held)})
                # The evaluator's own way through attention is not theirs to train with.
                model[0].model.set_attn_implementation("sdpa")
                control.should_training_stop = sum(step_seconds) > options.limit

    rows = {
        "query": [data.queries[example.query_id] for example in data.examples],
        "positive": [data.documents[example.positive_id].content for example in data.examples],
    }
    arguments = MultiVectorEncoderTrainingArguments(
        output_dir=str(options.work / "theirs"),
        max_steps=options.steps,
        per_device_train_batch_size=16,
        seed=seed,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
    )
    MultiVectorEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict(rows),
        loss=MultiVectorMultipleNegativesRankingLoss(model),
        callbacks=[Evaluating()],
    ).train()
    return found


def measured(model: Any, held: ValidationTask) -> dict[str, float]:
    """The one evaluator of all systems, in the precision that this machine trains ours in."""
    with as_trained():
        return held.measure(model, CONSOLE, "Measuring")


def untrained(held: ValidationTask) -> dict[str, float]:
    """The stronger of the two untrained systems; at this base's width the recipe has no projection to fit."""
    model = build_model(resolve_base(MINILM), Recipe())
    return max(measured(raw_view(model), held), measured(model, held), key=lambda found: found[DECIDES])


def reached(curve: Mapping[str, Any], goal: float) -> float | None:
    """Seconds of training until three evaluations in a row are above the goal; None: it never came to that."""
    evaluations = curve["evaluations"]
    for first in range(len(evaluations) - TIMES + 1):
        if all(found["nDCG@10"] > goal for found in evaluations[first : first + TIMES]):
            return float(sum(curve["step_seconds"][: int(evaluations[first]["step"])]))
    return None


def table(curves: list[dict[str, Any]], before: float) -> None:
    """Print a line for each system."""
    print(f"before {before:.4f}, goal {before + GAIN:.4f}\n")
    print("| system | seconds to the goal, by seed | median | best nDCG@10 | seconds a step |\n|---|---|---|---|---|")
    for name in SYSTEMS:
        mine = [curve for curve in curves if curve["system"] == name]
        if not mine:
            continue
        taken = [reached(curve, before + GAIN) for curve in mine]
        told = [
            f"> {sum(c['step_seconds']):.0f}" if t is None else f"{t:.0f}" for c, t in zip(mine, taken, strict=True)
        ]
        median = statistics.median(float("inf") if t is None else t for t in taken)
        best = statistics.median(max(e["nDCG@10"] for e in curve["evaluations"]) for curve in mine)
        step = statistics.median(second for curve in mine for second in curve["step_seconds"])
        said = "not reached" if median == float("inf") else f"{median:.0f}"
        print(f"| {name} | {', '.join(told)} | {said} | {best:.4f} | {step:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="the folder of the archives")
    parser.add_argument("--work", type=Path, required=True, help="where the curves are kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds of steps after which theirs stop")
    parser.add_argument("--documents", type=int, default=600, help="documents that are searched")
    parser.add_argument("--table", action="store_true", help="print the table of the curves, and train nothing")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / "curves.jsonl"
    bench = Bench(options.data, options.work)
    data = bench.mined(TASK, MINILM, "{}")
    held = validation_task(data, limit=options.documents, language=ENGLISH, seed=0)
    assert held is not None

    def curves() -> list[dict[str, Any]]:
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []

    def add(**curve: Any) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(curve) + "\n")

    if not any(curve["system"] == "before" for curve in curves()):
        add(system="before", seed=0, figures=untrained(held))
    for seed in options.seeds if not options.table else ():
        for name in options.systems:
            if any((curve["system"], curve["seed"]) == (name, seed) for curve in curves()):
                continue
            CONSOLE.say(f"==> {name}, seed {seed}")
            seconds = timed(loading=False)
            if name.startswith("tardif"):
                settings = {"precision": "fp32"} if name.endswith("fp32") else {}
                found = ours(data, seed, options, **settings)
            else:
                is_raw = name.endswith("projection")
                found = theirs(data, held, seed, options, is_raw=is_raw, step_seconds=seconds)
            add(system=name, seed=seed, evaluations=found, step_seconds=seconds, steps=options.steps)
    before = next(curve["figures"]["nDCG@10"] for curve in curves() if curve["system"] == "before")
    table([curve for curve in curves() if curve["system"] in SYSTEMS], before)


if __name__ == "__main__":
    main()
