"""Callbacks of a run: between steps it is evaluated, saved, checked for divergence, and stopped where that is due."""

from __future__ import annotations

import dataclasses
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from transformers import TrainerCallback

from tardif.encoder.precision import computing
from tardif.errors import TrainingError
from tardif.evaluation.measures import format_measures, means
from tardif.evaluation.outcome import Outcome
from tardif.evaluation.verdict import DECIDES
from tardif.progress import Bar, Console
from tardif.training.averaging import averaged
from tardif.training.checkpoints import keep_model
from tardif.training.plan import accumulated
from tardif.training.run_log import EVALUATION
from tardif.training.run_state import Divergence, RunContext, RunState

# How many of a diverged step's examples the error names.
_NAMED_EXAMPLES = 8
# Ten steps in a row without any loss are no accident.
_FIRST_STEPS = 10


class RunCallback(TrainerCallback):
    """Evaluates, keeps the best model, saves, and ends the run. All processes evaluate; rank 0 decides for all.

    Args:
        context: what the run works with.
        run_state: updated as the run proceeds.
        bar: shows the steps.

    Attributes:
        loss: returns the loss of the last batch.
        begin_step: is told the number of a step before it.
        report: passes figures to the library's loggers.
        norm: the gradient's norm, which the library's trainer sets before it is read here.
    """

    def __init__(self, context: RunContext, run_state: RunState, bar: Bar) -> None:
        self.context, self.run_state, self.bar = context, run_state, bar
        self.settings, self.group = context.settings, context.group
        self.divergence = Divergence()
        self.report: Callable[[dict[str, float]], None] = lambda figures: None
        self.loss: Callable[[], float] = lambda: 0.0
        self.begin_step: Callable[[int], None] = lambda step: None
        self.norm = 0.0
        self.began = self.saved = time.monotonic()
        self.seconds_before = 0.0
        # Evenly spaced, the last one at the last step: a resumed run has the same ones.
        count, total = self.settings.evaluations, run_state.planned_steps
        self.due = {math.ceil(total * part / count) for part in range(1, count + 1)}

    def seconds(self) -> float:
        """Return the seconds of training so far, earlier parts of a resumed run included."""
        return self.seconds_before + time.monotonic() - self.began

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clocks: a resumed run has spent some of its time. Make up for an evaluation that an interruption
        prevented."""
        self.began = self.saved = time.monotonic()
        self.seconds_before = self.run_state.seconds
        self.bar.resume(state.global_step)
        step, evaluated = state.global_step, {figures["step"] for figures in self.run_state.evaluations}
        # transformers knows no evaluation that was due when the run was interrupted, so it is made here.
        if self.context.task is not None and step in self.due and step not in evaluated:
            self._evaluate(step)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Draw batches and negatives by the epoch; a resumed run begins within one."""
        self.context.collator.epoch = math.floor(state.epoch or 0)
        self.context.order.set_epoch(self.context.collator.epoch)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell the objective which step begins."""
        self.begin_step(state.global_step)

    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop at a loss that is not finite before more is accumulated on it."""
        self._check_divergence(state.global_step, norm=0.0)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop at a step that has diverged before it changes the weights."""
        self._check_divergence(state.global_step, norm=self.norm)

    def _check_divergence(self, done: int, *, norm: float) -> None:
        loss = self.loss()
        # Without a norm (between accumulated batches) only the loss is checked: 0 would spoil the usual norm.
        wrong = self.divergence.check(loss, norm) if norm or not math.isfinite(loss) else ""
        if wrong:  # on every process alike: loss and norm are those of the global batch
            self.run_state.diverged = True
            self.group.on_main(lambda: self._raise_diverged(done, wrong))

    def _raise_diverged(self, done: int, wrong: str) -> NoReturn:
        numbers = self.context.order.step(done, accumulated(self.settings))
        examples = [self.context.collator.data.examples[number] for number in numbers]
        named = ", ".join(f"{e.query_id} -> {e.positive_id}" for e in examples[:_NAMED_EXAMPLES])
        more = f" and {len(examples) - _NAMED_EXAMPLES} more" if len(examples) > _NAMED_EXAMPLES else ""
        raise TrainingError(
            f"The training diverged at step {done + 1}: {wrong}. Its examples (query -> positive): {named}{more}. "
            "Lower the learning rate (--lr, in Python lr=), or look for texts that are extreme among them; the "
            "best checkpoint so far is kept."
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the step, then evaluate, save or stop where it is due."""
        run_state, step = self.run_state, state.global_step
        run_state.steps, run_state.epochs, run_state.seconds = step, float(state.epoch or 0), self.seconds()
        self._count_step_without_loss(step)
        self.bar.advance(1, f"loss {self.loss():.3f}")
        # Rank 0 decides for all: clocks differ, and a rank that stopped alone would leave the others waiting.
        due, last = self.group.on_main(lambda: self._due(step))
        if due:
            self._evaluate(step)
        decided = self.group.on_main(lambda: self._decide(step, control, due, last))
        control.should_save, control.should_log, control.should_training_stop = decided
        # Again, with the evaluation: the checkpoint that is saved next records it.
        run_state.seconds = self.seconds()

    def _count_step_without_loss(self, step: int) -> None:
        """Count steps that have nothing to learn, and warn early where all steps are such."""
        run_state = self.run_state
        run_state.steps_without_loss += self.loss() == 0.0
        first = min(_FIRST_STEPS, run_state.planned_steps)
        if step == first == run_state.steps_without_loss and self.group.is_main:
            self.context.console.warn(f"the loss of all {step} steps so far is exactly 0: nothing is being learnt.")

    def _due(self, step: int) -> tuple[bool, bool]:
        """Return whether to evaluate, and whether this step is the last."""
        run_state, settings = self.run_state, self.settings
        if run_state.interrupted and step < run_state.planned_steps:
            return False, True
        run_state.interrupted = False  # a Ctrl-C in the last step: the run ends here anyway
        if step < run_state.planned_steps and settings.minutes is not None:
            # The last evaluation must fit in the budget, too.
            expected = self.seconds() + self.context.seconds_per_evaluation
            run_state.ran_out_of_time = expected > 60 * settings.minutes
        last = step >= run_state.planned_steps or step == settings.stop_at_step or run_state.ran_out_of_time
        return last or step in self.due, last

    def _decide(self, step: int, control: Any, due: bool, last: bool) -> tuple[bool, bool, bool]:
        """Return whether to save, to log and to stop, after an evaluation that was due."""
        if last and not due:  # interrupted: it resumes from here
            control.should_training_stop = True
        else:
            control.should_save = control.should_save or due
            self._finish_if(step, control, last)
        if control.should_save or control.should_training_stop or self._is_time_to_save(step):
            # A checkpoint comes with a log line, so that the lines of a resumed run follow on.
            control.should_save = control.should_log = True
        return control.should_save, control.should_log, control.should_training_stop

    def _finish_if(self, step: int, control: Any, last: bool) -> None:
        """End the run at its last step, or where too many evaluations have shown no gain."""
        run_state, settings, console = self.run_state, self.settings, self.context.console
        without_gain = sum(figures["step"] > run_state.best_step for figures in run_state.evaluations)
        if not last and settings.patience is not None and without_gain >= settings.patience:
            run_state.stopped_early = last = True
            console.say(f"  stopped at step {step}: {settings.patience} evaluations without a better {DECIDES}")
        if last:
            run_state.finished = control.should_training_stop = True

    def _is_time_to_save(self, step: int) -> bool:
        by_count = self.settings.save_steps is not None and step % self.settings.save_steps == 0
        return by_count or time.monotonic() - self.saved > 60 * self.settings.save_minutes

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the minutes to the next checkpoint from here."""
        self.saved = time.monotonic()

    def _evaluate(self, step: int) -> None:
        """Evaluate the model, averaged with the weights it began with; keep it if it is the best so far. Every process
        takes part: they have the same weights."""
        task, group = self.context.task, self.group
        with self._averaged(), computing(self.settings.precision, self.context.device):
            if task is None:
                group.on_main(lambda: self._keep(step, {}, Outcome({})))
                return
            began = time.monotonic()
            found = task.outcome(self.context.model, Console(quiet=True), "", group)
            self.run_state.seconds_evaluating += time.monotonic() - began
            group.on_main(lambda: self._record(step, found))

    def _record(self, step: int, found: Outcome) -> None:
        figures = means(found.values)
        self.run_state.evaluations.append({"step": step, **figures})
        self.context.console.say(f"  step {step}: {format_measures(figures)}")
        self.report({f"{EVALUATION}{name}": value for name, value in figures.items()})
        # -1: a measure of 0 is better than no measure, so the first evaluated model is always kept.
        if figures[DECIDES] > self.run_state.best.get(DECIDES, -1.0):
            self._keep(step, figures, found)

    def _averaged(self) -> Any:
        return averaged(self.context.model, self.context.folder.start, self.settings.base_share or 0.0)

    def _keep(self, step: int, figures: dict[str, float], found: Outcome) -> None:
        keep_model(self.context.model, self.context.folder.best(step))
        self.run_state.best, self.run_state.best_step = figures, step
        self.run_state.best_values = {name: dict(by) for name, by in found.values.items()}
        self.run_state.best_first = dict(found.first)
        if self.context.task is not None and found.run is not None:
            self.run_state.word_share = self.context.task.word_share(found.run)

    def keep_last(self) -> None:
        """Keep the last model where none has been kept."""
        folder, run_state = self.context.folder, self.run_state
        if not folder.best(run_state.best_step).exists():
            with self._averaged():
                keep_model(self.context.model, folder.best(run_state.steps))
            run_state.best_step = run_state.steps

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds of the run, beside weights and optimizer."""
        return {
            "outcome": {**dataclasses.asdict(self.run_state), "interrupted": False},
            "divergence": self.divergence.state(),
            # A resumed run needs the weights that the run began with.
            "start": True,
        }


@contextmanager
def interruptible(run_state: RunState, console: Console) -> Iterator[None]:
    """Let the first Ctrl-C finish the step and keep the best checkpoint, and the second one stop at once."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    previous: Callable[..., Any] | int | None = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: Any) -> None:
        if run_state.interrupted:
            raise KeyboardInterrupt
        run_state.interrupted = True
        console.say("Interrupted: finishing the step and keeping the best checkpoint; Ctrl-C again stops at once.")

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
