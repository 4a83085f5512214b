"""Sentence-transformers' trainer with our batches, our objective and our checkpoints.

The loop, the optimizer, mixed precision, the schedule and the loggers are Hugging Face's. Its own saving
writes in place and pickles, so saving and loading are ours: :mod:`tardif.training.checkpoints`.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from sentence_transformers import MultiVectorEncoderTrainer, MultiVectorEncoderTrainingArguments
from torch.utils.data import DataLoader

from tardif.encoder.encoding import to_device
from tardif.encoder.malloc import kept_memory
from tardif.errors import FolderError, SettingError, TrainingError, first_line
from tardif.folders import read_json, write_json
from tardif.progress import Console
from tardif.training.batches import BatchOrder, Collator, Shares, order_of
from tardif.training.callbacks import LogCallback, RunCallback, RunState, cut_log, interruptible
from tardif.training.checkpoints import (
    load_state,
    load_weights,
    random_state,
    save_state,
    save_weights,
    set_random_state,
    write_whole,
)
from tardif.training.distributed import ProcessGroup
from tardif.training.objective import Objective
from tardif.training.parameters import learning_rates
from tardif.training.plan import Plan, accumulated, mean_seconds
from tardif.training.precision import computing
from tardif.training.refresh import RefreshCallback, Refresher, examples_of
from tardif.training.run_folder import RUN_STATE, RunFolder, step_of
from tardif.training.settings import TrainingSettings
from tardif.training.validation import ValidationTask

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# The library looks for its state under this name.
_TRAINER_STATE = "trainer_state.json"
# In 16 bits the scale of the loss is searched by halving it: from its start that takes so many steps at most.
_SCALE_SEARCH = 16
_LOGGED_LINES = 200


class LibraryTrainer(MultiVectorEncoderTrainer):
    """The library's trainer: our batches go to the loss as they are, checkpoints are written whole."""

    order: BatchOrder
    folder: RunFolder
    run_callback: RunCallback
    group: ProcessGroup
    resumed: dict[str, Any]

    def collect_features(self, inputs: dict[str, Any]) -> tuple[Any, None]:
        """Give the loss a batch as the collator made it."""
        return inputs, None

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """None: it would read the dataset's texts, and our dataset holds numbers."""

    def get_batch_sampler(self, *args: Any, **kwargs: Any) -> Any:
        """This process's part of our order, which a run can enter at any step."""
        return Shares(self.order, self.group.shard)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """A plain loader: accelerate's would share the parts out once more, and drop what does not come out even."""
        assert self.train_dataset is not None
        loader: DataLoader[Any] = self._build_dataloader(self.train_dataset, self.args.train_batch_size, "train")
        return loader

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)  # type: ignore[no-untyped-call]
        self.run_callback.norm = float(norm)
        return norm

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        random = self.group.gather(random_state())
        self.group.on_main(lambda: self._write_checkpoint(random))

    def _write_checkpoint(self, random: list[dict[str, Any]]) -> None:
        """Write what all processes have in common, and the random numbers of each."""
        optimizer, scheduler = self.optimizer, self.lr_scheduler
        scaler = getattr(self.accelerator, "scaler", None)
        assert optimizer is not None
        assert scheduler is not None

        def fill(aside: Path) -> None:
            save_weights(self.model, aside)
            state = {
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
                "scaler": None if scaler is None else scaler.state_dict(),
                "random": random,
            }
            save_state(state, aside)
            self.state.save_to_json(str(aside / _TRAINER_STATE))
            write_json(aside / RUN_STATE, self.run_callback.state())

        write_whole(self.folder.step(self.state.global_step), fill)
        self.folder.sweep()

    def _load_from_checkpoint(self, resume_from_checkpoint: Any, model: Any = None) -> None:
        load_weights(self.model, Path(resume_from_checkpoint))
        self.resumed = load_state(Path(resume_from_checkpoint), device=next(self.model.parameters()).device)

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        if checkpoint is not None and self.optimizer is not None and self.lr_scheduler is not None:
            self.optimizer.load_state_dict(self.resumed["optimizer"])
            self.lr_scheduler.load_state_dict(self.resumed["scheduler"])

    def _load_scaler(self, checkpoint: Any) -> None:
        scaler = getattr(self.accelerator, "scaler", None)
        state = None if checkpoint is None else self.resumed["scaler"]
        if scaler is not None and state is not None:
            scaler.load_state_dict(state)

    def _load_rng_state(self, checkpoint: Any) -> None:
        if checkpoint is not None:
            set_random_state(self.resumed["random"][self.group.rank])


def run(
    model: MultiVectorEncoder,
    collator: Collator,
    task: ValidationTask | None,
    settings: TrainingSettings,
    run_state: RunState,
    *,
    plan: Plan,
    folder: RunFolder,
    checkpoint: Path | None,
    device: str,
    seconds_per_evaluation: float,
    console: Console,
    group: ProcessGroup,
    refresher: Refresher | None = None,
) -> None:
    """Train ``model`` in place; rank 0 leaves the best model at ``folder.best(run_state.best_step)``.

    ``run_state`` is filled as the run goes, so that a run that fails can still be told of. With
    ``checkpoint``, the run goes on from there. The ``refresher`` mines where the plan has refreshes.

    Raises:
        TrainingError: the training diverged, or memory ran out.
        FolderError: a checkpoint could not be written.
        SettingError: the library refuses one of the other arguments.
    """
    objective = Objective(model, settings)
    run_state.planned_steps = plan.steps
    order = order_of(collator.data, settings)
    trainer = _make_trainer(model, objective, order, collator, settings, folder, device, plan.steps, group)
    together = f" in {group.size} processes" if group.size > 1 else ""
    console.say(
        f"Training on {order.count} examples: {plan.steps} steps of {settings.batch_size} "
        f"({plan.steps / plan.per_epoch:.2g} epochs), learning rate {settings.lr:g}, on {device}{together}."
    )
    with console.progress("Training", plan.steps, "steps") as bar:
        run_callback = trainer.run_callback = RunCallback(
            model=model,
            collator=collator,
            order=order,
            task=task,
            folder=folder,
            settings=settings,
            run_state=run_state,
            bar=bar,
            console=console,
            seconds_per_evaluation=seconds_per_evaluation,
            accumulation=accumulated(settings),
            group=group,
        )
        run_callback.loss, run_callback.report = lambda: objective.last, trainer.log
        if getattr(trainer.accelerator, "scaler", None) is not None:
            run_callback.divergence.infinite_norms = _SCALE_SEARCH
        trainer.add_callback(run_callback)
        if refresher is not None and plan.refresh_every is not None:
            trainer.add_callback(RefreshCallback(refresher, plan.refresh_every, run_callback))
        if group.is_main:
            per_step = settings.batch_size * accumulated(settings)
            trainer.add_callback(LogCallback(folder.log, per_step, run_callback.seconds))
        _train(trainer, checkpoint, console)
    group.on_main(run_callback.keep_one)


def _train(trainer: LibraryTrainer, checkpoint: Path | None, console: Console) -> None:
    """Train from the start or from a checkpoint to the end, unless the checkpoint is the end."""
    run_state, folder = trainer.run_callback.run_state, trainer.folder
    step = 0
    if checkpoint is not None:
        step = step_of(checkpoint)
        state = read_json(checkpoint / RUN_STATE, what="a checkpoint")
        run_state.restore(state["outcome"])
        run_state.resumed_at = [*run_state.resumed_at, step]
        trainer.run_callback.divergence.restore(state["divergence"])
        if run_state.refreshed_at:
            mined = trainer.group.on_main(lambda: examples_of(folder, run_state.refreshed_at[-1]))
            trainer.run_callback.collator.data = dataclasses.replace(trainer.run_callback.collator.data, examples=mined)
        console.say(f"Going on from step {step}.")
    with interruptible(run_state, console):
        try:
            if trainer.group.is_main:
                cut_log(folder.log, step)
            if trainer.group.rank:  # each process has a dropout of its own
                torch.manual_seed(trainer.args.seed + trainer.group.rank)
            if not run_state.finished:
                with kept_memory():
                    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        except torch.OutOfMemoryError as error:
            raise TrainingError(
                f"The device ran out of memory at step {run_state.steps + 1}: lower the batch size (--batch-size, in "
                "Python "
                "batch_size=), or compute it in parts (--set grad_cache=true, in Python grad_cache=True)."
            ) from error
        except OSError as error:  # of the log; checkpoints say so themselves
            raise FolderError(f"{folder.path} cannot be written ({error.strerror or error}).") from error


def _make_trainer(
    model: MultiVectorEncoder,
    objective: Objective,
    order: BatchOrder,
    batches: Any,
    settings: TrainingSettings,
    folder: RunFolder,
    device: str,
    planned: int,
    group: ProcessGroup,
) -> LibraryTrainer:
    defaults: dict[str, Any] = {
        "warmup_steps": math.ceil(planned * settings.warmup),
        "weight_decay": 0.01,
        "learning_rate_mapping": learning_rates(model, settings),
        "bf16": settings.precision == "bf16",
        "fp16": settings.precision == "fp16",
        "report_to": "none",
        "run_name": folder.output.name,
        "logging_strategy": "steps",
        "logging_steps": math.ceil(planned / _LOGGED_LINES),
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "dataloader_pin_memory": device == "cuda",
    }
    dataset = Dataset.from_dict({"example": list(range(len(batches.data.examples)))})
    try:
        arguments = MultiVectorEncoderTrainingArguments(
            output_dir=str(folder.path),
            max_steps=planned,
            per_device_train_batch_size=math.ceil(settings.batch_size / group.size),
            learning_rate=settings.lr,
            seed=settings.seed,
            use_cpu=device == "cpu",
            # What the library would set, with a warning; our batches have no tail that could be dropped.
            dataloader_drop_last=group.size > 1,
            save_strategy="no",
            eval_strategy="no",
            disable_tqdm=True,
            **{**defaults, **settings.other},
        )
        # One process drives one device: the library would otherwise scatter our batches over all GPUs.
        arguments._n_gpu = min(arguments.n_gpu, 1)
        trainer = LibraryTrainer(
            model=model, args=arguments, train_dataset=dataset, loss=objective, data_collator=batches
        )
    except (ValueError, TypeError, ImportError, RuntimeError) as error:  # a logger that is not installed, say
        raise SettingError(f"A training argument cannot be used: {first_line(error)}") from error
    trainer.order, trainer.folder, trainer.group = order, folder, group
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback).__name__ in ("PrinterCallback", "ProgressCallback"):
            trainer.remove_callback(type(callback))
    return trainer


def timed_batch(
    objective: Objective, collator: Collator, settings: TrainingSettings, device: str, group: ProcessGroup
) -> float:
    """The seconds of one batch, from a few that change nothing. All processes take part."""
    order = order_of(collator.data, settings)
    numbers = [number for part in range(4) for number in order.step(part)]
    size = min(settings.batch_size, order.count)

    def step(part: int) -> None:
        batch = [numbers[(part * size + i) % len(numbers)] for i in range(size)]
        rows = [{"example": number} for number in group.shard(batch)]
        with computing(settings.precision, device):
            loss = objective(to_device(collator(rows), device))
        loss.backward()
        group.average_gradients(objective)

    with torch.random.fork_rng():
        objective.model.train()
        seconds = mean_seconds([partial(step, part) for part in range(4)])
        objective.zero_grad()
    return seconds
