"""One training run, step by step: model, plan, evaluation before, training, publication."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif.data.training_set import TRAIN
from tardif.encoder.encoding import SUB_BATCH_TOKENS
from tardif.encoder.model import build_model, fit_projection, raw_view, set_dropout
from tardif.encoder.precision import computing, resolve
from tardif.encoder.tokens import Tokens, tokens_for
from tardif.encoder.truncation import document_reach, each_overlong, truncation_warning
from tardif.evaluation.measures import format_measures, means
from tardif.evaluation.outcome import Outcome
from tardif.text.normal import keyed_sample
from tardif.training import library_trainer
from tardif.training.averaging import save_start, share_of_start
from tardif.training.batches import Collator, order_of
from tardif.training.decision import BM25, RAW, STEP_0, TRAINED
from tardif.training.distributed import ProcessGroup
from tardif.training.fingerprint import check_alike, data_digest, deciding, model_digest, versions
from tardif.training.guard import GuardSet, guard_sets
from tardif.training.guarding import guarded
from tardif.training.length_pull import has_one_length, pulls_of
from tardif.training.parameters import set_up
from tardif.training.plan import Plan, plan_run
from tardif.training.publishing import BeforeTraining, Publisher
from tardif.training.refresh import Refresher
from tardif.training.replicas import Replicas
from tardif.training.result import TrainingResult
from tardif.training.run_config import RunConfig
from tardif.training.run_folder import PROCESSES, RunFolder, step_of
from tardif.training.run_state import RunContext, RunState
from tardif.training.settings import TrainingSettings
from tardif.training.validation import ValidationTask, validation_task

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

# Texts that the projection is fitted on: some 50,000 tokens, far more than its rank.
_PROJECTION_DOCUMENTS, _PROJECTION_QUERIES = 256, 128


class TrainingRun:
    """A run of a config with checked settings, new or resumed.

    Args:
        config: says base, recipe, data and output.
        settings: checked.
        device: torch's name of the device.
        replicas: the work folder of the run, held by its writer or by the process that started this one; its group
            is that of the processes that train together.
    """

    model: MultiVectorEncoder
    collator: Collator

    def __init__(self, config: RunConfig, settings: TrainingSettings, device: str, replicas: Replicas) -> None:
        self.config, self.settings, self.device, self.replicas = config, settings, device, replicas
        self.folder: RunFolder = replicas.folder
        self.group: ProcessGroup = replicas.group
        self.data, self.console = config.data, config.console
        # What a resumed run must be given again.
        self.given: dict[str, Any] = {}
        self.task: ValidationTask | None = None
        self.guards: Sequence[GuardSet] = ()

    def run(self) -> TrainingResult:
        """Train and publish. Errors are those of :meth:`tardif.Trainer.train`."""
        began = time.monotonic()
        # The order matters: everything that a resumed run is compared by is known before anything is computed.
        self._resolve_settings()
        # Read before any work: what is wrong with a user's set must not show at the end.
        self.guards = self.group.on_main(self._read_guards)
        record, checkpoint = self._load_model()
        tokens = tokens_for(self.model, SUB_BATCH_TOKENS[self.device], self.settings.training_length)
        self._resolve_pulls(tokens)
        self.collator = Collator(self.data, tokens, self.settings)
        loading = time.monotonic() - began
        timed = None if record or self.settings.minutes is None else self._time_batch()
        plan, self.task = self.group.on_main(lambda: self._plan(record, timed))
        return self._train(self._before(record, plan, loading), checkpoint)

    def _resolve_settings(self) -> None:
        """Decide what data and machine decide: markers, precision, and how near to the start the model stays."""
        made = self.data.is_mostly_made
        self.config = dataclasses.replace(self.config, recipe=self.config.recipe.decided(made))
        # Rank 0 decides for all: another precision on another rank would break the gradients' sum.
        width = self.config.base.hidden_size
        precision = self.group.on_main(lambda: resolve(self.settings.precision, self.device, width))
        share = share_of_start(self.settings.base_share, made)
        self.settings = dataclasses.replace(self.settings, precision=precision, base_share=share)

    def _read_guards(self) -> list[GuardSet]:
        trained = dict.fromkeys(self.data.queries[example.query_id] for example in self.data.examples)
        return guard_sets(self.settings, self.config.language, self.console, trained)

    def _resolve_pulls(self, tokens: Tokens) -> None:
        """Decide by the documents, as training reads them, what pulls towards the base."""
        given, made = self.settings, self.data.is_mostly_made
        # Where a pull on batches is given, or none is the default, the lengths decide nothing.
        one_length = given.base_pull is None and not made and has_one_length(self.data, tokens, given.seed)
        base, lengths = pulls_of(
            given.base_pull, given.length_pull, list(given.terms), made=made, one_length=one_length
        )
        self.settings = dataclasses.replace(given, base_pull=base, length_pull=lengths)

    def _load_model(self) -> tuple[dict[str, Any] | None, Path | None]:
        """Load the base with its recipe; return the record and the checkpoint of an unfinished run."""
        config, settings, on_main = self.config, self.settings, self.group.on_main
        model = self.model = build_model(
            config.base,
            config.recipe,
            device=self.device,
            seed=settings.seed,
            trust_remote_code=config.trust_remote_code,
        )
        # The fingerprint is of the base as loaded, before anything changes its weights.
        self._fingerprint()
        record, checkpoint = on_main(self._unfinished)
        if checkpoint is None:
            on_main(self._fit_projection)
        if settings.dropout is not None:
            set_dropout(model, settings.dropout)
        set_up(model, settings)
        self.group.broadcast_weights(model)
        # After the broadcast: the fitted projection is part of the start.
        if checkpoint is None:
            on_main(lambda: save_start(model, self.folder.start))
        self.replicas.update()
        # Another node's folder has another place.
        return record, None if checkpoint is None else self.folder.step(step_of(checkpoint))

    def _fingerprint(self) -> None:
        """Find out what a resumed run must be given again; all processes must have the same.

        Raises:
            SettingError: one has other data, another base or another setting.
        """
        self.given = {
            **deciding(self.settings),
            **dataclasses.asdict(self.config.recipe),
            "base": model_digest(self.model),
            "data": data_digest(self.data),
            "language": self.config.language.code,
            "device": self.device,
            **({PROCESSES: self.group.size} if self.group.size > 1 else {}),
        }
        everywhere = self.group.gather(self.given)
        self.group.on_main(lambda: check_alike(everywhere))

    def _unfinished(self) -> tuple[dict[str, Any] | None, Path | None]:
        """Read the record of an unfinished run, and choose the checkpoint to continue from."""
        record = self.folder.read_record(self.given, versions(), self.console)
        self.folder.drop_newer()
        return record, self.folder.chosen if record else None

    def _fit_projection(self) -> None:
        """Start a fresh projection from the base's own directions on the training texts."""
        config = self.config
        if config.base.is_colbert or not config.recipe.projects(config.base):
            return
        contents = (document.content for document in self.data.documents.values())
        asked = (self.data.queries[query] for query in self.data.query_ids(TRAIN))
        documents = keyed_sample(config.seed, contents, _PROJECTION_DOCUMENTS)
        queries = keyed_sample(config.seed, asked, _PROJECTION_QUERIES)
        fit_projection(self.model, [*documents, *queries])

    def _time_batch(self) -> float:
        """Measure the seconds of one batch; every process takes part."""
        objective = library_trainer.objective_of(self.model, self.settings, self.folder.start, self.data)
        return library_trainer.timed_batch(objective, self.collator, self.settings, self.device, self.group)

    def _plan(self, record: dict[str, Any] | None, timed: float | None) -> tuple[Plan, ValidationTask | None]:
        """Plan the run and choose what it is evaluated on, or take the plan that an unfinished run has recorded."""
        data, settings, language = self.data, self.settings, self.config.language
        if not record:
            self._warn_of_truncation()
        plan = Plan(**record["plan"]) if record else plan_run(self.model, data, settings, timed)
        settings.try_steps(plan.steps)
        return plan, validation_task(data, limit=plan.documents, language=language, seed=settings.seed)

    def _before(self, record: dict[str, Any] | None, plan: Plan, loading: float) -> BeforeTraining:
        """Evaluate before the first step, or take what an unfinished run has recorded; every process takes part."""
        if record:
            return BeforeTraining(**{**record, "plan": plan})
        untrained, seconds = self._evaluate_untrained()

        def recorded() -> BeforeTraining:
            values = {name: found.values for name, found in untrained.items()}
            first = {name: found.first for name, found in untrained.items()}
            before = BeforeTraining(plan, values, {"loading": loading, "evaluation": seconds}, first)
            self.folder.write_record(self.given, dataclasses.asdict(before), versions())
            return before

        return self.group.on_main(recorded)

    def _warn_of_truncation(self) -> None:
        """Say which documents the model will not read to their end."""
        documents = self.data.documents
        way_out = (
            "Prepare them in pieces (--chunk 256, in Python chunk=256), or let it read more (--document-length, in "
            "Python document_length=)."
        )
        found = each_overlong(self.model, documents.values())
        if line := truncation_warning(found, document_reach(self.model), len(documents), way_out):
            self.console.say(line)

    def _evaluate_untrained(self) -> tuple[dict[str, Outcome], float]:
        """Return what BM25 and the untrained systems come to, and the seconds of one evaluation. They are rank 0's;
        every process takes part."""
        task, group = self.task, self.group
        if self.config.crossed:
            return {name: Outcome(values) for name, values in self.config.crossed.items() if name != TRAINED}, 0.0
        if task is None:
            self.console.say("No query is held out: nothing is measured, and the last checkpoint will be published.")
            return {}, 0.0
        self.console.say(f"Validation: {task.describe()}.")
        untrained = {BM25: group.on_main(task.bm25_outcome)}
        with computing(self.settings.precision, self.device):
            untrained[RAW] = task.outcome(raw_view(self.model), self.console, "Before: the base's raw vectors", group)
            began = time.monotonic()
            untrained[STEP_0] = task.outcome(self.model, self.console, "Before: the recipe at step 0", group)
        seconds = time.monotonic() - began
        for name, found in untrained.items():
            self.console.say(f"  {name}: {format_measures(means(found.values))}")
        return untrained, seconds

    def _train(self, before: BeforeTraining, checkpoint: Path | None) -> TrainingResult:
        run_state = RunState()
        context = RunContext(
            model=self.model,
            collator=self.collator,
            order=order_of(self.data, self.settings),
            task=self.task,
            settings=self.settings,
            plan=before.plan,
            folder=self.folder,
            device=self.device,
            console=self.console,
            group=self.group,
            seconds_per_evaluation=before.seconds["evaluation"],
            replicas=self.replicas,
        )
        publisher, refresher = Publisher(self.config, context, before), None
        if self.settings.refreshes:
            refresher = Refresher(self.model, self.data, self.config.language, self.settings, self.folder.path)
        try:
            library_trainer.run(context, run_state, checkpoint=checkpoint, refresher=refresher)
        except BaseException as error:  # Ctrl-C too: the best checkpoint so far is published
            self.folder.keep = not run_state.diverged
            if self.group.is_main:
                publisher.finish_failed(run_state, self.group.cause(error))
            raise
        result = self.group.on_main(lambda: publisher.result(run_state))
        if not result.interrupted:  # somebody waits for the end
            if self.guards:
                self.replicas.update()  # they read the model to publish
            result = guarded(result, self.guards, self.config, context)
        result = self.group.on_main(lambda: publisher.finish(run_state, result))
        self.folder.keep = result.interrupted
        return result
