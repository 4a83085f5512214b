"""What can be set about a training run, checked before any work."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tardif.errors import SettingError

# Ours to decide: they say where things go and which machinery runs.
_RESERVED = frozenset(
    {
        "output_dir",
        "num_train_epochs",
        "per_device_train_batch_size",
        "learning_rate",
        "max_steps",
        "seed",
        "data_seed",
        "use_cpu",
        "save_strategy",
        "eval_strategy",
        "load_best_model_at_end",
        "disable_tqdm",
        "dataloader_drop_last",
        "batch_sampler",
        "remove_unused_columns",
        "prompts",
        "router_mapping",
        "max_length",
        "do_train",
        "do_eval",
        "eval_steps",
        "resume_from_checkpoint",
        "ignore_data_skip",
        "restore_callback_states_from_checkpoint",
        "auto_find_batch_size",
    }
)


@dataclass(frozen=True)
class TrainingSettings:
    """How to train.

    Args:
        epochs: passes over the examples.
        minutes: a budget of minutes for training and the evaluations within it (what comes before
            the first step is not counted). The number of steps is chosen from a few timed batches,
            so that the schedule ends within it, and recorded.
        max_steps: stop after so many steps, however many epochs that is; the schedule ends there.
        stop_at_step: break off at this step of the schedule. It repeats a run that ran out of time.
        batch_size: examples per step.
        lr: the peak learning rate, for AdamW with linear warm-up and decay.
        negatives_per_example: hard negatives of an example used in a step, drawn anew each epoch
            from those mined.
        temperature: of the softmax over MaxSim.
        dropout: probability of every dropout in the encoder; None keeps the base's own. 0: drawing
            the masks and the slower attention they force cost a third of the time on a CPU.
        mask_known_positives: leave a document that is known to answer a query, or a copy of one, out
            of that query's negatives when another example brings it into the batch.
        evaluations: how often the held-out queries are measured; the best checkpoint is kept.
        validation_documents: at most so many documents are searched in these evaluations: the
            relevant ones, the nearest by BM25, then random ones.
        evaluation_share: evaluations during training are to cost at most this share of the training; so many
            documents are searched, but not fewer than 100. None: always ``validation_documents``.
        patience: stop after so many evaluations in a row without a better nDCG@10; None: never.
        save_minutes: a checkpoint to resume from is saved at least this often, and at every evaluation. Ten
            minutes: what a crash may cost, while saving costs seconds.
        save_steps: save one at every multiple of so many steps, too.
        warmup: share of the steps over which the learning rate rises.
        seed: of everything random.
        other: any other argument of sentence-transformers' ``MultiVectorEncoderTrainingArguments``.
    """

    epochs: float = 2.0
    minutes: float | None = None
    max_steps: int | None = None
    stop_at_step: int | None = None
    batch_size: int = 16
    lr: float = 3e-5
    negatives_per_example: int = 1
    temperature: float = 1.0
    dropout: float | None = 0.0
    mask_known_positives: bool = True
    evaluations: int = 2
    validation_documents: int = 1000
    evaluation_share: float | None = 0.1
    patience: int | None = None
    save_minutes: float = 10.0
    save_steps: int | None = None
    warmup: float = 0.1
    seed: int = 0
    other: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise if a value is out of range or a name is not known.

        Raises:
            SettingError: names the setting, its value and what it takes.
        """
        at_least = {
            "batch_size": 1,
            "negatives_per_example": 0,
            "evaluations": 1,
            "validation_documents": 1,
            "max_steps": 1,
            "stop_at_step": 1,
            "patience": 1,
            "save_steps": 1,
            "seed": 0,
        }
        for name, least in at_least.items():
            value = getattr(self, name)
            if value is None and name in ("max_steps", "stop_at_step", "patience", "save_steps"):
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise SettingError(f"{name}={value!r}: give a whole number, {least} or more.")
        for name in ("epochs", "lr", "temperature", "minutes", "evaluation_share", "save_minutes"):
            value = getattr(self, name)
            if value is None and name in ("minutes", "evaluation_share"):
                continue
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < float("inf"):
                raise SettingError(f"{name}={value!r}: give a number above 0.")
        if not isinstance(self.warmup, int | float) or not 0 <= self.warmup < 1:
            raise SettingError(f"warmup={self.warmup!r}: give a share from 0 up to (not with) 1.")
        if self.dropout is not None and (not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1):
            raise SettingError(f"dropout={self.dropout!r}: give a probability from 0 up to (not with) 1.")
        if not isinstance(self.mask_known_positives, bool):
            raise SettingError(f"mask_known_positives={self.mask_known_positives!r}: give true or false.")
        if self.other:
            _check_other(self.other)

    def as_json(self) -> dict[str, Any]:
        """The settings as ``results.json`` records them."""
        return {**dataclasses.asdict(self), "other": dict(self.other)}


def settings_from(values: Mapping[str, Any]) -> TrainingSettings:
    """Sort named values into our own settings and the library's arguments; check all of them.

    Raises:
        SettingError: a name is not known, or a value is out of range.
    """
    own = {f.name for f in dataclasses.fields(TrainingSettings)} - {"other"}
    mine = {name: value for name, value in values.items() if name in own}
    other = {name: value for name, value in values.items() if name not in own}
    settings = TrainingSettings(**mine, other=other)
    settings.check()
    return settings


def parse_assignment(text: str) -> tuple[str, Any]:
    """Read ``key=value``: the value as JSON where it is JSON, else as text.

    Raises:
        SettingError: there is no ``=``, or nothing before it.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise SettingError(f"{text!r}: write key=value.")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value


def _check_other(other: Mapping[str, Any]) -> None:
    from sentence_transformers import MultiVectorEncoderTrainingArguments

    known = {f.name for f in dataclasses.fields(MultiVectorEncoderTrainingArguments) if f.init}
    own = {f.name for f in dataclasses.fields(TrainingSettings)} - {"other"}
    for name in other:
        if name in _RESERVED:
            near = {
                "num_train_epochs": "epochs",
                "per_device_train_batch_size": "batch_size",
                "learning_rate": "lr",
            }
            hint = f": use {near[name]}" if name in near else ""
            raise SettingError(f"The training argument {name} is set by Tardif itself{hint}.")
        if name not in known:
            close = difflib.get_close_matches(name, sorted(own | known - _RESERVED), n=3, cutoff=0.6)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise SettingError(f"The training argument {name!r} is not known.{hint}")
