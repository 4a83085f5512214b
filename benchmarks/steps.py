"""How long the steps of a training take, whoever's trainer runs it."""

from __future__ import annotations

import time
from typing import Any


def timed(*, loading: bool) -> list[float]:
    """The seconds of each step of the trainings that begin from now on; an earlier list is filled no more.

    Args:
        loading: count from the end of the step before, so that making the batch is part of a step; else from the step's
            own beginning, so that what is done between two steps, such as an evaluation, is not.
    """
    import transformers

    seconds: list[float] = []

    class Timer(transformers.TrainerCallback):
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            self.began = time.perf_counter()

        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            if not loading:
                self.began = time.perf_counter()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            now = time.perf_counter()
            seconds.append(now - self.began)
            self.began = now

    callbacks = transformers.trainer.DEFAULT_CALLBACKS
    callbacks[:] = [*(kind for kind in callbacks if kind.__name__ != Timer.__name__), Timer]
    return seconds
