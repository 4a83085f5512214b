"""What a run works with, which is fixed, and the state it has reached, which a checkpoint holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tardif.progress import Console
from tardif.training.distributed import ProcessGroup
from tardif.training.plan import Plan
from tardif.training.run_folder import RunFolder
from tardif.training.settings import TrainingSettings

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from tardif.training.batches import BatchOrder, Collator
    from tardif.training.validation import ValidationTask


@dataclass(frozen=True)
class RunContext:
    """What all parts of a run share.

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


@dataclass
class RunState:
    """What a run has reached so far. A checkpoint holds it.

    Attributes:
        best: the measures of the best trained checkpoint; ``best_values`` are those of each query.
        seconds: of the whole run in all its parts, evaluations and refreshes included, up to the last step.
        steps_without_loss: the steps in which the loss was exactly 0.
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
        """Continue from the state in a checkpoint."""
        vars(self).update(state)

    def evaluations_without_gain(self) -> int:
        """Count the evaluations since the best one."""
        return sum(figures["step"] > self.best_step for figures in self.evaluations)
