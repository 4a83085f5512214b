"""``log.jsonl``: one line per logged step and per evaluation, whatever else the run reports to.

Step lines hold step, epoch, loss (the mean since the line before), grad_norm (before clipping),
learning_rate, examples_per_second and seconds (of training so far); evaluation lines hold step, epoch, seconds
and the measures; lines of a refresh step, epoch, seconds and new_negatives, how many are new.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from tardif.folders import remove

_STEP = ("loss", "grad_norm", "learning_rate")
EVALUATION = "eval_"
NEW_NEGATIVES = "new_negatives"


class RunLog(TrainerCallback):
    """Appends to the log what the library's trainer logs.

    Args:
        path: the log.
        examples_per_step: for the speed.
        seconds: tells the seconds of training so far, earlier parts of a resumed run among them.
    """

    def __init__(self, path: Path, examples_per_step: int, seconds: Callable[[], float]) -> None:
        self.path, self.examples_per_step, self.seconds = path, examples_per_step, seconds
        self.last = (0, 0.0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the speed from here."""
        self.last = (state.global_step, time.monotonic())

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Write a line, if it is one of a step, an evaluation or a refresh."""
        logs = logs or {}
        line = {name: float(logs[name]) for name in _STEP if name in logs}
        line |= {key.removeprefix(EVALUATION): float(logs[key]) for key in logs if key.startswith(EVALUATION)}
        line |= {NEW_NEGATIVES: logs[NEW_NEGATIVES]} if NEW_NEGATIVES in logs else {}
        if not line or not state.is_world_process_zero:
            return
        if "loss" in line:
            now, (step, then) = time.monotonic(), self.last
            speed = (state.global_step - step) * self.examples_per_step / max(now - then, 1e-9)
            line["examples_per_second"] = round(speed, 2)
            self.last = (state.global_step, now)
        head = {"step": state.global_step, "epoch": round(state.epoch or 0.0, 4)}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**head, **line, "seconds": round(self.seconds(), 2)}) + "\n")


def cut_log(path: Path, step: int) -> None:
    """Leave the lines up to ``step`` in a log: those after it are written again, and so is a log that is no file."""
    if not path.is_file():
        remove(path)
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        with suppress(ValueError, KeyError, TypeError):  # half a line, of a process that was killed
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
    path.write_text("".join(kept), encoding="utf-8")
