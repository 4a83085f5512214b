"""How long a run is and on how much it is measured, decided before its first step and recorded.

The size of the validation task comes from counts, not from the clock: the same settings give the same task.
Only a budget of minutes needs timing, and then the steps that it came to are recorded.
"""

from __future__ import annotations

import bisect
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tardif.training.settings import TrainingSettings
from tardif.types import Example

# A document costs about three times as much in a training step (forward, backward, optimizer) as in an evaluation.
_TRAINING_COST = 3.0
# On fewer documents a difference of measures is mostly chance, whatever the share.
LEAST_DOCUMENTS = 100
# What a step costs beyond the forward and backward passes that are timed: optimizer, loading, noise.
_STEP_OVERHEAD = 1.1


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        steps: optimizer steps.
        per_epoch: of these in one pass over the examples.
        documents: the most that an evaluation searches.
    """

    steps: int
    per_epoch: int
    documents: int


def make_plan(
    examples: Sequence[Example], settings: TrainingSettings, corpus: int, timed_batch: Callable[[], float]
) -> Plan:
    """Decide a run's steps and the size of its validation task.

    Args:
        examples: the training examples.
        settings: how to train.
        corpus: documents that an evaluation could search at most; 0 where nothing is held out.
        timed_batch: the seconds of one batch, asked for only with a budget of minutes.
    """
    accumulation = accumulated(settings)
    per_epoch = math.ceil(math.ceil(len(examples) / settings.batch_size) / accumulation)
    steps = settings.max_steps or max(round(per_epoch * settings.epochs), 1)
    negatives = sum(min(len(e.negative_ids), settings.negatives_per_example) for e in examples) / len(examples)
    per_step = min(settings.batch_size * accumulation, len(examples)) * (1 + negatives)

    def documents(count: int) -> int:
        if settings.evaluation_share is None:
            return settings.validation_documents
        share = settings.evaluation_share * count * per_step * _TRAINING_COST / settings.evaluations
        return min(max(int(share), LEAST_DOCUMENTS), settings.validation_documents)

    if settings.minutes is not None:
        room = 60 * settings.minutes / (_STEP_OVERHEAD * timed_batch() * accumulation)  # in steps

        def cost(count: int) -> float:
            return count + settings.evaluations * min(documents(count), corpus) / (per_step * _TRAINING_COST)

        steps = max(bisect.bisect_right(range(1, steps + 1), room, key=cost), 1)
    return Plan(steps, per_epoch, documents(steps))


def accumulated(settings: TrainingSettings) -> int:
    """Batches per optimizer step."""
    return int(settings.other.get("gradient_accumulation_steps", 1))


def mean_seconds(batches: Sequence[Callable[[], object]]) -> float:
    """The mean seconds of calls, the first left out: it also pays for memory and caches."""
    timed = []
    for batch in batches:
        began = time.monotonic()
        batch()
        timed.append(time.monotonic() - began)
    return sum(timed[1:]) / len(timed[1:])
