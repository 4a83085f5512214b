"""What can be set about a training run, checked before any work."""

from __future__ import annotations

import dataclasses
import difflib
import json
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tardif.display import Short
from tardif.errors import SettingError
from tardif.training.arguments import REFUSED, TAKEN, check_arguments

if TYPE_CHECKING:
    from tardif.data.training_set import TrainingSet

LOSSES = ("contrastive", "distillation", "margin")
TAUGHT = ("distillation", "margin")
"""The losses that need a teacher's scores."""
SCORINGS = ("maxsim", "mean", "xtr")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")

# Settings by what they take: a whole number from so many on, a number above 0; and which may be None.
_WHOLE = {
    "batch_size": 1,
    "negatives_per_example": 0,
    "xtr_k": 1,
    "evaluations": 1,
    "folds": 1,
    "validation_documents": 1,
    "max_steps": 1,
    "stop_at_step": 1,
    "patience": 1,
    "save_steps": 1,
    "refresh_steps": 1,
    "training_length": 4,
    "seed": 0,
}
_POSITIVE = (
    "epochs",
    "lr",
    "temperature",
    "minutes",
    "distillation_temperature",
    "pool_factor",
    "layer_lr_decay",
    "projection_lr",
    "evaluation_share",
    "save_minutes",
    "refresh",
)
_OPTIONAL = frozenset(
    {
        "epochs",
        "max_steps",
        "stop_at_step",
        "patience",
        "save_steps",
        "minutes",
        "evaluation_share",
        "base_share",
        "dropout",
        "layer_lr_decay",
        "projection_lr",
        "refresh",
        "refresh_steps",
        "training_length",
    }
)


@dataclass(frozen=True, repr=False)
class TrainingSettings(Short):
    """How to train.

    Args:
        epochs: passes over the examples. None: 4 over up to 1,000 of them, 2 over up to 10,000, 1 over more, and
            1 over queries that were made from the documents.
        minutes: a budget of minutes for training and the evaluations within it (what comes before
            the first step is not counted). The number of steps is chosen from a few timed batches,
            so that the schedule ends within it, and recorded.
        max_steps: stop after so many steps, however many epochs that is; the schedule ends there.
        stop_at_step: break off at this step of the schedule. It repeats a run that ran out of time.
        batch_size: examples per step, of all processes together.
        lr: the peak learning rate, for AdamW with linear warm-up and decay. It is a high one, which ``base_share``
            makes up for.
        loss: ``contrastive``, ``distillation`` (a teacher's distribution over an example's
            documents) or ``margin`` (a teacher's margins), of :mod:`tardif.losses`; or the weights of
            several, such as ``{"contrastive": 1.0, "distillation": 0.5}``: their weighted sum.
        scoring: ``maxsim``, ``mean`` (MaxSim by the number of query tokens) or ``xtr``, of
            :mod:`tardif.scoring`. It scores in training; search and evaluation use MaxSim.
        xtr_k: document tokens of the batch that a query token retrieves, with ``xtr`` scoring; 256 is
            sentence-transformers' own default.
        negatives_per_example: hard negatives of an example used in a step, drawn anew each epoch
            from those there are. With ``distillation`` all, up to 31: the more candidates, the more
            of the teacher's ranking is seen.
        other_negatives: count other examples' hard negatives as negatives of a query too, in the
            contrastive loss.
        temperature: of the contrastive softmax over scores. A mean or XTR score is about MaxSim by
            32, the tokens of a short query, so its default is 1/32.
        distillation_temperature: of the softmax over the student's and the teacher's scores.
        normalise_scores: stretch the student's and the teacher's scores of an example to 0..1 before
            ``distillation`` compares them.
        matryoshka: widths; the loss is the sum of the losses of vectors cut to each of them and made
            unit vectors again, so that the index may be narrower (Kusupati et al., 2022). Or the
            weight of each width. The full width must be among them.
        pool_factor: pool the token vectors of a document to one in so many while training, as
            sentence-transformers' ``HierarchicalTokenPooling`` does at indexing (Clavié et al., 2024),
            so that the model learns to be pooled. 1: no pooling.
        grad_cache: encode every sub-batch twice, so that memory holds the graph of one at a time and
            the batch can be as large as wanted (Gao et al., 2021): about a third more time, the
            same gradients.
        gradient_checkpointing: keep each layer's input only and compute the layer again in the backward
            pass: less memory, about a third more time, the same gradients.
        freeze: leave weights as they are: ``embeddings``; so many of the lowest layers, and the
            embeddings; or ``encoder``, all but the projection. Frozen embeddings freeze a fresh
            ColBERT's markers too.
        layer_lr_decay: the learning rate of a layer is so much of that of the layer above it, the
            highest layer's is ``lr``; that of the embeddings is below the lowest layer's.
        projection_lr: a learning rate of its own for the projection, which starts fresh.
        lora: train low-rank adapters of this rank in place of the encoder's weights (Hu et al.,
            2021), with the extra ``tardif[lora]``; or the arguments of peft's ``LoraConfig``. The
            published checkpoint has them merged: it is a plain model.
        dropout: probability of every dropout in the encoder; None keeps the base's own. 0: drawing
            the masks and the slower attention they force cost a third of the time on a CPU.
        mask_known_positives: leave a document that is known to answer a query, or a copy of one, out
            of that query's negatives when another example brings it into the batch; in collections of up
            to 50,000 documents also what contains such a document, is part of one, or is the query itself.
        refresh: epochs between two minings of hard negatives with the model as it then is (ANCE: Xiong et
            al., 2021); 0.5 is twice an epoch. None: the negatives stay those that were prepared.
        refresh_steps: the same in steps, in place of ``refresh``.
        refresh_share: the share of an example's negatives that is new after a refresh. Half: what it
            has learnt from so far is not forgotten, and one bad mining spoils no more.
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
        training_length: tokens of a document that a training step reads; None: all that the model reads. What
            a document is about stands mostly at its beginning, and a step costs what it reads: searching reads
            on to ``document_length``.
        base_share: how much of the weights that training began with is in the model that is measured and kept:
            0.5 is halfway back (Wortsman et al., CVPR 2022). It keeps what few examples make a model forget. None:
            0.5, and 0.7 where most queries were made from the documents, which teach less of what people ask.
        precision: ``fp32``; ``bf16``, mixed precision; ``auto``: bf16 on a CPU that multiplies it at least
            three times as fast, of which a few milliseconds make sure, else fp32; ``fp16``, mixed precision with a
            scaled loss, for CUDA GPUs that have no bfloat16.
        keep_untrained: publish the untrained recipe where the held-out queries show that the best checkpoint is worse
            than it; false publishes the checkpoint, with the same warning.
        folds: judge every query by cross-validation: train once for each fold without its queries, then, for the
            published model, on all. It is for sets that are too small to hold queries out, and takes ``folds`` + 1
            trainings, which share out ``minutes``. 1: none.
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
    precision: str = "auto"
    keep_untrained: bool = True
    folds: int = 1
    seed: int = 0
    other: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise if a value is out of range or a name is not known.

        Raises:
            SettingError: names the setting, its value and what it takes.
        """
        for name, least in _WHOLE.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise SettingError(f"{name}={value!r}: give a whole number, {least} or more.")
        for name in _POSITIVE:
            value = getattr(self, name)
            if not _above_zero(value) and not (value is None and name in _OPTIONAL):
                raise SettingError(f"{name}={value!r}: give a number above 0.")
        if self.precision not in PRECISIONS:
            raise SettingError(f"precision={self.precision!r}: give one of {', '.join(PRECISIONS)}.")
        for name in ("warmup", "dropout", "base_share"):
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
                raise SettingError(f"{name}={value!r}: give a share from 0 up to (not with) 1.")
        for name in (
            "mask_known_positives",
            "other_negatives",
            "normalise_scores",
            "grad_cache",
            "gradient_checkpointing",
            "keep_untrained",
        ):
            if not isinstance(getattr(self, name), bool):
                raise SettingError(f"{name}={getattr(self, name)!r}: give true or false.")
        self._check_objective()
        self._check_parameters()
        self._check_refresh()
        check_arguments(self.other)
        self._check_effect()

    def _check_objective(self) -> None:
        weights = {self.loss: 1.0} if isinstance(self.loss, str) else self.loss
        if not isinstance(weights, Mapping) or not weights or not set(weights) <= set(LOSSES):
            raise SettingError(f"loss={self.loss!r}: give one of {', '.join(LOSSES)}, or the weights of several.")
        if not all(_above_zero(weight) for weight in weights.values()):
            raise SettingError(f"loss={self.loss!r}: give weights above 0.")
        if self.scoring not in SCORINGS:
            raise SettingError(f"scoring={self.scoring!r}: give one of {', '.join(SCORINGS)}.")
        if self.pool_factor < 1:
            raise SettingError(f"pool_factor={self.pool_factor!r}: give a number, 1 or more.")
        try:
            widths = self.widths
        except (TypeError, ValueError):
            widths = {0: 0.0}
        if not all(width > 0 and _above_zero(weight) for width, weight in widths.items()):
            raise SettingError(f"matryoshka={self.matryoshka!r}: give widths such as [128, 64, 32], or their weights.")

    def _check_parameters(self) -> None:
        """Check what is trained and how fast."""
        if self.freeze is not None and not (
            self.freeze in ("embeddings", "encoder")
            if isinstance(self.freeze, str)
            else isinstance(self.freeze, int) and not isinstance(self.freeze, bool) and self.freeze > 0
        ):
            raise SettingError(f"freeze={self.freeze!r}: give embeddings, encoder, or a number of layers.")
        if self.layer_lr_decay is not None and self.layer_lr_decay > 1:
            raise SettingError(f"layer_lr_decay={self.layer_lr_decay!r}: give a number above 0, at most 1.")
        if self.lora is None:
            return
        rank = self.lora.get("r", 8) if isinstance(self.lora, Mapping) else self.lora
        if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
            raise SettingError(f"lora={self.lora!r}: give a rank, 1 or more, or the arguments of peft's LoraConfig.")
        if self.freeze is not None:
            raise SettingError("freeze and lora exclude each other: with lora all of the encoder is frozen.")

    def _check_effect(self) -> None:
        """Refuse what would do nothing beside the other settings."""
        terms, schedule = self.terms, self.other.get("lr_scheduler_type")
        idle = {
            "xtr_k": (self.scoring != "xtr", "scoring=xtr"),
            "distillation_temperature": ("distillation" not in terms, "the loss distillation"),
            "normalise_scores": ("distillation" not in terms, "the loss distillation"),
            "temperature": ("contrastive" not in terms, "the loss contrastive"),
            "other_negatives": ("contrastive" not in terms, "the loss contrastive"),
            "mask_known_positives": ("contrastive" not in terms, "the loss contrastive"),
            "refresh_share": (not self.refreshes, "refresh or refresh_steps"),
            "layer_lr_decay": (self.freeze == "encoder", "layers that are trained, and freeze=encoder freezes all"),
            "warmup": (schedule == "constant", "a schedule with a warm-up, such as constant_with_warmup"),
        }
        defaults = TrainingSettings.__dataclass_fields__
        for name, (is_idle, needs) in idle.items():
            value, default = getattr(self, name), _defaults_with({"scoring": self.scoring}).get(name)
            if is_idle and value != (defaults[name].default if default is None else default):
                raise SettingError(f"{name}={value!r} does nothing without {needs}: set that too, or leave it out.")
        if "warmup_steps" in self.other and self.warmup != defaults["warmup"].default:
            raise SettingError("warmup and warmup_steps say the same as a share and in steps: give one of them.")
        if "learning_rate_mapping" in self.other and (self.layer_lr_decay or self.projection_lr):
            raise SettingError(
                "learning_rate_mapping and layer_lr_decay or projection_lr say the same: give one of them."
            )
        if self.patience is not None and self.patience >= self.evaluations:
            raise SettingError(
                f"patience={self.patience} does nothing with evaluations={self.evaluations}: ask for more of them."
            )
        if self.max_steps is not None and self.stop_at_step is not None and self.stop_at_step > self.max_steps:
            raise SettingError(f"stop_at_step={self.stop_at_step} is after the last step (max_steps={self.max_steps}).")

    @property
    def refreshes(self) -> bool:
        """Whether hard negatives are mined anew while training."""
        return self.refresh is not None or self.refresh_steps is not None

    def _check_refresh(self) -> None:
        if not _above_zero(self.refresh_share) or self.refresh_share > 1:
            raise SettingError(f"refresh_share={self.refresh_share!r}: give a share above 0, at most 1.")
        if not self.refreshes:
            return
        if self.refresh is not None and self.refresh_steps is not None:
            raise SettingError("refresh and refresh_steps say the same in epochs and in steps: give one of them.")
        if self.negatives_per_example == 0:
            raise SettingError("refresh mines hard negatives, and negatives_per_example=0 uses none: give 1 or more.")

    @property
    def terms(self) -> dict[str, float]:
        """The weight of each loss."""
        return {self.loss: 1.0} if isinstance(self.loss, str) else dict(self.loss)

    @property
    def widths(self) -> dict[int, float]:
        """The weight of each width of the vectors; empty: the full width alone."""
        if self.matryoshka is None:
            return {}
        if isinstance(self.matryoshka, Mapping):
            return {int(width): weight for width, weight in self.matryoshka.items()}  # JSON's keys are text
        if not self.matryoshka:
            raise ValueError("no widths")
        return {operator.index(width): 1.0 for width in self.matryoshka}

    def check_against(self, data: TrainingSet, dim: int) -> None:
        """Raise if the settings cannot be used with this training set, or on vectors of width ``dim``.

        Raises:
            SettingError: says what is missing and the way out.
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
            SettingError: the widths that are asked for do not end with it.
        """
        if self.widths and max(self.widths) != dim:
            raise SettingError(
                f"matryoshka={self.matryoshka!r}: the widest must be the vectors' own width, which is {dim}."
            )

    def as_json(self) -> dict[str, Any]:
        """The settings as ``results.json`` records them."""
        return {
            **dataclasses.asdict(self),
            "loss": self.loss if isinstance(self.loss, str) else dict(self.loss),
            "matryoshka": {str(width): weight for width, weight in self.widths.items()} or None,
            "other": dict(self.other),
        }


def settings_from(values: Mapping[str, Any]) -> TrainingSettings:
    """Sort named values into our own settings and the library's arguments; check all of them, without any work.

    Raises:
        SettingError: a name is not known, or a value is out of range.
    """
    own = {f.name for f in dataclasses.fields(TrainingSettings)} - {"other"}
    mine = {name: value for name, value in values.items() if name in own}
    other = {name: value for name, value in values.items() if name not in own}
    _check_known(other)
    settings = TrainingSettings(**{**_defaults_with(mine), **mine}, other=other)
    settings.check()
    return settings


def _defaults_with(values: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults that hang on another setting."""
    defaults: dict[str, Any] = {}
    loss = values.get("loss", "contrastive")
    if loss == "distillation" or (isinstance(loss, Mapping) and "distillation" in loss):
        defaults["negatives_per_example"] = 31
    if values.get("scoring", "maxsim") != "maxsim":
        defaults["temperature"] = 1 / 32
    return defaults


def _above_zero(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


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


def _check_known(names: Iterable[str]) -> None:
    """Raise if one is no argument that a run takes."""
    own = {f.name for f in dataclasses.fields(TrainingSettings)} - {"other"}
    for name in names:
        if name in REFUSED:
            raise SettingError(f"The training argument {name} cannot be set: {REFUSED[name]}.")
        if name not in TAKEN:
            close = difflib.get_close_matches(name, sorted(own | set(TAKEN)), n=3, cutoff=0.6)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise SettingError(f"The training argument {name!r} is not known.{hint}")
