"""The guard at the end of a run: foreign queries measured with the untrained model and with the one to publish.

Both are measured then, so that a resumed run needs nothing of the time before the interruption: the weights that
training began with are on the disk.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tardif.encoder.model import open_model, raw_view
from tardif.encoder.precision import computing
from tardif.errors import TardifError, is_failure, reason
from tardif.evaluation.elsewhere import Elsewhere
from tardif.evaluation.measures import means
from tardif.evaluation.verdict import DECIDES, WORSE, Values, compare_values
from tardif.training.averaging import averaged
from tardif.training.decision import RAW, STEP_0, TRAINED, stronger
from tardif.training.guard import GuardSet
from tardif.training.result import TrainingResult
from tardif.training.run_config import RunConfig
from tardif.training.run_state import RunContext

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder


def guarded(
    result: TrainingResult, guards: Sequence[GuardSet], config: RunConfig, context: RunContext
) -> TrainingResult:
    """Return a result with what its model gained or lost elsewhere. Every process takes part; rank 0 has the figures.

    What fails is printed: the model is worth more than a figure on it.

    Args:
        result: says which model is published.
        guards: the sets of foreign queries.
        config: what the run was made with.
        context: what the run worked with.
    """
    if not guards:
        return result
    began = time.monotonic()
    try:
        measured = _measured(result, guards, config, context)
    except BaseException as error:
        # A TardifError is raised on every process alike. After another failure of one of several the others would wait.
        if not is_failure(error) or (context.group.size > 1 and not isinstance(error, TardifError)):
            raise
        context.console.warn(f"What training cost elsewhere could not be measured ({reason(error)}).")
        return result
    seconds = {**result.seconds, "guard": time.monotonic() - began}
    if not context.group.is_main:
        return replace(result, seconds=seconds)
    found = [_compared(guard, values) for guard, values in zip(guards, measured, strict=True)]
    share = context.settings.base_share or 0.0
    warnings = [*result.warnings, *(_lost(one, share) for one in found if one.comparison.verdict == WORSE)]
    return replace(result, guard=found, seconds=seconds, warnings=warnings)


def _measured(
    result: TrainingResult, guards: Sequence[GuardSet], config: RunConfig, context: RunContext
) -> list[dict[str, Values]]:
    """Each query's measures with the two untrained systems and the published model, set by set."""
    found: list[dict[str, Values]] = [{} for _ in guards]

    def measure(system: str, model: MultiVectorEncoder, what: str) -> None:
        for values, guard in zip(found, guards, strict=True):
            line = f"Elsewhere ({guard.name}): {what}"
            values[system] = guard.outcome(model, context.console, line, context.group).values

    with computing(context.settings.precision, context.device):
        with averaged(context.model, context.folder.start, 1.0):  # the weights that training began with
            measure(RAW, raw_view(context.model), "the base's raw vectors")
            measure(STEP_0, context.model, "the recipe at step 0")
        if result.kept:
            best = str(context.folder.best(result.kept))
            trained = open_model(best, device=context.device, trust_remote_code=config.trust_remote_code)
            measure(TRAINED, trained, "the trained model")
    return found


def _compared(guard: GuardSet, values: dict[str, Values]) -> Elsewhere:
    against = stronger(values)
    before, after = values[against], values.get(TRAINED, values[STEP_0])
    return Elsewhere(
        guard.name,
        guard.checksum,
        len(guard.task.documents),
        means(before),
        means(after),
        compare_values(after, before, against),
    )


def _lost(found: Elsewhere, share: float) -> str:
    more = round((1 + share) / 2, 2)  # half of what is left
    return (
        f"The model is worse on foreign queries ({found.data}): {DECIDES} {found.comparison.deciding}. To keep more of "
        f"the base, raise base_share, which is {share:g} (--set base_share={more:g})."
    )
