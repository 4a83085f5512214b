"""One training run from a checked Trainer: model, plan, figures before, training, publication."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tardif._version import __version__
from tardif.data.training_set import TRAIN, VALIDATION, TrainingSet
from tardif.encoder.recipe import DOCUMENT_CAP
from tardif.errors import FolderError, TardifError
from tardif.evaluation.verdict import Values, means
from tardif.folders import staged, write_json
from tardif.text.normal import keyed_sample
from tardif.training.batches import order_of
from tardif.training.decision import BM25, RAW, STEP_0, TRAINED, decide, stronger, summary, write_values
from tardif.training.distributed import ProcessGroup
from tardif.training.plan import CHARACTERS_PER_TOKEN, Plan, Size, Work, make_plan
from tardif.training.result import TrainingResult
from tardif.training.run_config import RunConfig
from tardif.training.run_folder import RunFolder
from tardif.training.settings import TrainingSettings

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from tardif.training.batches import Collator
    from tardif.training.callbacks import RunState
    from tardif.training.refresh import Refresher
    from tardif.training.validation import ValidationTask

# Texts that the projection is fitted on: some 50,000 tokens, far more than its rank.
_PROJECTION_DOCUMENTS, _PROJECTION_QUERIES = 256, 128
_NOT_HELD_OUT = "no query is held out"
# Cross-validation is recommended with so many folds, for as many queries at most: over more, a share tells enough.
_FOLDS, _MOST_FOR_FOLDS = 5, 500
# What may differ when a run is resumed: how often it saves and where it reports to change no weight.
_FREE_SETTINGS = frozenset({"save_steps", "save_minutes", "other"})
_FREE_ARGUMENTS = frozenset({"report_to", "run_name", "logging_steps", "logging_first_step", "logging_strategy"})


@dataclasses.dataclass
class BeforeTraining:
    """What a run finds out before its first step; a resumed one reads it.

    ``untrained`` has each query's measures with BM25 and the two untrained systems; it is empty where none is held out.
    """

    plan: Plan
    untrained: dict[str, dict[str, dict[str, float]]]
    seconds: dict[str, float]


class TrainingRun:
    """A run of a config with checked settings, new or resumed.

    Args:
        config: says base, recipe, data and output.
        settings: checked.
        device: torch's name of it.
        folder: the run's, held by rank 0 or by the process that started this one.
        group: the processes that train together.
    """

    def __init__(
        self,
        config: RunConfig,
        settings: TrainingSettings,
        device: str,
        folder: RunFolder,
        group: ProcessGroup | None = None,
    ) -> None:
        self.config, self.settings, self.device, self.folder = config, settings, device, folder
        self.data, self.console = config.data, config.console
        self.group = group or ProcessGroup()
        # On rank 0 alone: what a resumed run must be given again, and what it is measured on.
        self.given: dict[str, Any] = {}
        self.task: ValidationTask | None = None

    def run(self) -> TrainingResult:
        """Train and publish; errors as :meth:`tardif.Trainer.train` says."""
        from tardif.encoder.model import build_model, set_dropout
        from tardif.training.averaging import save_start, share_of_start
        from tardif.training.parameters import set_up
        from tardif.training.precision import resolve

        began = time.monotonic()
        made = self.data.is_mostly_made
        config = self.config = dataclasses.replace(self.config, recipe=self.config.recipe.decided(made))
        on_main = self.group.on_main
        precision = on_main(lambda: resolve(self.settings, self.device, config.base.hidden_size))
        share = share_of_start(self.settings.base_share, made)
        settings = self.settings = dataclasses.replace(self.settings, precision=precision, base_share=share)
        model = build_model(
            config.base,
            config.recipe,
            device=self.device,
            seed=settings.seed,
            trust_remote_code=config.trust_remote_code,
        )
        record, checkpoint = on_main(lambda: self._unfinished(model))
        if checkpoint is None:
            on_main(lambda: self._fit_projection(model))
        if settings.dropout is not None:
            set_dropout(model, settings.dropout)
        set_up(model, settings)
        self.group.broadcast_weights(model)
        if checkpoint is None:
            on_main(lambda: save_start(model, self.folder.start))
        collator = self._collator(model)
        loading = time.monotonic() - began
        timed = None if record or settings.minutes is None else self._timed(model, collator)
        found = on_main(lambda: self._find_out(model, record, timed, loading))
        return self._train(model, collator, found, checkpoint)

    def _unfinished(self, model: MultiVectorEncoder) -> tuple[dict[str, Any] | None, Path | None]:
        """What an unfinished run has found out, and the checkpoint to go on from."""
        self.given = self._given(model)
        record = self.folder.read_record(self.given, _versions(), self.console)
        self.folder.drop_newer()
        return record, self.folder.chosen if record else None

    def _find_out(
        self, model: MultiVectorEncoder, record: dict[str, Any] | None, timed: float | None, loading: float
    ) -> BeforeTraining:
        """Plan and measure before the first step, or take what an unfinished run has recorded of it."""
        if record:
            found = BeforeTraining(**{**record, "plan": Plan(**record["plan"])})
            self.task = self._task(found.plan)
            return found
        self._say_lost(model)
        plan = self._plan(model, timed)
        self.task = self._task(plan)
        found = BeforeTraining(plan, *self._measure_before(model))
        found.seconds["loading"] = loading
        self.folder.write_record(self.given, dataclasses.asdict(found), _versions())
        return found

    def _say_lost(self, model: MultiVectorEncoder) -> None:
        """Say what the model will not read of the documents."""
        from tardif.encoder.truncation import document_reach, overlong, truncation_warning

        documents = self.data.documents
        reach = document_reach(model)
        way_out = (
            "Prepare them in pieces (--chunk 256, in Python chunk=256), or let it read more (--document-length, in "
            "Python document_length=)."
        )
        if line := truncation_warning(overlong(model, documents.values()), reach, len(documents), way_out):
            self.console.say(line)

    def _given(self, model: MultiVectorEncoder) -> dict[str, Any]:
        """All that the end of a run depends on, each under the name by which a person can set it."""
        return {
            **deciding(self.settings),
            **dataclasses.asdict(self.config.recipe),
            "base": _fingerprint(model),
            "data": data_digest(self.data),
            "language": self.config.language.code,
            "device": self.device,
            # Each has random numbers of its own, and sums come in another order.
            **({"processes": self.group.size} if self.group.size > 1 else {}),
        }

    def _fit_projection(self, model: MultiVectorEncoder) -> None:
        """Start a fresh projection from the base's own directions on the training texts."""
        from tardif.encoder.model import fit_projection

        config = self.config
        if config.base.is_colbert or not config.recipe.projects(config.base):
            return
        contents = (document.content for document in self.data.documents.values())
        asked = (self.data.queries[query] for query in self.data.query_ids(TRAIN))
        documents = keyed_sample(config.seed, contents, _PROJECTION_DOCUMENTS)
        queries = keyed_sample(config.seed, asked, _PROJECTION_QUERIES)
        fit_projection(model, [*documents, *queries])

    def _collator(self, model: MultiVectorEncoder) -> Collator:
        from tardif.encoder.encoding import SUB_BATCH_TOKENS
        from tardif.encoder.tokens import tokens_for
        from tardif.training.batches import Collator

        return Collator(
            self.data,
            tokens_for(model, SUB_BATCH_TOKENS[self.device], self.settings.training_length),
            negatives_per_example=self.settings.negatives_per_example,
            mask_known_positives=self.settings.mask_known_positives,
            seed=self.settings.seed,
        )

    def _timed(self, model: MultiVectorEncoder, collator: Collator) -> float:
        """The seconds of one batch; every process must take part."""
        from tardif.training.library_trainer import timed_batch
        from tardif.training.objective import Objective

        return timed_batch(Objective(model, self.settings), collator, self.settings, self.device, self.group)

    def _plan(self, model: MultiVectorEncoder, timed: float | None) -> Plan:
        from tardif.data.judged import searchable
        from tardif.training.refresh import mineable

        contents = [len(document.content) / CHARACTERS_PER_TOKEN for document in self.data.documents.values()]
        tokens, most = self._tokens(model, contents), self.settings.training_length
        trained = None if most is None else min(tokens.documents, _mean_cut(contents, most))
        work = Work(_parameters(model), tokens, model.get_embedding_dimension() or 0, trained)
        held_out = Size(len(searchable(self.data)), len(self.data.query_ids(VALIDATION)))
        drawn = order_of(self.data, self.settings).count
        mined = Size(len(mineable(self.data)), len(self.data.query_ids(TRAIN)))
        made = self.data.is_mostly_made
        return make_plan(self.data.examples, self.settings, held_out, work, timed, drawn, mined, made)

    def _tokens(self, model: MultiVectorEncoder, contents: Sequence[float]) -> Size:
        """About how many tokens a document (uncut: ``contents``) and a query have, as the model reads them."""
        from tardif.encoder.model import transformer_of

        transformer = transformer_of(model)
        most = transformer.document_length or DOCUMENT_CAP
        expansion: dict[str, Any] = getattr(transformer, "query_expansion", None) or {}
        filled = expansion.get("length") or 0
        queries = [max(len(text) / CHARACTERS_PER_TOKEN, filled) for text in self.data.queries.values()]
        return Size(_mean_cut(contents, most), sum(queries) / len(queries))

    def _task(self, plan: Plan) -> ValidationTask | None:
        from tardif.training.validation import validation_task

        return validation_task(self.data, limit=plan.documents, language=self.config.language, seed=self.settings.seed)

    def _measure_before(
        self, model: MultiVectorEncoder
    ) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, float]]:
        """Each query's measures with BM25 and the untrained systems, and the seconds."""
        task = self.task
        if self.config.crossed:
            untrained = {name: _plain(values) for name, values in self.config.crossed.items() if name != TRAINED}
            return untrained, {"loading": 0.0, "evaluation": 0.0}
        if task is None:
            self.console.say("No query is held out: nothing is measured, and the last checkpoint will be published.")
            return {}, {"loading": 0.0, "evaluation": 0.0}
        from tardif.encoder.model import raw_view
        from tardif.evaluation.measures import format_measures
        from tardif.training.precision import computing

        self.console.say(f"Validation: {task.describe()}.")
        untrained = {BM25: task.bm25_values(self.config.language)}
        with computing(self.settings.precision, self.device):
            untrained[RAW] = task.values(raw_view(model), self.console, "Before: the base's raw vectors")
            began = time.monotonic()
            untrained[STEP_0] = task.values(model, self.console, "Before: the recipe at step 0")
        seconds = {"loading": 0.0, "evaluation": time.monotonic() - began}
        for name, values in untrained.items():
            self.console.say(f"  {name}: {format_measures(means(values))}")
        return untrained, seconds

    def _train(
        self, model: MultiVectorEncoder, collator: Collator, found: BeforeTraining, checkpoint: Path | None
    ) -> TrainingResult:
        from tardif.training.callbacks import RunState
        from tardif.training.library_trainer import run

        run_state = RunState()
        try:
            run(
                model,
                collator,
                self.task,
                self.settings,
                run_state,
                plan=found.plan,
                folder=self.folder,
                checkpoint=checkpoint,
                device=self.device,
                seconds_per_evaluation=found.seconds["evaluation"],
                console=self.console,
                group=self.group,
                refresher=self._refresher(model),
            )
        except BaseException as error:
            self.folder.keep = not run_state.diverged
            if self.group.is_main:
                self._publish_what_there_is(model, run_state, found, error)
            raise
        return self.group.on_main(lambda: self._finish(model, run_state, found))

    def _refresher(self, model: MultiVectorEncoder) -> Refresher | None:
        from tardif.training.refresh import Refresher

        if not self.settings.refreshes:
            return None
        return Refresher(model, self.data, self.config.language, self.settings, self.folder.path)

    def _finish(self, model: MultiVectorEncoder, run_state: RunState, found: BeforeTraining) -> TrainingResult:
        result = self._result(run_state, found)
        self._publish(model, run_state, found, result)
        self.folder.keep = run_state.interrupted
        if run_state.interrupted:
            self.console.say(
                f"The best checkpoint so far is in {self.config.path}; --resume (in Python resume=True) goes on."
            )
        self._tell(result)
        return result

    def _tell(self, result: TrainingResult) -> None:
        if not self.config.told:
            return
        for line in summary(result):
            self.console.tell(line)
        for line in result.warnings:
            self.console.warn(line)

    def _publish_what_there_is(
        self, model: MultiVectorEncoder, run_state: RunState, found: BeforeTraining, error: BaseException
    ) -> None:
        """The best checkpoint of a run that failed; whatever hinders it, the failure itself is what is told."""
        if not run_state.best_step:
            return
        try:
            result = self._result(run_state, found, f"{type(error).__name__}: {error}".rstrip(": "))
            self._publish(model, run_state, found, result)
        except TardifError as another:
            self.console.say(str(another))
        else:
            self.console.say(f"The best checkpoint so far is kept in {self.config.path}.")
            self._tell(result)

    def _publish(
        self, model: MultiVectorEncoder, run_state: RunState, found: BeforeTraining, result: TrainingResult
    ) -> None:
        """Copy the chosen model to the output, whole or not at all: until then the run can be resumed."""
        from tardif.training.averaging import averaged
        from tardif.training.callbacks import copy_model, keep_model

        if not result.kept:  # the whole way back to the weights that it began with
            with averaged(model, self.folder.start, 1.0):
                keep_model(model, self.folder.best(0))
        replace = self.config.overwrite or self.folder.resumed
        with staged(self.config.path, overwrite=replace, held=True) as aside:
            try:
                copy_model(self.folder.best(result.kept), aside)
                for extra in (self.folder.log, *self.folder.path.glob("runs")):
                    if extra.is_dir():  # of a logger that writes files
                        shutil.copytree(extra, aside / extra.name)
                    elif extra.exists():
                        shutil.copy2(extra, aside / extra.name)
            except shutil.Error as error:
                raise FolderError(f"{self.config.path} could not be written ({error.args[0][0][2]}).") from error
            write_json(aside / "results.json", result.as_json())
            if found.untrained and (trained := self._trained(run_state)):
                write_values(aside, {**found.untrained, TRAINED: trained})

    def _trained(self, run_state: RunState) -> Values:
        """Each query's measures with the training that is judged; empty where there are none."""
        return self.config.crossed.get(TRAINED) or run_state.best_values

    def _advice(self) -> str:
        """What to do where nothing was measured, or too little to tell."""
        queries = self.data.query_ids(TRAIN)
        if self.config.crossed:  # every query is judged already
            return " More judged queries would tell."
        if len(queries) > _MOST_FOR_FOLDS:
            return " Hold out more, or rows of your own (--validation, in Python validation=)."
        total, folds = len(queries) + len(self.data.query_ids(VALIDATION)), min(_FOLDS, len(queries))
        if folds < 2:
            return ""
        return (
            f" Cross-validation judges all {total} queries, with {folds + 1} trainings in place of one: --folds "
            f"{folds} (in Python folds={folds}), on data of which none is held out (--validation 0, in Python "
            "validation=0)."
        )

    def _crossed(self) -> str | None:
        """How cross-validation has judged, if it has."""
        if not self.config.crossed:
            return None
        queries = len(next(iter(self.config.crossed[TRAINED].values())))
        return f"{queries} queries in {self.settings.folds} folds"

    def _result(self, run_state: RunState, found: BeforeTraining, failure: str = "") -> TrainingResult:
        config, task, untrained = self.config, self.task, found.untrained
        judged = decide(
            untrained,
            self._trained(run_state),
            run_state.best_step,
            keep_untrained=self.settings.keep_untrained,
            reason="" if task else _NOT_HELD_OUT,
            advice=self._advice(),
        )
        warnings = [*judged.warnings]
        if run_state.steps and run_state.steps_without_loss == run_state.steps:
            warnings.append(f"The loss of all {run_state.steps} steps was exactly 0: the model has learnt nothing.")
        return TrainingResult(
            path=config.path,
            before=means(untrained[stronger(untrained)]) if untrained else {},
            after=judged.after,
            baselines={name: means(values) for name, values in untrained.items()},
            kept=judged.kept,
            comparison=judged.comparison,
            beside_bm25=judged.beside_bm25,
            reason=judged.reason,
            warnings=warnings,
            settings={
                "tardif": __version__,
                "base": config.base.name,
                "dim": config.recipe.width(config.base),
                "language": config.language.code,
                "device": self.device,
                "processes": self.group.size,
                **self.settings.as_json(),
                "planned_steps": run_state.planned_steps,
                "steps": run_state.steps,
                "epochs_done": run_state.epochs,
                "ran_out_of_time": run_state.ran_out_of_time,
                "stopped_early": run_state.stopped_early,
                "resumed_at": run_state.resumed_at,
                "refreshed_at": run_state.refreshed_at,
                "best_step": run_state.best_step,
                "steps_without_loss": run_state.steps_without_loss,
                "evaluated": run_state.evaluations,
                "validation": task.describe() if task else self._crossed(),
                "data": {**self.data.counts(), **dict(self.data.settings)},
            },
            seconds={
                **found.seconds,
                "training": run_state.seconds - run_state.seconds_evaluating - run_state.seconds_refreshing,
                "evaluation during training": run_state.seconds_evaluating,
                **({"refreshing": run_state.seconds_refreshing} if self.settings.refreshes else {}),
            },
            interrupted=run_state.interrupted,
            failure=failure,
        )


def deciding(settings: TrainingSettings) -> dict[str, Any]:
    """The settings that decide what a run comes to."""
    own = {name: value for name, value in settings.as_json().items() if name not in _FREE_SETTINGS}
    return {**own, **{name: value for name, value in settings.other.items() if name not in _FREE_ARGUMENTS}}


def _plain(values: Values) -> dict[str, dict[str, float]]:
    return {name: dict(by) for name, by in values.items()}


def _mean_cut(lengths: Sequence[float], most: int) -> float:
    """The mean of lengths, each cut at ``most``."""
    return sum(min(length, most) for length in lengths) / len(lengths)


def _versions() -> dict[str, str]:
    """Of what may change the last bits."""
    import torch

    return {"tardif": __version__, "torch": torch.__version__}


def _fingerprint(model: MultiVectorEncoder) -> str:
    """What a model is before training: its weights and its tokenizer."""
    import torch

    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in model.state_dict().items():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name}\x00{tensor.dtype}\x00{tuple(tensor.shape)}\x00".encode())
        digest.update(flat.view(torch.uint8).numpy())
    digest.update(repr(sorted(model.tokenizer.get_vocab().items())).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _parameters(model: MultiVectorEncoder) -> int:
    """The weights that every token is multiplied with: all but the embeddings."""
    from torch import nn

    embedded = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Embedding))
    return sum(weight.numel() for weight in model.parameters()) - embedded


def data_digest(data: TrainingSet) -> str:
    """What a training set holds, in its order."""
    digest = hashlib.blake2b(digest_size=16)

    def add(*values: object) -> None:
        digest.update(repr(values).encode("utf-8", "surrogatepass"))

    if data.parts:
        add(*data.parts)
    for document in data.documents.values():
        add(document.id, document.title, document.text)
    for query, text in data.queries.items():
        add(query, text, data.split[query], *data.qrels.get(query, {}).items())
    for example in data.examples:
        add(example.query_id, example.positive_id, example.negative_ids, example.scores)
    return digest.hexdigest()
