"""Publication: the result of a run, and the chosen model copied to its output folder, whole or not at all."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tardif._version import __version__
from tardif.data.split import most_folds
from tardif.data.training_set import TRAIN, VALIDATION, write_making
from tardif.encoder.published import REPORT
from tardif.errors import FolderError, TardifError, is_failure, reason
from tardif.evaluation.evidence import Evidence, write_evidence
from tardif.evaluation.measures import means
from tardif.evaluation.outcome import FirstHits, Outcome
from tardif.evaluation.verdict import Values
from tardif.folders import staged, write_json
from tardif.report.leaving import leave_report
from tardif.training.averaging import averaged
from tardif.training.checkpoints import copy_model, keep_model
from tardif.training.decision import TRAINED, decide, stronger, summary, write_values
from tardif.training.model_card import ModelFacts, model_card, write_card
from tardif.training.plan import Plan
from tardif.training.result import TrainingResult
from tardif.training.run_config import RunConfig
from tardif.training.run_evidence import BestModel, run_evidence
from tardif.training.run_state import RunContext, RunState

# Cross-validation is recommended with this many folds, for at most this many queries: over more, a share tells enough.
_FOLDS, _MOST_FOR_FOLDS = 5, 500
# What results.json records of a run's state, beside its steps.
_RECORDED = (
    "ran_out_of_time",
    "stopped_early",
    "resumed_at",
    "refreshed_at",
    "best_step",
    "steps_without_loss",
    "word_share",
)


@dataclass
class BeforeTraining:
    """The plan of a run and the measures of the untrained systems; a resumed run reads them from its record.

    Attributes:
        plan: steps, and the size of the validation task.
        untrained: each query's measures with BM25 and the two untrained systems; empty where no query is held out.
        seconds: how long each part took.
        first: each query's first hits, of the same systems.
    """

    plan: Plan
    untrained: dict[str, Values]
    seconds: dict[str, float]
    first: dict[str, Mapping[str, FirstHits]] = field(default_factory=dict)


class Publisher:
    """Publishes the model of one run.

    Args:
        config: says base, data and output.
        context: what the run worked with.
        before: what it found out before its first step.
    """

    def __init__(self, config: RunConfig, context: RunContext, before: BeforeTraining) -> None:
        self.config, self.context, self.before = config, context, before
        self.console = context.console

    def finish(self, run_state: RunState, result: TrainingResult) -> TrainingResult:
        """Publish the model of a run that has ended, or was interrupted, and print the summary."""
        result = self._publish(run_state, result, explained=True)
        self.context.folder.keep = run_state.interrupted
        if run_state.interrupted:
            self.console.say(
                f"The best checkpoint so far is in {self.config.path}; --resume (in Python resume=True) continues."
            )
        self._print_summary(result)
        self._draw()
        return result

    def finish_failed(self, run_state: RunState, error: BaseException) -> None:
        """Publish the best checkpoint of a run that failed. Trouble on the way is only printed: the caller raises the
        failure itself."""
        # A failure before the first evaluation: no model has been kept.
        if not run_state.best_step:
            return
        try:
            result = self.result(run_state, f"{type(error).__name__}: {error}".rstrip(": "))
            # Without explanations: what failed may be the memory, or somebody waits for the end.
            result = self._publish(run_state, result, explained=False)
        except TardifError as another:
            self.console.say(str(another))
        else:
            self.console.say(f"The best checkpoint so far is kept in {self.config.path}.")
            self._print_summary(result)
            if is_failure(error):  # after a second Ctrl-C nobody waits for a page
                self._draw()

    def _draw(self) -> None:
        """Draw the report of a published run."""
        if self.config.prints_summary and (page := leave_report(self.config.path, self.console)):
            self.console.say(f"The report: {page}")

    def _print_summary(self, result: TrainingResult) -> None:
        if not self.config.prints_summary:
            return
        for line in summary(result):
            self.console.tell(line)
        for line in result.warnings:
            self.console.warn(line)

    def _publish(self, run_state: RunState, result: TrainingResult, *, explained: bool) -> TrainingResult:
        """Copy the chosen model to the output, with the evidence for its report. Until that is done the run can be
        resumed."""
        path, folder = self.config.path, self.context.folder
        # A model is saved aside and copied: publication may fail, and the run must then still be resumable.
        if not result.kept:  # averaged all the way back to the weights that training began with
            with averaged(self.context.model, folder.start, 1.0):
                keep_model(self.context.model, folder.best(0))
        began = time.monotonic()
        evidence = self._evidence(run_state, explained=explained)
        result = replace(result, seconds={**result.seconds, "evidence": time.monotonic() - began})
        with staged(path, overwrite=self.config.overwrite or folder.resumed, held=True) as aside:
            try:
                copy_model(folder.best(result.kept), aside)
                if folder.log.exists():
                    shutil.copy2(folder.log, aside / folder.log.name)
                if (runs := folder.path / "runs").exists():  # of a logger that writes files
                    shutil.copytree(runs, aside / runs.name)
            except shutil.Error as error:
                raise FolderError(f"{path} could not be written ({error.args[0][0][2]}).") from error
            # No path in it: the folder may be moved.
            write_json(aside / "results.json", result.as_json())
            write_card(aside, model_card(path.name, ModelFacts.of(self.context.model), result))
            if self.before.untrained and (trained := self._trained(run_state)):
                write_values(aside, {**self.before.untrained, TRAINED: trained})
            if evidence is not None:
                write_evidence(aside, evidence)
                write_making(aside / REPORT, self.config.data.evidence)
        return result

    def _evidence(self, run_state: RunState, *, explained: bool) -> Evidence | None:
        """Gather what the report is drawn from. Without it the run is published all the same."""
        first = self.before.first
        outcomes = {name: Outcome(values, first.get(name, {})) for name, values in self.before.untrained.items()}
        if trained := self._trained(run_state):
            outcomes[TRAINED] = Outcome(trained, run_state.best_first)
        step = run_state.best_step
        best = BestModel(self.context.folder.best(step), is_open=step == run_state.steps and not run_state.diverged)
        try:
            return run_evidence(self.config, self.context, outcomes, best, explained=explained)
        except BaseException as error:
            if not is_failure(error):
                raise
            self.console.warn(f"There is no report of this run: its evidence could not be gathered ({reason(error)}).")
            return None

    def _trained(self, run_state: RunState) -> Values:
        """Return each query's measures with the training that is judged; empty where there are none."""
        return self.config.crossed.get(TRAINED) or run_state.best_values

    def _advice(self) -> str:
        """Say what to do where nothing was measured, or where the queries are too few."""
        data = self.config.data
        queries = data.query_ids(TRAIN)
        if self.config.crossed:  # every query is judged already
            return " More judged queries would tell."
        folds = 0 if len(queries) > _MOST_FOR_FOLDS else most_folds(data, _FOLDS)
        if not folds:
            return " Hold out more, or rows of your own (--validation, in Python validation=)."
        total = len(queries) + len(data.query_ids(VALIDATION))
        return (
            f" Cross-validation judges all {total} queries, with {folds + 1} trainings in place of one: --folds "
            f"{folds} (in Python folds={folds}), on data of which none is held out (--validation 0, in Python "
            "validation=0)."
        )

    def result(self, run_state: RunState, failure: str = "") -> TrainingResult:
        """Decide which model is published, and compare it."""
        settings, untrained = self.context.settings, self.before.untrained
        decision = decide(
            untrained,
            self._trained(run_state),
            run_state.best_step,
            keep_untrained=settings.keep_untrained,
            reason="" if self.context.task else "no query is held out",
            advice=self._advice(),
        )
        warnings = [*decision.warnings]
        if run_state.steps and run_state.steps_without_loss == run_state.steps:
            warnings.append(f"The loss of all {run_state.steps} steps was exactly 0: the model has learnt nothing.")
        return TrainingResult(
            path=self.config.path,
            before=means(untrained[stronger(untrained)]) if untrained else {},
            baselines={name: means(values) for name, values in untrained.items()},
            **{**vars(decision), "warnings": warnings},
            settings=self._recorded_settings(run_state),
            seconds={
                **self.before.seconds,
                "training": run_state.seconds - run_state.seconds_evaluating - run_state.seconds_refreshing,
                "evaluation during training": run_state.seconds_evaluating,
                **({"refreshing": run_state.seconds_refreshing} if settings.refreshes else {}),
            },
            interrupted=run_state.interrupted,
            failure=failure,
        )

    def _recorded_settings(self, run_state: RunState) -> dict[str, Any]:
        """Return everything that the run was made with, and the steps and choices it made."""
        config, context = self.config, self.context
        return {
            "tardif": __version__,
            "base": config.base.name,
            "base_hub_id": config.base.hub_id,
            "dim": config.recipe.width(config.base),
            "language": config.language.code,
            "device": context.device,
            "processes": context.group.size,
            **context.settings.as_json(),
            "planned_steps": run_state.planned_steps,
            "steps": run_state.steps,
            "epochs_done": run_state.epochs,
            **{name: getattr(run_state, name) for name in _RECORDED},
            "evaluated": run_state.evaluations,
            "validation": context.task.describe() if context.task else self._cross_validation(),
            "data": {**config.data.counts(), **dict(config.data.settings), "sources": list(config.data.sources)},
        }

    def _cross_validation(self) -> str | None:
        """Describe the cross-validation that judges this training, if there is one."""
        if not self.config.crossed:
            return None
        queries = len(next(iter(self.config.crossed[TRAINED].values())))
        return f"{queries} queries in {self.context.settings.folds} folds"
