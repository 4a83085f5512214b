"""Sentence-transformers' trainer with our batches, our objective and our checkpoints.

The loop, the optimizer, mixed precision, the schedule and the loggers are Hugging Face's. Its own saving writes in
place and pickles, so saving and loading are ours: :mod:`tardif.training.checkpoints`.
"""

from __future__ import annotations

import dataclasses
import math
import os
import statistics
import timeit
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import MultiVectorEncoderTrainer, MultiVectorEncoderTrainingArguments
from torch.utils.data import DataLoader

from tardif.data.training_set import TrainingSet
from tardif.encoder.encoding import SUB_BATCH_TOKENS, to_device
from tardif.encoder.malloc import kept_memory
from tardif.encoder.precision import computing
from tardif.errors import SettingError, TrainingError, first_line
from tardif.folders import read_json, writable, write_json
from tardif.training import checkpoints
from tardif.training.base_pull import FrozenBase
from tardif.training.batches import Collator, order_of
from tardif.training.callbacks import RunCallback, interruptible
from tardif.training.distributed import ProcessGroup
from tardif.training.length_pull import LengthPull
from tardif.training.objective import Objective
from tardif.training.parameters import learning_rates
from tardif.training.plan import accumulated
from tardif.training.refresh import RefreshCallback, Refresher, examples_of
from tardif.training.run_folder import RUN_STATE, step_of
from tardif.training.run_log import LogCallback, cut_log
from tardif.training.run_state import RunContext, RunState
from tardif.training.settings import TrainingSettings

# The library looks for its state under this name.
_TRAINER_STATE = "trainer_state.json"
# In fp16 the scale of the loss is searched by halving it: from its start that takes at most this many steps.
_SCALE_SEARCH = 16
_LOGGED_LINES = 200
# A step of each kind, and how many of it there are in four: without a pull, at many lengths, with the one on batches.
_KINDS = {2: 2, 1: 1, 3: 1}


class LibraryTrainer(MultiVectorEncoderTrainer):
    """The library's trainer. Our batches reach the loss as they are; checkpoints are written whole.

    Attributes:
        context: what the run works with; set after construction, as is ``run_callback``.
        resumed: the state that was read from a checkpoint.
    """

    context: RunContext
    run_callback: RunCallback
    resumed: dict[str, Any]

    def collect_features(self, inputs: dict[str, Any]) -> tuple[Any, None]:
        """Give the loss a batch as the collator made it."""
        return inputs, None

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Add none: it would read the dataset's texts, and our dataset holds numbers."""

    def get_batch_sampler(self, *args: Any, **kwargs: Any) -> Any:
        """Return this process's part of our order, which a run can enter at any step."""
        self.context.order.share = self.context.group.shard
        return self.context.order

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return a plain loader: accelerate's would shard the batches a second time and drop the uneven rest."""
        assert self.train_dataset is not None
        loader: DataLoader[Any] = self._build_dataloader(self.train_dataset, self.args.train_batch_size, "train")
        return loader

    # The methods below override private ones of transformers; tests/training/test_resume.py notices a change there.

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)  # type: ignore[no-untyped-call]
        self.run_callback.norm = float(norm)
        return norm

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Each rank has a dropout of its own, so each random state is saved; all else is the same on every rank.
        random = self.context.group.gather(checkpoints.random_state())
        self.context.group.on_main(lambda: self._write_checkpoint(random))
        self.context.replicas.update()

    def _write_checkpoint(self, random: list[dict[str, Any]]) -> None:
        """Write what all processes share, and the random state of each."""
        optimizer, scheduler = self.optimizer, self.lr_scheduler
        scaler = getattr(self.accelerator, "scaler", None)
        assert optimizer is not None
        assert scheduler is not None

        def fill(aside: Path) -> None:
            checkpoints.save_weights(self.model, aside)
            state = {
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
                "scaler": None if scaler is None else scaler.state_dict(),
                "random": random,
            }
            checkpoints.save_state(state, aside)
            self.state.save_to_json(str(aside / _TRAINER_STATE))
            write_json(aside / RUN_STATE, self.run_callback.state())

        checkpoints.write_whole(self.context.folder.step(self.state.global_step), fill)
        self.context.folder.sweep()  # only now: before, the older checkpoint was the one to resume from

    def _load_from_checkpoint(self, resume_from_checkpoint: Any, model: Any = None) -> None:
        # The weights are there already (_restore).
        self.resumed = checkpoints.load_state(Path(resume_from_checkpoint), device=next(self.model.parameters()).device)

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        # The library calls this in every run, with None if nothing is resumed.
        if checkpoint is not None and self.optimizer is not None and self.lr_scheduler is not None:
            self.optimizer.load_state_dict(self.resumed["optimizer"])
            self.lr_scheduler.load_state_dict(self.resumed["scheduler"])

    def _load_scaler(self, checkpoint: Any) -> None:
        scaler = getattr(self.accelerator, "scaler", None)
        state = None if checkpoint is None else self.resumed["scaler"]
        if scaler is not None and state is not None:
            scaler.load_state_dict(state)

    def _load_rng_state(self, checkpoint: Any) -> None:
        if checkpoint is None:
            return
        random, rank = self.resumed["random"], self.context.group.rank
        if rank < len(random):
            checkpoints.set_random_state(random[rank])
        else:  # a process more than the run had: it has a dropout of its own, too
            torch.manual_seed(self.context.settings.seed + rank + self.state.global_step)


def run(
    context: RunContext, run_state: RunState, *, checkpoint: Path | None = None, refresher: Refresher | None = None
) -> None:
    """Train ``context.model`` in place. Rank 0 leaves the best model at ``folder.best(run_state.best_step)``.

    Args:
        context: what the run works with.
        run_state: updated as the run proceeds, so that a run that fails can be reported.
        checkpoint: the one to continue from.
        refresher: mines where the plan has refreshes.

    Raises:
        TrainingError: the training diverged, or memory ran out.
        FolderError: a checkpoint could not be written.
        SettingError: the library refuses one of the other arguments.
    """
    settings, plan, group = context.settings, context.plan, context.group
    run_state.planned_steps = plan.steps
    objective = objective_of(context.model, settings, context.folder.start, context.collator.data)
    trainer = _make_trainer(context, objective)
    together = f" in {group.size} processes" if group.size > 1 else ""
    context.console.say(
        f"Training on {context.order.count} examples: {plan.steps} steps of {settings.batch_size} "
        f"({plan.steps / plan.per_epoch:.2g} epochs), learning rate {settings.lr:g}, on {context.device}{together}."
    )
    with context.console.progress("Training", plan.steps, "steps") as bar:
        callback = trainer.run_callback = RunCallback(context, run_state, bar)
        callback.loss, callback.report = lambda: objective.last, trainer.log
        callback.begin_step = objective.begin_step
        if getattr(trainer.accelerator, "scaler", None) is not None:
            callback.divergence.infinite_norms = _SCALE_SEARCH
        trainer.add_callback(callback)
        if refresher is not None and plan.refresh_every is not None:
            trainer.add_callback(RefreshCallback(refresher, plan.refresh_every, callback))
        if group.is_main:
            per_step = settings.batch_size * accumulated(settings)
            trainer.add_callback(LogCallback(context.folder.log, per_step, callback.seconds))
        _train(trainer, checkpoint)
    group.on_main(callback.keep_last)


def objective_of(model: Any, settings: TrainingSettings, start: Path, data: TrainingSet) -> Objective:
    """Return the objective of a run on ``data`` that began with the weights in ``start``."""
    base = lengths = None
    if settings.base_pull or settings.length_pull:
        base = FrozenBase.of_run(model, start, settings.precision)
    if settings.length_pull:
        lengths = LengthPull(model, data, SUB_BATCH_TOKENS[model.device.type], settings.seed)
    return Objective(model, settings, base, lengths)


def _train(trainer: LibraryTrainer, checkpoint: Path | None) -> None:
    """Train from the start or from a checkpoint to the end, unless the checkpoint is the end."""
    context, run_state = trainer.context, trainer.run_callback.run_state
    folder, rank = context.folder, context.group.rank
    step = 0 if checkpoint is None else step_of(checkpoint)
    if checkpoint is not None:
        _restore(trainer, checkpoint)
        context.console.say(f"Resuming from step {step}.")
    # Errors of the log; those of checkpoints are FolderErrors already.
    with writable(folder.path), interruptible(run_state, context.console):
        try:
            if rank == 0:
                cut_log(folder.log, step)
            else:  # each process has a dropout of its own
                torch.manual_seed(context.settings.seed + rank)
            if not run_state.finished:
                with kept_memory():
                    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"The device ran out of memory at step {run_state.steps + 1}: lower the batch size (--batch-size, in "
                "Python batch_size=), or compute it in parts (--set grad_cache=true, in Python grad_cache=True)."
            ) from error


def _restore(trainer: LibraryTrainer, checkpoint: Path) -> None:
    """Restore weights and the run's own state; the library then loads optimizer and schedule.

    A run that had made all its steps is published without the library: what it learnt must be there too.
    """
    checkpoints.load_weights(trainer.model, checkpoint)
    callback, context = trainer.run_callback, trainer.context
    run_state, collator = callback.run_state, context.collator
    saved = read_json(checkpoint / RUN_STATE, what="a checkpoint")
    run_state.restore(saved["outcome"])
    run_state.resumed_at = [*run_state.resumed_at, step_of(checkpoint)]
    callback.divergence.restore(saved["divergence"])
    if run_state.refreshed_at:
        mined = context.group.on_main(lambda: examples_of(context.folder, run_state.refreshed_at[-1]))
        collator.data = dataclasses.replace(collator.data, examples=mined)


def _make_trainer(context: RunContext, objective: Objective) -> LibraryTrainer:
    settings, planned, world_size = context.settings, context.plan.steps, context.group.size
    collator: Any = context.collator  # no subclass of the library's: it takes numbers, not texts
    # A user's argument replaces these; those below them are not the user's to set (arguments.REFUSED).
    defaults: dict[str, Any] = {
        "warmup_steps": settings.warmup_steps(planned),
        "weight_decay": 0.01,
        "learning_rate_mapping": learning_rates(context.model, settings),
        "report_to": "none",
        "run_name": context.folder.output.name,
        "logging_steps": math.ceil(planned / _LOGGED_LINES),
        "logging_first_step": True,
    }
    # The library's dataset holds numbers alone: the collator looks texts up, so they are in memory once.
    dataset = Dataset.from_dict({"example": list(range(len(context.collator.data.examples)))})
    try:
        arguments = MultiVectorEncoderTrainingArguments(
            output_dir=str(context.folder.path),
            max_steps=planned,
            # Rounded up: a batch that the processes do not divide evenly is shared out by ProcessGroup.shard.
            per_device_train_batch_size=math.ceil(settings.batch_size / world_size),
            learning_rate=settings.lr,
            seed=settings.seed,
            bf16=settings.precision == "bf16",
            fp16=settings.precision == "fp16",
            use_cpu=context.device == "cpu",
            dataloader_pin_memory=context.device == "cuda",
            # What the library would set, with a warning; our batches have no tail that could be dropped.
            dataloader_drop_last=world_size > 1 or "LOCAL_RANK" in os.environ,
            # When to save and to evaluate is the run callback's decision.
            save_strategy="no",
            eval_strategy="no",
            logging_strategy="steps",
            # With the filter, the log would show a NaN loss as the mean of the losses before it.
            logging_nan_inf_filter=False,
            disable_tqdm=True,
            **{**defaults, **settings.other},
        )
        # One process drives one device: the library would otherwise scatter our batches over all GPUs.
        arguments._n_gpu = min(arguments.n_gpu, 1)
        trainer = LibraryTrainer(
            model=context.model, args=arguments, train_dataset=dataset, loss=objective, data_collator=collator
        )
    except (ValueError, TypeError, ImportError, RuntimeError) as error:  # a logger that is not installed, say
        raise SettingError(f"A training argument cannot be used: {first_line(error)}") from error
    trainer.context = context
    # Our console shows progress; the library's callbacks would print to stdout, which belongs to data.
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback).__name__ in ("PrinterCallback", "ProgressCallback"):
            trainer.remove_callback(type(callback))
    return trainer


def timed_batch(
    objective: Objective, collator: Collator, settings: TrainingSettings, device: str, group: ProcessGroup
) -> float:
    """Measure the mean seconds of a batch, over four that change no weight. Every process must call it."""
    order = order_of(collator.data, settings)
    numbers = [number for part in range(4) for number in order.step(part)]
    size = min(settings.batch_size, order.count)

    def step(part: int, number: int) -> None:
        objective.begin_step(number)
        batch = [numbers[(part * size + i) % len(numbers)] for i in range(size)]
        rows = [{"example": number} for number in group.shard(batch)]
        with computing(settings.precision, device):
            loss = objective(to_device(collator(rows), device))
        loss.backward()
        group.average_gradients(objective)

    with torch.random.fork_rng():  # timing must not change the random numbers of the run
        objective.model.train()
        # The first one also pays for memory and caches; then one of each kind of step.
        seconds = [timeit.timeit(partial(step, *kind), number=1) for kind in enumerate((0, *_KINDS))]
        objective.zero_grad()
    return statistics.fmean(seconds[1:], list(_KINDS.values()))
