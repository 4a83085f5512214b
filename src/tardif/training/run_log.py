"""The log of a run: ``log.jsonl``, one line per logged step, evaluation and refresh, whatever other loggers there are.

Every line has step, epoch and seconds (of training so far). Step lines add loss (the mean since the line before),
grad_norm (before clipping), learning_rate and examples_per_second; evaluation lines add the measures; refresh lines
add new_negatives.
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
EVALUATION = "eval_"  # the prefix under which the library's loggers expect measures
NEW_NEGATIVES = "new_negatives"


class LogCallback(TrainerCallback):
    """Writes the figures that the library's trainer logs into the run's own log.

    Args:
        path: the log.
        examples_per_step: for the speed.
        seconds: returns the seconds of training so far, earlier parts of a resumed run included.
    """

    def __init__(self, path: Path, examples_per_step: int, seconds: Callable[[], float]) -> None:
        self.path, self.examples_per_step, self.seconds = path, examples_per_step, seconds
        self.last = (0, 0.0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure the speed from here."""
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
            # Two lines may have the same time on a coarse clock.
            speed = (state.global_step - step) * self.examples_per_step / max(now - then, 1e-9)
            line["examples_per_second"] = round(speed, 2)
            self.last = (state.global_step, now)
        head = {"step": state.global_step, "epoch": round(state.epoch or 0.0, 4)}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**head, **line, "seconds": round(self.seconds(), 2)}) + "\n")


def cut_log(path: Path, step: int) -> None:
    """Keep the lines up to ``step``: a resumed run writes the later ones again. A log that is no file is removed."""
    if not path.is_file():
        remove(path)
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        with suppress(ValueError, KeyError, TypeError):  # half a line, of a process that was killed
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
    path.write_text("".join(kept), encoding="utf-8")
