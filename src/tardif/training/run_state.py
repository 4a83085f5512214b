"""What a run works with, which is fixed, and what it has reached, which a checkpoint holds: its state, and the history
of gradients that shows when it diverges."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tardif.evaluation.outcome import FirstHits
from tardif.progress import Console
from tardif.training.distributed import ProcessGroup
from tardif.training.plan import Plan
from tardif.training.run_folder import RunFolder
from tardif.training.settings import TrainingSettings

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from tardif.training.batches import BatchOrder, Collator
    from tardif.training.replicas import Replicas
    from tardif.training.validation import ValidationTask

# Clipping holds single large gradients; this many in a row, this far above the usual norm, are not noise.
EXPLODING_FACTOR, EXPLODING_STEPS = 100.0, 5
# Near a loss of zero the usual norm is tiny and any norm is far above it: below this, nothing explodes.
_LEAST_NORM = 10.0
# The usual norm is the median of the last steps, once there are enough of them.
_WINDOW, _LEAST_HISTORY = 100, 10


@dataclass(frozen=True)
class RunContext:
    """The fixed parts of a run: model, data, settings, folder, process group.

    Attributes:
        model: the model that is trained, in place.
        collator, order: make the batches; both follow the epoch.
        task: the held-out queries; None publishes the last model.
        settings: resolved: ``precision`` and ``base_share`` are decided.
        plan: the steps of the run.
        folder: where models and checkpoints are kept.
        device: torch's name of the device.
        console: where progress is shown.
        group: the processes that train together.
        seconds_per_evaluation: measured before the first step; a budget of minutes leaves room for the last one.
        replicas: the copies of the folder on nodes that do not see it.
    """

    model: MultiVectorEncoder
    collator: Collator
    order: BatchOrder
    task: ValidationTask | None
    settings: TrainingSettings
    plan: Plan
    folder: RunFolder
    device: str
    console: Console
    group: ProcessGroup
    seconds_per_evaluation: float
    replicas: Replicas


@dataclass
class RunState:
    """The state of a run so far, as a checkpoint stores it.

    Attributes:
        best: the measures of the best trained checkpoint; ``best_values`` are those of each query, ``best_first`` its
            first hits.
        word_share: BM25's share in a hybrid search with the best checkpoint, learnt on the held-out queries.
        seconds: of the whole run in all its parts, evaluations and refreshes included, up to the last step.
        steps_without_loss: the steps in which the loss was exactly 0.
    """

    steps: int = 0
    planned_steps: int = 0
    epochs: float = 0.0
    best: dict[str, float] = field(default_factory=dict)
    best_values: dict[str, dict[str, float]] = field(default_factory=dict)
    best_first: dict[str, FirstHits] = field(default_factory=dict)
    best_step: int = 0
    word_share: float | None = None
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
        """Continue from the state in a checkpoint."""
        vars(self).update(state)


@dataclass
class Divergence:
    """Checks loss and gradient norm, step by step, before the weights change.

    >>> import math
    >>> Divergence().check(loss=math.nan, norm=1.0)
    'the loss is nan'
    >>> Divergence().check(loss=0.7, norm=1.0)
    ''

    Args:
        infinite_norms: infinite gradient norms in a row that are allowed. Mixed precision in fp16 searches the scale of
            its loss with such steps and skips them; elsewhere 0.
    """

    infinite_norms: int = 0
    norms: list[float] = field(default_factory=list)
    infinite: int = 0
    exploding: int = 0

    def check(self, loss: float, norm: float) -> str:
        """Describe what is wrong with a step, or return an empty string."""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        # An infinite norm alone may be the search of fp16's scale: it is forgiven `infinite_norms` times in a row.
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
            # Large norms stay out of the history: they would raise the usual norm that they are compared with.
            self.exploding = 0
            self.norms = [*self.norms[1 - _WINDOW :], norm]
        return ""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it."""
        return {"norms": self.norms, "infinite": self.infinite, "exploding": self.exploding}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state` returned."""
        vars(self).update(state)
