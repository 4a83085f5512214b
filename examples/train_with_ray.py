"""Train on the workers of a Ray cluster (Ray Train), on a folder written by ``tardif prepare``.

python examples/train_with_ray.py DATA OUT --workers 2
python examples/train_with_ray.py DATA OUT --workers 8 --gpu

DATA, OUT and the base are paths on every node. OUT is on a disk that all nodes see, or a folder on each node: the model
is in that of the first worker.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import ray.train
from ray.train.torch import TorchTrainer


def train(given: dict[str, Any]) -> None:
    """What each worker does."""
    import tardif

    trainer = tardif.Trainer("with-ray", given["base"], devices="cuda" if given["gpu"] else "cpu", out=given["out"])
    trainer.prepare(given["data"])
    result = trainer.train(batch_size=given["batch_size"], epochs=given["epochs"], resume=True)
    if ray.train.get_context().get_world_rank() == 0:  # Ray shows it on the driver's terminal
        sys.stdout.write(f"{result.path}: {json.dumps(result.after)}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--batch-size", type=int, default=32)
    options = vars(parser.parse_args())
    # Workers have folders of their own: a relative path would mean something else there.
    given = {**options, "data": str(options["data"].absolute()), "out": str(options["out"].absolute())}
    TorchTrainer(
        train,
        train_loop_config=given,
        scaling_config=ray.train.ScalingConfig(num_workers=given["workers"], use_gpu=given["gpu"]),
        # A lost worker is replaced, and all go on from the last checkpoint.
        run_config=ray.train.RunConfig(failure_config=ray.train.FailureConfig(max_failures=3)),
    ).fit()
