"""Sentence-transformers' trainer with our batches, our objective, and a conductor over it.

The loop, the optimizer, mixed precision and the schedule are Hugging Face's. The conductor shows
progress, measures the held-out queries, keeps the best checkpoint, and stops in time or when asked.
"""

from __future__ import annotations

import math
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from sentence_transformers import MultiVectorEncoderTrainer, MultiVectorEncoderTrainingArguments
from transformers import TrainerCallback

from tardif.errors import SettingError, TrainingError
from tardif.evaluation import spoken
from tardif.modeling.build import quiet_libraries, set_dropout
from tardif.talk import Bar, Talk
from tardif.training.batches import Collator
from tardif.training.objective import Objective
from tardif.training.parameters import learning_rates, set_up, without_adapters
from tardif.training.settings import TrainingSettings
from tardif.training.validation import ValidationTask

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

SELECTED_BY = "nDCG@10"
# What a step costs beyond the forward and backward passes that are timed: optimizer, loading, noise.
_STEP_OVERHEAD = 1.1


@dataclass
class Outcome:
    """What a training run came to."""

    steps: int = 0
    planned_steps: int = 0
    epochs: float = 0.0
    best: dict[str, float] = field(default_factory=dict)
    best_step: int = 0
    evaluations: list[dict[str, float]] = field(default_factory=list)
    seconds_evaluating: float = 0.0
    ran_out_of_time: bool = False
    interrupted: bool = False


class _Loop(MultiVectorEncoderTrainer):
    """The library's trainer: our batches go to the loss as they are."""

    def collect_features(self, inputs: dict[str, Any]) -> tuple[Any, None]:
        return inputs, None

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """None: it would read the dataset's texts, and our dataset holds numbers."""


class _Conductor(TrainerCallback):
    """Watches the run from between its steps."""

    def __init__(
        self,
        *,
        model: MultiVectorEncoder,
        objective: Objective,
        collator: Collator,
        task: ValidationTask | None,
        best_folder: Path,
        settings: TrainingSettings,
        outcome: Outcome,
        bar: Bar,
        talk: Talk,
        deadline: float,
        seconds_per_evaluation: float,
    ) -> None:
        self.model, self.objective, self.collator = model, objective, collator
        self.task, self.best_folder, self.settings = task, best_folder, settings
        self.outcome, self.bar, self.talk = outcome, bar, talk
        self.deadline, self.seconds_per_evaluation = deadline, seconds_per_evaluation
        self.measured_at = -1
        count, total = settings.evaluations, outcome.planned_steps
        self.due = {math.ceil(total * part / count) for part in range(1, count + 1)}

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.collator.epoch = round(state.epoch or 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step = state.global_step
        self.outcome.steps, self.outcome.epochs = step, float(state.epoch or 0)
        self.bar.advance(1, f"loss {self.objective.last:.3f}")
        if not math.isfinite(self.objective.last):
            raise TrainingError(
                f"The loss is {self.objective.last} at step {step}: the training diverged. Lower --lr, or "
                "look for texts that are extreme; the best checkpoint so far is kept."
            )
        if self.outcome.interrupted:
            control.should_training_stop = True
            return
        if step == self.settings.stop_at_step:
            control.should_training_stop = True
        if step < self.outcome.planned_steps and time.monotonic() + self.seconds_per_evaluation > self.deadline:
            self.outcome.ran_out_of_time = True
            control.should_training_stop = True
        if step in self.due or control.should_training_stop:
            self.measure(step)

    def measure(self, step: int) -> None:
        """Measure the weights as they are; keep them if they are the best so far."""
        if step == self.measured_at:
            return
        self.measured_at = step
        if self.task is None:
            self._keep(step, {})
            return
        began = time.monotonic()
        figures = self.task.measure(self.model, Talk(quiet=True), "")
        self.outcome.seconds_evaluating += time.monotonic() - began
        self.outcome.evaluations.append({"step": step, **figures})
        self.talk.say(f"  step {step}: {spoken(figures)}")
        if figures[SELECTED_BY] > self.outcome.best.get(SELECTED_BY, -1.0):
            self._keep(step, figures)

    def _keep(self, step: int, figures: dict[str, float]) -> None:
        save_model(self.model, self.best_folder)
        self.outcome.best, self.outcome.best_step = figures, step


def save_model(model: MultiVectorEncoder, folder: Path) -> None:
    """Save a model beside ``folder`` and put it there when whole."""
    aside = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    with quiet_libraries():
        without_adapters(model).save_pretrained(str(aside), create_model_card=False)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)


def run(
    model: MultiVectorEncoder,
    collator: Collator,
    task: ValidationTask | None,
    settings: TrainingSettings,
    outcome: Outcome,
    *,
    work: Path,
    device: str,
    seconds_per_evaluation: float,
    talk: Talk,
) -> None:
    """Train ``model`` in place; the best checkpoint is left in ``work / "best"``.

    ``outcome`` is filled as the run goes, so that a run that fails can still be told of.

    Raises:
        TrainingError: the loss is no number, or memory ran out.
        SettingError: the library refuses one of the other arguments.
    """
    count = len(collator.data.examples)
    if settings.dropout is not None:
        set_dropout(model, settings.dropout)
    set_up(model, settings)
    objective = Objective(model, settings)
    per_epoch = math.ceil(count / (settings.batch_size * int(settings.other.get("gradient_accumulation_steps", 1))))
    planned = settings.max_steps or max(round(per_epoch * settings.epochs), 1)
    deadline = float("inf")
    if settings.minutes is not None:
        deadline = time.monotonic() + 60 * settings.minutes
        planned = min(planned, _steps_within(objective, collator, settings, device, deadline, seconds_per_evaluation))
    outcome.planned_steps = planned
    loop = _make_loop(model, objective, collator, settings, work, device, planned)
    talk.say(
        f"Training on {count} examples: {planned} steps of {settings.batch_size} "
        f"({planned / per_epoch:.2g} epochs), learning rate {settings.lr:g}, on {device}."
    )
    with talk.progress("Training", planned, "steps") as bar:
        conductor = _Conductor(
            model=model,
            objective=objective,
            collator=collator,
            task=task,
            best_folder=work / "best",
            settings=settings,
            outcome=outcome,
            bar=bar,
            talk=talk,
            deadline=deadline,
            seconds_per_evaluation=seconds_per_evaluation,
        )
        loop.add_callback(conductor)
        with _interruptible(outcome, talk):
            try:
                loop.train()
            except torch.OutOfMemoryError as error:
                raise TrainingError(
                    f"The device ran out of memory at step {outcome.steps}: lower --batch-size or --document-length."
                ) from error
    if not (work / "best").exists():
        save_model(model, work / "best")
        outcome.best_step = outcome.steps


def _make_loop(
    model: MultiVectorEncoder,
    objective: Objective,
    collator: Collator,
    settings: TrainingSettings,
    work: Path,
    device: str,
    planned: int,
) -> _Loop:
    defaults: dict[str, Any] = {
        "warmup_steps": math.ceil(planned * settings.warmup),
        "weight_decay": 0.01,
        "learning_rate_mapping": learning_rates(model, settings),
        "report_to": "none",
        "logging_strategy": "no",
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": device == "cuda",
    }
    try:
        arguments = MultiVectorEncoderTrainingArguments(
            output_dir=str(work),
            max_steps=planned,
            per_device_train_batch_size=settings.batch_size,
            learning_rate=settings.lr,
            seed=settings.seed,
            use_cpu=device == "cpu",
            save_strategy="no",
            eval_strategy="no",
            disable_tqdm=True,
            **{**defaults, **settings.other},
        )
    except (ValueError, TypeError) as error:
        raise SettingError(f"A training argument cannot be used: {str(error).splitlines()[0]}") from error
    # One process drives one device: the library would otherwise scatter our batches over all GPUs.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    dataset = Dataset.from_dict({"example": list(range(len(collator.data.examples)))})
    batches: Any = collator  # not the library's class, but all that it calls
    loop = _Loop(model=model, args=arguments, train_dataset=dataset, loss=objective, data_collator=batches)
    for callback in list(loop.callback_handler.callbacks):
        if type(callback).__name__ in ("PrinterCallback", "ProgressCallback"):
            loop.remove_callback(type(callback))
    return loop


def _steps_within(
    objective: Objective,
    collator: Collator,
    settings: TrainingSettings,
    device: str,
    deadline: float,
    seconds_per_evaluation: float,
) -> int:
    """How many steps fit before the deadline, from a few timed batches that change nothing."""
    count, size, timed = len(collator.data.examples), settings.batch_size, []
    numbers = torch.randperm(count, generator=torch.Generator().manual_seed(settings.seed)).tolist()
    with torch.random.fork_rng():
        objective.model.train()
        for part in range(4):
            rows = [{"example": numbers[(part * size + i) % count]} for i in range(min(size, count))]
            began = time.monotonic()
            objective(_to_device(collator(rows), device)).backward()
            timed.append(time.monotonic() - began)
        objective.zero_grad()
    # The first batch also pays for memory and caches.
    step = _STEP_OVERHEAD * sum(timed[1:]) / len(timed[1:])
    accumulated = step * int(settings.other.get("gradient_accumulation_steps", 1))
    room = deadline - time.monotonic() - settings.evaluations * seconds_per_evaluation
    return max(int(room / accumulated), 1)


def _to_device(value: Any, device: str) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: _to_device(item, device) for key, item in value.items()}
    if isinstance(value, list):
        return [_to_device(item, device) for item in value]
    return value


@contextmanager
def _interruptible(outcome: Outcome, talk: Talk) -> Iterator[None]:
    """The first Ctrl-C lets the step end and keeps the best checkpoint; a second one stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous: Callable[..., Any] | int | None = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: Any) -> None:
        if outcome.interrupted:
            raise KeyboardInterrupt
        outcome.interrupted = True
        talk.say("Interrupted: the step is ended and the best checkpoint kept; again stops at once.")

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
