"""The settings of a training run, checked before any work."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import operator
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.checks import is_int, is_number, shown
from tardif.display import Short
from tardif.errors import SettingError
from tardif.training.arguments import REFUSED, TAKEN, check_adapters, check_arguments, try_optimizer

if TYPE_CHECKING:
    from tardif.data.training_set import TrainingSet

LOSSES = ("contrastive", "distillation", "margin")
# The losses that need a teacher's scores.
TAUGHT = ("distillation", "margin")
SCORINGS = ("maxsim", "mean", "xtr")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
# What a guard can be beside the path of a judged set.
AUTO_GUARD, PYTHON_GUARD, NO_GUARD = "auto", "python", "none"
_DEFAULT_GUARD = AUTO_GUARD

# A setting's type says what it takes: true or false, a whole number from 1 on, or a number above 0; but for these.
_LEAST = {"negatives_per_example": 0, "seed": 0, "training_length": 4}
# NumPy's random numbers take no larger seed.
_MOST = {"seed": 2**32 - 1}
# Of a schedule that is tried before the plan is made.
_SOME_STEPS = 1000
_SHARES = ("warmup", "dropout", "base_share")
# With its positive, 32-way examples: the more candidates, the more of the teacher's ranking is seen.
_DISTILLED_NEGATIVES = 31
# A mean or XTR score is about MaxSim by 32, the tokens of a short query.
_MEAN_TEMPERATURE = 1 / 32


@dataclass(frozen=True, repr=False)
class TrainingSettings(Short):
    """How to train.

    >>> from tardif.training.settings import settings_from
    >>> settings = settings_from({"epochs": 2, "scoring": "mean", "weight_decay": 0.1})
    >>> settings.epochs, settings.temperature, settings.other
    (2, 0.03125, {'weight_decay': 0.1})

    Args:
        epochs: passes over the examples. None: 4 for up to 1,000 examples, 2 for up to 10,000, 1 for more, and 1 for
            queries that were made from the documents.
        minutes: a budget of minutes for training and the evaluations within it; what comes before the first step is
            not counted. The number of steps is chosen from a few timed batches, so that the schedule ends within the
            budget, and recorded.
        max_steps: stop after this many steps, however many epochs that is; the schedule ends there.
        stop_at_step: stop at this step of the schedule. It repeats a run that ran out of time.
        batch_size: examples per step, of all processes together.
        lr: the peak learning rate, for AdamW with linear warm-up and decay. It is high; ``base_share`` makes up for it.
        loss: ``contrastive``, ``distillation`` (of a teacher's distribution over an example's documents) or ``margin``
            (of a teacher's margins), of :mod:`tardif.losses`; or the weights of several, such as
            ``{"contrastive": 1.0, "distillation": 0.5}``: their weighted sum.
        scoring: ``maxsim``, ``mean`` (MaxSim divided by the number of query tokens) or ``xtr``, of
            :mod:`tardif.scoring`. It scores in training; search and evaluation use MaxSim.
        xtr_k: document tokens of the batch that a query token retrieves, with ``xtr`` scoring; 256 is
            sentence-transformers' default.
        negatives_per_example: hard negatives of an example used in a step, drawn again each epoch from all it has.
            With ``distillation`` all, up to 31: the more candidates, the more of the teacher's ranking is seen.
        other_negatives: in the contrastive loss, use other examples' hard negatives as negatives of a query too.
        temperature: of the contrastive softmax over scores: 1, or 1/32 with mean or XTR scoring, whose scores are about
            MaxSim divided by 32, the tokens of a short query.
        distillation_temperature: of the softmax over the student's and the teacher's scores.
        normalise_scores: stretch the student's and the teacher's scores of an example to 0..1 before ``distillation``
            compares them.
        matryoshka: widths; the loss is the sum of the losses of vectors cut to each of them and normalised again, so
            that the index may be narrower (Kusupati et al., 2022). Or the weight of each width. The full width must be
            among them.
        pool_factor: pool a document's token vectors by this factor while training, as sentence-transformers'
            ``HierarchicalTokenPooling`` does at indexing (Clavié et al., 2024), so that the model learns to be pooled.
            1: no pooling.
        grad_cache: encode every sub-batch twice, so that memory holds the graph of one at a time and the batch can be
            of any size (Gao et al., 2021): about a third more time, the same gradients.
        gradient_checkpointing: keep only each layer's input and compute the layer again in the backward pass: less
            memory, about a third more time, the same gradients.
        freeze: do not train some weights: ``embeddings``; a number of the lowest layers, and the embeddings; or
            ``encoder``, all but the projection. Frozen embeddings freeze a fresh ColBERT's markers too.
        layer_lr_decay: the learning rate of a layer, as a fraction of that of the layer above it. The highest layer
            has ``lr``; the embeddings are below the lowest layer.
        projection_lr: a learning rate of its own for the projection, which starts fresh.
        lora: train low-rank adapters of this rank in place of the encoder's weights (Hu et al., 2021), with the extra
            ``tardif[lora]``; or the arguments of peft's ``LoraConfig``. The published checkpoint has them merged: it is
            a plain model.
        dropout: probability of every dropout in the encoder; None keeps the base's own. 0: drawing the masks, and the
            slower attention that they force, take a third of the time on a CPU.
        mask_known_positives: do not use a document as a negative of a query that it is known to answer, nor a copy of
            one, when another example brings it into the batch. In collections of up to 50,000 documents that also holds
            for what contains such a document, is part of one, or is the query itself.
        refresh: epochs between two minings of hard negatives with the model as it is then (ANCE: Xiong et al., 2021);
            0.5 is twice an epoch. None: the negatives stay as prepared.
        refresh_steps: the same in steps, in place of ``refresh``.
        refresh_share: the share of an example's negatives that is new after a refresh. Half: the model does not forget
            what it learnt from the others, and one bad mining spoils no more than half.
        evaluations: how often the held-out queries are evaluated; the best checkpoint is kept.
        validation_documents: the most documents that are searched in these evaluations: the relevant ones, the nearest
            by BM25, then random ones.
        evaluation_share: evaluations during training may cost at most this share of the training. It lowers the number
            of documents that are searched, to no less than 100. None: always ``validation_documents``.
        patience: stop after this many evaluations in a row without a better nDCG@10; None: never.
        save_minutes: a checkpoint to resume from is saved at least this often, and at every evaluation. Ten minutes is
            what a crash may cost; saving costs seconds.
        save_steps: save one at every multiple of this many steps, too.
        warmup: share of the steps over which the learning rate rises.
        training_length: tokens of a document that a training step reads; None: all that the model reads. The topic of a
            document is mostly clear from its beginning, and a step costs what it reads; search reads on to
            ``document_length``.
        base_share: share of the weights that training began with in the model that is evaluated and kept: 0.5 is
            halfway back (Wortsman et al., CVPR 2022). It keeps what training on few examples makes a model forget.
            None: 0.5, and 0.7 where most queries were made from the documents: they teach less of what people ask.
        base_pull: weight of the pull towards the base while training: the divergence of the model's distribution over
            a batch's documents from the base's (Li and Hoiem, 2016). It keeps what the base can do on other queries
            than those of training. None: 1 with the contrastive loss, or 0 where ``length_pull`` takes its place. 0: no
            pull, and no copy of the base in memory.
        length_pull: weight of the pull at many lengths: the squared difference of the model's scores from the base's,
            for texts of the corpus brought to 12 to 384 tokens. It keeps the base's balance between long and short
            texts, of which documents of one length say nothing. None: 2 with the contrastive loss where people's
            queries are answered by documents of about one length, cut as training cuts them, unless ``base_pull`` is
            given; else 0.
        precision: ``fp32``; ``bf16``, mixed precision; ``auto``: bf16 on a CPU that multiplies it faster than
            float32 (AMX, or AVX-512 with bfloat16), else fp32; ``fp16``, mixed precision with a scaled loss, for CUDA
            GPUs without bfloat16.
        keep_untrained: publish the untrained recipe where the held-out queries show that the best checkpoint is worse;
            false publishes the checkpoint, with the same warning.
        folds: judge every query by cross-validation: train once for each fold without its queries and then, for the
            published model, on all. It is for sets that are too small to hold queries out. It takes ``folds`` + 1
            trainings, which share ``minutes``. 1: no cross-validation.
        guard: foreign queries that show what training cost elsewhere, measured at the end with the untrained model and
            the published one: ``python`` (made from the texts that ship with Python), the path of a judged set such as
            a BEIR folder, or several. ``auto``: ``python`` where the language is English. None or ``none``: nothing.
        seed: of everything random.
        other: arguments of sentence-transformers' ``MultiVectorEncoderTrainingArguments``, of those that act here
            (:data:`tardif.training.arguments.TAKEN`).
    """

    epochs: float | None = None
    minutes: float | None = None
    max_steps: int | None = None
    stop_at_step: int | None = None
    batch_size: int = 16
    lr: float = 1e-4
    loss: str | Mapping[str, float] = "contrastive"
    scoring: str = "maxsim"
    xtr_k: int = 256
    negatives_per_example: int = 2
    other_negatives: bool = True
    temperature: float = 1.0
    distillation_temperature: float = 1.0
    normalise_scores: bool = True
    matryoshka: Sequence[int] | Mapping[str, float] | None = None
    pool_factor: float = 1.0
    grad_cache: bool = False
    gradient_checkpointing: bool = False
    freeze: str | int | None = None
    layer_lr_decay: float | None = None
    projection_lr: float | None = None
    lora: int | Mapping[str, Any] | None = None
    dropout: float | None = 0.0
    mask_known_positives: bool = True
    refresh: float | None = None
    refresh_steps: int | None = None
    refresh_share: float = 0.5
    evaluations: int = 2
    validation_documents: int = 1000
    evaluation_share: float | None = 0.1
    patience: int | None = None
    save_minutes: float = 10.0
    save_steps: int | None = None
    warmup: float = 0.1
    training_length: int | None = 128
    base_share: float | None = None
    base_pull: float | None = None
    length_pull: float | None = None
    precision: str = "auto"
    keep_untrained: bool = True
    folds: int = 1
    guard: str | Path | Sequence[str | Path] | None = field(default_factory=lambda: _DEFAULT_GUARD)
    seed: int = 0
    other: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise if a value is out of range, a name is not known, or a setting would do nothing.

        Raises:
            SettingError: names the setting, its value and what it takes.
        """
        for one in dataclasses.fields(self):
            kind = str(one.type)  # its text, as annotations are not evaluated here
            if getattr(self, one.name) is not None or not kind.endswith(" | None"):
                self._check_value(one.name, kind.removesuffix(" | None"))
        if self.precision not in PRECISIONS:
            raise SettingError(f"precision={self.precision!r}: give one of {', '.join(PRECISIONS)}.")
        self._check_objective()
        self._check_parameters()
        self._check_refresh()
        self._check_guard()
        check_arguments(self.other)
        self._check_effect()
        self.try_steps(self.max_steps or _SOME_STEPS)

    def try_steps(self, steps: int) -> None:
        """Raise if optimizer and schedule cannot be made for so many steps.

        Raises:
            SettingError: names the arguments of the library.
        """
        try_optimizer(self.other, self.lr, steps, self.warmup_steps(steps))

    def warmup_steps(self, steps: int) -> int:
        """Return how many of the steps are of the warm-up."""
        return math.ceil(steps * self.warmup)

    def _check_value(self, name: str, kind: str) -> None:
        value, words, fits = getattr(self, name), "", True
        if kind == "bool":
            words, fits = "true or false", isinstance(value, bool)
        elif kind == "int":
            least = _LEAST.get(name, 1)
            most = _MOST.get(name, value)
            words = (
                f"a whole number, {least} or more" if name not in _MOST else f"a whole number from {least} to {most}"
            )
            fits = is_int(value) and least <= value <= most
        elif name in _SHARES:
            words, fits = "a share from 0 up to (not with) 1", is_number(value) and 0 <= value < 1
        elif name in ("base_pull", "length_pull"):
            words, fits = "a number, 0 or more", is_number(value) and (value == 0 or _is_above_zero(value))
        elif name == "refresh_share":
            words, fits = "a share above 0, at most 1", _is_above_zero(value) and value <= 1
        elif kind == "float":
            words, fits = "a number above 0", _is_above_zero(value)
        if not fits:
            raise SettingError(f"{name}={shown(value)}: give {words}.")

    def _check_objective(self) -> None:
        weights = {self.loss: 1.0} if isinstance(self.loss, str) else self.loss
        if not isinstance(weights, Mapping) or not weights or not set(weights) <= set(LOSSES):
            raise SettingError(f"loss={self.loss!r}: give one of {', '.join(LOSSES)}, or the weights of several.")
        if not all(_is_above_zero(weight) for weight in weights.values()):
            raise SettingError(f"loss={self.loss!r}: give weights above 0.")
        if self.scoring not in SCORINGS:
            raise SettingError(f"scoring={self.scoring!r}: give one of {', '.join(SCORINGS)}.")
        if self.pool_factor < 1:
            raise SettingError(f"pool_factor={self.pool_factor!r}: give a number, 1 or more.")
        try:
            widths = self.widths
        except (TypeError, ValueError):
            widths = {0: 0.0}
        if not all(width > 0 and _is_above_zero(weight) for width, weight in widths.items()):
            raise SettingError(f"matryoshka={self.matryoshka!r}: give widths such as [128, 64, 32], or their weights.")

    def _check_parameters(self) -> None:
        """Check what is trained and how fast."""
        if not (self.freeze in (None, "embeddings", "encoder") or (is_int(self.freeze) and self.freeze > 0)):
            raise SettingError(f"freeze={self.freeze!r}: give embeddings, encoder, or a number of layers.")
        if self.layer_lr_decay is not None and self.layer_lr_decay > 1:
            raise SettingError(f"layer_lr_decay={self.layer_lr_decay!r}: give a number above 0, at most 1.")
        if self.lora is None:
            return
        if isinstance(self.lora, Mapping):
            check_adapters(self.lora)
        elif not is_int(self.lora) or self.lora < 1:
            raise SettingError(f"lora={self.lora!r}: give a rank, 1 or more, or the arguments of peft's LoraConfig.")
        if self.freeze is not None:
            raise SettingError("freeze and lora exclude each other: lora freezes the whole encoder.")

    def _check_refresh(self) -> None:
        if not self.refreshes:
            return
        if self.refresh is not None and self.refresh_steps is not None:
            raise SettingError("refresh and refresh_steps are the same in epochs and in steps: give one of them.")
        if self.negatives_per_example == 0:
            raise SettingError("refresh mines hard negatives, and negatives_per_example=0 uses none: give 1 or more.")

    def _check_guard(self) -> None:
        given = [self.guard or ""] if isinstance(self.guard, str | Path) else self.guard or []
        if not isinstance(given, Sequence) or not all(isinstance(one, str | Path) and str(one) for one in given):
            raise SettingError(
                f"guard={self.guard!r}: give python, none, or the path of a judged set, or several paths."
            )
        if NO_GUARD in self.guards and len(self.guards) > 1:
            raise SettingError(f"guard={self.guard!r}: none switches the guard off, so give it alone.")

    def _check_effect(self) -> None:
        """Refuse a setting that does nothing beside the others."""
        terms, schedule = self.terms, self.other.get("lr_scheduler_type")
        without_contrastive = ("contrastive" not in terms, "the loss contrastive")
        without_distillation = ("distillation" not in terms, "the loss distillation")
        idle = {
            "xtr_k": (self.scoring != "xtr", "scoring=xtr"),
            "distillation_temperature": without_distillation,
            "normalise_scores": without_distillation,
            "temperature": without_contrastive,
            "other_negatives": without_contrastive,
            "mask_known_positives": without_contrastive,
            "base_pull": without_contrastive,
            "length_pull": without_contrastive,
            "refresh_share": (not self.refreshes, "refresh or refresh_steps"),
            "layer_lr_decay": (self.freeze == "encoder", "layers that are trained, and freeze=encoder freezes all"),
            "warmup": (schedule == "constant", "a schedule with a warm-up, such as constant_with_warmup"),
        }
        defaults = {one.name: one.default for one in dataclasses.fields(self)}
        defaults |= _dependent_defaults({"scoring": self.scoring})
        for name, (is_idle, needs) in idle.items():
            value = getattr(self, name)
            # A value equal to the default cannot be told from one that was not given.
            if is_idle and value != defaults[name]:
                raise SettingError(f"{name}={value!r} does nothing without {needs}: set that too, or leave it out.")
        if "warmup_steps" in self.other and self.warmup != defaults["warmup"]:
            raise SettingError("warmup and warmup_steps are the same as a share and in steps: give one of them.")
        if "learning_rate_mapping" in self.other and (self.layer_lr_decay or self.projection_lr):
            raise SettingError("learning_rate_mapping sets what layer_lr_decay and projection_lr do: give one of them.")
        if self.patience is not None and self.patience >= self.evaluations:
            raise SettingError(
                f"patience={self.patience} does nothing with evaluations={self.evaluations}: ask for more of them."
            )
        if self.max_steps is not None and self.stop_at_step is not None and self.stop_at_step > self.max_steps:
            raise SettingError(f"stop_at_step={self.stop_at_step} is after the last step (max_steps={self.max_steps}).")

    @property
    def refreshes(self) -> bool:
        """Whether hard negatives are mined again while training."""
        return self.refresh is not None or self.refresh_steps is not None

    @property
    def guards(self) -> tuple[str, ...]:
        """The sets of foreign queries, each ``auto``, ``python`` or a path; empty for none."""
        given = [self.guard] if isinstance(self.guard, str | Path) else self.guard
        found = tuple(dict.fromkeys(str(one) for one in given or ()))
        return () if found == (NO_GUARD,) else found

    @property
    def terms(self) -> dict[str, float]:
        """The weight of each loss."""
        return {self.loss: 1.0} if isinstance(self.loss, str) else dict(self.loss)

    @property
    def widths(self) -> dict[int, float]:
        """The weight of each width of the vectors; empty for the full width alone."""
        if self.matryoshka is None:
            return {}
        if isinstance(self.matryoshka, Mapping):
            return {int(width): weight for width, weight in self.matryoshka.items()}  # JSON's keys are text
        if not self.matryoshka:
            raise ValueError("no widths")
        # operator.index refuses 64.5, which int() would cut to 64.
        return {operator.index(width): 1.0 for width in self.matryoshka}

    def check_against(self, data: TrainingSet, dim: int) -> None:
        """Raise if the settings cannot be used with this training set, or on vectors of width ``dim``.

        Raises:
            SettingError: something is missing.
        """
        scored = sum(bool(example.scores) for example in data.examples)
        taught = [name for name in self.terms if name in TAUGHT]
        if taught and not scored:
            raise SettingError(
                f"loss={taught[0]} learns from a teacher's scores, and no example has any: prepare data with scores "
                "(n-way scores, ColBERT triples with scores, or scores beside pairs with --scores teacher), or use "
                "loss=contrastive."
            )
        if taught and "contrastive" not in self.terms and scored < len(data.examples):
            raise SettingError(
                f"{len(data.examples) - scored} of {len(data.examples)} examples have no teacher's scores, and "
                f"loss={taught[0]} learns nothing from them: leave them out, or add the contrastive loss, "
                f'such as --set loss=\'{{"contrastive": 1, "{taught[0]}": 1}}\'.'
            )
        if self.refreshes and scored == len(data.examples):
            raise SettingError(
                "refresh mines negatives that have no teacher's scores, and every example has such scores and keeps "
                "its negatives: leave refresh out, or prepare data without scores."
            )
        self.check_width(dim)

    def check_width(self, dim: int) -> None:
        """Raise if the settings cannot be used on vectors of width ``dim``.

        Raises:
            SettingError: the widest of ``matryoshka`` is not ``dim``.
        """
        if self.widths and max(self.widths) != dim:
            raise SettingError(
                f"matryoshka={self.matryoshka!r}: the widest must be the vectors' own width, which is {dim}."
            )

    def as_json(self) -> dict[str, Any]:
        """Return the settings as ``results.json`` records them."""
        return {
            **dataclasses.asdict(self),
            "loss": self.loss if isinstance(self.loss, str) else dict(self.loss),
            "guard": list(self.guards),
            "matryoshka": {str(width): weight for width, weight in self.widths.items()} or None,
            "other": dict(self.other),
        }


def settings_from(values: Mapping[str, Any]) -> TrainingSettings:
    """Build settings from named values: fields of :class:`TrainingSettings`, and arguments of the library.

    >>> settings_from({"batch_size": 32}).batch_size
    32
    >>> settings_from({"batchsize": 32})
    Traceback (most recent call last):
    tardif.errors.SettingError: The training argument 'batchsize' is not known. Did you mean batch_size?

    Raises:
        SettingError: a name is not known, or a value is out of range.
    """
    own = _own_names()
    mine = {name: value for name, value in values.items() if name in own}
    other = {name: value for name, value in values.items() if name not in own}
    _check_known(other)
    settings = TrainingSettings(**{**_dependent_defaults(mine), **mine}, other=other)
    settings.check()
    return settings


def _own_names() -> set[str]:
    return {one.name for one in dataclasses.fields(TrainingSettings)} - {"other"}


def _dependent_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults that depend on another setting."""
    defaults: dict[str, Any] = {}
    loss = values.get("loss", "contrastive")
    if loss == "distillation" or (isinstance(loss, Mapping) and "distillation" in loss):
        defaults["negatives_per_example"] = _DISTILLED_NEGATIVES
    if values.get("scoring", "maxsim") != "maxsim":
        defaults["temperature"] = _MEAN_TEMPERATURE
    return defaults


def _is_above_zero(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= sys.float_info.max


def parse_assignment(text: str) -> tuple[str, Any]:
    """Read ``key=value``: the value as JSON if it is JSON, else as text.

    >>> parse_assignment("lr=1e-4"), parse_assignment("optim=sgd")
    (('lr', 0.0001), ('optim', 'sgd'))

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


def _check_known(names: Iterable[str]) -> None:
    """Raise if one is not an argument of the library that a run takes."""
    for name in names:
        if name in REFUSED:
            raise SettingError(f"The training argument {name} cannot be set: {REFUSED[name]}.")
        if name not in TAKEN:
            close = difflib.get_close_matches(name, sorted(_own_names() | set(TAKEN)), n=3, cutoff=0.6)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise SettingError(f"The training argument {name!r} is not known.{hint}")
