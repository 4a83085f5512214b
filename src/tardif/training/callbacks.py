"""What happens between the steps of a run: it is measured, watched, logged, and stopped in time or when asked.

:class:`RunCallback` measures, keeps the best model and ends the run. It stops a run that has diverged: loss or gradient
is no number, or the gradient explodes. ``log.jsonl`` has one line per logged step and per evaluation, whatever else
the run reports to.

Step lines hold step, epoch, loss (the mean since the line before), grad_norm (before clipping),
learning_rate, examples_per_second and seconds (of training so far); evaluation lines hold step, epoch, seconds
and the measures; lines of a refresh step, epoch, seconds and new_negatives, how many are new.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from transformers import TrainerCallback

from tardif.encoder.loading import quiet_libraries
from tardif.encoder.published import write_checksums
from tardif.errors import FolderError, TrainingError
from tardif.evaluation.measures import format_measures
from tardif.evaluation.verdict import DECIDES, Values, means
from tardif.folders import remove
from tardif.progress import Bar, Console
from tardif.training.averaging import averaged
from tardif.training.batches import BatchOrder, Collator
from tardif.training.checkpoints import write_whole
from tardif.training.distributed import ProcessGroup
from tardif.training.parameters import without_adapters
from tardif.training.precision import computing
from tardif.training.run_folder import RunFolder
from tardif.training.settings import TrainingSettings
from tardif.training.validation import ValidationTask
from tardif.training.whole import MARK, checksums, damage

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

_TOLD_EXAMPLES = 8
# So many steps without any loss are no accident.
_FIRST_STEPS = 10


@dataclass
class RunState:
    """What a training run came to so far; a checkpoint holds it.

    ``best`` are the measures of the best trained checkpoint, ``best_values`` those of each query; the loss of
    ``steps_without_loss`` was exactly 0. ``seconds`` are those of the whole run in all its parts, evaluations and
    refreshes among them, up to the last step.
    """

    steps: int = 0
    planned_steps: int = 0
    epochs: float = 0.0
    best: dict[str, float] = field(default_factory=dict)
    best_values: dict[str, dict[str, float]] = field(default_factory=dict)
    best_step: int = 0
    evaluations: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    seconds_evaluating: float = 0.0
    seconds_refreshing: float = 0.0
    ran_out_of_time: bool = False
    stopped_early: bool = False
    finished: bool = False
    interrupted: bool = False
    diverged: bool = False
    steps_without_loss: int = 0
    resumed_at: list[int] = field(default_factory=list)
    refreshed_at: list[int] = field(default_factory=list)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what a checkpoint holds."""
        for name, value in state.items():
            setattr(self, name, value)

    def without_gain(self) -> int:
        """Evaluations since the best one."""
        return sum(figures["step"] > self.best_step for figures in self.evaluations)


class RunCallback(TrainerCallback):
    """Watches the run from between its steps.

    Args:
        model: what is trained.
        collator, order: where the batches come from; both follow the epoch.
        task: the held-out queries; None keeps the last model.
        folder: where models are kept.
        settings: how often to measure and save, when to stop.
        run_state: filled as the run goes.
        bar, console: where it is shown.
        seconds_per_evaluation: to end within a budget of minutes.
        accumulation: batches per step.
        group: the processes that train together: rank 0 decides for all.
    """

    def __init__(
        self,
        *,
        model: MultiVectorEncoder,
        collator: Collator,
        order: BatchOrder,
        task: ValidationTask | None,
        folder: RunFolder,
        settings: TrainingSettings,
        run_state: RunState,
        bar: Bar,
        console: Console,
        seconds_per_evaluation: float,
        accumulation: int,
        group: ProcessGroup,
    ) -> None:
        self.model, self.collator, self.order = model, collator, order
        self.task, self.folder, self.settings = task, folder, settings
        self.run_state, self.bar, self.console = run_state, bar, console
        self.seconds_per_evaluation, self.accumulation = seconds_per_evaluation, accumulation
        self.group = group
        self.divergence = Divergence()
        self.report: Callable[[dict[str, float]], None] = lambda figures: None
        # The library's trainer sets the gradient's norm, our objective the loss, before they are read here.
        self.loss: Callable[[], float] = lambda: 0.0
        self.norm = 0.0
        self.began = self.saved = time.monotonic()
        self.seconds_before = 0.0
        count, total = settings.evaluations, run_state.planned_steps
        self.due = {math.ceil(total * part / count) for part in range(1, count + 1)}

    def seconds(self) -> float:
        """Seconds of training so far, earlier parts of a resumed run among them."""
        return self.seconds_before + time.monotonic() - self.began

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clocks: a resumed run has spent some of its time. Make up for an evaluation that an
        interruption has prevented."""
        self.began = self.saved = time.monotonic()
        self.seconds_before = self.run_state.seconds
        self.bar.resume(state.global_step)
        step, measured = state.global_step, {figures["step"] for figures in self.run_state.evaluations}
        if self.task is not None and step in self.due and step not in measured:
            self.group.on_main(lambda: self._measure(step))

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Batches and negatives are drawn by the epoch; a resumed run begins within one."""
        self.collator.epoch = math.floor(state.epoch or 0)
        self.order.set_epoch(self.collator.epoch)

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop at a loss that is no number before it is accumulated further."""
        self._check(state.global_step, norm=0.0)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop at a step that has diverged before it changes the weights."""
        self._check(state.global_step, norm=self.norm)

    def _check(self, done: int, *, norm: float) -> None:
        loss = self.loss()
        wrong = self.divergence.check(loss, norm) if norm or not math.isfinite(loss) else ""
        if wrong:  # on every process, for loss and norm are those of all together
            self.run_state.diverged = True
            self.group.on_main(lambda: self._diverged(done, wrong))

    def _diverged(self, done: int, wrong: str) -> NoReturn:
        examples = [self.collator.data.examples[number] for number in self.order.step(done, self.accumulation)]
        told = ", ".join(f"{e.query_id} -> {e.positive_id}" for e in examples[:_TOLD_EXAMPLES])
        more = f" and {len(examples) - _TOLD_EXAMPLES} more" if len(examples) > _TOLD_EXAMPLES else ""
        raise TrainingError(
            f"The training diverged at step {done + 1}: {wrong}. Its examples (query -> positive): {told}{more}. "
            "Lower the learning rate (--lr, in Python lr=), or look for texts that are extreme among them; the "
            "best checkpoint so far is kept."
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the step, then measure, save or stop where it is time."""
        run_state = self.run_state
        run_state.steps, run_state.epochs = state.global_step, float(state.epoch or 0)
        run_state.seconds = self.seconds()
        self._watch_loss(state.global_step)
        self.bar.advance(1, f"loss {self.loss():.3f}")
        chosen = self.group.on_main(lambda: self._decide(state.global_step, control))
        control.should_save, control.should_log, control.should_training_stop = chosen
        run_state.seconds = self.seconds()

    def _watch_loss(self, step: int) -> None:
        """Count steps with nothing to learn, and say so early where all have been such."""
        run_state = self.run_state
        run_state.steps_without_loss += self.loss() == 0.0
        first = min(_FIRST_STEPS, run_state.planned_steps)
        if step == first == run_state.steps_without_loss and self.group.is_main:
            self.console.warn(f"the loss of all {step} steps so far is exactly 0: nothing is being learnt.")

    def _decide(self, step: int, control: Any) -> tuple[bool, bool, bool]:
        """Whether to save, to log and to stop."""
        run_state = self.run_state
        if run_state.interrupted and step < run_state.planned_steps:
            control.should_training_stop = True
        else:
            self._go_on(step, control)
        if control.should_save or control.should_training_stop or self._time_to_save(step):
            # What is logged belongs to what is saved: the lines of a resumed run follow on.
            control.should_save = control.should_log = True
        return control.should_save, control.should_log, control.should_training_stop

    def _go_on(self, step: int, control: Any) -> None:
        run_state, settings = self.run_state, self.settings
        run_state.interrupted = False  # asked to stop at the last step: that is the end anyway
        if step < run_state.planned_steps and settings.minutes is not None:
            run_state.ran_out_of_time = self.seconds() + self.seconds_per_evaluation > 60 * settings.minutes
        last = step >= run_state.planned_steps or step == settings.stop_at_step or run_state.ran_out_of_time
        if last or step in self.due:
            self._measure(step)
            control.should_save = True
        if not last and settings.patience is not None and run_state.without_gain() >= settings.patience:
            run_state.stopped_early = last = True
            self.console.say(f"  stopped at step {step}: {settings.patience} evaluations without a better {DECIDES}")
        if last:
            run_state.finished = control.should_training_stop = True

    def _time_to_save(self, step: int) -> bool:
        by_count = self.settings.save_steps is not None and step % self.settings.save_steps == 0
        return by_count or time.monotonic() - self.saved > 60 * self.settings.save_minutes

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the minutes to the next checkpoint from here."""
        self.saved = time.monotonic()

    def _measure(self, step: int) -> None:
        """Measure the model, with its share of the weights it began with; keep it if it is the best so far."""
        with self._as_kept(), computing(self.settings.precision, self.model.device.type):
            self._measure_as_it_is(step)

    def keep_one(self) -> None:
        """Keep the last model where none has been."""
        if not self.folder.best(self.run_state.best_step).exists():
            with self._as_kept():
                keep_model(self.model, self.folder.best(self.run_state.steps))
            self.run_state.best_step = self.run_state.steps

    def _as_kept(self) -> AbstractContextManager[None]:
        return averaged(self.model, self.folder.start, self.settings.base_share or 0.0)

    def _measure_as_it_is(self, step: int) -> None:
        if self.task is None:
            self._keep(step, {}, {})
            return
        began = time.monotonic()
        values = self.task.values(self.model, Console(quiet=True), "")
        figures = means(values)
        self.run_state.seconds_evaluating += time.monotonic() - began
        self.run_state.evaluations.append({"step": step, **figures})
        self.console.say(f"  step {step}: {format_measures(figures)}")
        self.report({f"{EVALUATION}{name}": value for name, value in figures.items()})
        if figures[DECIDES] > self.run_state.best.get(DECIDES, -1.0):
            self._keep(step, figures, values)

    def _keep(self, step: int, figures: dict[str, float], values: Values) -> None:
        keep_model(self.model, self.folder.best(step))
        self.run_state.best, self.run_state.best_step = figures, step
        self.run_state.best_values = {name: dict(by) for name, by in values.items()}

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of the run, beside weights and optimizer."""
        return {
            "outcome": {**dataclasses.asdict(self.run_state), "interrupted": False},
            "divergence": self.divergence.state(),
            # It cannot go on without the weights that the run began with.
            "start": True,
        }


def keep_model(model: MultiVectorEncoder, folder: Path) -> None:
    """Save a model at ``folder``, whole or not at all."""

    def fill(aside: Path) -> None:
        with quiet_libraries():
            without_adapters(model).save_pretrained(str(aside), create_model_card=False)

    write_whole(folder, fill)


def copy_model(folder: Path, into: Path) -> None:
    """Copy what :func:`keep_model` kept into an empty folder, with the checksums that it had then in place of the mark.

    Raises:
        FolderError: it is not as it was written.
    """
    if problem := damage(folder):
        raise FolderError(
            f"The best model, {folder}, is damaged ({problem}): start again with --overwrite (in Python "
            "overwrite=True)."
        )
    shutil.copytree(folder, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MARK))
    write_checksums(into, checksums(folder))


@contextmanager
def interruptible(run_state: RunState, console: Console) -> Iterator[None]:
    """The first Ctrl-C lets the step end and keeps the best checkpoint; a second one stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous: Callable[..., Any] | int | None = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: Any) -> None:
        if run_state.interrupted:
            raise KeyboardInterrupt
        run_state.interrupted = True
        console.say("Interrupted: the step is ended and the best checkpoint kept; again stops at once.")

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


# Clipping holds single large gradients; this many in a row, this far above the usual, is no noise.
EXPLODING_FACTOR, EXPLODING_STEPS = 100.0, 5
# Near a loss of zero the usual norm is tiny and anything is far above it: under this, nothing explodes.
_LEAST_NORM = 10.0
_WINDOW, _LEAST_HISTORY = 100, 10


class Divergence:
    """Watches loss and gradient norm, step by step, before the weights are changed.

    Args:
        infinite_norms: gradients in a row that may be no number: a few where mixed precision in 16 bits
            searches its scale (it skips those steps), else none.
    """

    def __init__(self, *, infinite_norms: int = 0) -> None:
        self.infinite_norms = infinite_norms
        self.norms: list[float] = []
        self.infinite = self.exploding = 0

    def check(self, loss: float, norm: float) -> str:
        """What is wrong with a step, or an empty string."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if not math.isfinite(norm):
            self.infinite += 1
            return f"the gradient's norm is {norm}" if self.infinite > self.infinite_norms else ""
        self.infinite = 0
        usual = statistics.median(self.norms) if len(self.norms) >= _LEAST_HISTORY else math.inf
        if norm > max(EXPLODING_FACTOR * usual, _LEAST_NORM):
            self.exploding += 1
            if self.exploding >= EXPLODING_STEPS:
                return f"the gradient's norm is {norm:.3g} after {usual:.3g}, {self.exploding} steps in a row"
        else:
            self.exploding = 0
            self.norms = [*self.norms[1 - _WINDOW :], norm]
        return ""

    def state(self) -> dict[str, object]:
        """What a checkpoint holds of it."""
        return {"norms": self.norms, "infinite": self.infinite, "exploding": self.exploding}

    def restore(self, state: dict[str, object]) -> None:
        """Go on from what :meth:`state` gave."""
        self.__dict__.update(state)


_STEP = ("loss", "grad_norm", "learning_rate")
EVALUATION = "eval_"
NEW_NEGATIVES = "new_negatives"


class LogCallback(TrainerCallback):
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
